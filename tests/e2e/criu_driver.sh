#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The CRIU driver dumps and restores real servers, names what cannot be dumped, and undoes what fails (faults 14 and 16).
# timeout 300
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_criu
need_rootfs small
need_program python3
need_program node
need_program redis-check-rdb

COLDSTART_TEST_ROOTFS=$ROOTFS "$(dirname "$COLDSTART")/tests/criu/coldstart-criu-test"
