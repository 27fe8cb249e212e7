#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node server comes back from its snapshot with its state.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_program node

port=$(free_port)
coldstart snapshot -t s "${servers[@]}" -e UV_USE_IO_URING=0 --ready "http://127.0.0.1:$port/" \
  --warmup "http://127.0.0.1:$port/add/4" -- node /mnt/node.js "$port" >/dev/null
id=$(restored s --bind "$SERVERS:/mnt:ro")
assert_eq "$(get "$port" /add/1)" '{"counter":5}'
coldstart stop "$id" >/dev/null
assert_nothing_left
