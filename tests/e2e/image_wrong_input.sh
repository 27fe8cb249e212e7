#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is not there, cannot be read or is in the way: one clear line, the right exit status, nothing left half-done.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root

mkdir "$TMP/tree"
echo content >"$TMP/tree/file"

assert_status 1 coldstart image pack "$TMP/none" -t x
assert_contains "$err" "$TMP/none: No such file or directory"
assert_status 2 coldstart image pack "$TMP/tree"
assert_status 2 coldstart image pack "$TMP/tree" -t 'UPPER CASE'
assert_status 2 coldstart image pack "$TMP/tree" -t x --chunk-size 5000
assert_contains "$err" "power of two"
assert_status 1 coldstart image pack oci:somewhere -t x
assert_contains "$err" "there is no somewhere"
assert_status 4 coldstart image pack "$TMP/tree/file" -t x
assert_contains "$err" "is no tar"
assert_status 4 coldstart image pack - -t x
assert_contains "$err" "on stdin is no tar"

# File systems that the kernel makes up, at the top and below
assert_status 1 coldstart image pack /proc -t x
mkdir "$TMP/tree/sys"
mount -t sysfs none "$TMP/tree/sys"
assert_status 1 coldstart image pack "$TMP/tree" -t x
assert_contains "$err" "$TMP/tree/sys is a file system that the kernel makes up"
umount "$TMP/tree/sys"

for command in inspect verify rm; do assert_status 3 coldstart image "$command" none; done
assert_status 3 coldstart image unpack none "$TMP/new"
[[ ! -e $TMP/new ]] || fail "a folder was made for an image that is not there"
assert_status 3 coldstart image tag none other
assert_status 0 coldstart --json image ls
assert_eq "$out" "[]"

coldstart image pack "$TMP/tree" -t good
assert_status 1 coldstart image unpack good "$TMP/tree"
assert_contains "$err" "$TMP/tree is not empty"
assert_eq "$(cat "$TMP/tree/file")" content
assert_status 1 coldstart image unpack good "$TMP/tree/file"
assert_status 1 coldstart image unpack good "$TMP/no/such"

# Somebody else than root. A place that everybody can reach:
mount -t tmpfs none /mnt
at_exit umount /mnt
mkdir -m 777 /mnt/theirs
cp -a "$TMP/tree" /mnt/tree
chmod 755 /mnt /mnt/tree
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$COLDSTART" --store /mnt/theirs/store "$@"; }
cp "$COLDSTART" /mnt/coldstart
COLDSTART=/mnt/coldstart

chmod 600 /mnt/tree/file
assert_status 1 as_nobody image pack /mnt/tree -t x
assert_contains "$err" "cannot open /mnt/tree/file: Permission denied"

# What only root can do is an error that names the file; what was made is gone.
chmod 644 /mnt/tree/file
chown -R 65534:65534 /mnt/tree
chown 12:34 /mnt/tree/file
as_nobody image pack /mnt/tree -t x
assert_status 6 as_nobody image unpack x /mnt/theirs/out
assert_contains "$err" "cannot set the owner 12:34 of /mnt/theirs/out/file: Operation not permitted"
assert_contains "$err" "as root"
[[ ! -e /mnt/theirs/out ]] || fail "a half-unpacked tree was left"
