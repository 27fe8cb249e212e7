#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fail closed: the page server killed with -9 while the restore waits for it to share the memory. The restore ends and says
# why: its guardian, which has the same descriptors, waits for the sandbox's end, and that for us.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker
need_program strace

snapshot_checker --mb 192 --threads 4 --processes 2 --rounds 2000
# Without starting a program for it: it is to be found before it has done anything. Its guardian is younger.
page_server() {
  local process words oldest=
  for process in /proc/[0-9]*; do
    mapfile -d '' -t words <"$process/cmdline" || continue
    [[ " ${words[*]} " == *" --json lazy-pages "* ]] || continue
    if [[ -z $oldest || ${process#/proc/} -lt $oldest ]]; then oldest=${process#/proc/}; fi
  done 2>/dev/null
  [[ -n $oldest ]] && server=$oldest
}
gone() { ! pgrep -x 'memory-checker|coldstart-guard'; }

"$COLDSTART" restore checker -d --memory shared --no-wait >"$TMP/said" 2>&1 &
restoring=$!
until page_server || ! kill -0 "$restoring" 2>/dev/null; do :; done
kill -STOP "$server" # until strace is there, however long that takes
# What it does at that moment is the only time that it registers memory: slowed down, so that we come in between.
background strace -f -p "$server" -o "$TMP/trace" -e trace=ioctl -e inject=ioctl:delay_enter=300000
strace=$!
traced() { grep -q "^TracerPid:.$strace$" "/proc/$server/status"; }
wait_for 20 traced
kill -CONT "$server"
wait_for 20 grep -q UFFDIO_REGISTER "$TMP/trace"
# Its parent hears of it only from a tracer that has noticed, which a busy one may not for long.
kill -KILL "$server" "$strace"
ended() { ! kill -0 "$restoring" 2>/dev/null; }
wait_for 20 ended
status=0
wait "$restoring" || status=$?
assert_eq "$status" 1 "exit status"
assert_contains "$(<"$TMP/said")" "the page server was killed by signal 9"
wait_for 20 gone
assert_eq "$(coldstart --json ps | jq length)" 0 "replicas left"
