#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# doctor tells of the driver and of GPUs that are not healthy: what they say of themselves, wrong results, no answer.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

# says CHECK OK(true|false) TEXT
says() {
  assert_status 0 coldstart --json doctor
  local check
  check=$(jq -c --arg name "$1" '.checks[] | select(.name == $name)' <<<"$out")
  assert_eq "$(jq .ok <<<"$check")" "$2" "$check"
  assert_contains "$(jq -r .detail <<<"$check")" "$3"
}
gpus "$uuid1 16 0 0 40 0 Fake H100"
says gpu true "CUDA 13.0"
says gpu_health true "Fake H100, 40 C, "
# one that is full cannot be tried, which is no illness
mkdir -p "$GPU/vram/$uuid1"
truncate -s 16M "$GPU/vram/$uuid1/other"
exec 9<"$GPU/vram/$uuid1/other"
flock 9
says gpu_health true "Fake H100, 40 C"
exec 9<&-
rm "$GPU/vram/$uuid1/other"
echo 0 >"$GPU/persistence"
says gpu_health true "persistence mode off"
rm "$GPU/persistence"
gpus "$uuid1 16 0 3 95 64 Fake H100"
says gpu_health false "3 uncorrected memory errors; it has 95 C; the hardware slows it down as it is hot"
gpus "$uuid1 16 0 0 40 0 Fake H100"
faults "matmul 0 wrong"
says gpu_health false "multiplies matrices wrongly"
faults "init 0 hang"
says gpu_health false "Fake H100: no answer within 2 seconds"
faults "none 0 none"
echo 12040 >"$GPU/cuda_version"
says gpu false "without checkpoints"
export COLDSTART_LIBCUDA=$TMP/none
says gpu true "no NVIDIA driver"
