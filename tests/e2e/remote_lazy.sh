#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A lazy pull from nginx brings the metadata; every later process finds the rest by itself: mount, verify, unpack,
# fsck and gc; what was read once is here, and after a pull of the rest the server may go.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse

remote_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
coldstart push app:v1 "$TMP/www/models" >/dev/null
start_nginx "$TMP/www"

assert_status 0 elsewhere --json pull --lazy "$URL/models/app:v1"
[[ $(field bytes_received) -lt 200000 ]] || fail "a lazy pull brought $(field bytes_received) bytes"
assert_eq "$(field lazy)" true
[[ $(wc -l <"$TMP/nginx/access.log") -le 6 ]] || fail "too many requests: $(<"$TMP/nginx/access.log")"
elsewhere store fsck >/dev/null
elsewhere store gc >/dev/null
assert_status 0 elsewhere --json image ls
assert_eq "$(jq -r '.[0].remote' <<<"$out")" "$URL/models"
assert_eq "$(jq -r '.[0].lazy' <<<"$out")" true

mkdir "$TMP/at"
elsewhere mount app:v1 "$TMP/at" >/dev/null
at_exit elsewhere umount "$TMP/at"
cmp "$TMP/at/etc/7" "$TMP/tree/etc/7"
requests=$(wc -l <"$TMP/nginx/access.log")
cat "$TMP"/at/etc/* >/dev/null # they came in company
[[ $(wc -l <"$TMP/nginx/access.log") -le $((requests + 2)) ]] || fail "a request a file"
assert_same_tree "$TMP/tree" "$TMP/at"
elsewhere store gc >/dev/null
elsewhere image verify app:v1 >/dev/null

# All that was read is here.
kill "$(<"$TMP/nginx/pid")"
wait_for 10 bash -c "! curl -s $URL/"
elsewhere image unpack app:v1 "$TMP/copy" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/copy"

# When the image goes, so does what was fetched of it.
elsewhere umount "$TMP/at"
elsewhere image rm app:v1 >/dev/null
elsewhere store gc >/dev/null
assert_eq "$(find "$TMP/elsewhere/origins" "$TMP/elsewhere/fetched" -type f)" "" "left over"
