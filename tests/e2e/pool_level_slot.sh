#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 180
# Slots of the level "slot" have everything but the processes, which come with the claim: CRIU and the page server wait.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
warm --min 2 --level slot --health-interval 0.2
wait_for 60 is idle 2
assert_eq "$(coldstart --json ps | jq -c '[.[].state]')" '["starting","starting"]'
if pgrep -f "threads.py $port" >/dev/null; then fail "the server runs before it is claimed"; fi
sleep 1 # some checks
# slot KEY: of the one that waits longest
slot() { coldstart --json ps | jq -r "[.[] | select(.state == \"starting\")][-1].$1"; }
# standing_by PATTERN: the pid of what waits for its claim
standing_by() { pgrep -P "$(slot supervisor)" -f "$1"; }
dead=$(slot id)
kill -9 "$(slot supervisor)"
claim
[[ $id != "$dead" ]] || fail "a dead slot was handed out"
assert_eq "$(answer /add/1 | jq .counter)" 6
assert_eq "$(coldstart --json ps | jq -r ".[] | select(.id == \"$id\").state")" running
wait_for 60 is idle 2
# One that lost what stands by is found out before anybody claims it.
for helper in ' swrk ' ' lazy-pages '; do
  before=$(pool_says unhealthy)
  kill -9 "$(standing_by "$helper")"
  wait_for 20 is unhealthy "$((before + 1))"
  wait_for 60 is idle 2
done

# Given back it is frozen, and so claimed at once the next time.
coldstart pool release --give-back "$id" >/dev/null
wait_for 20 bash -c "'$COLDSTART' --json ps | jq -e '.[] | select(.id == \"$id\" and .state == \"frozen\")'"
coldstart pool stop --all
assert_pool_gone

for mode in eager lazy shared; do
  warm --min 1 --max 1 --level slot --memory "$mode"
  claim
  assert_eq "$(answer /add/1 | jq .counter)" 6 "the counter, with memory that is restored $mode"
  coldstart pool stop --all
  assert_pool_gone
done
