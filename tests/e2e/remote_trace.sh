#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An image with an access trace, mounted from a remote: what the trace names comes by itself, in several batches, and is in
# the disk cache without being asked for; nothing else comes; and it is read when the remote is gone.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_program jq

mkdir -p "$TMP/tree" "$TMP/at"
for i in {1..48}; do head -c 1000000 /dev/urandom >"$TMP/tree/file-$i"; done
{
  echo "coldstart trace 1"
  for i in {40..3..-1}; do echo "0 1000000 file-$i"; done
} >"$TMP/trace"
coldstart image pack "$TMP/tree" -t app --trace "$TMP/trace" >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_nginx "$TMP/www"
elsewhere mount --remote "$URL" --remote-timeout 2 app "$TMP/at" >/dev/null
at_exit elsewhere umount "$TMP/at"
of_mount() { elsewhere --json mount stat "$TMP/at" | jq "$1"; }
filled() { [[ $(of_mount .cached_files) -eq 38 ]]; }
wait_for 60 filled
bytes=$(of_mount .tiers.remote.bytes)
[[ $bytes -ge 38000000 && $bytes -le 39000000 ]] || fail "$bytes bytes came"
kill "$(<"$TMP/nginx/pid")"
for i in {3..40}; do cmp "$TMP/tree/file-$i" "$TMP/at/file-$i"; done
! cat "$TMP/at/file-1" >"$TMP/out" 2>&1 || fail "there is what nothing has asked for"
