#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server that never gets ready, dies while starting, or does not exist: a clear error, no snapshot, nothing left.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

assert_status 1 coldstart snapshot -t s --rootfs / --ready http://127.0.0.1:1/ --timeout 0.5 -- sh -c 'echo so sorry >&2; sleep 1000'
assert_contains "$err" "http://127.0.0.1:1/"
assert_contains "$err" "so sorry"
assert_nothing_left
assert_status 1 coldstart snapshot -t s --rootfs / --ready http://127.0.0.1:1/ -- sh -c 'echo no weights >&2; exit 3'
assert_contains "$err" "3"
assert_contains "$err" "no weights"
assert_nothing_left
assert_status 127 coldstart snapshot -t s --rootfs / -- /no/such/program
assert_contains "$err" "/no/such/program"
assert_status 1 coldstart snapshot -t s --rootfs / --ready-cmd true --warmup 'echo it hurts >&2; false' -- sleep 1000
assert_contains "$err" "it hurts"
assert_nothing_left
assert_eq "$(coldstart --json snapshot ls)" "[]"
