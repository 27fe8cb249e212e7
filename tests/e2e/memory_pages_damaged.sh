#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pages file that is truncated (7) is refused before a process runs; one that is truncated while it is served kills
# the processes with a clear message, and never gives them zeros.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker

dump_checker --mb 256 --threads 2 --rounds 300
cp --sparse=never "$IMAGES/pages-1.img" "$TMP/whole"
size=$(stat -c %s "$TMP/whole")

truncate -s $((size - 4096)) "$IMAGES/pages-1.img"
start_page_server
status=0
restore_checker --lazy-pages && fail "a truncated snapshot was restored"
wait "$page_server" || status=$?
assert_eq "$status" 4
assert_contains "$(<"$TMP/served.err")" "pages-1.img is truncated"
ended_all() { ! pgrep -x memory-checker; }
wait_for 20 ended_all

cp "$TMP/whole" "$IMAGES/pages-1.img"
start_page_server
restore_checker --lazy-pages || fail "criu restore: $(tail -n 5 "$WORK/restore.log")"
truncate -s 1M "$IMAGES/pages-1.img"
until_checked
status=0
wait "$page_server" || status=$?
if [[ $status -eq 0 ]]; then
  assert_eq "$(<"$CHECKED/result")" ok # the disk was faster than we
else
  assert_eq "$status" 4
  assert_contains "$(<"$TMP/served.err")" "pages"
fi
wait_for 20 ended_all
