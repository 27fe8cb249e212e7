#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults 4, 8 and 9: OCI images that are damaged or made to harm are refused by name, and nothing is published.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_program python3

# layout PYTHON: writes an OCI layout; PYTHON may call layer(add), index[...], config[...] before it is written.
cat >"$TMP/layout.py" <<'END'
import gzip, hashlib, io, json, os, sys, tarfile
folder = sys.argv[1]
os.makedirs(folder + '/blobs/sha256', exist_ok=True)
def blob(content, type=''):
    digest = hashlib.sha256(content).hexdigest()
    open(folder + '/blobs/sha256/' + digest, 'wb').write(content)
    return {'mediaType': type, 'digest': 'sha256:' + digest, 'size': len(content)}
layers, diff_ids = [], []
def layer(*entries, compress=True, raw=None):
    out = io.BytesIO()
    tar = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT)
    for name, fields in entries:
        info = tarfile.TarInfo(name)
        content = fields.pop('content', b'')
        info.size = len(content)
        for key, value in fields.items(): setattr(info, key, value)
        tar.addfile(info, io.BytesIO(content))
    tar.close()
    content = out.getvalue() if raw is None else raw
    diff_ids.append('sha256:' + hashlib.sha256(content).hexdigest())
    stored = gzip.compress(content, mtime=0) if compress else content
    layers.append(blob(stored, 'application/vnd.oci.image.layer.v1.tar' + ('+gzip' if compress else '')))
