#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot that is kept in memory takes the room of one copy, not also that of CRIU's dump of it: who snapshots a large
# process needs no more than its size again.
# serial: it reads the whole machine's shared memory
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

mb=400
port=$(free_port)
url=http://127.0.0.1:$port
shmem_mb() { awk '$1 == "Shmem:" { print int($2 / 1024) }' /proc/meminfo; }

before=$(shmem_mb)
coldstart snapshot -t s "${servers[@]}" --ready "$url/" -- python3 /mnt/memory.py "$port" $mb >/dev/null &
most=0
while kill -0 $! 2>/dev/null; do
  now=$(shmem_mb)
  [[ $now -le $most ]] || most=$now
done
wait $!
kept=$(($(shmem_mb) - before))
[[ $kept -ge $mb ]] || fail "$kept MB of $mb are kept in memory"
[[ $((most - before)) -lt $((mb * 3 / 2)) ]] || fail "$((most - before)) MB of memory for a snapshot of $mb MB"
id=$(restored s --memory shared --bind "$SERVERS:/mnt:ro")
get "$port" /sum >/dev/null
coldstart stop "$id" >/dev/null
assert_nothing_left
