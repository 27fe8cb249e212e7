#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A mounted image shows all that was packed: types, owners, times, links, devices, xattrs, ACLs, holes, odd names, bytes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program getfattr
need_program getfacl

tree=$TMP/tree
at=$TMP/at
mkdir -p "$tree/dir/sub" "$tree/empty" "$tree/many" "$at"
cd "$tree"
echo hello >file
: >nothing
head -c 3000000 /dev/urandom >big
ln file dir/again
ln -s ../file dir/link
ln -s "$(printf 'x%.0s' {1..3000})" long-link
mkfifo pipe
mknod char c 1 3
mknod wide b 259 70000
truncate -s 20M sparse
printf start | dd of=sparse conv=notrunc status=none
printf middle | dd of=sparse conv=notrunc bs=1M seek=7 status=none
truncate -s 5M only-hole
echo latin >"$(printf 'caf\xe9')"
echo newline >"$(printf 'a\nb')"
echo longest >"$(printf 'n%.0s' {1..255})"
(cd many && seq -f 'name-%.0f' 5000 | xargs touch)
chmod 4755 file
chmod 1777 empty
chown 1234:5678 big
chown -h 77:88 dir/link
setfattr -n user.note -v "$(printf 'v%.0s' {1..2000})" big
setfattr -n trusted.secret -v 0x00ff10 dir
setcap cap_net_raw+ep big
setfacl -m u:4321:rw,g:99:r big
setfacl -d -m u:4321:rwx dir
touch -h -d '1969-12-31 23:59:58.123456789 UTC' nothing dir/link
touch -d '2033-01-02 03:04:05.000000001 UTC' file many dir/sub
cd "$TMP"

coldstart image pack "$tree" -t rich >"$TMP/packed"
coldstart mount rich "$at" >"$TMP/mounted"
at_exit umount "$at"

# Folders' own sizes are the file system's affair.
listing() {
  (cd "$1" && find . -printf '%P\t%y %m %U %G %n %T@ %l\t' -a \( -type d -printf '-\n' -o -printf '%s\n' \) | sort)
}
listing "$tree" >"$TMP/want"
listing "$at" >"$TMP/got"
diff "$TMP/want" "$TMP/got" >"$TMP/.diff" || fail "the listings differ: $(head -c 2000 "$TMP/.diff")"
diff -r --no-dereference "$tree" "$at" 2>&1 | grep -v 'is a .* while file' >"$TMP/.diff" || true
assert_eq "$(<"$TMP/.diff")" "" "contents"

for node in char wide; do assert_eq "$(stat -c %t:%T "$at/$node")" "$(stat -c %t:%T "$tree/$node")" "numbers of $node"; done
assert_eq "$(stat -c %i "$at/file")" "$(stat -c %i "$at/dir/again")" "inode of a hard link"

attributes() { (cd "$1" && getfattr -R -h -d -m - -e hex . 2>&1 | sort); }
assert_eq "$(attributes "$at")" "$(attributes "$tree")" "extended attributes"
acls() { (cd "$1" && getfacl -n . file big dir dir/sub); }
assert_eq "$(acls "$at")" "$(acls "$tree")" "ACLs"

holes() {
  python3 - "$1" <<'PY'
import os, sys
fd, at, end = os.open(sys.argv[1], os.O_RDONLY), 0, os.stat(sys.argv[1]).st_size
while at < end:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    print(data, at)
PY
}
assert_eq "$(holes "$at/sparse")" "$(holes "$tree/sparse")" "holes of sparse"
assert_eq "$(holes "$at/only-hole")" "" "data in a hole"
[[ $(du -k "$at/sparse" | cut -f 1) -lt 1024 ]] || fail "a sparse file counts as full: $(du -k "$at/sparse")"

assert_status 1 touch "$at/new"
assert_contains "$err" "Read-only file system"
coldstart umount "$at"
