#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 10: with the server and its keeper killed readers get an error and no hang, `umount` cleans, and one can mount
# again. Without the keeper alone the server serves on.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
echo content >"$TMP/tree/file"
echo more >"$TMP/tree/more"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"
coldstart mount tiny "$TMP/at" >/dev/null
assert_eq "$(cat "$TMP/at/file")" content

(cd "$TMP/at" && exec sleep 600) & # still sits in there when it is cleaned up
at_exit kill_and_wait $!
wait_for 10 test "$TMP/at" -ef "/proc/$!/cwd"

kill -9 "$(keeper_of "$TMP/at")"
assert_eq "$(cat "$TMP/at/more")" more
kill_server "$TMP/at"
gone() { [[ -z $(server_of "$TMP/at") ]]; }
wait_for 10 gone
assert_status 1 cat "$TMP/at/other"
assert_contains "$err" "Transport endpoint is not connected"
assert_status 2 coldstart mount tiny "$TMP/at"
assert_contains "$err" "an image is mounted there"
assert_contains "$err" "hint: coldstart umount"

coldstart umount "$TMP/at"
assert_status 0 ls "$TMP/at"
coldstart mount tiny "$TMP/at" >/dev/null
assert_eq "$(cat "$TMP/at/file")" content
coldstart umount "$TMP/at"
assert_eq "$(keeper_of "$TMP/at")$(server_of "$TMP/at")" "" "what is left"
