#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gc follows a snapshot's memory: none of it goes while the snapshot is there, all of it once that is removed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
coldstart snapshot -t s "${servers[@]}" --ready "http://127.0.0.1:$port/" -- python3 /mnt/memory.py "$port" 32 >/dev/null
coldstart store gc >/dev/null
assert_eq "$(coldstart --json store stat | jq .garbage_bytes)" 0
assert_eq "$(coldstart --json snapshot verify s | jq .ok)" true
coldstart store fsck >/dev/null
rm -rf "$STORE/cache" # all comes from the chunks
id=$(restored s --bind "$SERVERS:/mnt:ro")
get "$port" /sum >/dev/null
coldstart snapshot rm s >/dev/null
coldstart store gc >/dev/null # the replica holds it
get "$port" /sum >/dev/null
coldstart stop "$id" >/dev/null
coldstart store gc >/dev/null
assert_eq "$(coldstart --json store stat | jq .chunks)" 0
