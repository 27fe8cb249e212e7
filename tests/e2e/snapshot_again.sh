#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# A replica that was restored is snapshotted again, in every memory mode and even while its memory still comes back: all of
# it is in the new snapshot, and only what changed is new in the store.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

mb=192
port=$(free_port)
url=http://127.0.0.1:$port
first=$(coldstart --json snapshot -t s:0 "${servers[@]}" --ready "$url/" -- python3 /mnt/memory.py "$port" $mb)
stored=$(jq .new_bytes <<<"$first")
[[ $stored -gt $((mb << 19)) ]] || fail "$stored bytes stored of $mb MB, half of which is noise"
id=$(restored s:0 --bind "$SERVERS:/mnt:ro")
sum=$(get "$port" /sum)
coldstart stop "$id" >/dev/null

n=0
for mode in lazy eager ${EXTRA_MEMORY_MODES:-}; do
  # At once, without waiting for anything.
  id=$(restored "s:$n" --memory "$mode" --no-wait --bind "$SERVERS:/mnt:ro")
  again=$(coldstart --json snapshot -t "s:$((n + 1))" --replica "$id")
  n=$((n + 1))
  id=$(restored "s:$n" --memory "$mode" --bind "$SERVERS:/mnt:ro")
  assert_eq "$(get "$port" /sum)" "$sum" "the memory after a second snapshot ($mode)"
  new=$(jq .new_bytes <<<"$again")
  [[ $new -lt $((stored / 20)) ]] || fail "$mode: $new bytes are new of $stored, though nothing changed"
  # A change of 20 pages.
  for page in $(seq 100 2000 40000); do get "$port" "/change/$page" >/dev/null; done
  sum=$(get "$port" /sum)
  again=$(coldstart --json snapshot -t "s:$((n + 1))" --replica "$id")
  n=$((n + 1))
  new=$(jq .new_bytes <<<"$again")
  [[ $new -lt $((stored / 10)) ]] || fail "$mode: $new bytes are new of $stored after a small change"
  id=$(restored "s:$n" --memory "$mode" --bind "$SERVERS:/mnt:ro")
  assert_eq "$(get "$port" /sum)" "$sum" "the memory after a change ($mode)"
  coldstart stop "$id" >/dev/null
done
assert_eq "$(coldstart --json snapshot verify "s:$n" | jq .ok)" true
assert_nothing_left
