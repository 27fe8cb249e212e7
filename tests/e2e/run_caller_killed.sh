#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the foreground the replica ends with its caller, however that ends (fault 11).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

"$COLDSTART" run --rootfs "$ROOTFS" -- sh -c 'echo up; exec sleep 1234' >"$TMP/out" </dev/null &
pid=$!
wait_for 30 grep -qx up "$TMP/out"
kill -KILL "$pid"
wait "$pid" || true
wait_for 20 bash -c '! pgrep -f "^sleep 1234"'
wait_for 20 bash -c "! pgrep -f [r]eplica-supervisor"
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"

# Interrupted at many moments of the start: 130, or the program's end by the signal; and nothing is left.
for delay in 0.002 0.005 0.01 0.02 0.03 0.04 0.06 0.1; do
  status=0
  timeout -s INT "$delay" "$COLDSTART" run --rootfs "$ROOTFS" -- sleep 1234 </dev/null 2>"$TMP/err" || status=$?
  [[ $status -eq 124 || $status -eq 130 ]] || fail "status $status after $delay s: $(cat "$TMP/err")"
done
wait_for 20 bash -c '! pgrep -f "^sleep 1234"'
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
