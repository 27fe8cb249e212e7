#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The stage gpu.restore is timed in place, against NVIDIA's tool; without a driver it is said at once (fake driver).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
coldstart snapshot -t s "${gpu_environment[@]}" --net private --ready "http://127.0.0.1:$port/" \
  -- python3 "$counter" "$port" 8 >/dev/null
faults "restore 0 delay 300" # milliseconds, each
assert_status 0 coldstart --json bench gpu.restore --snapshot s -r 2 -w 0
assert_eq "$(jq -c '[(.results + .skipped)[] | .name]' <<<"$out")" '["coldstart","cuda-checkpoint"]'
assert_eq "$(jq '.results[0].seconds | .min >= 0.3 and .max < 3' <<<"$out")" true "the driver's 300 ms: $out"
assert_eq "$(calls)" "restore unlock lock checkpoint restore unlock lock checkpoint restore unlock"

mkdir "$TMP/bin"
ln -s "$COLDSTART" "$TMP/bin/cuda-checkpoint" # whose part it can take
PATH=$TMP/bin:$PATH assert_status 0 coldstart --json bench gpu.restore --snapshot s -r 2 -w 0
assert_eq "$(jq -c '[.results[].name]' <<<"$out")" '["coldstart","cuda-checkpoint"]'
assert_eq "$(coldstart --json ps | jq length)" 0 "replicas that still run"

rm "$GPU/calls"
COLDSTART_LIBCUDA=$TMP/none assert_status 6 coldstart bench image.mount gpu.restore --snapshot s --size 1M
assert_contains "$err" "the stage gpu.restore needs a GPU"
[[ ! -e $GPU/calls ]] || fail "the driver was called: $(calls)"
