#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the foreground stdin, stdout and stderr are the caller's, through pipes; a reader that leaves ends the program.
# shellcheck disable=SC2016 # what is quoted is for the shell inside
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

head -c 3000000 /dev/urandom >"$TMP/bytes"
coldstart run --rootfs "$ROOTFS" -- cat <"$TMP/bytes" >"$TMP/same"
cmp "$TMP/bytes" "$TMP/same"

# End of file reaches the program at once, and an unread stdin does not hold it up.
assert_eq "$(echo one | coldstart run --rootfs "$ROOTFS" -- sh -c 'cat; echo two')" $'one\ntwo'
assert_status 0 env COLDSTART="$COLDSTART" bash -c 'yes | "$COLDSTART" run --rootfs "$1" -- true' - "$ROOTFS"

assert_eq "$(timeout 20 "$COLDSTART" run --rootfs "$ROOTFS" -- yes | head -n 1)" y
