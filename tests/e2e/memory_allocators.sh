#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# Servers on different allocators, each with its own idea of madvise, mremap and trimming, answer after a restore as they
# would have without one: in every memory mode, asked at once while their memory comes back.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
url=http://127.0.0.1:$port
library() { find /usr/lib -name "$1" 2>/dev/null | sort | head -n 1; }
# ask WHERE: the answers to a sequence of requests
ask() { for seed in 1 2 3; do get "$port" "/churn/$seed" || fail "$1: no answer to /churn/$seed"; done; }

declare -A preloads=([glibc]="" [jemalloc]=$(library 'libjemalloc.so.2') [tcmalloc]=$(library 'libtcmalloc_minimal.so.4')
  [mimalloc]=$(library 'libmimalloc.so.2'))
for name in glibc jemalloc tcmalloc mimalloc; do
  preload=${preloads[$name]}
  [[ -n $preload || $name == glibc ]] || skip "needs $name: run 'make setup'"
  server=(env PYTHONMALLOC=malloc ${preload:+LD_PRELOAD="$preload"} python3 "$SERVERS/churn.py" "$port" 24)
  id=$(coldstart --json run -d -- "${server[@]}" | jq -r .id)
  wait_for 20 get "$port" /
  [[ -z $preload ]] || grep -qF "$preload" "/proc/$(coldstart --json ps | jq '.[0].pid')/maps" || fail "$name is not in use"
  want=$(ask "$name, never restored")
  coldstart stop "$id" >/dev/null
  coldstart snapshot -t s --ready "$url/" -- "${server[@]}" >/dev/null
  for mode in eager lazy shared; do
    id=$(restored s --memory "$mode")
    assert_eq "$(ask "$name, $mode")" "$want" "the answers on $name, $mode"
    coldstart stop "$id" >/dev/null
  done
done
assert_nothing_left
