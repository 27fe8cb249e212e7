#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 13: a host with an older CRIU than the snapshot's is named as incompatible (exit 5) before anything is started; one
# without a usable CRIU is told what to install (exit 6).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

coldstart snapshot -t s --rootfs / -- sleep 1000 >/dev/null
prefix=${COLDSTART_CRIU_PREFIX:-/opt/coldstart/criu}
[[ -r $prefix/criu-version ]] || skip "needs the CRIU that 'make setup' installs"
cp -r "$prefix" "$TMP/criu"
says() { echo "$1" >"$TMP/criu/criu-version"; } # the same CRIU under another version
says 4.2
export COLDSTART_CRIU_PREFIX=$TMP/criu
assert_status 5 coldstart restore s -d
assert_contains "$err" "CRIU 4.2 is older"
says 4.1.9
assert_status 6 coldstart restore s -d
assert_contains "$err" "4.1.9"
assert_status 6 coldstart snapshot -t t --rootfs / -- sleep 1000
assert_contains "$err" "4.1.9"
assert_nothing_left
