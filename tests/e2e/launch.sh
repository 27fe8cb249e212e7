#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# launch takes from a pool of the snapshot what is idle, else it restores; either way each stage has its time.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
launched() {
  assert_status 0 coldstart --json launch s "$@"
  at=$(jq -r '.ports[0]' <<<"$out")
  at=${at%:*}
  assert_eq "$(answer /add/1 | jq .counter)" 6
}
launched --bind "$SERVERS:/mnt:ro"
assert_eq "$(jq -r .pool <<<"$out")" ""
assert_eq "$(jq -c '[.stages[].name] | index("sandbox") != null and index("ready") != null' <<<"$out")" true
coldstart stop "$(jq -r .id <<<"$out")" >/dev/null

warm --min 1
wait_for 60 is idle 1
launched
assert_eq "$(jq -r .pool <<<"$out")" s
assert_eq "$(jq -c '[.stages[].name]' <<<"$out")" '["claim","ready"]'
wait_for 60 is idle 1
launched --bind "$SERVERS:/mnt:ro" --name mine
assert_eq "$(jq -r .pool <<<"$out")" ""
coldstart stop mine >/dev/null
assert_status 3 coldstart launch nothing
coldstart pool stop --all
assert_pool_gone
