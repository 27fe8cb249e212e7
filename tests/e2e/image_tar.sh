#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 400
# A tar, plain or compressed, from a file or stdin, is the same image as the folder that it was made of.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program tar
need_program zstd
need_program xz

digest_of() { coldstart --json image pack "$@" -t some | sed -n 's/.*"digest": "\(.*\)",/\1/p'; }
"$here/trees/make_nasty" "$TMP/tree"
rm "$TMP/tree/socket" "$TMP/tree/fifo hard" # which no tar can hold, and GNU tar does not
touch -d '2001-02-03 04:05:06.123456789' "$TMP/tree"
want=$(digest_of "$TMP/tree")
tar --format=pax --xattrs --xattrs-include='*' --acls --sparse -C "$TMP/tree" -cf "$TMP/a.tar" .
gzip -1 -k "$TMP/a.tar"
zstd -q -k "$TMP/a.tar"
xz -0 -k "$TMP/a.tar"
mv "$TMP/a.tar.xz" "$TMP/misleading.gz" # content counts, not the name
for file in "$TMP/a.tar" "$TMP/a.tar.gz" "$TMP/a.tar.zst" "$TMP/misleading.gz"; do
  assert_eq "$(digest_of "$file")" "$want" "$file"
done
assert_eq "$(digest_of - <"$TMP/a.tar.zst")" "$want" "a file on stdin"
# shellcheck disable=SC2002 # a pipe is the point
assert_eq "$(cat "$TMP/a.tar.gz" | digest_of -)" "$want" "a pipe on stdin"
