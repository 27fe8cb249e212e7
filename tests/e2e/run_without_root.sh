#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without root run says what is missing: exit 6 with a hint (fault 22).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root # to become nobody
need_program setpriv

theirs=$(mktemp -d /tmp/coldstart-nobody.XXXXXX) # $TMP is not for everyone
at_exit rm -rf "$theirs"
cp "$COLDSTART" "$theirs/coldstart"
mkdir "$theirs/store"
chown -R 65534:65534 "$theirs"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups -- "$theirs/coldstart" --store "$theirs/store" "$@"; }
assert_status 6 as_nobody run -- true
assert_contains "$err" "hint: "
assert_contains "$err" "root"
