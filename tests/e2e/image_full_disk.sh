#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 2: a disk that gets full during pack or unpack is a named error; the store stays good, nothing is left.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root

mkdir "$TMP/tree" "$TMP/disk"
head -c 20000000 /dev/urandom >"$TMP/tree/large"
mount -t tmpfs -o size=10m none "$TMP/disk"
at_exit umount "$TMP/disk"

coldstart image pack "$TMP/tree" -t some
assert_status 1 coldstart image unpack some "$TMP/disk/out"
assert_contains "$err" "$TMP/disk/out/large"
assert_contains "$err" "No space left on device"
[[ ! -e $TMP/disk/out ]] || fail "a half-unpacked tree was left"

assert_status 1 coldstart --store "$TMP/disk/store" image pack "$TMP/tree" -t some
assert_contains "$err" "No space left on device"
assert_status 3 coldstart --store "$TMP/disk/store" image inspect some
[[ -z $(find "$TMP/disk/store/packs" "$TMP/disk/store/tmp" -mindepth 1) ]] || fail "left: $(find "$TMP/disk")"
rm "$TMP/tree/large"
echo small >"$TMP/tree/file"
coldstart --store "$TMP/disk/store" image pack "$TMP/tree" -t some
assert_status 0 coldstart --store "$TMP/disk/store" image verify some
