#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --bind shows a folder or a file of the host inside, writable or read-only; symlinks inside do not lead out.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

mkdir "$TMP/data"
echo from-host >"$TMP/data/file"
assert_status 0 coldstart run --rootfs "$ROOTFS" --bind "$TMP/data:/mnt/data" --bind "$TMP/data/file:/one" -- \
  sh -c 'cat /mnt/data/file /one; echo from-inside >/mnt/data/answer'
assert_eq "$out" $'from-host\nfrom-host'
assert_eq "$(cat "$TMP/data/answer")" from-inside

assert_status 1 coldstart run --rootfs "$ROOTFS" --bind "$TMP/data:/mnt/data:ro" -- sh -c 'echo x >/mnt/data/other'
assert_contains "$err" "Read-only"
[[ ! -e $TMP/data/other ]] || fail "written through a read-only bind"

cp -a "$ROOTFS" "$TMP/root"
ln -s "$TMP/data" "$TMP/root/link"
assert_status 1 coldstart run --rootfs "$TMP/root" --bind "$TMP/data/file:/link/target" -- cat /link/target
assert_contains "$err" "/link"
[[ ! -e $TMP/data/target ]] || fail "a symlink inside led to the host"

assert_status 2 coldstart run --rootfs "$ROOTFS" --bind "$TMP/absent:/x" -- true
assert_status 2 coldstart run --rootfs "$ROOTFS" --bind relative -- true
