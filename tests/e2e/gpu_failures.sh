#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whatever the driver does: an error with CUDA's name, the process and the step; a server that is to run on runs on,
# and a replica that cannot come back is ended (fault 15).
# timeout 240
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

port=$(free_port)
counter_on_host "$port" 4
take=(snapshot --pid "$counter_pid" -t s --leave-running --gpu-timeout 0.2)

# fails_with TEXT FAULT...: and the server still counts, from where it was
fails_with() {
  local text=$1 before
  shift
  before=$(get "$port" | jq .count)
  faults "$@"
  assert_status 1 coldstart "${take[@]}"
  assert_contains "$err" "$text"
  assert_eq "$(get "$port" | jq .count)" $((before + 1)) "the count after '$*'"
  assert_eq "$(find "$STORE/gpu" -name '*.journal' | wc -l)" 0 "journals left"
}
fails_with "cannot lock the GPU state of python3 (pid $counter_pid): CUDA_ERROR_NOT_READY (600)" "lock 1 busy"
assert_eq "$(calls)" "lock!600"
fails_with "cannot checkpoint the GPU state" "checkpoint 1 fail 304"
assert_eq "$(calls)" "lock checkpoint!304 unlock"
assert_contains "$err" "managed memory"
fails_with "the GPU controller died" "lock 1 kill-caller"
fails_with "the GPU controller died" "checkpoint 1 kill-caller-after"
assert_eq "$(calls)" "lock checkpoint restore unlock"
faults "none 0 none"
assert_status 0 coldstart "${take[@]}"

# CRIU fails after the checkpoint
faults "none 0 none"
prefix=${COLDSTART_CRIU_PREFIX:-/opt/coldstart/criu}
[[ -r $prefix/criu-version ]] || skip "needs the CRIU that 'make setup' installs"
cp -r "$prefix" "$TMP/criu"
cp -L "$(type -P false)" "$TMP/criu/usr/sbin/criu"
before=$(get "$port" | jq .count)
assert_status 1 env COLDSTART_CRIU_PREFIX="$TMP/criu" "$COLDSTART" "${take[@]}"
assert_eq "$(calls)" "lock checkpoint restore unlock"
assert_eq "$(get "$port" | jq .count)" $((before + 1)) "the count after CRIU failed"

# a process that the driver breaks, or that dies, is gone, and that is said
faults "checkpoint 1 break"
assert_status 1 coldstart "${take[@]}"
assert_contains "$err" "was failed and was ended"
wait_for 5 bash -c "! kill -0 $counter_pid"
counter_on_host "$port" 4
take[2]=$counter_pid
faults "checkpoint 1 kill-target"
assert_status 1 coldstart "${take[@]}"

# a restore that fails leaves nothing
counter_on_host "$port" 4
faults "none 0 none"
assert_status 0 coldstart snapshot --pid "$counter_pid" -t s
restore_fails() {
  faults "$2"
  assert_status 1 coldstart restore s -d
  assert_contains "$err" "$1"
  assert_eq "$(coldstart --json ps | jq length)" 0 "replicas"
  assert_eq "$(find "$STORE/gpu" -name '*.journal' | wc -l)" 0 "journals left"
}
restore_fails "CUDA_ERROR_OUT_OF_MEMORY (2)" "restore 1 oom"
assert_eq "$(calls)" "restore!2"
restore_fails "cannot unlock the GPU state" "unlock 1 fail 999"
restore_fails "the GPU controller died" "restore 1 kill-caller"
restore_fails "cannot restore the GPU state" "restore 1 kill-target"
restore_fails "cannot initialise CUDA: CUDA_ERROR_UNKNOWN" "init 1 fail 999"
faults "none 0 none"
assert_status 0 coldstart restore s -d --name last
get "$port" >/dev/null
coldstart stop last >/dev/null
