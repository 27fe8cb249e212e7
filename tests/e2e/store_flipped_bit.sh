#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A changed byte in a pack, or a pack cut short, is found by fsck and by who reads, and never handed out (fault 3).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program jq

mkdir "$TMP/tree"
head -c 2000000 /dev/urandom >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tree >/dev/null
assert_status 0 coldstart --json store fsck
assert_eq "$(jq -c '[.ok, .packs, .problems]' <<<"$out")" '[true,1,[]]' fsck

pack=$(echo "$STORE"/packs/*.pack)
cp "$pack" "$TMP/good"
printf 'XXXXXXXX' | dd of="$pack" bs=1 seek=1000000 conv=notrunc status=none
assert_status 4 coldstart --json store fsck
assert_eq "$(jq .ok <<<"$out")" false ok
assert_contains "$(jq -r '.problems[]' <<<"$out")" "is corrupt"
assert_contains "$(jq -r '.problems[]' <<<"$out")" "the image tree:latest: its chunk"
assert_status 4 coldstart image verify tree
assert_status 4 coldstart image unpack tree "$TMP/out"
assert_contains "$err" "sha256:"

truncate -s 1500000 "$pack"
assert_status 4 coldstart store fsck
assert_contains "$out" "$pack is damaged"
assert_status 4 coldstart image unpack tree "$TMP/out2"

cp "$TMP/good" "$pack"
assert_status 0 coldstart store fsck
coldstart image unpack tree "$TMP/out3" >/dev/null
diff -r "$TMP/tree" "$TMP/out3"
