#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# Many clients claim and give back while slots are killed: no wrong answer, nothing lost, nothing left, nothing grown. The long
# form is tests/bench/pool_soak.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_criu

POOL_SOAK_CLAIMS=600 "$here/../bench/pool_soak"
