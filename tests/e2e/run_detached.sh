#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A detached replica: run -d returns once it runs; ps, logs, exec and stop find it by id, prefix or name (fault 16).
# shellcheck disable=SC2016 # what is quoted is for the shell inside
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small
need_program jq

# The caller's pipe is not held open by what stays behind.
json=$(coldstart --json run -d --name web --rootfs "$ROOTFS" -e GREETING=hello -- \
  sh -c 'echo "$GREETING"; echo trouble >&2; trap "echo bye; exit 7" TERM; while :; do sleep 0.05; done')
id=$(jq -r .id <<<"$json") pid=$(jq -r .pid <<<"$json")
at_exit coldstart stop --timeout 0 web
[[ $id =~ ^[0-9a-f]{12}$ ]] || fail "not an id: $id"
[[ -d /proc/$pid ]] || fail "no process $pid"

assert_status 0 coldstart --json ps
assert_eq "$(jq -r '.[] | [.id, .name, .state, .pid] | @tsv' <<<"$out")" "$id"$'\tweb\trunning\t'"$pid"
assert_status 1 coldstart run -d --name web --rootfs "$ROOTFS" -- true
assert_contains "$err" "the name 'web' is taken"

wait_for 10 grep -q trouble "$STORE/replicas/$id/stderr.log"
assert_eq "$(coldstart logs --stdout web)" hello
assert_eq "$(coldstart logs --stderr "${id:0:4}")" trouble

assert_status 4 coldstart exec "$id" -- sh -c 'echo "$GREETING $1"; cat /proc/1/comm; exit 4' - you
assert_eq "$out" $'hello you\ncoldstart-init'
assert_eq "$(echo piped | coldstart exec web -- cat)" piped
assert_status 127 coldstart exec web -- no-such-program

for verb in "logs" "stop" "exec -- true"; do
  # shellcheck disable=SC2086
  set -- $verb
  assert_status 3 coldstart "$1" no-such-replica "${@:2}"
  assert_contains "$err" "no-such-replica"
done

coldstart logs -f --stdout web >"$TMP/followed" &
follower=$!
assert_status 0 coldstart stop web
wait "$follower"
assert_eq "$(cat "$TMP/followed")" $'hello\nbye'
[[ ! -d /proc/$pid ]] || fail "process $pid is still there"
assert_eq "$(coldstart --json ps | jq length)" 0
assert_eq "$(coldstart --json ps -a | jq -r --arg id "$id" '.[] | select(.id == $id) | .exit.code')" 7 "exit status"

# One that does not listen is killed after a while.
coldstart run -d --name deaf --rootfs "$ROOTFS" -- sh -c 'trap "" TERM; while :; do sleep 0.05; done' >/dev/null
assert_status 0 coldstart stop --timeout 0.3 deaf
assert_eq "$(coldstart --json ps | jq length)" 0
