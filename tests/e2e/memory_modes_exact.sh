#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# In every memory mode a restored process that forks, discards, moves, protects, unmaps and writes while its memory
# arrives never sees a wrong byte, and leaves nothing behind.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
# shellcheck source=tests/e2e/memory_lib.sh
. "$(dirname "$0")/memory_lib.sh"
need_checker

snapshot_checker --mb "${MEMORY_TEST_MB:-384}" --threads 4 --processes 2 --rounds 300
for mode in ${MEMORY_TEST_MODES:-eager lazy shared shared auto}; do
  rm -f "$CHECKED"/{first,result,wrong}
  id=$(restored checker --memory "$mode" --no-wait)
  until_replica_ended "$id"
  [[ ! -e $CHECKED/wrong ]] || fail "$mode: $(<"$CHECKED/wrong")"
  [[ -e $CHECKED/result ]] || fail "$mode: no result; $(coldstart --json ps -a | jq -c --arg id "$id" '.[] | select(.id == $id)')"
done
assert_nothing_left
