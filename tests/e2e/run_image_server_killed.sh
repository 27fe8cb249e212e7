#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The process that serves a replica's image is killed: no reader hangs, the replica ends, and says why (fault 10).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_rootfs small
need_program jq

coldstart image pack "$ROOTFS" -t small >/dev/null
coldstart run -d --name reader small -- sleep 1000 >/dev/null
supervisor=$(coldstart --json ps | jq '.[0].supervisor')
kill -KILL "$(pgrep -P "$supervisor" -f serve-image)"
ended() { [[ $(coldstart --json ps | jq length) -eq 0 ]]; }
wait_for 20 ended
assert_eq "$(coldstart --json ps -a | jq -r '.[0].state')" failed
assert_contains "$(coldstart --json ps -a | jq -r '.[0].error')" "served the image died (signal 9)"
assert_eq "$(find "$STORE/replicas" -name scratch)" "" "scratch folders"
