#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Once 'pool stop' has returned the service is gone, and a pool of the same name can begin.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
for level in frozen slot frozen; do
  warm --level "$level" --min 2 --max 2
  wait_for 60 is idle 2
  assert_status 0 coldstart pool stop
  service_has_ended || fail "the service still runs"
  assert_eq "$(coldstart --json ps | jq length)" 0 "replicas of a stopped pool"
done

# Several at once: whoever comes late waits for the same end. (One that comes later still finds no pool.)
warm --min 2 --max 2
wait_for 60 is idle 2
stops=()
for i in 1 2 3; do
  "$COLDSTART" pool stop >/dev/null 2>"$TMP/stop.$i" &
  stops+=($!)
done
for i in 1 2 3; do
  status=0
  wait "${stops[i - 1]}" || status=$?
  [[ $status -eq 0 ]] || assert_contains "$(<"$TMP/stop.$i")" "no pool"
done
service_has_ended || fail "the service still runs"

# who does not want to wait goes, and the pool ends all the same
warm --min 1 --max 1
wait_for 60 is idle 1
kill -STOP "$service"
timeout -s INT 1 "$COLDSTART" pool stop >/dev/null 2>&1 && fail "it did not wait"
kill -CONT "$service"
end_pool || true
assert_pool_gone
