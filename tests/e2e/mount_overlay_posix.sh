#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An overlay above an image behaves as POSIX says: what pjdfstest looks at, and fsx on files that come from the image.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program python3

mkdir -p "$TMP/tree"/{folder,empty,sticky,groups,closed} "$TMP/at" "$TMP/scratch" "$TMP/merged"
cd "$TMP/tree"
for name in file doomed modes grown secret attrs; do echo $name >$name; done
echo inner >folder/inner
echo theirs >sticky/theirs
echo file >closed/file
chmod 1777 sticky
chmod 700 closed
ln -s file link
ln -s self self
setfattr -n user.note -v image attrs
head -c 1200000 /dev/urandom >large
for i in 1 2 3; do head -c $((i * 700000 + i)) /dev/urandom >"fsx$i"; done
truncate -s 2M fsx4
cd "$TMP"
coldstart image pack "$TMP/tree" -t tree >/dev/null
coldstart mount tree "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
mount -t tmpfs tmpfs "$TMP/scratch"
at_exit umount "$TMP/scratch"
mkdir "$TMP/scratch/upper" "$TMP/scratch/work"
mount -t overlay overlay -o "lowerdir=$TMP/at,upperdir=$TMP/scratch/upper,workdir=$TMP/scratch/work" "$TMP/merged"
at_exit umount "$TMP/merged"

"$here/trees/posix_checks" "$TMP/merged" "$TMP/at" || fail "see above"
"$here/trees/fsx" $RANDOM 3000 "$TMP"/merged/fsx{1..4}
cmp "$TMP/tree/fsx1" "$TMP/at/fsx1"
