#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is written inside never reaches the folder below, and is gone with the replica; DNS files are the host's.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

listing() { (cd "$1" && find . -printf '%p %y %m %s %T@\n' | sort); }
cp -a "$ROOTFS" "$TMP/root"
rm -f "$TMP/root/etc/resolv.conf"
ln -s /run/nowhere/resolv.conf "$TMP/root/etc/resolv.conf"
before=$(listing "$TMP/root")
assert_status 0 coldstart run --rootfs "$TMP/root" -- \
  sh -c 'echo new >/new; echo more >>/etc/passwd; rm -r /etc/group; mkdir /d; cat /new; cat /etc/resolv.conf >/seen; cat /seen'
assert_contains "$out" new
assert_contains "$out" "$(cat /etc/resolv.conf)"
assert_eq "$(listing "$TMP/root")" "$before" "the folder below"

assert_status 1 coldstart run --rootfs "$TMP/root" -- test -e /new
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
