#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A mountpoint that is missing, no folder, not empty or taken, and an unknown image, are each refused in one clear line.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at" "$TMP/full"
echo content >"$TMP/tree/file"
touch "$TMP/full/something"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"

assert_status 2 coldstart mount tiny "$TMP/missing"
assert_contains "$err" "$TMP/missing: No such file or directory"
assert_status 2 coldstart mount tiny "$TMP/tree/file"
assert_contains "$err" "is not a folder"
assert_status 2 coldstart mount tiny "$TMP/full"
assert_contains "$err" "is not empty"
assert_status 3 coldstart mount nobody "$TMP/at"
assert_contains "$err" "nobody"
assert_eq "$(grep -c coldstart: <<<"$err")" 1 "lines of error"

coldstart mount tiny "$TMP/at" >/dev/null
assert_status 2 coldstart mount tiny "$TMP/at"
assert_contains "$err" "an image is mounted there"
assert_eq "$(cat "$TMP/at/file")" content
coldstart umount "$TMP/at"

assert_status 1 coldstart umount "$TMP/at"
assert_contains "$err" "no image is mounted on"
assert_status 1 coldstart umount "$TMP/missing"
assert_status 1 coldstart umount /proc
assert_contains "$err" "proc"
