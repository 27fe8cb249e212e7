#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Called as cuda-checkpoint, the binary is NVIDIA's tool of that name: options, outputs, exit statuses.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"

ln -s "$COLDSTART" "$TMP/cuda-checkpoint"
cc() { "$TMP/cuda-checkpoint" "$@"; }
port=$(free_port)
counter_on_host "$port" 2

# CRIU's plugin asks for it like this
assert_status 0 cc -h
assert_contains "$out" "--action"
[[ ${#out} -lt 2048 ]] || fail "the help is longer than the plugin reads"
assert_status 0 cc --get-restore-tid --pid "$counter_pid"
[[ -d /proc/$counter_pid/task/$out ]] || fail "no thread of it: $out"
assert_status 1 cc --get-restore-tid --pid $$
assert_eq "$err" "Could not find restore thread for process ID $$"
is() {
  assert_status 0 cc --get-state --pid "$counter_pid"
  assert_eq "$out" "$1" "state"
}
is running
assert_status 0 cc --action lock --pid "$counter_pid" --timeout 10000
is locked
assert_status 0 cc --action checkpoint --pid "$counter_pid"
is checkpointed
assert_status 1 cc --action lock -p "$counter_pid"
assert_eq "$err" "Could not lock on process ID $counter_pid: \"the operation cannot be performed in the present state\""
assert_status 0 cc --action=restore --pid="$counter_pid" --device-map "$uuid1=$uuid1"
is locked
assert_status 0 cc --action unlock --pid "$counter_pid"
is running
get "$port" >/dev/null
assert_status 0 cc --toggle --pid "$counter_pid"
is checkpointed
assert_status 0 cc --toggle --pid "$counter_pid"
is running
get "$port" >/dev/null

assert_status 1 cc --toggle --pid $$
assert_eq "$err" "Error toggling CUDA in process ID $$: \"initialization error\""
faults "checkpoint 1 fail 304"
assert_status 1 cc --toggle --pid "$counter_pid"
assert_eq "$err" "Error toggling CUDA in process ID $counter_pid: \"OS call failed or operation not supported on this OS\""
is running
faults "init 1 fail 304"
assert_status 1 cc --get-state --pid "$counter_pid"
assert_eq "$err" "Error initializing CUDA: \"OS call failed or operation not supported on this OS\""
faults "none 0 none"

# wrong use
for wrong in "" "--toggle" "--action fly --pid 1" "--get-state --pid x" "--get-state --pid 1 more" "--nonsense" \
  "--toggle --pid 1 --device-map $uuid1=$uuid1" "--action checkpoint --pid 1 --timeout 5" "--toggle --get-state --pid 1"; do
  # shellcheck disable=SC2086 # words
  assert_status 1 cc $wrong
  [[ -n $err ]] || fail "nothing is said about '$wrong'"
done

# no driver
assert_status 1 env COLDSTART_LIBCUDA="$TMP/none" "$TMP/cuda-checkpoint" --get-state --pid 1

# CRIU's CUDA plugin, where it is packaged
plugin=$(find / -xdev -name cuda_plugin.so -print -quit 2>/dev/null || true)
[[ -n $plugin ]] || echo "CRIU's CUDA plugin is not installed: not tried with it"
