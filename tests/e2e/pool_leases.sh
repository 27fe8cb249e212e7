#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A client that vanishes gives its replica up, as its lease says (fault 19): by its process or by its connection.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
warm --min 1 --max 2 --listen "unix:$TMP/socket"

sleep 1000 &
client=$!
claim --for "$client"
assert_eq "$(answer / | jq .counter)" 5
kill -9 "$client"
wait_for 20 is claimed 0
wait_for 20 bash -c "! '$COLDSTART' --json ps | jq -e '.[] | select(.id == \"$id\")'"

# Held by a connection; given back when it breaks, with what it remembers.
cat >"$TMP/client.py" <<'PY'
import http.client, json, socket, sys, time
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
c = Connection("pool")
c.request("POST", "/v1/claim", json.dumps({"holder": "connection", "at_end": sys.argv[2]}))
print(c.getresponse().read().decode(), flush=True)
time.sleep(1000)
PY
python3 "$TMP/client.py" "$TMP/socket" give_back >"$TMP/answer" &
client=$!
wait_for 60 test -s "$TMP/answer"
id=$(jq -r .id "$TMP/answer") at=$(jq -r '.ports[0]' "$TMP/answer")
at=${at%:*}
assert_eq "$(answer /add/7 | jq .counter)" 12
sleep 12 # longer than a silent connection without a lease may live
assert_eq "$(pool_says claimed)" 1
kill -9 "$client"
wait_for 20 is claimed 0
given_back=$id
found=
for _ in 1 2; do
  claim
  if [[ $id == "$given_back" ]]; then found=$(answer / | jq .counter); fi
  coldstart pool release "$id" >/dev/null
done
assert_eq "$found" 12 "what was given back is claimed again"

# One that waits and vanishes takes nothing along.
coldstart pool stop --all
assert_pool_gone
warm --min 0 --max 1 --health-cmd "test ! -e /nowhere"
assert_status 0 coldstart pool claim --timeout 60
coldstart pool stop --all
assert_pool_gone
