#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Of several processes with GPU state all are locked before one is checkpointed, and all restored before one runs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
assert_status 0 coldstart snapshot -t s "${gpu_environment[@]}" --ready "http://127.0.0.1:$port/" -- \
  python3 "$counter" "$port" 2 2
assert_eq "$(calls)" "lock lock lock checkpoint checkpoint checkpoint"
assert_eq "$(coldstart --json snapshot inspect s | jq '.gpu.pids | length')" 3 "processes with GPU state"
rm "$GPU/calls"
assert_status 0 coldstart restore s -d
assert_eq "$(calls)" "restore restore restore unlock unlock unlock"
[[ $(used_device_memory) -eq $((3 * 2 << 20)) ]] || fail "device memory: $(used_device_memory)"

# one that fails: none stays locked
faults "checkpoint 2 fail 801"
assert_status 1 coldstart snapshot --replica "$(coldstart --json ps | jq -r '.[0].id')" -t t
assert_contains "$err" "CUDA_ERROR_NOT_SUPPORTED (801)"
assert_contains "$err" "managed memory (UVM)"
get "$port" >/dev/null
assert_eq "$(calls | tr ' ' '\n' | grep -c unlock)" 3 "processes that were unlocked"
coldstart stop "$(coldstart --json ps | jq -r '.[0].id')" >/dev/null
