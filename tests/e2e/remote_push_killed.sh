#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 1: a push and a pull that are killed leave a remote and a store that are whole; the same command again sends
# only the rest.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_root

mkdir "$TMP/tree"
for i in $(seq 1 12); do head -c 8000000 /dev/urandom >"$TMP/tree/$i"; done
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null

# Killed once the first pack is there.
"$COLDSTART" push app:v1 "$TMP/remote" --jobs 1 --limit-rate 30M >"$TMP/pushed" 2>&1 &
push=$!
wait_for 60 bash -c "ls '$TMP/remote/blobs/sha256/'[0-9a-f]*"
kill -9 "$push"
wait "$push" 2>/dev/null || true
assert_status 3 elsewhere pull "$TMP/remote/app:v1"
assert_status 0 coldstart --json push app:v1 "$TMP/remote"
[[ $(field bytes_skipped) -gt 30000000 ]] || fail "only $(field bytes_skipped) bytes were there after the kill"

start_nginx "$TMP/remote"
"$COLDSTART" --store "$TMP/elsewhere" pull "$URL/app:v1" --limit-rate 40M >"$TMP/pulled" 2>&1 &
pull=$!
# What the server has sent may still be on its way: what counts is what has been written here.
wait_for 60 bash -c "[[ \$(du -sb '$TMP/elsewhere/tmp' 2>/dev/null | cut -f 1) -gt 8000000 ]]"
kill -INT "$pull"
status=0
wait "$pull" || status=$?
assert_eq "$status" 130 "the exit status of a pull that was interrupted"
elsewhere store fsck >/dev/null
assert_eq "$(elsewhere --json image ls)" "[]"
assert_status 0 elsewhere --json pull "$URL/app:v1"
[[ $(field bytes_skipped) -gt 4000000 ]] || fail "nothing was kept of the pull that was interrupted"
elsewhere image unpack app:v1 "$TMP/copy" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/copy"
elsewhere store gc >/dev/null
assert_eq "$(find "$TMP/elsewhere/tmp" -mindepth 1 | wc -l)" 0 "leftovers"
