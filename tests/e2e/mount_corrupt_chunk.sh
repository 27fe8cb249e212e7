#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults 3 and 4: a flipped byte in the store gives EIO for the reads that need it and a log line that names file and
# chunk; other files go on, and once the byte is right again so does this one.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree/dir" "$TMP/at"
head -c 1500000 /dev/urandom >"$TMP/tree/dir/bad"
head -c 1500000 /dev/urandom >"$TMP/tree/good"
coldstart image pack "$TMP/tree" -t noise >"$TMP/packed"

# Random bytes do not compress: they stand in the pack as they are. Flips the byte at 700000 of dir/bad.
flip() {
  python3 - "$STORE/packs" "$TMP/tree/dir/bad" <<'PY'
import glob, sys
want = open(sys.argv[2], "rb").read()[700001:700065]  # what follows that byte
for name in glob.glob(sys.argv[1] + "/*"):
    at = open(name, "rb").read().find(want) - 1
    if at >= 0:
        with open(name, "r+b") as pack:
            pack.seek(at)
            byte = pack.read(1)[0]
            pack.seek(at)
            pack.write(bytes([byte ^ 1]))
        sys.exit(0)
sys.exit("the bytes are in no pack")
PY
}

coldstart mount noise "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
flip
assert_status 1 cp "$TMP/at/dir/bad" "$TMP/copy"
assert_contains "$err" "Input/output error"
cmp "$TMP/at/good" "$TMP/tree/good"
cmp -n 100000 "$TMP/at/dir/bad" "$TMP/tree/dir/bad"
assert_contains "$(<"$STORE/logs/image-server.log")" "cannot read /dir/bad"
grep -q 'sha256:[0-9a-f]\{64\}\|[0-9a-f]\{64\}' "$STORE/logs/image-server.log" || fail "no digest in the log"

flip
cmp "$TMP/at/dir/bad" "$TMP/tree/dir/bad"
