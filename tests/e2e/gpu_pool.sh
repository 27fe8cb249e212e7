#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pool of a server with GPU state: its slots are not on a GPU that is not well, by what it tells of itself or by what
# it does, and those that are there when it falls ill are replaced (fake driver, real CRIU).
# timeout 120
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

port=$(free_port)
gpus "$uuid1 64 0 0 40 0 Fake H100" "$uuid2 64 0 0 40 0 Fake H100"
coldstart snapshot -t s "${gpu_environment[@]}" --net private --ready "http://127.0.0.1:$port/" -- python3 "$counter" "$port" 8 >/dev/null
slots_on() { find "$GPU/vram/$1" -type f -size +4M 2>/dev/null | wc -l; }
# slots_are N1 N2: so many idle ones on each of the two
slots_are() { [[ "$(slots_on "$uuid1") $(slots_on "$uuid2")" == "$1 $2" ]] && is idle $(($1 + $2)); }
log_says() { grep -qF -- "$1" "$STORE/pools/s/service.log"; }

warm_gpu() { # OPTION...
  coldstart --json pool warm s -d "$@" >"$TMP/.pool"
  service=$(jq .pid "$TMP/.pool")
}
at_exit end_pool
warm_gpu --min 2 --health-interval 0.3
wait_for 60 slots_are 2 0

# Memory errors: what is there goes, and comes again on the other.
gpus "$uuid1 64 0 3 40 0 Fake H100" "$uuid2 64 0 0 40 0 Fake H100"
wait_for 60 slots_are 0 2
assert_contains "$(<"$STORE/pools/s/service.log")" "$uuid1 is not well: 3 uncorrected memory errors"
id=$(coldstart --json pool claim | jq -r .id)
coldstart stop "$id" >/dev/null

# None is well: no slot, and the reason is told to who claims, from when the pool knows of it.
gpus "$uuid1 64 0 3 40 0 Fake H100" "$uuid2 64 0 0 99 0 Fake H100"
wait_for 60 log_says "$uuid2 is not well: it has 99 C"
assert_status 7 coldstart pool claim --timeout 2
assert_contains "$err" "it has 99 C"
coldstart pool stop --all >/dev/null
assert_pool_gone

# Wrong results are found before the first slot is made.
gpus "$uuid1 64 0 0 40 0 Fake H100"
faults "matmul 0 wrong"
warm_gpu --min 1
assert_status 7 coldstart pool claim --timeout 3
assert_contains "$err" "multiplies matrices wrongly"
coldstart pool stop --all >/dev/null
assert_pool_gone
