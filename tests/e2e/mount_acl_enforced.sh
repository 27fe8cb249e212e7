#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernel enforces modes and ACLs of a mounted image for those who are not root.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program setfacl
need_program setpriv

mkdir -p "$TMP/tree" "$TMP/at"
for file in open mine private listed barred; do echo "$file" >"$TMP/tree/$file"; done
chmod 644 "$TMP/tree/open"
chmod 600 "$TMP/tree/mine" "$TMP/tree/private" "$TMP/tree/listed"
chown 4321 "$TMP/tree/mine"
setfacl -m u:4321:r "$TMP/tree/listed"
chmod 664 "$TMP/tree/barred"
setfacl -m u:4321:- "$TMP/tree/barred"
chmod 755 "$TMP/tree"
coldstart image pack "$TMP/tree" -t guarded >"$TMP/packed"
coldstart mount guarded "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"

# Folders above the mount may be closed to strangers: they get it elsewhere.
mount -t tmpfs -o mode=755 none /mnt
at_exit umount /mnt
mkdir /mnt/image
mount --bind "$TMP/at" /mnt/image
at_exit umount /mnt/image

as_stranger() { setpriv --reuid 4321 --regid 4321 --clear-groups cat "/mnt/image/$1"; }
for file in open mine listed; do assert_status 0 as_stranger "$file"; done
for file in private barred; do
  assert_status 1 as_stranger "$file"
  assert_contains "$err" "Permission denied"
done
