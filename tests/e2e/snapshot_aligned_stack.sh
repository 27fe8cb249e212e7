#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# A thread whose stack pointer is at the start of a page makes CRIU call none of its process's memory lazy. It is shared,
# deduplicated and served late all the same.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker
[[ $(uname -m) == x86_64 ]] || skip "needs x86-64: the checker moves its stack pointer there only"

snapshot_checker --mb 128 --threads 2 --processes 2 --rounds 100 --aligned-stack
kept=$(coldstart --json store stat | jq .memory_bytes)
[[ $kept -gt $((100 << 20)) ]] || fail "$kept bytes of 128 MB are in the shared copy"
for mode in eager lazy shared; do
  rm -f "$CHECKED"/{first,result,wrong}
  id=$(restored checker --memory "$mode" --no-wait)
  until_replica_ended "$id"
  [[ ! -e $CHECKED/wrong ]] || fail "$mode: $(<"$CHECKED/wrong")"
  [[ -e $CHECKED/result ]] || fail "$mode: no result"
done
assert_nothing_left
