#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 6: what is mounted, twice here, stays readable when its reference is removed and gc runs; after that it goes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/one" "$TMP/two"
head -c 3000000 /dev/urandom >"$TMP/tree/big"
coldstart image pack "$TMP/tree" -t gone >"$TMP/packed"
coldstart mount gone "$TMP/one" >/dev/null
coldstart mount gone "$TMP/two" >/dev/null
coldstart image rm gone >/dev/null
coldstart store gc >/dev/null
cmp "$TMP/one/big" "$TMP/tree/big"
coldstart umount "$TMP/one"
coldstart store gc >/dev/null
cmp "$TMP/two/big" "$TMP/tree/big"
coldstart umount "$TMP/two"

coldstart store gc >/dev/null
assert_eq "$(find "$STORE/packs" -type f)" "" "left over"
