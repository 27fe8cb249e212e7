#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Replicas of one snapshot live side by side in private networks, each with its own state, and publish their ports.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
coldstart snapshot -t s "${servers[@]}" --net private --ready "http://127.0.0.1:$port/" -- python3 /mnt/threads.py "$port" >/dev/null
assert_status 0 coldstart --json restore s -d -n 3 --name r --bind "$SERVERS:/mnt:ro"
assert_eq "$(jq '.replicas | length' <<<"$out")" 3
for n in 1 2 3; do
  assert_eq "$(get_in "r-$n" "$port" "/add/$n" | jq .counter)" "$n" "the counter of r-$n"
done
published=$(free_port)
id=$(restored s -p "$published:$port" --bind "$SERVERS:/mnt:ro")
assert_eq "$(get "$published" /add/9 | jq .counter)" 9
assert_eq "$(coldstart --json ps | jq length)" 4
coldstart stop r-1 r-2 r-3 "$id" >/dev/null
assert_nothing_left
