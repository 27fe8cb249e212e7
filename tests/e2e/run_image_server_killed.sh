#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The process that serves a replica's image is killed, even before the replica runs: the replica goes on. With the keeper
# killed the replica ends, and says why (fault 10).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse
need_rootfs small
need_program jq

mkdir "$TMP/tree"
cp -a "$ROOTFS/." "$TMP/tree"
make_tree "$TMP/tree/data"
(cd "$TMP/tree/data" && find . -type f -exec sha256sum {} + >"$TMP/tree/sums")
coldstart image pack "$TMP/tree" -t small >/dev/null
coldstart run -d --name reader small -- \
  sh -c 'cd /data; while :; do sha256sum -c /sums >/tmp/last 2>&1 || exit 3; echo round; done' >/dev/null
at=$STORE/replicas/$(coldstart --json ps | jq -r '.[0].id')/scratch/image
for _ in {1..6}; do
  sleep 0.3
  kill_server "$at"
  # a look from aside
  coldstart exec reader -- sh -c 'cat /data/large* >/dev/null'
done
rounds() { coldstart logs reader | grep -c round; }
before=$(rounds)
more_rounds() { [[ $(rounds) -gt $before ]]; }
wait_for 30 more_rounds
assert_eq "$(coldstart --json ps | jq -r '.[0].state')" running

kill -9 "$(keeper_of "$at")"
ended() { [[ $(coldstart --json ps | jq length) -eq 0 ]]; }
wait_for 20 ended
assert_eq "$(coldstart --json ps -a | jq -r '.[0].state')" failed
assert_contains "$(coldstart --json ps -a | jq -r '.[0].error')" "served the image died (signal 9)"
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
