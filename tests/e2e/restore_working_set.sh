#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# The first restore records what is touched until the replica is ready and has answered the requests to record; later ones
# bring that first, with the file that is kept of the memory and from the store's chunks, and have the same memory.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

mb=128
port=$(free_port)
url=http://127.0.0.1:$port
coldstart snapshot -t s "${servers[@]}" --ready "$url/" -- python3 /mnt/memory.py "$port" $mb >/dev/null
working_set() { coldstart --json snapshot inspect s | jq .working_set; }
assert_eq "$(working_set)" null "a working set before any restore"

bind=(--bind "$SERVERS:/mnt:ro")
id=$(restored s --memory lazy "${bind[@]}")
sum=$(get "$port" /sum)
coldstart stop "$id" >/dev/null
ready_bytes=$(working_set | jq .bytes)
[[ $ready_bytes -gt 0 && $ready_bytes -lt $((64 << 20)) ]] || fail "$ready_bytes bytes are touched until it is ready"

# A request that touches 48 MB of the data.
assert_status 1 coldstart restore s -d --memory lazy "${bind[@]}" --record "false"
assert_contains "$err" "a request to record failed"
assert_eq "$(working_set | jq .bytes)" "$ready_bytes" "what was recorded before stays"
id=$(restored s --memory lazy "${bind[@]}" --record "$url/touch/48" --record "true")
assert_eq "$(get "$port" /sum)" "$sum"
coldstart stop "$id" >/dev/null
bytes=$(working_set | jq .bytes)
[[ $bytes -gt $((48 << 20)) && $bytes -lt $((110 << 20)) ]] || fail "$bytes bytes are touched by a request for 48 MB"

for tier in file store; do
  if [[ $tier == store ]]; then find "$STORE/cache" -name memory -type f -delete; fi
  id=$(restored s --memory lazy "${bind[@]}")
  assert_eq "$(get "$port" /sum)" "$sum" "the memory from the $tier"
  coldstart stop "$id" >/dev/null
done

# A damaged one costs time only.
file=$(find "$STORE/working-sets" -type f)
head -c 100 "$file" >"$TMP/part" && cp "$TMP/part" "$file"
id=$(restored s --memory lazy "${bind[@]}" 2>/dev/null)
assert_eq "$(get "$port" /sum)" "$sum"
coldstart stop "$id" >/dev/null
assert_nothing_left
