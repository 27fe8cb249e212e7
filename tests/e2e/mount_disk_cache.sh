#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What was read once is cached uncompressed, and the next open of it is passed through; what the cache has is believed
# only as long as nobody touched it; readers notice nothing when it changes under them, or vanishes (faults 3 and 22).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
head -c 3000000 /dev/urandom >"$TMP/tree/large"
head -c 3000000 /dev/urandom | base64 >"$TMP/tree/text"
truncate -s 5M "$TMP/tree/holes"
printf tail >>"$TMP/tree/holes"
truncate -s 1M "$TMP/tree/only-holes"
: >"$TMP/tree/empty"
for i in {1..40}; do echo "small $i" >"$TMP/tree/small-$i"; done
coldstart image pack "$TMP/tree" -t some >"$TMP/packed"

stat_of() { coldstart --json mount stat "$TMP/at" | python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
same_tree() { diff -r "$TMP/tree" "$TMP/at"; }
# The 44 files that are not empty; when the mount was new, the metadata too.
cached() { [[ $(find "$STORE/cache/files" -type f | wc -l) -ge $1 ]]; }

coldstart mount some "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
assert_eq "$(stat_of '["opens"]')" 0
same_tree
# Held open by a reader since before it was cached: goes on as it was opened, and so do all opens beside it.
exec 5<"$TMP/at/small-40" 6<"$TMP/at/text"
wait_for 60 cached 45
same_tree
cmp /dev/fd/6 "$TMP/tree/text"
cmp "$TMP/at/text" "$TMP/tree/text"
exec 5<&- 6<&-
passed=$(stat_of '["passed_through"]')
[[ $passed -ge 40 ]] || fail "only $passed opens were passed through"
same_tree
assert_eq "$(stat_of '["errors"]')" 0

# Another mount of it, another process: from the first open on.
coldstart umount "$TMP/at"
coldstart mount some "$TMP/at" >/dev/null
same_tree
passed=$(stat_of '["passed_through"]')
[[ $passed -ge 44 ]] || fail "only $passed opens of the second mount were passed through"
python3 - "$TMP/at/large" "$TMP/tree/large" <<'PY'
import mmap, os, sys
with open(sys.argv[1], "rb") as got, open(sys.argv[2], "rb") as want:
    content = want.read()
    assert mmap.mmap(got.fileno(), 0, prot=mmap.PROT_READ)[:] == content
    os.posix_fadvise(got.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    assert os.pread(got.fileno(), 1000, 1999999) == content[1999999:2000999]
PY

# Somebody writes to the cache, and cuts a file of it.
victims=$(grep -rlFf <(head -n 3 "$TMP/tree/text") "$STORE/cache/files")
[[ -n $victims ]] || fail "the text is not in the cache"
chmod u+w "$victims"
printf XXXX | dd of="$victims" bs=1 seek=70000 conv=notrunc status=none
truncate -s 1000 "$(find "$STORE/cache/files" -type f -size 3000000c)"
same_tree
assert_contains "$(<"$STORE/logs/image-server.log")" "was changed by someone"

# The folder goes, with a reader in the middle of a file.
exec 5<"$TMP/at/text"
rm -r "$STORE/cache"
cmp /dev/fd/5 "$TMP/tree/text"
exec 5<&-
same_tree
wait_for 60 cached 44
same_tree
assert_eq "$(stat_of '["errors"]')" 0
