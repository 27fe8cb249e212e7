#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The server in the background holds nothing of who started it: no descriptor, folder, terminal or session.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at" "$TMP/here"
echo content >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"

exec 9>"$TMP/held"
(cd "$TMP/here" && coldstart --json mount tiny ../at >"$TMP/said")
exec 9>&-
at_exit coldstart umount "$TMP/at"
assert_eq "$(jq -r .mountpoint "$TMP/said")" "$TMP/at"
assert_contains "$(jq -r .digest "$TMP/said")" sha256:
assert_eq "$(jq '.seconds > 0' "$TMP/said")" true

server=$(pgrep -f "serve-image .*$TMP/at ")
assert_eq "$(readlink "/proc/$server/cwd")" /
assert_eq "$(ps -o sid= -p "$server" | tr -d ' ')" "$server" "session"
for number in 0 1 2; do assert_eq "$(readlink "/proc/$server/fd/$number")" /dev/null; done
assert_eq "$(find "/proc/$server/fd" -lname "$TMP/held" -o -lname "$TMP/said" -o -lname '/dev/tty*')" "" "descriptors"
