#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An S3 server that verifies signatures: push, list, pull, lazy mount; what it refuses is told with what to do.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
start_s3

remote_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t app:v1 >/dev/null
coldstart image tag app:v1 team/app:v1.0 >/dev/null
assert_status 0 coldstart --json push app:v1 s3://models/prod
[[ $(field bytes_sent) -gt 3000000 ]] || fail "sent only $(field bytes_sent) bytes"
assert_status 0 coldstart --json push team/app:v1.0 s3://models/prod
[[ $(field bytes_sent) -lt 200000 ]] || fail "the same again sent $(field bytes_sent) bytes"

assert_status 0 elsewhere --json pull --lazy s3://models/prod/team/app:v1.0
assert_eq "$(field reference)" team/app:v1.0
mkdir "$TMP/at"
elsewhere mount team/app:v1.0 "$TMP/at" >/dev/null
at_exit elsewhere umount "$TMP/at"
assert_same_tree "$TMP/tree" "$TMP/at"
elsewhere pull s3://models/prod/app:v1 >/dev/null
elsewhere store fsck >/dev/null

assert_status 3 coldstart pull s3://models/prod/other
assert_contains "$err" "app:v1"
assert_status 1 coldstart push app:v1 s3://no-such-bucket/x
assert_contains "$err" "NoSuchBucket"
export AWS_ACCESS_KEY_ID=test:tester AWS_SECRET_ACCESS_KEY=oyster
assert_status 6 coldstart push app:v1 s3://models/prod
assert_contains "$err" "SignatureDoesNotMatch"
assert_contains "$err" "AWS_SECRET_ACCESS_KEY"
[[ $err != *oyster* ]] || fail "a secret in the error"
! grep -r -e testing -e oyster "$TMP/elsewhere" || fail "a secret in the store"
