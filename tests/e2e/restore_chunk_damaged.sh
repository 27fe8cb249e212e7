#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 12: memory that turns out to be damaged after the restore kills the replica, and what is told names the process and
# the chunk: by `restore` (4), by `logs`, and in its state.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

port=$(free_port)
url=http://127.0.0.1:$port/
coldstart snapshot -t s --ready "$url" -- python3 "$here/servers/memory.py" "$port" 64 >/dev/null
rm -rf "$STORE/cache"
for pack in "$STORE"/packs/*.pack; do
  size=$(stat -c %s "$pack")
  for at in $(seq $((size / 2)) 50000 $((size - 5000000))); do
    printf 'xyzzy' | dd of="$pack" bs=1 seek="$at" conv=notrunc status=none
  done
done

id=$(restored s --memory lazy --name broken)
failed() { [[ $(coldstart --json ps --all | jq -r ".[] | select(.id == \"$id\") | .state") == failed ]]; }
wait_for 20 failed
why=$(coldstart --json ps --all | jq -r ".[] | select(.id == \"$id\") | .error")
grep -Eq '^the memory of process [0-9]+ at 0x[0-9a-f]+ cannot be restored: the chunk sha256:[0-9a-f]{64} in the pack .* is corrupt$' \
  <<<"$why" || fail "not told what was wrong: $why"
assert_status 0 coldstart logs broken
assert_contains "$err" "$why"

assert_status 4 coldstart restore s --memory lazy --no-wait
assert_contains "$err" "is corrupt"
assert_eq "$(coldstart --json ps | jq length)" 0
