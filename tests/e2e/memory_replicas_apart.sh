#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 200
# Eight replicas of one snapshot that share their memory, each of which writes something else: none ever sees what another
# wrote, they take little more memory than one, and the copy outlives them.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
shared_memory() { coldstart --json store stat | jq -r ".$1"; }
coldstart snapshot -t s "${servers[@]}" --net private --ready "http://127.0.0.1:$port/" -- \
  python3 /mnt/churn.py "$port" 32 >/dev/null
[[ $(shared_memory memory_bytes) -gt $((24 << 20)) ]] || fail "the snapshot is not in memory"
assert_eq "$(shared_memory memory_in_use_bytes)" 0

# What each must answer, by one that shares nothing.
want=()
for n in 1 2 3 4 5 6 7 8; do
  coldstart restore s -d --name "ref-$n" --memory eager --bind "$SERVERS:/mnt:ro" >/dev/null
  want[n]=$(get_in "ref-$n" "$port" "/churn/$n")
  coldstart stop "ref-$n" >/dev/null
done

coldstart restore s -d -n 8 --name r --memory shared --bind "$SERVERS:/mnt:ro" >/dev/null
[[ $(shared_memory memory_in_use_bytes) -gt $((24 << 20)) ]] || fail "it is not the shared copy that they use"
pids=()
for n in 1 2 3 4 5 6 7 8; do
  get_in "r-$n" "$port" "/churn/$n" >"$TMP/answer-$n" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
for n in 1 2 3 4 5 6 7 8; do
  assert_eq "$(<"$TMP/answer-$n")" "${want[n]}" "the answer of r-$n"
  assert_eq "$(get_in "r-$n" "$port" /)" "${want[n]}" "the answer of r-$n after all have written"
done
coldstart stop r-1 r-2 r-3 r-4 r-5 r-6 r-7 r-8 >/dev/null
assert_eq "$(shared_memory memory_in_use_bytes)" 0
[[ $(shared_memory memory_bytes) -gt $((24 << 20)) ]] || fail "the copy is gone with the replicas"

# It is given back when it does not fit, and when nothing leads to the snapshot any more.
id=$(restored s --memory shared --memory-cache 1M --bind "$SERVERS:/mnt:ro")
assert_eq "$(get_in "$id" "$port" /churn/3)" "${want[3]}"
coldstart stop "$id" >/dev/null
coldstart snapshot rm s >/dev/null
assert_status 0 coldstart --json store gc
[[ $(jq .freed_memory_bytes <<<"$out") -gt $((24 << 20)) ]] || fail "gc freed no memory: $out"
assert_eq "$(shared_memory memory_bytes)" 0
assert_nothing_left
