#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 22: without /dev/fuse, or without the right to mount, `mount` ends with 6, says what to do and leaves nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_program setpriv

mkdir -p "$TMP/tree" "$TMP/at" "$TMP/dev"
echo content >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"

# An empty /dev but for the null device.
hidden='touch "$1/null" && mount --bind /dev/null "$1/null" && mount --rbind "$1" /dev && shift && exec "$@"'
assert_status 6 unshare --mount bash -c "$hidden" - "$TMP/dev" "$COLDSTART" mount tiny "$TMP/at"
assert_contains "$err" "/dev/fuse: No such file or directory"
assert_contains "$err" "hint: load it with 'modprobe fuse'"

assert_status 6 setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$COLDSTART" --json mount tiny "$TMP/at"
assert_eq "$(jq .error.code <<<"$out")" 6
assert_eq "$(find "$TMP/at" -mindepth 1)" "" "left in the mountpoint"
