#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# Many clients claim and give back while slots are killed: no wrong answer, nothing lost, nothing left. The long form is
# tests/bench/pool_claim.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_criu

POOL_BENCH_CLAIMS=0 POOL_BENCH_SOAK=60 POOL_BENCH_CLIENTS=6 "$here/../bench/pool_claim"
