#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A supervisor killed with -9 leaves no process and no mount; ps shows the replica as lost and its leftovers are
# collected (fault 1).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small
need_program jq

mounts_before=$(cat /proc/self/mountinfo)
coldstart run -d --name victim --rootfs "$ROOTFS" -- sh -c 'sleep 1000 & echo up; wait' >/dev/null
wait_for 10 grep -q up "$STORE"/replicas/*/stdout.log
state=$(coldstart --json ps | jq '.[0]')
kill -KILL "$(jq .supervisor <<<"$state")"
gone() { [[ ! -d /proc/$1 ]]; }
wait_for 10 gone "$(jq .pid <<<"$state")"
wait_for 10 bash -c '! pgrep -f "^sleep 1000"'
assert_eq "$(cat /proc/self/mountinfo)" "$mounts_before" mounts
assert_eq "$(coldstart --json ps | jq -r '.[0].state')" lost
assert_status 1 coldstart exec victim -- true

# Its name is free again, and the next start clears up.
assert_status 0 coldstart run --name victim --rootfs "$ROOTFS" -- true
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
