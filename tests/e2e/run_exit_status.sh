#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run gives the program's exit status, 128 + n for a signal, and 126 and 127 as shells do with a clear error.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

run() { coldstart run --rootfs "$ROOTFS" -- "$@"; }

assert_status 0 run true
assert_status 3 run sh -c 'echo to-stdout; echo to-stderr >&2; exit 3'
assert_eq "$out" to-stdout
assert_eq "$err" to-stderr
assert_status 137 run sh -c 'kill -KILL $$'
assert_status 143 run sh -c 'kill -TERM $$'

assert_status 127 run no-such-program
assert_contains "$err" "coldstart: error: no-such-program: no such program inside"
assert_status 126 run /etc/passwd
assert_contains "$err" "cannot execute /etc/passwd"
assert_status 126 coldstart run --rootfs "$ROOTFS" -w /etc/passwd -- true
assert_contains "$err" "/etc/passwd"

assert_status 2 coldstart run --rootfs "$ROOTFS"
assert_status 2 coldstart run --rootfs "$TMP/absent" -- true
