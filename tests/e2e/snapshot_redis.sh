#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A redis server with data comes back from its snapshot, data and all.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_program redis-cli

port=$(free_port)
coldstart snapshot -t s --rootfs / -w /tmp --ready-log 'Ready to accept connections' \
  --warmup "redis-cli -p $port set answer 42" -- \
  "${redis_server[@]}" --port "$port" --save '' --io-threads 2 >/dev/null
id=$(restored s --ready-cmd "redis-cli -p $port ping")
assert_eq "$(redis-cli -p "$port" get answer)" 42
assert_eq "$(redis-cli -p "$port" incr answer)" 43
coldstart stop "$id" >/dev/null
id=$(restored s --ready-cmd "redis-cli -p $port ping")
assert_eq "$(redis-cli -p "$port" get answer)" 42 "the snapshot must not have changed"
coldstart stop "$id" >/dev/null
assert_nothing_left
