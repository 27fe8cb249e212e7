#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 200
# Fail closed with shared memory: the page server killed with -9 at any moment, also long after all memory is in its place,
# takes the replica with it: no wrong byte, and no process, mount, socket or use of the copy is left.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker

snapshot_checker --mb 192 --threads 4 --processes 2 --rounds 2000
page_servers() { pgrep -f -- 'coldstart .*--json lazy-pages' | grep -vxF "$(guards)"; }
guards() { pgrep -x coldstart-guard || echo none; }
clean() {
  ! pgrep -x 'memory-checker|coldstart-guard' && [[ $(coldstart --json ps | jq length) -eq 0 ]] &&
    [[ $(coldstart --json store stat | jq .memory_in_use_bytes) -eq 0 ]]
}
killed=0
for i in {1..6}; do
  rm -f "$CHECKED"/{first,result,wrong}
  # It fails, and says so, if the server dies before it is through.
  "$COLDSTART" restore checker -d --memory shared --no-wait >/dev/null 2>&1 &
  restoring=$!
  # From the first moment that there is one.
  until page_servers >"$TMP/servers" || ! kill -0 "$restoring" 2>/dev/null; do :; done
  sleep "0.$(printf %03d $((i * 70)))"
  if page_servers >"$TMP/servers" && xargs kill -KILL <"$TMP/servers"; then killed=$((killed + 1)); fi
  wait "$restoring" || true
  wait_for 20 clean
  [[ ! -e $CHECKED/wrong ]] || fail "$(<"$CHECKED/wrong")"
done
[[ $killed -ge 3 ]] || fail "only $killed of 6 servers were killed in time"
[[ -z $(find "$STORE" -name '*.socket') ]] || fail "a socket is left"
assert_nothing_left
