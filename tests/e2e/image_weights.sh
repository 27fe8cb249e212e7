#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Weights of a model are stored smaller than by a compressor that does not know of numbers, and come back exactly: through
# a mount, from a remote, after gc.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_program python3
need_program jq

mkdir "$TMP/tree" "$TMP/at"
python3 "$here/../gpu/model_weights.py" "$TMP/tree/bf16.safetensors" 24 BF16
python3 "$here/../gpu/model_weights.py" "$TMP/tree/fp32.safetensors" 24 F32
head -c 3000001 "$TMP/tree/bf16.safetensors" >"$TMP/tree/odd"
mkdir "$TMP/bf16" "$TMP/fp32"
ln "$TMP/tree/bf16.safetensors" "$TMP/bf16/"
ln "$TMP/tree/fp32.safetensors" "$TMP/fp32/"
# assert_stored FOLDER PERCENT: so much at most of its bytes, alone in a store
assert_stored() {
  local packed
  packed=$(coldstart --json --store "$TMP/store.$1" image pack "$TMP/$1" -t x)
  [[ $(jq ".new_bytes * 100 <= .bytes * $2" <<<"$packed") == true ]] || fail "$1 takes more than $2 %: $packed"
}
assert_stored bf16 69
assert_stored fp32 85

coldstart image pack "$TMP/tree" -t model >/dev/null
at_exit coldstart umount "$TMP/at"
coldstart mount model "$TMP/at" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/at"
coldstart umount "$TMP/at"
coldstart store fsck >/dev/null

# From a remote, lazily and whole.
coldstart push model "$TMP/remote" >/dev/null
elsewhere pull --lazy "$TMP/remote/model" >/dev/null
at_exit elsewhere umount "$TMP/at"
elsewhere mount model "$TMP/at" >/dev/null
assert_same_tree "$TMP/tree" "$TMP/at"
elsewhere umount "$TMP/at"
elsewhere pull "$TMP/remote/model" >/dev/null
rm -r "$TMP/remote"
elsewhere image verify model >/dev/null

# What stays of a pack that is rewritten.
coldstart image pack "$TMP/bf16" -t less >/dev/null
coldstart image rm model >/dev/null
coldstart store gc >/dev/null
coldstart image unpack less "$TMP/copy" >/dev/null
assert_same_tree "$TMP/bf16" "$TMP/copy"
coldstart store fsck >/dev/null
