#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The real thing: a torch server with 1.1 GB of weights in an image, snapshotted and restored, gives the same answer to the
# last bit.
# timeout 600
# serial
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_rootfs torch

port=$(free_port)
coldstart image pack "$ROOTFS" -t torch >/dev/null
health=http://127.0.0.1:$port/health
server=(python3 /srv/server.py --port "$port")
id=$(coldstart --json run -d torch -- "${server[@]}" | jq -r .id)
wait_for 120 curl -sf "$health"
cold=$(get "$port" '/generate?prompt=hello')
coldstart stop "$id" >/dev/null
coldstart snapshot torch -t torch:warm --ready "$health" -- "${server[@]}" >/dev/null
id=$(restored torch:warm)
assert_eq "$(get "$port" '/generate?prompt=hello')" "$cold"
coldstart stop "$id" >/dev/null
assert_nothing_left
