#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# The disk cache stays within --cache-size, and a disk that is full keeps nobody from reading (fault 2).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at" "$TMP/small-disk"
for i in {1..12}; do head -c 2500000 /dev/urandom >"$TMP/tree/large-$i"; done
for i in {1..300}; do head -c 20000 /dev/urandom >"$TMP/tree/small-$i"; done
# A file that is dropped while du counts is no failure.
cached_bytes() {
  { du -sB1 "$STORE/cache/files" "$STORE/cache/partial" 2>/dev/null || true; } | awk '{ sum += $1 } END { print sum + 0 }'
}
cached_files() { coldstart --json mount stat "$TMP/at" | python3 -c 'import json,sys; print(json.load(sys.stdin)["cached_files"])'; }

coldstart image pack "$TMP/tree" -t noise >"$TMP/packed"
coldstart mount --cache-size 10M "$TMP/at" 2>/dev/null && fail "REF is needed"
coldstart mount --cache-size 10M noise "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
enough() { [[ $(cached_files) -ge 305 ]]; }
for _ in {1..100}; do
  diff -r "$TMP/tree" "$TMP/at"
  bytes=$(cached_bytes)
  # Folders count here, but not for the cache.
  [[ $bytes -le $((10 * 1024 * 1024 + 260 * 4096)) ]] || fail "the cache takes $bytes bytes"
  ! enough || break
done
enough || fail "only $(cached_files) files were cached"
coldstart umount "$TMP/at"

# A store that takes half of its disk: what does not fit is read from memory.
mount -t tmpfs -o size=70M none "$TMP/small-disk"
at_exit umount "$TMP/small-disk"
coldstart --store "$TMP/small-disk/store" image pack "$TMP/tree" -t noise >"$TMP/packed"
coldstart --store "$TMP/small-disk/store" mount --prefetch all --cache-size 1G noise "$TMP/at" >/dev/null
for _ in {1..5}; do diff -r "$TMP/tree" "$TMP/at"; done
fill=$(($(stat -f -c '%a * %S' "$TMP/small-disk")))
head -c "$fill" /dev/zero >"$TMP/small-disk/full" 2>/dev/null || true
for _ in {1..3}; do diff -r "$TMP/tree" "$TMP/at"; done
coldstart umount "$TMP/at"
