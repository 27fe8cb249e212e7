#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pool simulate: theory's miss rate, traces from files, durations from a bench, JSON and a picture.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# Erlang B: 0.31 % of 100,000 Poisson arrivals find 5 slots taken that take 10 s each to be made again.
assert_status 0 coldstart --json pool simulate --rate 0.1 --count 100000 --refill-seconds 10 --idle 5 --policy fixed \
  --export-svg "$TMP/pool.svg"
assert_eq "$(jq -c '.policies[0].hit_rate | . > 0.9960 and . < 0.9978' <<<"$out")" true "hit rate in $out"
assert_eq "$(jq -c '.policies[0] | keys' <<<"$out")" '["cost","hit_rate","name","start_p50","start_p99","utilisation"]'
python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$TMP/pool.svg"
if grep -qiE '<script|href|url\(' "$TMP/pool.svg"; then fail "the picture needs something from outside"; fi

printf 'who,timestamp\na,2026-01-01T00:00:00Z\nb,2026-01-01T00:00:30Z\nc,2026-01-01T00:01:00Z\n' >"$TMP/trace.csv"
echo '{"results": [{"name": "plain", "runs": [20, 20]}]}' >"$TMP/bench.json"
assert_status 0 coldstart --json pool simulate --trace "$TMP/trace.csv" --start-seconds "@$TMP/bench.json:plain" --idle 1
assert_eq "$(jq -c .arrivals <<<"$out")" 3
assert_eq "$(jq -c '[.policies[].name]' <<<"$out")" '["none","fixed","target","reactive","oracle"]'
assert_eq "$(jq -c '.policies[0].start_p99' <<<"$out")" 20
assert_eq "$(jq -c '.policies[1].hit_rate' <<<"$out")" 1

printf "1\n2\nsoon\n" >"$TMP/bad"
assert_status 4 coldstart pool simulate --trace "$TMP/bad"
assert_contains "$err" "$TMP/bad:3"
assert_status 1 coldstart pool simulate --trace "$TMP/none"
assert_contains "$err" "$TMP/none"
assert_status 2 coldstart pool simulate --start-seconds soon
assert_contains "$err" "not a duration: 'soon'"
assert_status 2 coldstart pool simulate --policy best
assert_status 1 coldstart pool simulate --count 10 --export-svg "$TMP/no/such/folder.svg"
