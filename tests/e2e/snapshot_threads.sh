#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A threaded server comes back from its snapshot with its state, its threads and its memory, as often as wanted.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
assert_status 0 coldstart --json snapshot -t s "${servers[@]}" --ready "http://127.0.0.1:$port/" \
  --warmup "http://127.0.0.1:$port/add/5" -- python3 /mnt/threads.py "$port" 20
assert_eq "$(jq -r .reference <<<"$out")" s:latest
assert_eq "$(jq -r .processes <<<"$out")" 1
assert_eq "$(jq -r '[.stages[].name] | index("criu.dump") != null and index("warmup") != null' <<<"$out")" true
[[ $(jq .memory_bytes <<<"$out") -gt 20000000 ]] || fail "too little memory: $out"
assert_nothing_left

for _ in 1 2; do
  id=$(restored s --bind "$SERVERS:/mnt:ro")
  first=$(get "$port" /add/2)
  assert_eq "$(jq .counter <<<"$first")" 7
  wait_for 10 bash -c "[[ \$(curl -s 127.0.0.1:$port/ | jq .ticks) -gt $(jq .ticks <<<"$first") ]]"
  assert_eq "$(jq -r .digest <<<"$first")" \
    "$(python3 -c 'import hashlib as h; print(h.sha256(h.shake_256(b"coldstart").digest(1 << 20) * 20).hexdigest())')"
  coldstart stop "$id" >/dev/null
done
assert_nothing_left
