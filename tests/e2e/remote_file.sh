#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An image goes to a folder and comes back the same; a second version moves only what changed; the same again nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_root

remote_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
assert_status 0 coldstart --json push app:v1 "$TMP/remote"
first=$(field bytes_sent)
[[ $first -gt 3000000 ]] || fail "sent only $first bytes"
assert_status 0 coldstart --json push app:v1 "file:$TMP/remote"
assert_eq "$(field bytes_sent)" 0 "bytes of the same push again"

assert_status 0 elsewhere --json pull "$TMP/remote/app:v1"
assert_eq "$(field kind)" image
elsewhere store fsck >/dev/null
elsewhere image unpack app:v1 "$TMP/copy" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/copy"
assert_status 0 elsewhere --json pull "$TMP/remote/app:v1"
assert_eq "$(field bytes_received)" 0 "bytes of the same pull again"

# One file more.
head -c 500000 /dev/urandom >"$TMP/tree/lib/new"
coldstart image pack "$TMP/tree" -t app:v2 >/dev/null
assert_status 0 coldstart --json push app:v2 "$TMP/remote"
[[ $(field bytes_sent) -lt 700000 ]] || fail "the second version sent $(field bytes_sent) bytes"
[[ $(field bytes_skipped) -gt 3000000 ]] || fail "the second version skipped only $(field bytes_skipped) bytes"
assert_status 0 elsewhere --json pull "$TMP/remote/app:v2" -t mine:new
assert_eq "$(field reference)" mine:new
[[ $(field bytes_received) -lt 700000 ]] || fail "the second version brought $(field bytes_received) bytes"
elsewhere image unpack mine:new "$TMP/copy2" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/copy2"

# Only what belongs to the image: nothing of its neighbours in the same packs.
mkdir "$TMP/both" && echo "a secret of another image" >"$TMP/both/secret" && cp "$TMP/tree/etc/1" "$TMP/both/"
coldstart image pack "$TMP/both" -t both >/dev/null
rm "$TMP/both/secret"
coldstart image pack "$TMP/both" -t one >/dev/null
coldstart push one "$TMP/remote2" >/dev/null
forget_elsewhere
elsewhere pull "$TMP/remote2" >/dev/null
elsewhere image unpack one "$TMP/copy3" >/dev/null
assert_same_tree "$TMP/both" "$TMP/copy3"
assert_status 3 coldstart pull "$TMP/remote2/another"
assert_contains "$err" "one:latest"

# Wrong words.
assert_status 2 coldstart push app:v1 ftp://host/x
assert_status 2 coldstart push app:v1 https://me:secret@host/x
[[ $err != *secret* ]] || fail "a password in the error"
assert_status 3 coldstart push nothing "$TMP/remote"
assert_status 2 coldstart push app:v1 http://127.0.0.1:9/x
assert_status 1 coldstart pull http://127.0.0.1:9/x/app:v1 --remote-timeout 5
assert_contains "$err" "nobody answers"
