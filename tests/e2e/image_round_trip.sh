#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 400
# A tree with one of everything comes back from an image exactly as it went in.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root

"$here/trees/make_nasty" "$TMP/tree"
coldstart image pack "$TMP/tree" -t nasty
assert_status 0 coldstart --json image unpack nasty "$TMP/back"
assert_contains "$out" '"files": 31'
"$here/trees/list_tree" "$TMP/tree" >"$TMP/want"
"$here/trees/list_tree" "$TMP/back" >"$TMP/got"
diff "$TMP/want" "$TMP/got" || fail "the trees differ"

# Into a folder that is there but empty, with one thread.
mkdir "$TMP/again"
coldstart image unpack -j 1 nasty "$TMP/again"
"$here/trees/list_tree" "$TMP/again" | diff "$TMP/want" - || fail "the trees differ"
