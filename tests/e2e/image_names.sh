#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Images are listed, inspected, tagged and removed by name and by digest.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir -p "$TMP/tree/folder"
echo content >"$TMP/tree/file"
ln -s file "$TMP/tree/link"
coldstart image pack "$TMP/tree" -t one:v1
coldstart image tag one:v1 two
assert_status 0 coldstart --json image inspect one:v1
digest=$(sed -n 's/.*"digest": "\(.*\)",/\1/p' <<<"$out")
assert_contains "$out" '"files": 4'
assert_contains "$out" '"bytes": 8'
assert_contains "$out" '"folders": 2'
assert_status 0 coldstart image inspect "${digest:7:12}"
assert_contains "$out" "$digest"
assert_status 0 coldstart image ls
assert_contains "$out" "one:v1"
assert_contains "$out" "two:latest"
coldstart image rm two
assert_status 3 coldstart image inspect two
assert_status 0 coldstart image verify one:v1
coldstart image tag one:v1 three:x
coldstart image rm "$digest"
assert_status 0 coldstart --json image ls
assert_eq "$out" "[]"
