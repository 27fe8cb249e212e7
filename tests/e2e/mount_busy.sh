#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `umount` of a mount in use fails and names who uses it; nothing changes for them.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse

mkdir -p "$TMP/tree/dir" "$TMP/at"
echo content >"$TMP/tree/dir/file"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"
coldstart mount tiny "$TMP/at" >/dev/null

(cd "$TMP/at/dir" && exec sleep 600) &
sleeper=$!
at_exit kill_and_wait "$sleeper"
wait_for 10 test "$TMP/at/dir" -ef "/proc/$sleeper/cwd"
assert_status 1 coldstart umount "$TMP/at"
assert_contains "$err" "is busy: used by"
assert_contains "$err" "(pid $sleeper)"
[[ $err != *"coldstart (pid"* ]] || fail "its own processes, which hold the folder beneath, are named: $err"
assert_eq "$(cat "$TMP/at/dir/file")" content

mkdir "$TMP/other"
exec 7<"$TMP/at/dir/file"
kill_and_wait "$sleeper" || true
assert_status 1 coldstart umount "$TMP/at"
assert_contains "$err" "(pid $$)"
exec 7<&-
mount -t tmpfs none "$TMP/at/dir"
assert_status 1 coldstart umount "$TMP/at"
assert_contains "$err" "the mount $TMP/at/dir"
umount "$TMP/at/dir"
coldstart umount "$TMP/at/"

# A server that hangs does not keep us from hearing who uses its mount.
coldstart mount tiny "$TMP/at" >/dev/null
server=$(server_of "$TMP/at")
exec 7<"$TMP/at/dir/file"
kill -STOP "$server"
assert_status 1 timeout -s KILL 20 "$COLDSTART" umount "$TMP/at"
kill -CONT "$server"
assert_contains "$err" "(pid $$)"
exec 7<&-
coldstart umount "$TMP/at"

# Who looks at it in passing is waited for.
coldstart mount tiny "$TMP/at" >/dev/null
server=$(server_of "$TMP/at")
kill -STOP "$server"
stat "$TMP/at/absent" 2>/dev/null &
looker=$!
wait_for 10 grep -q fuse "/proc/$looker/stack"
"$COLDSTART" umount "$TMP/at" &
umounting=$!
at_exit kill_and_wait "$umounting"
found_busy() { grep -q fuse "/proc/$(pgrep -P "$umounting")/stack"; } # it asks whether the server is dead
wait_for 10 found_busy
kill -CONT "$server"
wait "$umounting"
wait "$looker" || [[ $? -eq 1 ]]
