#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Replicas of an image share one mount. It outlives the last of them for a while, and serves the next; `store gc` ends it. A
# keeper killed while several read has one successor, whatever became of the replica that started it.
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
export COLDSTART_IMAGE_LINGER=600
reading=(small -- sh -c 'cd /data; while :; do sha256sum -c /sums >/tmp/last 2>&1 || exit 3; echo round; done')
keepers() { pgrep -f "keep-image .*$STORE/mounts/" || true; }
count() { grep -c . <<<"$1" || true; }

# Eight at once, and each of them has a root of its own
for i in {1..8}; do coldstart run -d --name "r$i" "${reading[@]}" >/dev/null & done
wait
first=$(keepers)
assert_eq "$(count "$first")" 1 "keepers"
coldstart exec r1 -- sh -c 'echo mine >/data/new'
assert_status 1 coldstart exec r2 -- test -e /data/new

# The replica that started it is killed, then the keeper: those that are left go on with one other
kill -9 "$(coldstart --json ps | jq -r '.[] | select(.name=="r1").supervisor')"
kill -9 "$first"
successor() { [[ $(count "$(keepers)") -eq 1 && $(keepers) != "$first" ]]; }
wait_for 20 successor
rounds() { coldstart logs "$1" | grep -c round || true; }
for i in {2..8}; do
  before=$(rounds "r$i")
  more_rounds() { [[ $(rounds "r$i") -gt $before ]]; }
  wait_for 60 more_rounds
done

# It waits for the next, who finds it
second=$(keepers)
coldstart stop r2 r3 r4 r5 r6 r7 r8 >/dev/null
assert_eq "$(keepers)" "$second"
assert_eq "$(coldstart run small -- sh -c 'cd /data && sha256sum -c /sums >/dev/null && echo same')" same
assert_eq "$(keepers)" "$second"

# Whoever records has a mount of his own
coldstart run -d --name apart "${reading[@]}" >/dev/null
coldstart snapshot small -t snap --net private -- sh -c 'while :; do sleep 1; done' >/dev/null
assert_eq "$(keepers)" "$second"

# gc ends what nobody uses, and nothing else
coldstart store gc >/dev/null
assert_eq "$(keepers)" "$second"
coldstart stop apart >/dev/null
coldstart store gc >/dev/null
assert_eq "$(keepers)" ""
assert_eq "$(find "$STORE/mounts" -name '*.socket')" "" "sockets"

# Without a wait it is gone when the command returns
COLDSTART_IMAGE_LINGER=0 coldstart run small -- true
assert_eq "$(keepers)" ""
COLDSTART_IMAGE_LINGER=soon coldstart run small -- true
assert_contains "$(<"$STORE/logs/image-server.log")" "COLDSTART_IMAGE_LINGER is 'soon'"
coldstart store gc >/dev/null
