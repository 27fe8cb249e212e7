#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From afar comes what an image's trace names, and no more: not the rest of a small file that it names a part of. Who reads
# something else gets that, and not what lies beside it, unless he reads on.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_program jq

mkdir -p "$TMP/tree" "$TMP/at"
for i in {1..60}; do head -c 900000 /dev/urandom >"$TMP/tree/file-$i"; done
{
  echo "coldstart trace 1"
  for i in {50..59}; do echo "0 131072 file-$i"; done
} >"$TMP/trace"
coldstart image pack "$TMP/tree" -t app --chunk-size 128K --trace "$TMP/trace" >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_nginx "$TMP/www"
elsewhere mount --remote "$URL" app "$TMP/at" >/dev/null
at_exit elsewhere umount "$TMP/at"
of_mount() { elsewhere --json mount stat "$TMP/at" | jq "$1"; }
came() { [[ $(of_mount .tiers.remote.bytes) -ge $((10 * 131072)) ]]; }
wait_for 60 came
for i in {50..59}; do cmp -n 60000 "$TMP/tree/file-$i" "$TMP/at/file-$i"; done
bytes=$(of_mount .tiers.remote.bytes)
# The last of its frames may hold something else, too.
[[ $bytes -le $((10 * 131072 + 524288)) ]] || fail "$bytes bytes came of $((10 * 131072))"
cmp -n 1000 "$TMP/tree/file-2" "$TMP/at/file-2"
more=$(($(of_mount .tiers.remote.bytes) - bytes))
[[ $more -ge 131072 && $more -le $((1 << 20)) ]] || fail "$more bytes came for the first of a file"
for i in {1..60}; do cmp "$TMP/tree/file-$i" "$TMP/at/file-$i"; done
