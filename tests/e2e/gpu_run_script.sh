#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/gpu/run.sh, the proof for machines with a GPU, runs to its end (here against the fake driver).
# timeout 240
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/gpu_lib.sh
. "$(dirname "$0")/gpu_lib.sh"
need_program curl

unset COLDSTART_FAKE_GPU COLDSTART_LIBCUDA COLDSTART_LIBNVML COLDSTART_STORE
assert_status 0 env BUILD="$(dirname "$COLDSTART")" "$here/../gpu/run.sh" --fake
assert_contains "$out" "| counter |"
assert_contains "$out" "killed after 0.2 s: it runs"
assert_contains "$out" "| refill |"
assert_contains "$out" "0 failures"
