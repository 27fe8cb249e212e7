#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Half a request, a huge body, a wrong user, nonsense: each gets its answer, and the pool goes on (fault 21).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"
need_program curl

snapshot_of_threads
reachable=$(mktemp -d /tmp/coldstart-pool-XXXXXX) # by everyone, which $TMP is not
at_exit rm -r "$reachable"
chmod 755 "$reachable"
socket=$reachable/socket
warm --min 1 --listen "unix:$socket" --allow-uid 12345
ask() { curl -s --max-time 30 --unix-socket "$socket" "$@"; }
status_of() { ask -o "$TMP/body" -w '%{http_code}' "$@"; }
assert_eq "$(ask http://pool/healthz)" ok
wait_for 60 is idle 1

assert_eq "$(status_of -d '{"timeout": "soon"}' http://pool/v1/claim)" 400
assert_contains "$(<"$TMP/body")" "'timeout' has the wrong type"
assert_eq "$(status_of -d '{"time": 1}' http://pool/v1/claim)" 400
assert_eq "$(status_of -d 'nonsense' http://pool/v1/claim)" 400
assert_eq "$(status_of -d '{"holder": 4194304}' http://pool/v1/claim)" 400
assert_eq "$(status_of -d '{"id": "nobody"}' http://pool/v1/release)" 404
assert_eq "$(status_of http://pool/v1/claim)" 405
assert_eq "$(status_of http://pool/elsewhere)" 404
head -c 1000000 /dev/zero | tr '\0' x >"$TMP/huge"
assert_eq "$(status_of -H 'Expect:' --data-binary "@$TMP/huge" http://pool/v1/claim)" 413
# Root is let in, and so is who was named; others are not.
as() { setpriv --reuid "$1" --clear-groups "${@:2}"; }
assert_eq "$(as 12345 curl -s --unix-socket "$socket" http://pool/healthz)" ok
assert_eq "$(as 12346 curl -s -o /dev/null -w '%{http_code}' --unix-socket "$socket" http://pool/v1/status)" 403

# Half a request is answered by the end of the connection, and holds nobody up.
python3 - "$socket" <<'PY'
import socket, sys, time
half = socket.socket(socket.AF_UNIX)
half.connect(sys.argv[1])
half.sendall(b"POST /v1/claim HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
half.settimeout(40)
begun = time.monotonic()
while half.recv(4096):
    pass
assert time.monotonic() - begun > 2, "it was not given any time"
PY
idle_in_metrics() { [[ $(ask http://pool/metrics) == *'coldstart_pool_slots{state="idle"} 1'* ]]; } # not while it is checked
wait_for 10 idle_in_metrics
assert_eq "$(pool_says claims)" 0
coldstart pool stop --all
assert_pool_gone
