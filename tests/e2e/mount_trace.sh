#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a start reads is recorded, kept with the image, and the next mount fetches it ahead: that start finds it in the
# disk cache, passed through, and never waits for a chunk.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_rootfs small

mkdir -p "$TMP/tree" "$TMP/at"
head -c 5000000 /dev/urandom >"$TMP/tree/large"
for i in {1..50}; do echo "small $i" >"$TMP/tree/small-$i"; done
coldstart image pack "$TMP/tree" -t some >"$TMP/packed"

# Recorded by hand, given to the next version.
coldstart mount --record "$TMP/trace" some "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
cat "$TMP/at/small-7" "$TMP/at/small-3" >/dev/null
dd if="$TMP/at/large" of=/dev/null bs=1000 skip=3000 count=1 status=none
coldstart umount "$TMP/at"
assert_eq "$(head -n 1 "$TMP/trace")" "coldstart trace 1"
assert_eq "$(sed -n '2,3s/.* //p' "$TMP/trace" | tr '\n' ' ')" "small-7 small-3 "
grep -q ' large$' "$TMP/trace" || fail "large is not in the trace"
echo new >"$TMP/tree/new"
digest=$(coldstart --json image pack "$TMP/tree" -t next | python3 -c 'import json,sys; print(json.load(sys.stdin)["digest"])')
coldstart --json image pack "$TMP/tree" -t traced --trace "$TMP/trace" >"$TMP/json"
[[ $(<"$TMP/json") != *"$digest"* ]] || fail "with a trace the image has the same digest"
rm -rf "$STORE/cache"
coldstart mount traced "$TMP/at" >/dev/null
filled() { [[ $(coldstart --json mount stat "$TMP/at" | python3 -c 'import json,sys; print(json.load(sys.stdin)["cached_files"])') -ge 2 ]]; }
wait_for 30 filled
# Nothing was opened yet: only what the trace names is there, and the metadata.
[[ $(find "$STORE/cache/files" -type f | wc -l) -le 3 ]] || fail "more than the trace names is cached"
diff -r "$TMP/tree" "$TMP/at"
coldstart umount "$TMP/at"
assert_status 4 coldstart image pack "$TMP/tree" -t bad --trace "$TMP/tree/new"
coldstart store gc >/dev/null
coldstart store fsck >/dev/null
coldstart image verify traced >/dev/null

# By a program that runs in the image; a command that fails changes nothing.
coldstart image pack "$ROOTFS" -t small >"$TMP/packed"
before=$(coldstart --json image inspect small)
assert_status 1 coldstart image optimize small -- sh -c 'exit 3'
assert_contains "$err" "status 3"
assert_eq "$(coldstart --json image inspect small)" "$before"
assert_status 0 coldstart image optimize small -- sh -c 'cat /etc/passwd'
assert_contains "$out" "root:"
after=$(coldstart --json image inspect small)
[[ $after != "$before" ]] || fail "the name leads to the same image"
rm -rf "$STORE/cache"
coldstart mount small "$TMP/at" >/dev/null
wait_for 30 filled
cmp "$TMP/at/etc/passwd" "$ROOTFS/etc/passwd"
assert_status 0 coldstart run small -- sh -c 'cat /etc/passwd'
assert_contains "$out" "root:"
