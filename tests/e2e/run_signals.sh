#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Signals that the foreground run gets go to the program, once each; its exit status comes back (fault 11).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

# Counts what it gets; TERM ends it.
cat >"$TMP/program" <<'END'
for s in INT HUP QUIT USR1 USR2; do trap "echo got $s" $s; done
trap 'echo got TERM; exit 5' TERM
echo ready
while :; do sleep 0.02; done
END

"$COLDSTART" run --rootfs "$ROOTFS" --bind "$TMP/program:/program:ro" -- sh /program >"$TMP/out" </dev/null &
pid=$!
at_exit kill_and_wait "$pid"
wait_for 30 grep -qx ready "$TMP/out"
for s in INT HUP QUIT USR1 USR2; do
  kill "-$s" "$pid"
  wait_for 10 grep -qx "got $s" "$TMP/out"
done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
assert_eq "$status" 5 "exit status"
assert_eq "$(sort "$TMP/out" | uniq -c | awk '{ print $1 }' | sort -u)" 1 "each once"

# A program that leaves signals alone ends by them.
"$COLDSTART" run --rootfs "$ROOTFS" -- sh -c 'echo up; exec sleep 1000' >"$TMP/out2" </dev/null &
pid=$!
at_exit kill_and_wait "$pid"
wait_for 30 grep -qx up "$TMP/out2"
kill -INT "$pid"
status=0
wait "$pid" || status=$?
assert_eq "$status" 130 "exit status"

# One that comes as soon as the program has spoken is the program's too, though the front may not know yet that it runs.
printf 'trap "exit 7" INT\necho up\nwhile :; do sleep 0.01; done\n' >"$TMP/program"
mkfifo "$TMP/said"
for _ in {1..15}; do
  "$COLDSTART" run --rootfs "$ROOTFS" --bind "$TMP/program:/program:ro" -- sh /program >"$TMP/said" </dev/null &
  pid=$!
  exec 9<"$TMP/said"
  read -r _ <&9
  kill -INT "$pid"
  status=0
  wait "$pid" || status=$?
  exec 9<&-
  assert_eq "$status" 7 "exit status after a signal at once"
done
