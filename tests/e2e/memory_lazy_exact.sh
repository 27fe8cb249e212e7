#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# A restored process whose memory arrives while it forks, discards, moves, protects, unmaps and writes never sees a
# wrong byte: filled by CRIU before it runs, and filled by our page server while it runs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker

dump_checker --mb "${MEMORY_TEST_MB:-512}" --threads 6 --processes 2 --rounds 400

# eager, which shows that the checker itself is right
restore_checker || fail "criu restore: $(tail -n 5 "$WORK/restore.log")"
until_checked
assert_eq "$(<"$CHECKED/result")" ok

for _ in 1 2 3; do
  start_page_server
  restore_checker --lazy-pages || fail "criu restore: $(tail -n 5 "$WORK/restore.log")"
  until_checked
  assert_eq "$(<"$CHECKED/result")" ok
  wait "$page_server" || fail "the page server: $(<"$TMP/served.err")"
  # It was we who served, and faults did not do all of it.
  grep -q '"pushed_pages": [1-9]' "$TMP/served.json" || fail "nothing was pushed: $(<"$TMP/served.json")"
  grep -q '"fault_pages": [1-9]' "$TMP/served.json" || fail "no fault was served: $(<"$TMP/served.json")"
  [[ ! -e $WORK/lazy-pages.socket ]] || fail "the socket is left behind"
done
