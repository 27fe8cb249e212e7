#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 3: a flipped bit in a stored chunk is found by verify (exit 4, the file named) and never unpacked.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$TMP/tree"
head -c 300000 /dev/urandom >"$TMP/tree/bad"
head -c 300000 /dev/urandom >"$TMP/tree/good"
coldstart image pack "$TMP/tree" -t some
assert_status 0 coldstart --json image verify some
assert_contains "$out" '"ok": true'

pack=$(echo "$STORE"/packs/*.pack)
python3 - "$pack" "$TMP/tree/bad" <<'END'
import sys
pack = bytearray(open(sys.argv[1], 'rb').read())
at = pack.find(open(sys.argv[2], 'rb').read()[1000:1100]) # random bytes are stored as they are
assert at > 0
pack[at] ^= 1
import os
os.chmod(sys.argv[1], 0o600)
open(sys.argv[1], 'wb').write(pack)
END
assert_status 4 coldstart --json image verify some
assert_contains "$out" '"ok": false'
assert_contains "$out" '"bad"'
[[ $out != *'"good"'* ]] || fail "a good file is called corrupt"
assert_status 4 coldstart image unpack some "$TMP/out"
[[ ! -e $TMP/out ]] || fail "a half-unpacked tree was left"
