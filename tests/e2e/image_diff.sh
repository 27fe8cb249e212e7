#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# image diff names what was added, removed and changed, and what of it; it reads no chunk.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program jq

mkdir -p "$TMP/tree"/{same,gone/deep,kind}
cd "$TMP/tree"
echo same >same/file
echo gone >gone/deep/file
head -c 1500000 /dev/urandom >large
for name in mode owner time xattr; do echo "$name" >"$name"; done
ln -s one link
touch -d '2020-01-01 00:00:00.5' time same gone gone/deep kind .
coldstart image pack . -t a >/dev/null
rm -r gone
printf x | dd of=large bs=1 seek=700000 conv=notrunc status=none
chmod 600 mode
chown 5:6 owner
touch -d '2020-01-01 00:00:00.6' time
setfattr -n user.a -v b xattr
ln -sf two link
rmdir kind && echo file >kind
mkdir new && echo new >new/file
touch -r same/file -d '2020-01-01 00:00:00.5' same .
coldstart image pack . -t b >/dev/null

assert_status 0 coldstart image diff a b
assert_eq "${out//, mtime/}" "D /gone
D /gone/deep
D /gone/deep/file
C /kind  (type, mode)
C /large  (content)
C /link  (target)
C /mode  (mode)
A /new
A /new/file
C /owner  (owner)
C /time  (mtime)
C /xattr  (xattrs)"
assert_status 0 coldstart --json image diff a b
assert_eq "$(jq -c '[.added[].path], [.removed[].path]' <<<"$out")" '["/new","/new/file"]
["/gone","/gone/deep","/gone/deep/file"]'
assert_eq "$(jq -c '.changed[] | select(.path == "/xattr") | .what' <<<"$out")" '["xattrs"]'
assert_eq "$(jq -c '.changed[] | select(.path == "/large") | .bytes' <<<"$out")" 1500000
assert_eq "$(jq '.new_bytes < 600000 and .new_bytes > 500000' <<<"$out")" true "one chunk is new"
assert_status 0 coldstart image diff --exit-code a a
assert_eq "$out" ""
assert_status 1 coldstart image diff --exit-code a b
assert_status 3 coldstart image diff a none
