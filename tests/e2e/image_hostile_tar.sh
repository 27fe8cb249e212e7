#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 400
# Faults 8 and 9: tars made to leave their root, to lie about sizes, or to be no tar: refused by name, nothing published.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program python3

# refused WHAT PYTHON: packs a tar that PYTHON wrote with add(name, type, field=value…); fails with WHAT in the message
refused() {
  python3 - "$TMP/bad.tar" <<END
import io, sys, tarfile
tar = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
def add(name, type=tarfile.REGTYPE, content=b'', **fields):
    info = tarfile.TarInfo(name)
    info.type = type
    info.size = len(content)
    for key, value in fields.items(): setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))
$2
tar.close()
END
  assert_status 4 coldstart image pack "$TMP/bad.tar" -t bad
  assert_contains "$err" "$1"
}
refused "'..'" "add('../outside', content=b'x')"
refused "'..'" "add('a/b/../../../outside', content=b'x')"
refused "'..'" "add('link', tarfile.LNKTYPE, linkname='../../etc/passwd')"
refused "out is a hard link to etc/passwd, which is not there" "add('out', tarfile.LNKTYPE, linkname='/etc/passwd')"
refused "no folder" "add('out', tarfile.SYMTYPE, linkname='/'); add('out/etc/passwd', content=b'x')"
refused "comes again" "add('d/f'); add('d', content=b'x')"
refused "the owner of f" "add('f', pax_headers={'uid': str(2**33)})"
refused "longer than 255" "add('n' * 256)"
refused "deeper than 4096" "add('d/' * 5000 + 'f')"
refused "bad.tar" "add('f', content=b'x', pax_headers={'size': str(2**63)})"
refused "bad.tar" "add('f', content=b'x', pax_headers={'GNU.sparse.map': '0,9,4,9', 'GNU.sparse.size': '99'})"
head -c 100000 /dev/urandom >"$TMP/bad.tar"
assert_status 4 coldstart image pack "$TMP/bad.tar" -t bad
assert_contains "$err" "is no tar"
tar -C / -cf "$TMP/whole.tar" bin/bash
head -c 50000 "$TMP/whole.tar" >"$TMP/bad.tar"
assert_status 4 coldstart image pack "$TMP/bad.tar" -t bad
assert_status 3 coldstart image inspect bad

# Devices, setuid files and links to the outside are content: they stay in the image, and touch nothing when unpacked.
python3 - "$TMP/odd.tar" <<'END'
import io, sys, tarfile
tar = tarfile.open(sys.argv[1], 'w')
def add(name, type, **fields):
    info = tarfile.TarInfo(name)
    info.type = type
    for key, value in fields.items(): setattr(info, key, value)
    tar.addfile(info, io.BytesIO(b''))
add('/absolute/null', tarfile.CHRTYPE, devmajor=1, devminor=3)
add('root', tarfile.SYMTYPE, linkname='/')
add('up', tarfile.SYMTYPE, linkname='../../..')
add('suid', tarfile.REGTYPE, mode=0o4755)
END
coldstart image pack "$TMP/odd.tar" -t odd
coldstart image unpack odd "$TMP/odd"
[[ -c $TMP/odd/absolute/null && -u $TMP/odd/suid && $(readlink "$TMP/odd/root") == / ]]

# A bomb of zeros: a hole in the image, and no memory.
python3 - <<'END' | zstd -q | (ulimit -v 2000000; coldstart image pack - -t bomb)
import sys, tarfile
info = tarfile.TarInfo('zeros')
info.size = 512 << 20
sys.stdout.buffer.write(info.tobuf())
for _ in range(info.size >> 20): sys.stdout.buffer.write(bytes(1 << 20))
sys.stdout.buffer.write(bytes(1024))
END
assert_status 0 coldstart --json image inspect bomb
assert_contains "$out" '"bytes": 536870912'
assert_contains "$out" '"chunks": 0'
