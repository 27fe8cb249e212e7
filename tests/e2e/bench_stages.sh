#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each stage is timed alone against its baselines; what is missing is named as skipped; nothing is left.
# timeout 240
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_fuse

assert_status 0 coldstart --json bench --list
listed=$(jq -r '.[].name' <<<"$out")
images=$(grep '^image\.' <<<"$listed")
# shellcheck disable=SC2086 # each a word
assert_status 0 coldstart --json bench $images sandbox --size 2M -r 2 -w 0 --export-svg "$TMP/bars.svg"
assert_eq "$(jq -r '[.results[].stage] | unique[]' <<<"$out")" "$(sort <<<"$images"$'\n'sandbox)" "stages"
for stage in $images sandbox; do
  names=$(jq -r --arg s "$stage" '(.results + .skipped)[] | select(.stage == $s).name' <<<"$out")
  assert_contains "$names" coldstart
  if [[ $stage == image.* ]]; then for other in squashfs erofs; do assert_contains "$names" "$other"; done; fi
done
assert_contains "$(<"$TMP/bars.svg")" "image.mount"

# Without a baseline's program it is skipped, and said so.
mkdir "$TMP/bin"
for program in tar sh; do ln -s "$(command -v $program)" "$TMP/bin/"; done
PATH=$TMP/bin assert_status 0 "$COLDSTART" bench image.pack --size 1M -r 1 -w 0
assert_contains "$err" "skipped: squashfs: mksquashfs is not installed"
assert_contains "$err" "skipped: tar.zst: zstd is not installed"

port=$(free_port)
coldstart snapshot -t t "${servers[@]}" --net private --ready "http://127.0.0.1:$port/" -- python3 -m http.server --directory /mnt "$port" >/dev/null
assert_status 0 coldstart --json bench criu.dump criu.restore memory pool.claim --snapshot t --bind "$SERVERS:/mnt:ro" -r 1 -w 0
assert_eq "$(jq -c '[.results[].stage] | unique' <<<"$out")" '["criu.dump","criu.restore","memory","memory-alone","pool.claim"]'
assert_eq "$(jq '[.results[] | select(.seconds.median <= 0)] | length' <<<"$out")" 0 "stages that took no time"
median() { jq --arg n "$1" '.results[] | select(.stage == "pool.claim" and .name == $n).seconds.median' <<<"$out"; }
frozen=$(median "coldstart frozen") slot=$(median "coldstart slot") none=$(median "coldstart restore")
jq -ne "$frozen < $slot and $slot < $none" >/dev/null || fail "claims: frozen $frozen s, slot $slot s, restore $none s"

assert_status 2 coldstart bench memory
assert_contains "$err" "--snapshot"
assert_status 2 coldstart bench pool.claim gpu.restore --snapshot t --bind "$SERVERS:/mnt:ro"
assert_contains "$err" "needs a snapshot with GPU state, which 't' has not"
assert_status 2 coldstart bench image.pakc
assert_contains "$err" "image.pack"
assert_nothing_left
