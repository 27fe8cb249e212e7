#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# With --baseline a bench says what got slower and exits 1; noise, and what is as before, is no regression.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

bench() { coldstart bench image.pack --size 1M -r 5 -w 0 "$@"; }
# A run that is compared with itself made ten times slower, or ten times faster.
bench --export-json "$TMP/now.json" >/dev/null
scaled() { jq --argjson by "$1" '(.results[] | select(.name == "coldstart").runs) |= map(. * $by)' "$TMP/now.json"; }
scaled 0.01 >"$TMP/faster.json"
scaled 100 >"$TMP/slower.json"

assert_status 0 bench --baseline "$TMP/slower.json"
assert_contains "$out" "faster: image.pack"
assert_status 1 bench --baseline "$TMP/faster.json"
assert_contains "$out" "SLOWER: image.pack coldstart"
assert_status 1 coldstart --json bench image.pack --size 1M -r 5 -w 0 --baseline "$TMP/faster.json"
assert_eq "$(jq '.comparison.regressed' <<<"$out")" true

# What cannot be compared, or written, is said before anything is measured.
echo '{"format": "another"}' >"$TMP/wrong.json"
assert_status 4 bench --baseline "$TMP/wrong.json"
assert_contains "$err" "no report of 'coldstart bench'"
assert_status 1 bench --export-svg "$TMP/no-folder/x.svg"
assert_contains "$err" "no-folder"
