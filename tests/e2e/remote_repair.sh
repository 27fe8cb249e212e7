#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 3: a flipped bit in what was pulled is found, and the right bytes come from where it was pulled from; the same
# for what was fetched lazily, and for a near cache.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_root

mkdir "$TMP/tree"
head -c 3000000 /dev/urandom >"$TMP/tree/noise"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
coldstart push app:v1 "$TMP/remote" >/dev/null

# flip FOLDER: one byte of the noise, in all files below FOLDER
flip() {
  python3 - "$1" "$TMP/tree/noise" <<'PY'
import os, sys
noise = open(sys.argv[2], "rb").read()[1000001:1000065]
flipped = 0
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        data = open(path, "rb").read()
        at = data.find(noise)
        if at > 0:
            with open(path, "r+b") as file:
                file.seek(at - 1)
                file.write(bytes([data[at - 1] ^ 1]))
            flipped += 1
sys.exit(0 if flipped else "the bytes are nowhere")
PY
}
check() {
  rm -rf "$TMP/copy"
  elsewhere image unpack app:v1 "$TMP/copy" >/dev/null 2>"$TMP/told"
  assert_same_tree "$TMP/tree" "$TMP/copy"
}

elsewhere pull "$TMP/remote/app:v1" >/dev/null
flip "$TMP/elsewhere/packs"
check
assert_contains "$(<"$TMP/told")" "corrupt"
assert_status 4 elsewhere store fsck

forget_elsewhere
elsewhere pull --lazy "$TMP/remote/app:v1" --near "$TMP/near" >/dev/null
check
flip "$TMP/elsewhere/fetched"
check
flip "$TMP/near"
rm -rf "$TMP/elsewhere/fetched"
check
rm -rf "$TMP/elsewhere/fetched" "$TMP/remote/blobs"
check # the near cache was put right, and has all of it
flip "$TMP/near"
rm -rf "$TMP/elsewhere/fetched" "$TMP/copy"
assert_status 3 elsewhere image unpack app:v1 "$TMP/copy"
