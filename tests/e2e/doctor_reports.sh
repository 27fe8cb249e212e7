#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# doctor tries everything, leaves nothing behind, and names a CRIU that runs; a lack is exit 6 with a hint (fault 22).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_criu
need_program jq

check() { jq -er --arg name "$1" ".checks[] | select(.name == \$name) | $2" <<<"$out"; }

mounts=$(cat /proc/self/mounts)
assert_status 0 coldstart --json doctor
assert_eq "$err" "" "stderr"
assert_eq "$(jq '.ok' <<<"$out")" true ".ok"
assert_eq "$(jq '[.checks[] | has("name") and has("ok") and has("detail") and has("hint")] | all' <<<"$out")" true fields
[[ $("$(check criu .path)" --version) == Version:* ]] || fail "the path does not run CRIU"
assert_eq "$(cat /proc/self/mounts)" "$mounts" "mounts"
[[ ! -e $STORE ]] || fail "doctor made the store"

assert_status 0 coldstart doctor
assert_contains "$out" "All that is needed is here."

# no CRIU
assert_status 6 env COLDSTART_CRIU="$TMP/none" "$COLDSTART" --json doctor
assert_eq "$(check criu "(.ok | not)")" true "criu fails"
assert_contains "$(check criu .hint)" "scripts/setup criu"

# a store that cannot be written
mkdir "$TMP/read-only"
mount -t tmpfs -o ro none "$TMP/read-only"
at_exit umount "$TMP/read-only"
assert_status 6 coldstart --store "$TMP/read-only/store" --json doctor
assert_contains "$(check store .detail)" "cannot write to $TMP/read-only: Read-only file system"

# no /dev/fuse (this test has a mount namespace of its own)
mount --bind /dev/null /dev/fuse
at_exit umount /dev/fuse
assert_status 6 coldstart --json doctor
assert_contains "$(check fuse .hint)" "modprobe fuse"

# no privileges
assert_status 6 setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all "$COLDSTART" doctor
assert_contains "$out" "run as root"
