#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 11: Ctrl-C at any moment of a snapshot or a restore leaves no process, mount or temporary, and no half snapshot.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

# interrupted DELAY COMMAND...: SIGINT after DELAY; it ends with 130, or was faster
interrupted() {
  local delay=$1 status=0
  shift
  # A background job of a script ignores SIGINT unless told otherwise.
  setsid env --default-signal=INT "$COLDSTART" "$@" >/dev/null 2>"$TMP/err" </dev/null &
  local pid=$!
  sleep "$delay"
  kill -INT "$pid" 2>/dev/null || true
  wait "$pid" || status=$?
  [[ $status -eq 130 || $status -eq 0 ]] || fail "status $status after $delay s: $(<"$TMP/err")"
}

port=$(free_port)
for delay in 0.02 0.1 0.2 0.3 0.5 0.8; do
  interrupted "$delay" snapshot -t "s:${delay/./}" "${servers[@]}" --ready "http://127.0.0.1:$port/" -- python3 /mnt/threads.py "$port" 100
  assert_nothing_left
done
coldstart snapshot -t s "${servers[@]}" --ready "http://127.0.0.1:$port/" -- python3 /mnt/threads.py "$port" 100 >/dev/null
for delay in 0.02 0.05 0.1 0.15 0.2 0.3; do
  interrupted "$delay" restore s --bind "$SERVERS:/mnt:ro"
  assert_nothing_left
done
assert_eq "$(coldstart --json store fsck | jq .ok)" true
