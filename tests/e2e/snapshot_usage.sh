#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Wrong input to snapshot and restore: one clear line, the right exit status.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

assert_status 2 coldstart snapshot --rootfs / -- sleep 1000
assert_contains "$err" "-t"
assert_status 2 coldstart snapshot -t 'No Name' --rootfs / -- sleep 1000
assert_status 2 coldstart snapshot -t s --rootfs /
assert_contains "$err" "no command"
assert_status 2 coldstart snapshot -t s --rootfs / --ready nonsense -- sleep 1000
assert_status 2 coldstart snapshot -t s --rootfs "$TMP/none" -- sleep 1000
assert_status 3 coldstart snapshot nosuchimage -t s -- sleep 1000
assert_status 3 coldstart snapshot -t s --replica nosuch
assert_status 3 coldstart snapshot -t s --pid 4194303
assert_status 3 coldstart restore nosuch
assert_status 3 coldstart snapshot rm nosuch
assert_status 3 coldstart bench cold-start nosuch
assert_nothing_left
coldstart snapshot -t s --rootfs / --bind "$SERVERS:/mnt" -- sleep 1000 >/dev/null
assert_status 2 coldstart restore s -d
assert_contains "$err" "--bind HOST_FOLDER:/mnt"
assert_status 2 coldstart restore s -n 2 --bind "$SERVERS:/mnt"
assert_status 2 coldstart restore s -d --memory magic --bind "$SERVERS:/mnt"
assert_nothing_left
assert_status 0 coldstart snapshot rm s
assert_status 3 coldstart restore s -d
