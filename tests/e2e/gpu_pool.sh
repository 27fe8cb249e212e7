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

warm_gpu() { # OPTION...
  coldstart --json pool warm s -d "$@" >"$TMP/.pool"
  service=$(jq .pid "$TMP/.pool")
}
at_exit end_pool
warm_gpu --min 2 --health-interval 0.3
wait_for 60 is idle 2
assert_eq "$(slots_on "$uuid1") $(slots_on "$uuid2")" "2 0" "slots on the GPUs"

# Memory errors: what is there goes, and comes again on the other.
gpus "$uuid1 64 0 3 40 0 Fake H100" "$uuid2 64 0 0 40 0 Fake H100"
wait_for 60 bash -c "[[ \$(find $GPU/vram/$uuid1 -type f -size +4M | wc -l) -eq 0 ]]"
wait_for 60 is idle 2
assert_eq "$(slots_on "$uuid2")" 2 "slots on the other GPU"
assert_contains "$(<"$STORE/pools/s/service.log")" "$uuid1 is not well: 3 uncorrected memory errors"
id=$(coldstart --json pool claim | jq -r .id)
coldstart stop "$id" >/dev/null

# None is well: no slot, and the reason is told to who claims.
gpus "$uuid1 64 0 3 40 0 Fake H100" "$uuid2 64 0 0 99 0 Fake H100"
wait_for 60 is idle 0
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
