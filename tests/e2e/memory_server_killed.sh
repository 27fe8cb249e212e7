#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# Fail closed: a page server killed with -9 at any moment takes the processes with it, or had done its work; no process
# runs on with zeros where its memory should be, and nothing is left behind.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker

# Read-only: a child that is forked while the server is killed, and whose parent is gone by then, waits for ever unless the
# server knows of a process around them, as 'restore' tells it; tests/criu kills servers of whole sandboxes.
dump_checker --mb 256 --threads 4 --processes 2 --rounds 300 --read-only

# CRIU waits for ever for a task that is killed at the wrong moment of a restore: so until that is complete it belongs to
# those who end with the server. Here is one that has got no further than connecting.
start_page_server
python3 -c 'import signal, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("connected", flush=True)
signal.pause()' "$WORK/lazy-pages.socket" >"$TMP/connected" &
criu=$!
wait_for 10 grep -q connected "$TMP/connected"
accepted() { [[ ! -e $WORK/lazy-pages.socket ]]; }
wait_for 10 accepted
kill -KILL "$page_server"
wait_for 10 ended "$criu"
wait "$criu" "$page_server" || true

# Who restores ends before CRIU has come: nobody would come any more.
exec 9< <(exec sleep 1000)
restores=$!
start_page_server --control-fd 9
exec 9<&-
alive "$page_server" || fail "it did not wait for CRIU"
kill -KILL "$restores"
wait_for 10 ended "$page_server"
assert_contains "$(<"$TMP/served.json")" "whoever restores ended before CRIU came"
wait "$page_server" || true

killed=0
for i in {1..25}; do
  start_page_server
  (
    sleep "0.$(printf %03d $((i * 12)))"
    kill -KILL "$page_server"
  ) 2>/dev/null &
  killer=$!
  # A server that dies before CRIU is through makes the restore fail: CRIU then cleans up itself.
  if restore_checker --lazy-pages; then
    until_checked
    if [[ -e $CHECKED/result ]]; then assert_eq "$(<"$CHECKED/result")" ok; fi
  fi
  if ! wait "$page_server"; then killed=$((killed + 1)); fi
  wait "$killer" || true
  [[ ! -e $CHECKED/wrong ]] || fail "$(<"$CHECKED/wrong")"
  wait_for 20 bash -c '! pgrep -x "memory-checker|coldstart-guard" >/dev/null'
done
[[ $killed -ge 5 ]] || fail "only $killed of 25 servers were killed in time"
