#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A slot that dies idle, or is ill, is never handed out: a claim gets another, and it is replaced (fault 17).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
warm --min 2 --health-cmd 'test ! -e /ill' --health-interval 0.3
wait_for 60 is idle 2
frozen() { coldstart --json ps | jq -r '[.[] | select(.state == "frozen")]['"$1"'].'"$2"; }

# Killed a moment before the claim, oldest first: the claim must not get it.
for victim in pid supervisor; do
  oldest=$(frozen -1 id)
  kill -9 "$(coldstart --json ps | jq -r ".[] | select(.id == \"$oldest\").$victim")"
  claim
  [[ $id != "$oldest" ]] || fail "a dead slot was handed out"
  assert_eq "$(answer / | jq .counter)" 5
  coldstart pool release "$id" >/dev/null
  wait_for 60 is idle 2
done
[[ $(pool_says unhealthy) -ge 1 ]] || fail "no dead slot was noticed: $(coldstart --json pool status)"

# Ill by what the health command says: replaced within a check or two.
before=$(pool_says unhealthy)
ill=$(frozen 0 id)
nsenter -t "$(frozen 0 pid)" -m touch /ill
wait_for 30 bash -c "! '$COLDSTART' --json ps | jq -e '.[] | select(.id == \"$ill\" and .state == \"frozen\")'"
wait_for 30 is unhealthy "$((before + 1))"
wait_for 60 is idle 2

coldstart pool stop --all
assert_pool_gone

# Old ones are replaced, without anybody asking.
warm --min 1 --max 2 --max-age 1
wait_for 60 is idle 1
young=$(frozen 0 id)
wait_for 60 bash -c "'$COLDSTART' --json ps | jq -e '[.[] | select(.state == \"frozen\")] | length >= 1 and all(.id != \"$young\")'"
coldstart pool stop --all
assert_pool_gone

# What can never be well is told to who claims.
warm --min 1 --health-cmd 'false' --health-timeout 0.5
assert_status 7 coldstart pool claim --timeout 3
assert_contains "$err" "no slot became idle within 3 s"
assert_contains "$err" "'false' to succeed"
coldstart pool stop --all
assert_pool_gone
