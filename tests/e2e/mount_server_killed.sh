#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 10: after kill -9 of the server readers get an error and no hang, `umount` cleans, and one can mount again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
echo content >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"
coldstart mount tiny "$TMP/at" >/dev/null
assert_eq "$(cat "$TMP/at/file")" content

(cd "$TMP/at" && exec sleep 600) & # still sits in there when it is cleaned up
at_exit kill_and_wait $!
wait_for 10 test "$TMP/at" -ef "/proc/$!/cwd"

server=$(pgrep -f "serve-image .*$TMP/at ")
kill -9 "$server"
wait_for 10 bash -c "! kill -0 $server"
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
