#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a server had written over its image and in /dev/shm is part of the snapshot, and each replica has its own.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

coldstart snapshot -t s --rootfs / --ready-log ready -- sh -c '
  echo upper >/srv/mine; echo shm >/dev/shm/mine; rm -f /etc/hostname; echo ready
  exec 0</srv/mine; while sleep 0.1; do :; done' >/dev/null
[[ ! -e /srv/mine && -e /etc/passwd ]] || fail "the root below was written to"
one=$(restored s)
two=$(restored s)
assert_eq "$(coldstart exec "$one" -- cat /srv/mine /dev/shm/mine)" $'upper\nshm'
coldstart exec "$one" -- sh -c 'echo changed >/srv/mine; echo changed >/dev/shm/mine'
assert_eq "$(coldstart exec "$two" -- cat /srv/mine /dev/shm/mine)" $'upper\nshm'
coldstart stop "$one" "$two" >/dev/null
assert_nothing_left
