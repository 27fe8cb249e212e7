#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A full disk while packing is a named error that leaves nothing behind and the store valid (fault 2).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program jq

mkdir "$TMP/disk" "$TMP/little" "$TMP/much"
mount -t tmpfs -o size=16m none "$TMP/disk"
at_exit umount "$TMP/disk"
export COLDSTART_STORE=$TMP/disk/store
head -c 3000000 /dev/urandom >"$TMP/little/file"
head -c 40000000 /dev/urandom >"$TMP/much/file"
coldstart image pack "$TMP/little" -t little >/dev/null

assert_status 1 coldstart image pack "$TMP/much" -t much
assert_contains "$err" "No space left on device"
assert_contains "$err" "hint: "
assert_status 3 coldstart image inspect much
assert_eq "$(find "$COLDSTART_STORE/tmp" -mindepth 1)" "" "left in tmp"
assert_status 0 coldstart store fsck
coldstart image verify little >/dev/null

# There is room again at once: for another image, and for gc.
head -c 5000000 /dev/urandom >"$TMP/little/file"
coldstart image pack "$TMP/little" -t little >/dev/null
coldstart store gc >/dev/null
assert_eq "$(coldstart --json store stat | jq .garbage_bytes)" 0 garbage
assert_status 0 coldstart store fsck
