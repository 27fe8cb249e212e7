#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Docker registry with a login: an image goes there as an OCI artifact and comes back; names with slashes too.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
start_registry --login
url=oci://127.0.0.1:$port/team/models

remote_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
assert_status 6 coldstart push app:v1 "$url"
assert_contains "$err" "docker login"
mkdir "$HOME/.docker"
printf '{"auths": {"127.0.0.1:%s": {"auth": "%s"}}}' "$port" "$(printf me:swordfish | base64)" >"$HOME/.docker/config.json"
assert_status 0 coldstart --json push app:v1 "$url"
[[ $(field bytes_sent) -gt 3000000 ]] || fail "sent only $(field bytes_sent) bytes"
coldstart image tag app:v1 a_b/c:x >/dev/null
assert_status 0 coldstart --json push a_b/c:x "$url"
[[ $(field bytes_sent) -lt 200000 ]] || fail "the same again sent $(field bytes_sent) bytes"

mkdir "$TMP/at"
elsewhere mount a_b/c:x "$TMP/at" --remote "$url" >/dev/null
at_exit elsewhere umount "$TMP/at"
assert_same_tree "$TMP/tree" "$TMP/at"
assert_status 0 elsewhere --json pull "$url/app:v1"
elsewhere store fsck >/dev/null
assert_status 3 elsewhere pull "$url/nothing"
assert_contains "$err" "a_b/c:x"
! grep -r swordfish "$TMP/elsewhere" || fail "a secret in the store"
