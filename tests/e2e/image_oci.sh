#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# OCI images as skopeo and umoci write them: layers in gzip, zstd and plain, whiteouts, opaque folders, hard links
# across layers; the tree is the one that umoci unpacks.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program umoci
need_program skopeo

layout=$TMP/layout
umoci init --layout "$layout"
umoci new --image "$layout:v1"
# layer FOLDER: its tree as one more layer. umoci takes names as they are, whiteouts as well.
layer() {
  tar -C "$1" --sort=name --numeric-owner --xattrs -cf "$TMP/layer.tar" .
  umoci raw add-layer --image "$layout:v1" "$TMP/layer.tar"
}

mkdir -p "$TMP"/one/{kept,emptied/deep,replaced,usr/lib} "$TMP"/two/{emptied,lib} "$TMP"/three/kept
cd "$TMP/one"
echo one >kept/file
echo gone >kept/gone
echo gone >emptied/deep/gone
echo gone >replaced/gone
head -c 300000 /dev/urandom >kept/large
ln -s usr/lib lib
ln kept/file kept/link
setfattr -n user.note -v one kept/file
cd "$TMP/two"
mkdir kept
touch kept/.wh.gone emptied/.wh..wh..opq .wh.replaced .wh..wh.plnk .wh.never
echo new >emptied/new
rmdir lib # a path through what is a link in the layer below
tar -C "$TMP/one" --sort=name --numeric-owner --xattrs -cf "$TMP/layer.tar" .
umoci raw add-layer --image "$layout:v1" "$TMP/layer.tar"
python3 - "$TMP/layer.tar" "$TMP/two" <<'END'
import io, sys, tarfile
tar = tarfile.open(sys.argv[1], 'w', format=tarfile.PAX_FORMAT)
tar.add(sys.argv[2], arcname='.')
def add(name, type=tarfile.REGTYPE, content=b'', **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = type, len(content)
    for key, value in fields.items(): setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))
add('lib/through-a-link', content=b'x')
add('other', tarfile.LNKTYPE, linkname='kept/file')  # of the layer below
add('replaced', content=b'a file now')
tar.close()
END
umoci raw add-layer --image "$layout:v1" "$TMP/layer.tar"
echo three >"$TMP/three/kept/file" # no link any more
layer "$TMP/three"
umoci config --image "$layout:v1" --config.entrypoint /bin/echo --config.cmd hello --config.env A=B \
  --config.user 12:34 --config.workingdir /work

umoci unpack --image "$layout:v1" "$TMP/bundle" >"$TMP/log" 2>&1
list() { "$here/trees/list_tree" "$1"; }
same() {
  rm -rf "$TMP/tree"
  coldstart image unpack "$1" "$TMP/tree" >/dev/null
  (cd "$TMP/tree" && find . -printf '%P %y %m %U:%G %s %n %l\n' | grep -v ' d ' | sort) >"$TMP/got"
  (cd "$TMP/bundle/rootfs" && find . -printf '%P %y %m %U:%G %s %n %l\n' | grep -v ' d ' | sort) >"$TMP/want"
  diff "$TMP/want" "$TMP/got"
  diff -r --no-dereference "$TMP/bundle/rootfs" "$TMP/tree"
}

coldstart image pack "oci:$layout:v1" -t gzip
same gzip
assert_eq "$(cat "$TMP/tree/usr/lib/through-a-link")" x
assert_eq "$(getfattr --only-values -n user.note "$TMP/tree/kept/link")" one
assert_eq "$(stat -c %h "$TMP/tree/other")" 2
assert_status 0 coldstart --json image inspect gzip
assert_eq "$(jq -c .config <<<"$out")" \
  '{"entrypoint":["/bin/echo"],"command":["hello"],"environment":["A=B"],"user":"12:34","folder":"/work"}'
digest=$(jq -r .digest <<<"$out")

# The same image however it travels. Without a name, as it is the only one.
for how in "oci:$TMP/zstd --dest-compress --dest-compress-format zstd" "docker-archive:$TMP/saved.tar:some/name:v2"; do
  read -ra words <<<"$how"
  skopeo copy --insecure-policy -q "oci:$layout:v1" "${words[@]}"
done
gzip -k "$TMP/saved.tar"
coldstart image pack "oci:$TMP/zstd" -t zstd
coldstart image pack "docker-archive:$TMP/saved.tar" -t saved
coldstart image pack "docker-archive:$TMP/saved.tar.gz:some/name:v2" -t saved-gz
for name in zstd saved saved-gz; do
  assert_status 0 coldstart --json image inspect "$name"
  assert_eq "$(jq -r .digest <<<"$out")" "$digest" "$name"
done
grep -q zstd "$TMP"/zstd/blobs/sha256/* || fail "skopeo did not make zstd layers"

# A docker archive has no digest but that of the tar.
python3 - "$TMP/saved.tar" <<'END'
import sys
content = bytearray(open(sys.argv[1], 'rb').read())
at = content.index(b'through-a-link') + 512  # the file's bytes follow its header
content[at] ^= 1
open(sys.argv[1], 'wb').write(content)
END
assert_status 4 coldstart image pack "docker-archive:$TMP/saved.tar" -t x
assert_contains "$err" "does not hold the tar"

# What is asked for and is not there.
assert_status 3 coldstart image pack "oci:$layout:v9" -t x
assert_contains "$err" "there are: v1"
assert_status 3 coldstart image pack "docker-archive:$TMP/saved.tar:v9" -t x
assert_contains "$err" "some/name:v2"
assert_status 1 coldstart image pack "oci:$layout" --platform linux/s390x -t x
assert_contains "$err" "it is for linux/amd64, not for linux/s390x"
assert_status 1 coldstart image pack "oci:$TMP/one" -t x
assert_contains "$err" "no OCI layout"
assert_status 1 coldstart image pack "oci:$TMP/none:v1" -t x
assert_contains "$err" "there is no $TMP/none"
assert_status 2 coldstart image pack "$TMP/one" --platform linux/amd64 -t x
