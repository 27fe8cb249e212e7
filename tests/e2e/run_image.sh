#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run in an image: lazy, with a writable overlay, as often and at once as wanted; nothing is left afterwards.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_rootfs small

coldstart image pack "$ROOTFS" -t small >/dev/null
assert_status 0 coldstart run small -- md5sum /bin/busybox
assert_eq "${out%% *}" "$(md5sum <"$ROOTFS/bin/busybox" | cut -d' ' -f1)"
assert_status 0 coldstart run small -- sh -c 'echo mine >>/etc/passwd; tail -n 1 /etc/passwd'
assert_eq "$out" mine
assert_status 1 coldstart run small -- grep -q mine /etc/passwd

assert_status 3 coldstart run no-such-image -- true
assert_status 2 coldstart run small --rootfs "$ROOTFS" -- true

pids=()
for i in 1 2 3; do
  coldstart run small -- sh -c "echo $i >/tmp/which; sleep 0.2; cat /tmp/which" >"$TMP/out.$i" &
  pids+=($!)
done
for i in 1 2 3; do
  wait "${pids[i - 1]}"
  assert_eq "$(cat "$TMP/out.$i")" "$i"
done
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
