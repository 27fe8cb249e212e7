#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The process that serves a replica's image is killed, even before the replica runs: the replica goes on. So it does when the
# keeper is killed as well. Where no other can be started the replica ends, and says why (fault 10).
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
at=$(echo "$STORE"/mounts/*/image)
rounds() { coldstart logs reader | grep -c round; }
expect_more_rounds() {
  local before
  before=$(rounds)
  more_rounds() { [[ $(rounds) -gt $before ]]; }
  wait_for 30 more_rounds
  assert_eq "$(coldstart --json ps | jq -r '.[0].state')" running
}
for _ in {1..6}; do
  sleep 0.3
  kill_server "$at"
  # a look from aside
  coldstart exec reader -- sh -c 'cat /data/large* >/dev/null'
done
expect_more_rounds

for _ in {1..3}; do
  killed=$(keeper_of "$at")
  kill -9 "$killed"
  other_keeper() { [[ -n $(keeper_of "$at") && $(keeper_of "$at") != "$killed" ]]; }
  wait_for 20 other_keeper
  coldstart exec reader -- sh -c 'cat /data/large* >/dev/null'
done
expect_more_rounds

# nobody can look whether there is another keeper
rm "${at%/image}/lock"
mkdir "${at%/image}/lock"
kill -9 "$(keeper_of "$at")"
ended() { [[ $(coldstart --json ps | jq length) -eq 0 ]]; }
wait_for 20 ended
assert_eq "$(coldstart --json ps -a | jq -r '.[0].state')" failed
assert_contains "$(coldstart --json ps -a | jq -r '.[0].error')" "the image is served no more"
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
