#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `mount --remote` of an image that is not here: usable after three rounds of requests, whatever its size.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_program jq

remote_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
coldstart push app:v1 "$TMP/www" >/dev/null
start_files "$TMP/www"
: >"$LOG"
mkdir "$TMP/at"
assert_status 0 elsewhere --json mount app:v1 "$TMP/at" --remote "$URL"
at_exit elsewhere umount "$TMP/at"
assert_eq "$(wc -l <"$LOG")" 3 "requests before the mount: $(<"$LOG")"
ls -lR "$TMP/at" >/dev/null
assert_eq "$(wc -l <"$LOG")" 3 "requests for names and attributes"
assert_same_tree "$TMP/tree" "$TMP/at"

# Neighbours come together: 3 MB of noise are six chunks and more, and few requests.
[[ $(grep -c GET "$LOG") -le 20 ]] || fail "too many requests: $(grep -c GET "$LOG")"

# What came from there is counted: each chunk once, the metadata not; and nothing comes again.
stat_of() { elsewhere --json mount stat "$TMP/at" | jq "$1"; }
content=$(cat "$TMP"/tree/etc/* "$TMP"/tree/lib/{noise,numbers} | wc -c)
bytes=$(stat_of .tiers.remote.bytes)
[[ $bytes -ge $content && $bytes -le $((content + 300000)) ]] || fail "$bytes bytes of $content from the remote"
[[ $(stat_of .tiers.remote.hits) -ge 10 ]] || fail "$(stat_of .tiers)"
assert_status 0 elsewhere mount stat "$TMP/at"
[[ $out =~ from\ remote\ +[1-9] ]] || fail "$out"
assert_status 0 elsewhere mount stat --prometheus "$TMP/at"
assert_contains "$out" "coldstart_tier_bytes_total{mount=\"$TMP/at\",tier=\"remote\"} $bytes"
elsewhere umount "$TMP/at"
elsewhere mount app:v1 "$TMP/at" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/at"
assert_eq "$(stat_of .tiers.remote.bytes)" 0 "bytes that came again"

assert_status 3 elsewhere mount other "$TMP/at2" --remote "$URL"
