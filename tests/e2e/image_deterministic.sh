#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 400
# The same tree packed twice, by any number of threads, or copied elsewhere, is the same image and stores nothing new.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root

field() { sed -n "s/.*\"$1\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p" <<<"$out"; }
"$here/trees/make_nasty" "$TMP/tree"
assert_status 0 coldstart --json image pack "$TMP/tree" -t first
digest=$(field digest)
# Chunks that share a frame share its size, rounded down each.
short=$(($(field new_bytes) - $(field stored_bytes)))
[[ $(field new_bytes) -gt 1000000 && $short -ge 0 && $short -lt 100 ]] || fail "sizes are wrong: $out"
assert_status 0 coldstart --json image pack "$TMP/tree" -t second -j 7
assert_eq "$(field digest)" "$digest"
assert_eq "$(field new_bytes)" 0
cp -a "$TMP/tree" "$TMP/copy"
assert_status 0 coldstart --store "$TMP/other" --json image pack "$TMP/copy" -t third -j 1
assert_eq "$(field digest)" "$digest"

# One more byte in one file: little is new.
echo >>"$TMP/tree/small"
assert_status 0 coldstart --json image pack "$TMP/tree" -t changed
[[ $(field digest) != "$digest" && $(field new_bytes) -lt 500000 ]] || fail "too much is new: $out"
