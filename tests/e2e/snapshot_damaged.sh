#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 12, fault 3: a snapshot whose bytes were changed is refused before CRIU runs (exit 4), and one whose unpacked files
# were changed is unpacked again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"

coldstart snapshot -t s --rootfs / -- sleep 1000 >/dev/null
for kept in pages-1.img memory; do
  file=$(find "$STORE/cache" -name "$kept" | head -n 1)
  [[ -n $file ]] || fail "no $kept is kept after a snapshot"
  printf 'x' | dd of="$file" bs=1 seek=5000 conv=notrunc status=none
  id=$(restored s)
  assert_eq "$(coldstart exec "$id" -- sh -c 'echo alive')" alive
  coldstart stop "$id" >/dev/null
done

rm -rf "$STORE/cache"
assert_eq "$(coldstart --json snapshot verify s | jq .ok)" true
for pack in "$STORE"/packs/*.pack; do
  size=$(stat -c %s "$pack")
  for at in $(seq 100 997 $((size > 20000 ? size - 10000 : size / 2))); do
    printf 'xyzzy' | dd of="$pack" bs=1 seek="$at" conv=notrunc status=none
  done
done
assert_status 4 coldstart restore s -d
assert_status 4 coldstart snapshot verify s
assert_eq "$(coldstart --json ps | jq length)" 0
