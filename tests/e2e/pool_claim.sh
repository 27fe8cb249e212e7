#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A pool keeps frozen replicas; a claim gets one that runs at once, and ps, exec, logs and stop know it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
assert_status 3 coldstart pool claim
assert_contains "$err" "no pool runs"
warm --min 2
wait_for 60 is idle 2
assert_eq "$(coldstart --json ps | jq -c '[.[].state]')" '["frozen","frozen"]'
slot=$(coldstart --json ps | jq -r '.[0].id')
assert_status 1 coldstart exec "$slot" -- true
assert_contains "$err" "frozen"

claim
first=$id
assert_eq "$(answer /add/2 | jq .counter)" 7 "the counter of the snapshot, and 2"
ticks=$(answer / | jq .ticks)
wait_for 10 bash -c "[[ \$(curl -s http://$at/ | jq .ticks) -gt $ticks ]]"
assert_eq "$(coldstart --json ps | jq -r ".[] | select(.id == \"$first\").state")" running
assert_status 0 coldstart exec "$first" -- echo inside
assert_eq "$out" inside
assert_status 0 coldstart logs "$first"
wait_for 60 is idle 2
claim
[[ $id != "$first" ]] || fail "the same replica twice"
assert_eq "$(answer /add/0 | jq .counter)" 5 "a fresh replica's counter"
assert_eq "$(pool_says claimed)" 2

# Given up: it ends. Or stopped like any other: the pool notices.
assert_status 0 coldstart pool release "$id"
wait_for 20 is claimed 1
assert_status 3 coldstart pool release "$id"
assert_status 0 coldstart stop "$first"
wait_for 20 is claimed 0
wait_for 60 is idle 2

# Used again, with what it remembers.
claim --give-back
assert_eq "$(answer /add/10 | jq .counter)" 15
again=$id
assert_status 0 coldstart pool release --give-back "$again"
wait_for 20 is checking 0
found=
for _ in 1 2 3; do
  claim
  if [[ $id == "$again" ]]; then found=$(answer / | jq .counter); fi
done
assert_eq "$found" 15 "the counter of the replica that was given back"

assert_status 0 coldstart pool stop --all
assert_pool_gone
