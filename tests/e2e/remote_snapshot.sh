#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot goes to a remote and is restored from there by another store that has only its metadata.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"

port=$(free_port)
coldstart snapshot -t s:warm "${servers[@]}" --net private --ready "http://127.0.0.1:$port/" -- python3 /mnt/threads.py "$port" >/dev/null
assert_status 0 coldstart --json push s:warm "$TMP/www"
sent=$(field bytes_sent)
assert_status 0 coldstart --json push s:warm "$TMP/www"
assert_eq "$(field bytes_sent)" 0 "bytes of the same push again"
start_nginx "$TMP/www"

export COLDSTART_STORE=$TMP/elsewhere
assert_status 0 coldstart --json pull --lazy "$URL/s:warm"
assert_eq "$(field kind)" snapshot
[[ $(field bytes_received) -lt $((sent / 2)) ]] || fail "a lazy pull brought $(field bytes_received) of $sent bytes"
assert_status 0 coldstart --json restore s:warm -d -n 2 --name r --bind "$SERVERS:/mnt:ro"
assert_eq "$(get_in r-1 "$port" /add/5 | jq .counter)" 5
assert_eq "$(get_in r-2 "$port" /add/7 | jq .counter)" 7
coldstart stop r-1 r-2 >/dev/null

# What came stays: the server may go.
kill "$(<"$TMP/nginx/pid")"
id=$(restored s:warm --bind "$SERVERS:/mnt:ro")
assert_eq "$(get_in "$id" "$port" /add/3 | jq .counter)" 3
coldstart stop "$id" >/dev/null
assert_nothing_left
