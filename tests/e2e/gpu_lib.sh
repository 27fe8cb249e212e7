# shellcheck shell=bash disable=SC2034 # its variables are for the tests
# SPDX-License-Identifier: Apache-2.0
# What the tests of GPU state share: a FAKE driver (tests/gpu/fake), and a server that uses it. Sourced after lib.sh.
need_criu
need_program python3
need_program jq
fake_driver=$(dirname "$COLDSTART")/tests/gpu/fake
[[ -e $fake_driver/libcuda.so.1 ]] || skip "needs the fake driver: run 'make build'"

GPU=$TMP/gpu # the fake's folder: see tests/gpu/fake/fake_gpu.h
mkdir "$GPU"
export COLDSTART_FAKE_GPU=$GPU COLDSTART_LIBCUDA=$fake_driver/libcuda.so.1 COLDSTART_LIBNVML=$fake_driver/libnvidia-ml.so.1
# What a server on the host's root needs to find it.
gpu_environment=(-e "COLDSTART_FAKE_GPU=$GPU" -e "COLDSTART_LIBCUDA=$COLDSTART_LIBCUDA")
counter=$(cd "$(dirname "${BASH_SOURCE[0]}")/../gpu" && pwd)/counter.py
uuid1="GPU-fa4e0000-0000-0000-0000-000000000001" # of the one GPU that there is if nothing is said
uuid2="GPU-fa4e0000-0000-0000-0000-000000000002"

get() { curl -sf --max-time 20 "http://127.0.0.1:$1/"; }
# calls: the driver's calls so far that change a state, and their results
calls() { awk '{ printf "%s%s", sep, $1 ($4 == 0 ? "" : "!" $4); sep = " " }' "$GPU/calls" 2>/dev/null; }
# faults LINE...: from now on, counted anew
faults() {
  rm -rf "$GPU/count" "$GPU/calls"
  printf '%s\n' "$@" >"$GPU/faults"
}
# gpus LINE...: at once, as somebody may be reading
gpus() {
  printf '%s\n' "$@" >"$GPU/gpus.new"
  mv "$GPU/gpus.new" "$GPU/gpus"
}
used_device_memory() { find "$GPU/vram" -type f -printf '%s\n' 2>/dev/null | awk '{ s += $1 } END { print s + 0 }'; }

# counter_on_host PORT MEBIBYTES: its pid is in $counter_pid
counter_on_host() {
  # Without the descriptors that tests inherit from outside of their mount namespace.
  setsid python3 -c 'import os, sys; os.closerange(3, 1024); os.execvp("python3", ["python3"] + sys.argv[1:])' \
    "$counter" "$@" </dev/null >/dev/null 2>&1 &
  counter_pid=$!
  at_exit kill_and_wait $counter_pid
  wait_for 20 get "$1"
}
