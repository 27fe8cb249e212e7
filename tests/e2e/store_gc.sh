#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gc frees what no image needs, tells it beforehand with --dry-run, and keeps what others share with it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program jq

mkdir "$TMP/one" "$TMP/two"
head -c 1000000 /dev/urandom >"$TMP/one/shared"
head -c 2000000 /dev/urandom >"$TMP/one/own"
cp "$TMP/one/shared" "$TMP/two/shared"
coldstart image pack "$TMP/one" -t one >/dev/null
coldstart image pack "$TMP/two" -t two >/dev/null
assert_status 0 coldstart --json store stat
assert_eq "$(jq -c '[.images, .snapshots, .packs, .garbage_bytes, .leftover_bytes]' <<<"$out")" '[2,0,2,0,0]' stat
[[ $(jq .stored_bytes <<<"$out") -lt 3100000 ]] || fail "what is shared was stored twice"

coldstart image rm one >/dev/null
[[ $(coldstart --json store stat | jq .garbage_bytes) -ge 2000000 ]] || fail "no garbage"
assert_status 0 coldstart --json store gc --dry-run
[[ $(jq .freed_bytes <<<"$out") -ge 2000000 ]] || fail "dry run: $out"
before=$(du -sb "$STORE/packs" | cut -f1)
assert_status 0 coldstart --json store gc
[[ $(jq .freed_bytes <<<"$out") -ge 2000000 ]] || fail "freed: $out"
after=$(du -sb "$STORE/packs" | cut -f1)
[[ $((before - after)) -ge 2000000 ]] || fail "packs took $before, take $after"
coldstart image unpack two "$TMP/out" >/dev/null
diff -r "$TMP/two" "$TMP/out"
assert_status 0 coldstart store fsck
assert_status 2 coldstart store
