#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A restored program can learn of it: by a file that is another one after each restore, and by --post-restore, which runs
# inside before readiness is asked and whose failure is that of the restore.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

sign=/dev/shm/coldstart-restored
coldstart snapshot -t s --rootfs / -- sh -c 'trap "echo hup >>/heard" HUP; while :; do sleep 0.05; done' >/dev/null
digest=$(coldstart --json snapshot inspect s | jq -r .digest)
pid=$(coldstart --json snapshot inspect s | jq -r .root_pid)
one=$(restored s --net private --post-restore "kill -HUP $pid; touch /ran")
two=$(restored s --net private)
for id in "$one" "$two"; do
  line=$(coldstart exec "$id" -- cat "$sign")
  assert_eq "$(jq -r .replica <<<"$line")" "$id"
  assert_eq "$(jq -r .snapshot <<<"$line")" "$digest"
  assert_eq "$(jq "now - .restored | . > -1 and . < 100" <<<"$line")" true
done
coldstart exec "$one" -- test -e /ran
wait_for 10 coldstart exec "$one" -- grep -q hup /heard
assert_status 1 coldstart exec "$two" -- test -e /ran
# Again from a replica: the sign of its own restore is replaced, whatever stands there.
coldstart exec "$one" -- sh -c "rm $sign; ln -s /etc/passwd $sign"
coldstart snapshot -t t --replica "$one" >/dev/null
three=$(restored t)
assert_eq "$(coldstart exec "$three" -- cat "$sign" | jq -r .replica)" "$three"

assert_status 1 coldstart restore s -d --post-restore 'echo no >&2; exit 9'
assert_contains "$err" "what is to run after the restore failed"
assert_contains "$err" "no"
for id in "$two" "$three"; do coldstart stop "$id" >/dev/null; done
assert_nothing_left