def e(name, **fields): return name, fields
config = {'architecture': 'amd64' if os.uname().machine == 'x86_64' else 'arm64', 'os': 'linux', 'config': None,
          'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}
manifest = {'schemaVersion': 2, 'layers': layers}
index = {'schemaVersion': 2}
after = lambda: None
exec(sys.argv[2])
manifest.setdefault('config', blob(json.dumps(config).encode()))
index.setdefault('manifests', [blob(json.dumps(manifest).encode())])
open(folder + '/index.json', 'w').write(json.dumps(index))
open(folder + '/oci-layout', 'w').write('{"imageLayoutVersion": "1.0.0"}')
after()
END
made() {
  rm -rf "$TMP/bad"
  python3 "$TMP/layout.py" "$TMP/bad" "$1"
}
# refused WHAT PYTHON [STATUS]
refused() {
  made "$2"
  assert_status "${3:-4}" timeout 60 "$COLDSTART" image pack "oci:$TMP/bad" -t bad
  assert_contains "$err" "$1"
}
damage="def after():
    path = folder + '/blobs/' + layers[0]['digest'].replace(':', '/')
    content = bytearray(open(path, 'rb').read())"
refused "is damaged: its bytes are not those of its digest" "layer(e('f', content=os.urandom(5000)))
$damage
    content[len(content) // 2] ^= 1
    open(path, 'wb').write(content)"
refused "bytes, not the" "layer(e('f', content=b'x'))
$damage
    open(path, 'wb').write(content[:-1])"
refused "is missing" "layer(e('f', content=b'x'))
$damage
    os.unlink(path)"
refused "has" "layer(e('f', content=b'x'))
$damage
    os.unlink(path); os.mkfifo(path)"
refused "another number of layers" "layer(e('f')); diff_ids.append(diff_ids[0])"
refused "'..'" "layer(e('../outside', content=b'x'))"
refused "names nothing that could be removed" "layer(e('d/.wh...'))"
refused "names nothing that could be removed" "layer(e('.wh..'))"
refused "names nothing that could be removed" "layer(e('d/.wh.'))"
refused "hard link to etc/passwd, which is not there" \
  "layer(e('up', type=tarfile.SYMTYPE, linkname='../../..')); layer(e('x', type=tarfile.LNKTYPE, linkname='etc/passwd'))"
refused "too many links" "layer(e('a', type=tarfile.SYMTYPE, linkname='b'), e('b', type=tarfile.SYMTYPE, linkname='a')); layer(e('a/f'))"
refused "comes again" "layer(e('d/f'), e('d', content=b'x'))"
refused "is no tar" "layer(raw=os.urandom(100000))"
refused "is no layer of a file system" "layer(e('f')); layers[0]['mediaType'] = 'application/vnd.example.model'"
refused "is no SHA-256 digest" "layer(e('f')); layers[0]['digest'] = 'sha256:../../../../etc/passwd'"
refused "'size' has the wrong type" "layer(e('f')); layers[0]['size'] = -1"
refused "more than 1000 layers" "layer(e('f')); manifest['layers'] = layers * 1001"
refused "nested too deeply" "
inner = {'schemaVersion': 2, 'manifests': []}
for _ in range(9): inner = {'schemaVersion': 2, 'manifests': [blob(json.dumps(inner).encode())]}
index.update(inner)"
refused "too large to be one" "manifest['config'] = {'mediaType': '', 'digest': 'sha256:' + '0' * 64, 'size': 2**40}"
refused "not valid JSON" "after = lambda: open(folder + '/index.json', 'w').write('{')"
refused "several images" "layer(e('f')); m = blob(json.dumps(dict(manifest, config=blob(json.dumps(config).encode()))).encode()); index['manifests'] = [m, m]" 2

# Several platforms: ours is taken, or it is said which there are.
platforms="layer(e('f', content=b'ours'))
ours = blob(json.dumps(dict(manifest, config=blob(json.dumps(config).encode()))).encode())
def on(what, os, architecture): return dict(what, platform={'os': os, 'architecture': architecture})
others = [on(ours, 'linux', 's390x'), on(ours, 'unknown', 'unknown')]"
refused "it has no image for linux" "$platforms
index['manifests'] = others" 1
assert_contains "$err" "images for linux/s390x"
made "$platforms
index['manifests'] = [blob(json.dumps({'schemaVersion': 2, 'manifests': others + [on(ours, 'linux', config['architecture'])]}).encode())]"
coldstart image pack "oci:$TMP/bad" -t platforms >/dev/null

# Layers that meet in odd ways: links stay inside, the last of equal names counts, a whiteout does not touch its own layer.
made "layer(e('out', type=tarfile.SYMTYPE, linkname='/../../tmp'), e('tmp/old'), e('f', content=b'1'), e('f', content=b'2'),
  e('d/x'), e('g'), e('.wh.f'), e('.wh.g'))
layer(e('out/new', content=b'inside'), e('d', content=b'a file'), e('.wh.out/.wh.new'), e('new/a'), e('.wh.new'))"
coldstart image pack "oci:$TMP/bad" -t odd >/dev/null
coldstart image unpack odd "$TMP/odd" >/dev/null
assert_eq "$(cat "$TMP/odd/tmp/new" "$TMP/odd/d" "$TMP/odd/f")" "insidea file2"
[[ -f $TMP/odd/new/a && -f $TMP/odd/g && ! -e /tmp/new ]] || fail "what a layer has itself was removed"

# A tar that is not the one of the config, as skopeo's zstd:chunked leaves it: its own digest vouches for it.
made "layer(e('f', content=b'x')); diff_ids[0] = 'sha256:' + '0' * 64"
assert_status 0 coldstart image pack "oci:$TMP/bad" -t other
assert_contains "$err" "does not hold the tar that the image's config names"

# A bomb of zeros, and whiteouts that would be looked at for ever: no memory, no time.
made "layer(raw=(lambda i: i.tobuf() + bytes((256 << 20) + 1024))((lambda i: (setattr(i, 'size', 256 << 20), i)[1])(tarfile.TarInfo('zeros'))))"
(ulimit -v 2000000 && coldstart image pack "oci:$TMP/bad" -t bomb >/dev/null)
made "layer(*[e('d/%d' % i) for i in range(20000)]); layer(*[e('d/n%d' % i) for i in range(20000)], *[e('d/.wh..wh..opq')] * 20000)"
timeout 60 "$COLDSTART" image pack "oci:$TMP/bad" -t many >/dev/null
assert_status 3 coldstart image inspect bad
