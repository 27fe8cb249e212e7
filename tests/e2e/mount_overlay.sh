#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An overlay works above a mounted image: copy-up with attributes, removal, renaming, listing; the image stays as it is.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program getfattr

mkdir -p "$TMP"/{tree/dir/sub,at,scratch}
mount -t tmpfs none "$TMP/scratch"
at_exit umount "$TMP/scratch"
mkdir "$TMP"/scratch/{upper,work,merged}
head -c 2000000 /dev/urandom >"$TMP/tree/big"
echo one >"$TMP/tree/dir/one"
echo two >"$TMP/tree/dir/sub/two"
setfattr -n user.note -v kept "$TMP/tree/big"
setfacl -m u:4321:rw "$TMP/tree/big"
setcap cap_net_raw+ep "$TMP/tree/big"
chown 12:34 "$TMP/tree/big"
coldstart image pack "$TMP/tree" -t layer >"$TMP/packed"
coldstart mount layer "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"

merged=$TMP/scratch/merged
mount -t overlay overlay -o "lowerdir=$TMP/at,upperdir=$TMP/scratch/upper,workdir=$TMP/scratch/work" "$merged"
at_exit umount "$merged"
assert_eq "$(getfattr -h -d -m - -e hex "$merged/big" 2>/dev/null | tail -n +2)" \
  "$(getfattr -h -d -m - -e hex "$TMP/tree/big" 2>/dev/null | tail -n +2)" "attributes through the overlay"
chmod 600 "$merged/dir/one"
echo more >>"$merged/dir/one"
assert_eq "$(cat "$merged/dir/one")" $'one\nmore'
rm -r "$merged/dir/sub"
mv "$merged/big" "$merged/bigger"
cmp "$merged/bigger" "$TMP/tree/big"
assert_eq "$(getfattr -n user.note --only-values "$merged/bigger" 2>/dev/null)" kept
assert_eq "$(stat -c %u:%g "$merged/bigger")" 12:34
assert_eq "$(cd "$merged" && find . | sort | tr '\n' ' ')" ". ./bigger ./dir ./dir/one "
diff -r "$TMP/tree" "$TMP/at"
