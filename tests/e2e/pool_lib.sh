# shellcheck shell=bash disable=SC2034 # its variables are for the tests
# SPDX-License-Identifier: Apache-2.0
# What the tests of pools share. Sourced after lib.sh.
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/snapshot_lib.sh"

# snapshot_of_threads: the snapshot "s" of a small server that counts; its port is in $port
snapshot_of_threads() {
  port=$(free_port)
  assert_status 0 coldstart snapshot -t s "${servers[@]}" --net private --ready "http://127.0.0.1:$port/" \
    --warmup "http://127.0.0.1:$port/add/5" -- python3 /mnt/threads.py "$port" 1
}
# warm OPTION...: the pool "s" of it, which ends with the test
warm() {
  coldstart --json pool warm s --bind "$SERVERS:/mnt:ro" -d "$@" >"$TMP/.pool" || fail "pool warm: $(cat "$TMP/.pool")"
  service=$(jq .pid "$TMP/.pool")
  at_exit end_pool
}
# Nobody may have waited for it yet.
service_has_ended() { [[ $(ps -o stat= -p "$service") == @(|Z*) ]]; }
end_pool() { coldstart pool stop --all >/dev/null 2>&1; }
# pool_says KEY: one field of the status
pool_says() { coldstart --json pool status | jq -r ".$1"; }
is() { [[ $(pool_says "$1") == "$2" ]]; }
# claim OPTION...: its id is in $id, where it is reached in $at
claim() {
  claimed=$(coldstart --json pool claim "$@") || return
  id=$(jq -r .id <<<"$claimed")
  at=$(jq -r '.ports[0]' <<<"$claimed")
  at=${at%:*}
}
# answer PATH: of what was claimed last
answer() { curl -sf --max-time 20 "http://$at$1"; }
# No pool, no replica, no mount, no lease.
assert_pool_gone() {
  wait_for 20 bash -c "! kill -0 $service 2>/dev/null"
  assert_nothing_left
  assert_eq "$(find "$STORE"/pools/*/leases -mindepth 1 | wc -l)" 0 "leases left"
}
