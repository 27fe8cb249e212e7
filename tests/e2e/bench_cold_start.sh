#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A cold start is timed by all three ways, exported in every format and drawn; answers that differ give no figure.
# timeout 240
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
coldstart snapshot -t t --rootfs / --net private --ready "http://127.0.0.1:$port/" -- python3 -m http.server --directory /etc/apt "$port" >/dev/null
assert_status 0 coldstart --json bench cold-start t -r 2 -w 0 --export-markdown "$TMP/table.md" \
  --export-json "$TMP/one.json" --export-csv "$TMP/runs.csv" --export-svg "$TMP/one.svg"
assert_eq "$(jq -c '[.results[] | select(.stage == "cold-start") | .name]' <<<"$out")" '["plain","criu","coldstart"]'
# The same again without what a warm answer takes.
assert_eq "$(jq -c '[.results[] | select(.stage == "cold-start-alone") | .name]' <<<"$out")" '["plain","criu","coldstart"]'
assert_eq "$(jq '.results[0].runs[0] > .results[3].runs[0]' <<<"$out")" true
assert_eq "$(jq '[.results[].runs | length] | unique == [2]' <<<"$out")" true
assert_eq "$(jq -c '.ratios | keys | map(select(startswith("coldstart")))' <<<"$out")" '["coldstart/criu","coldstart/plain"]'
assert_eq "$(jq -c '.results[2].stages | map(.name) | contains(["sandbox", "criu.restore", "answer"])' <<<"$out")" true
assert_eq "$(jq -c 'del(.comparison)' "$TMP/one.json")" "$(jq -c . <<<"$out")" "the export and --json"
assert_contains "$(<"$TMP/table.md")" "| plain |"
assert_eq "$(grep -c '^cold-start,' "$TMP/runs.csv")" 6 "runs in the CSV"
assert_contains "$(<"$TMP/one.svg")" "criu.restore"

# Two replicas at once, and the plot of both.
assert_status 0 coldstart bench cold-start t -r 1 -w 0 -n 2 --export-json "$TMP/two.json"
assert_status 0 coldstart bench plot "$TMP/one.json" "$TMP/two.json" -o "$TMP/plot.svg"
assert_contains "$(<"$TMP/plot.svg")" "replicas started at once"
assert_status 2 coldstart bench cold-start t -n 2 --net host
assert_contains "$err" "--net private"

# An answer that is another each time: no figure may come of that.
assert_status 1 coldstart bench cold-start t -r 1 -w 0 --request 'date +%N'
assert_contains "$err" "answered differently"
assert_nothing_left
