#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The suite that every place for objects passes (tests/unit/remote), against a real registry and a real S3 server.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
suite=$(dirname "$COLDSTART")/tests/unit/coldstart-unit
[[ -x $suite ]] || skip "needs $suite: run 'make build'"
conforms() {
  COLDSTART_TEST_REMOTE=$1 "$suite" -ns -tc="a place that the environment names" >"$TMP/suite" || fail "$(<"$TMP/suite")"
  grep -q "test cases: *1 [|] *1 passed" "$TMP/suite" || fail "the suite did not run: $(<"$TMP/suite")"
}

start_registry
conforms "oci://127.0.0.1:$port/any/where"
start_s3
conforms s3://models/some/where
