#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The processes in the background hold nothing of who started them: no descriptor, folder, terminal or session.
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

for name in keep-image serve-image; do
  pid=$(pgrep -f "$name .*$TMP/at ")
  assert_eq "$(readlink "/proc/$pid/cwd")" /
  assert_eq "$(ps -o sid= -p "$pid" | tr -d ' ')" "$pid" "session of $name"
  assert_eq "$(cat "/proc/$pid/comm")" coldstart # what top and `umount` say of it
  for number in 0 1 2; do assert_eq "$(readlink "/proc/$pid/fd/$number")" /dev/null; done
  assert_eq "$(find "/proc/$pid/fd" -lname "$TMP/held" -o -lname "$TMP/said" -o -lname '/dev/tty*')" "" "descriptors of $name"
done
# The keeper is nothing to speak of.
keeper=$(pgrep -f "keep-image .*$TMP/at ")
assert_eq "$(awk '/^Threads/ { print $2 }' "/proc/$keeper/status")" 1 threads
[[ $(awk '/^RssAnon/ { print $2 }' "/proc/$keeper/status") -lt 4000 ]] || fail "$(cat "/proc/$keeper/status")"
