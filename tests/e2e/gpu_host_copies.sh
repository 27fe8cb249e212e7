#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the driver is going to pin of a restored server is the server's own by then, zeros too, and in huge pages (fake
# driver, which tells what it found, real CRIU).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
mib=$((1 << 20))
assert_status 0 coldstart --json snapshot -t s "${gpu_environment[@]}" --ready "http://127.0.0.1:$port/" \
  -- python3 "$counter" "$port" 48 0 80
[[ $(jq .new_bytes <<<"$out") -lt $((16 * mib)) ]] || fail "the zeros were stored: $out"
shared=$(coldstart --json store stat | jq .memory_bytes)
[[ $shared -ge $((48 * mib)) ]] || fail "only $shared bytes are kept in memory"

# from afar, too: where only the metadata are at first
coldstart push s "$TMP/www" >/dev/null
COLDSTART_STORE=$TMP/elsewhere coldstart pull --lazy "file://$TMP/www/s:latest" >/dev/null

for memory in shared lazy afar; do
  rm -f "$GPU/host_copies"
  store=$STORE
  if [[ $memory == afar ]]; then store=$TMP/elsewhere; fi
  export COLDSTART_STORE=$store
  assert_status 0 coldstart --json restore s -d --memory "${memory/afar/auto}"
  assert_eq "$(jq -r '.replicas[0].stages[] | select(.name == "memory.pinned").bytes >= 134217728' <<<"$out")" true \
    "stage memory.pinned: $out"
  first=$(get "$port")
  [[ $(jq .count <<<"$first") -gt 1 ]] || fail "it counts anew: $first"
  while read -r size own huge _; do
    assert_eq "$own" "$size" "bytes that are its own, $memory"
    if ! grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled; then
      [[ $huge -ge $((size - 8 * mib)) ]] || fail "$huge of $size bytes in huge pages, $memory"
    fi
  done <"$GPU/host_copies"
  assert_eq "$(awk '{ s += $1 } END { print s }' "$GPU/host_copies")" $((128 * mib)) "of device memory"
  coldstart stop "$(jq -r '.replicas[0].id' <<<"$out")" >/dev/null
done
