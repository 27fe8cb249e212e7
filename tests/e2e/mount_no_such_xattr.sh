#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A mount says of the system's own attributes that it does not support them where no file of the image has any, so `ls -l`
# asks once and not for every file; of a user's attributes, and of those that are there, that this file has none.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program strace

# errno by the attribute's name
refusals() { # FILE
  python3 - "$1" <<'PY'
import errno, os, sys
for name in ("security.selinux", "security.capability", "system.posix_acl_access", "user.none"):
    try:
        os.getxattr(sys.argv[1], name)
        print(name, "is there")
    except OSError as e:
        print(name, errno.errorcode[e.errno])
PY
}

mkdir "$TMP/plain" "$TMP/acl" "$TMP/at"
touch "$TMP/plain/"{1..50} "$TMP/acl/"{a,b}
cp /usr/bin/true "$TMP/plain/true"
setcap cap_net_raw+ep "$TMP/plain/true"
setfacl -m u:4321:r "$TMP/acl/a"

coldstart image pack "$TMP/plain" -t plain >/dev/null
coldstart mount plain "$TMP/at" >/dev/null
at_exit umount "$TMP/at"
assert_eq "$(refusals "$TMP/at/1")" "security.selinux ENOTSUP
security.capability ENODATA
system.posix_acl_access ENOTSUP
user.none ENODATA"
asked=$(strace -e trace=getxattr,lgetxattr ls -l "$TMP/at" 2>&1 >/dev/null | grep -c xattr)
((asked <= 4)) || fail "ls asked $asked times for attributes of 51 files"
getfacl -n "$TMP/at/1" >/dev/null || fail "getfacl wants ACLs to be supported"
assert_eq "$(getcap "$TMP/at/true")" "$TMP/at/true cap_net_raw=ep"
coldstart umount "$TMP/at"

coldstart image pack "$TMP/acl" -t acl >/dev/null
coldstart mount acl "$TMP/at" >/dev/null
assert_eq "$(refusals "$TMP/at/b" | grep acl)" "system.posix_acl_access ENODATA"
listed=$(ls -l "$TMP/at/a")
[[ ${listed%% *} == *+ ]] || fail "ls does not show the ACL: $listed"
coldstart umount "$TMP/at"
