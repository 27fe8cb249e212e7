#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Slots of the level "slot" have everything but the processes, which come with the claim.
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
oldest=$(coldstart --json ps | jq -r '.[-1]')
kill -9 "$(jq .supervisor <<<"$oldest")"
claim
[[ $id != "$(jq -r .id <<<"$oldest")" ]] || fail "a dead slot was handed out"
assert_eq "$(answer /add/1 | jq .counter)" 6
assert_eq "$(coldstart --json ps | jq -r ".[] | select(.id == \"$id\").state")" running
wait_for 60 is idle 2

# Given back it is frozen, and so claimed at once the next time.
coldstart pool release --give-back "$id" >/dev/null
wait_for 20 bash -c "'$COLDSTART' --json ps | jq -e '.[] | select(.id == \"$id\" and .state == \"frozen\")'"
coldstart pool stop --all
assert_pool_gone
