#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A replica that runs is snapshotted with --replica, a process of the host with --pid; --leave-running lets it live.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
id=$(coldstart --json run -d "${servers[@]}" -- python3 /mnt/threads.py "$port" | jq -r .id)
wait_for 20 get "$port" /
get "$port" /add/3 >/dev/null
coldstart snapshot -t s --replica "$id" --leave-running >/dev/null
assert_eq "$(get "$port" /add/1 | jq .counter)" 4 "it must have run on"
coldstart stop "$id" >/dev/null
again=$(restored s --ready "http://127.0.0.1:$port/" --bind "$SERVERS:/mnt:ro")
assert_eq "$(get "$port" / | jq .counter)" 3
# A restored one is a replica like any other: its own snapshot comes back too.
get "$port" /add/10 >/dev/null
coldstart snapshot -t t --replica "$again" >/dev/null
assert_eq "$(coldstart --json ps | jq length)" 0
again=$(restored t --ready "http://127.0.0.1:$port/" --bind "$SERVERS:/mnt:ro")
assert_eq "$(get "$port" / | jq .counter)" 13
coldstart stop "$again" >/dev/null

other=$(free_port)
# Without the descriptors that tests inherit from outside of their mount namespace.
setsid python3 -c 'import os, sys; os.closerange(3, 1024); os.execvp("python3", ["python3"] + sys.argv[1:])' \
  "$SERVERS/threads.py" "$other" </dev/null >/dev/null 2>&1 &
wait_for 20 get "$other" /
get "$other" /add/6 >/dev/null
coldstart snapshot -t p --pid $! >/dev/null
again=$(restored p --ready "http://127.0.0.1:$other/")
assert_eq "$(get "$other" / | jq .counter)" 6
coldstart stop "$again" >/dev/null
assert_nothing_left
