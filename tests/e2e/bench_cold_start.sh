#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench cold-start runs the three ways in turn, checks their answers, and says so in each of its forms.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
coldstart snapshot -t t --rootfs / --net private --ready "http://127.0.0.1:$port/" -- python3 -m http.server --directory /etc/apt "$port" >/dev/null
assert_status 0 coldstart --json bench cold-start t -r 2 -w 0 --export-markdown "$TMP/table.md"
assert_eq "$(jq -c '[.results[].name]' <<<"$out")" '["plain","criu","coldstart"]'
assert_eq "$(jq '[.results[].runs | length] | unique == [2]' <<<"$out")" true
assert_eq "$(jq '.ratios | keys | length' <<<"$out")" 2
assert_contains "$(<"$TMP/table.md")" "| plain |"
# An answer that is another each time: no figure may come of that.
assert_status 1 coldstart bench cold-start t -r 1 -w 0 --request 'date +%N'
assert_contains "$err" "answered differently"
assert_nothing_left
