#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The service is killed with -9: what was claimed goes on and is adopted by the next, what was idle ends (fault 18).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
warm --min 2
sleep 1000 &
holder=$!
at_exit kill_and_wait "$holder"
claim
kept=$id kept_at=$at
claim --for "$holder"
held=$id
wait_for 60 is idle 2
kill -9 "$service"
wait_for 20 bash -c "! kill -0 $service 2>/dev/null"
assert_eq "$(curl -sf "http://$kept_at/add/1" | jq .counter)" 6 "it runs without a service"
only_two() { [[ $(coldstart --json ps | jq -c '[.[].id] | sort') == "$(jq -nc '$ARGS.positional | sort' --args "$kept" "$held")" ]]; }
wait_for 20 only_two

warm --min 1
assert_eq "$(pool_says claimed)" 2
assert_eq "$(curl -sf "http://$kept_at/add/1" | jq .counter)" 7
# The leases are as they were: one ends with its holder, the other is released.
kill -9 "$holder"
wait_for 20 is claimed 1
claim
[[ $id != "$kept" && $id != "$held" ]] || fail "$id was claimed twice"
coldstart pool release "$id" >/dev/null
coldstart pool release "$kept" >/dev/null
wait_for 20 is claimed 0

# Without --all claimed replicas outlive the service.
wait_for 60 is idle 1
claim
coldstart pool stop
wait_for 20 bash -c "! kill -0 $service 2>/dev/null"
assert_eq "$(curl -sf "http://$at/add/1" | jq .counter)" 6
assert_eq "$(coldstart --json ps | jq -c '[.[].id]')" "[\"$id\"]"
coldstart stop "$id" >/dev/null
warm --min 1
assert_eq "$(pool_says claimed)" 0
assert_status 1 coldstart pool warm s --bind "$SERVERS:/mnt:ro" --min 1
assert_contains "$err" "is there already"
# Drained, it ends with the last lease.
wait_for 60 is idle 1
claim
coldstart pool drain
assert_status 7 coldstart pool claim --timeout 1
assert_contains "$err" "drained"
coldstart pool release "$id" >/dev/null
assert_pool_gone
