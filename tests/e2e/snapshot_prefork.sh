#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server of several processes comes back whole: its workers answer, its parent still replaces one that dies, and what
# they write is in the logs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
assert_status 0 coldstart --json snapshot -t s "${servers[@]}" --ready "http://127.0.0.1:$port/health" -- python3 /mnt/prefork.py "$port"
assert_eq "$(jq .processes <<<"$out")" 3
id=$(restored s --bind "$SERVERS:/mnt:ro")
worker=$(get "$port" / | jq .pid)
coldstart exec "$id" -- kill "$worker"
wait_for 10 bash -c "'$COLDSTART' logs $id | grep -q '^worker '"
get "$port" / >/dev/null
coldstart stop "$id" >/dev/null
assert_nothing_left
