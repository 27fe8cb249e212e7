#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# A server on the JVM, asked by several clients from before it is back until long after, answers in every memory mode as one
# that was never restored: its heap, its collector and what it has compiled are as they were.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_program java
need_program ecj

ecj -17 -proc:none -d "$TMP/classes" "$SERVERS/Churn.java"
port=$(free_port)
# Not on the host's root: there another JVM would tidy up the file in /tmp in which this one counts.
binds=(--bind "$SERVERS:/mnt:ro" --bind "$TMP/classes:/classes:ro")
server=(java -Xmx64m -cp /classes Churn "$port" 12)
# ask FIRST LAST: what the clients were told
ask() { python3 "$SERVERS/churn_clients.py" "$port" "$1" "$2"; }

id=$(coldstart --json run -d --rootfs / "${binds[@]}" -- "${server[@]}" | jq -r .id)
ask 1 10 >/dev/null
want=$(ask 11 25)
coldstart stop "$id" >/dev/null

coldstart snapshot -t s --rootfs / "${binds[@]}" --ready "http://127.0.0.1:$port/" \
  --warmup "python3 /mnt/churn_clients.py $port 1 10" -- "${server[@]}" >/dev/null
for mode in eager lazy shared; do
  ask 11 25 >"$TMP/answers" &
  clients=$!
  id=$(restored s "${binds[@]}" --memory "$mode")
  wait "$clients" || fail "a client failed, with memory that is restored $mode"
  assert_eq "$(<"$TMP/answers")" "$want" "the answers, with memory that is restored $mode"
  coldstart stop "$id" >/dev/null
done
assert_nothing_left
