#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 60
# Ctrl-C while the program's own file does not come, as its remote hangs: the run ends at once and leaves nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse

mkdir -p "$TMP/tree/bin"
cp /bin/bash "$TMP/tree/bin/program"
coldstart image pack "$TMP/tree" -t app >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_nginx "$TMP/www"
port=$(free_port)
echo ok >"$TMP/wire"
background python3 "$SERVERS/proxy.py" --listen "$port" --to "${URL#http://}" --control "$TMP/wire"
wait_for 20 curl -s -o "$TMP/answer" "http://127.0.0.1:$port/"
elsewhere pull --lazy --remote-timeout 60 "http://127.0.0.1:$port/app" >/dev/null

echo hang >"$TMP/wire"
"$COLDSTART" --store "$TMP/elsewhere" run app -- /bin/program </dev/null >"$TMP/out" 2>"$TMP/err" &
pid=$!
at_exit kill_and_wait "$pid"
asks() { [[ -n $(ss -Htn state established "dport = :$port") ]]; }
wait_for 20 asks
sleep 0.5 # by then it is the program's file that is waited for
start=$SECONDS
kill -INT "$pid"
status=0
wait "$pid" || status=$?
assert_eq "$status" 130 "exit status"
[[ $((SECONDS - start)) -le 8 ]] || fail "it took $((SECONDS - start)) s"
assert_contains "$(<"$TMP/err")" interrupted
assert_eq "$(elsewhere --json ps | jq length)" 0 "replicas left"
