#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# Faults 4 and 5: a server that answers wrongly in every way. A reader gets the right bytes, or EIO within the
# deadline; the log names file, chunk and remote; and the next read tries again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
for i in $(seq 1 20); do head -c 300000 /dev/urandom >"$TMP/tree/$i"; done
coldstart image pack "$TMP/tree" -t app >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_files "$TMP/www"
elsewhere mount app "$TMP/at" --remote "$URL" --remote-timeout 2 >/dev/null
at_exit elsewhere umount "$TMP/at"
log=$TMP/elsewhere/logs/image-server.log

# bad FILE HOW...: reading FILE fails while the server does HOW, soon, and is right afterwards
bad() {
  local file=$1 start=$SECONDS
  shift
  echo "$*" >"$CONTROL"
  assert_status 2 cmp "$TMP/at/$file" "$TMP/tree/$file"
  assert_contains "$err" "Input/output error"
  # The deadline is 2 seconds; the kernel asks for a file in several pieces.
  [[ $((SECONDS - start)) -le 30 ]] || fail "$* took $((SECONDS - start)) seconds"
  assert_contains "$(<"$log")" "cannot read /$file"
  echo ok >"$CONTROL"
  cmp "$TMP/at/$file" "$TMP/tree/$file"
}
# good FILE HOW...: reading FILE is right although the server does HOW
good() {
  echo "${*:2}" >"$CONTROL"
  cmp "$TMP/at/$1" "$TMP/tree/$1"
}

bad 1 status 500
bad 2 status 429
bad 3 status 403
bad 4 loop
bad 5 short
bad 6 wrong-range
bad 7 corrupt
grep -q "sha256:[0-9a-f]\{64\}" "$log" || fail "no digest in the log"
assert_contains "$(<"$log")" "$URL"
bad 8 status 404

good 9 redirect
good 10 flaky 503
good 11 ignore-range
echo ok >"$CONTROL"
assert_same_tree "$TMP/tree" "$TMP/at"

# A pull tells it by its exit status, and keeps nothing that is wrong.
forget() { rm -rf "$TMP/third"; }
third() { "$COLDSTART" --store "$TMP/third" "$@"; }
echo corrupt >"$CONTROL"
assert_status 4 third pull "$URL/app" --remote-timeout 2
assert_contains "$err" "$URL"
echo status 403 >"$CONTROL"
assert_status 6 third pull "$URL/app"
echo status 500 >"$CONTROL"
assert_status 1 third pull "$URL/app" --remote-timeout 1
assert_contains "$err" "tries"
echo ok >"$CONTROL"
third pull "$URL/app" >/dev/null
third store fsck >/dev/null
assert_status 1 third pull "http://no-such-host.invalid/x/app:v1" --remote-timeout 5
assert_contains "$err" "no such host"
