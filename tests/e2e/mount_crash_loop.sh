#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server that dies as soon as it is started, time and again: it is given up, the log says so, readers get an error.
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
keeper=$(keeper_of "$TMP/at")
while kill -0 "$keeper" 2>/dev/null; do
  # shellcheck disable=SC2046 # none, or one
  kill -9 $(server_of "$TMP/at") 2>/dev/null || true
  sleep 0.02
done
assert_status 1 cat "$TMP/at/file"
assert_contains "$err" "Transport endpoint is not connected"
assert_contains "$(cat "$STORE/logs/image-server.log")" "21 times in a row, the last time: killed by signal 9; gave up"
