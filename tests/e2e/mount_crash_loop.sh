#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server that dies as soon as it is started, time and again, or that cannot be started any more: it is given up, the
# log says so, readers get an error.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
echo content >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tiny >/dev/null
coldstart mount tiny "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"

# Another one, whose image is gone: while it is tried in vain there is time for the first.
export COLDSTART_STORE=$TMP/store2
mkdir "$TMP/at2"
coldstart image pack "$TMP/tree" -t tiny >/dev/null
coldstart mount tiny "$TMP/at2" >/dev/null
at_exit coldstart umount "$TMP/at2"
keeper2=$(keeper_of "$TMP/at2")
mv "$TMP/store2/packs" "$TMP/store2/away"
kill_server "$TMP/at2"

keeper=$(keeper_of "$TMP/at")
while kill -0 "$keeper" 2>/dev/null; do
  # shellcheck disable=SC2046 # none, or one
  kill -9 $(server_of "$TMP/at") 2>/dev/null || true
  sleep 0.02
done
assert_status 1 cat "$TMP/at/file"
assert_contains "$err" "Transport endpoint is not connected"
# The last one may have been killed before it served, or after.
last_time="(the image server ended before it was ready: )?killed by signal 9"
grep -qE "21 times in a row, the last time: $last_time; gave up, readers of $TMP/at get ENOTCONN" \
  "$STORE/logs/image-server.log" || fail "$(<"$STORE/logs/image-server.log")"

ended() { ! kill -0 "$keeper2"; }
wait_for 60 ended
assert_status 1 cat "$TMP/at2/file"
assert_contains "$err" "Transport endpoint is not connected"
log=$(cat "$TMP/store2/logs/image-server.log")
assert_contains "$log" "is missing from the store"
assert_contains "$log" "gave up, readers of $TMP/at2 get ENOTCONN"
