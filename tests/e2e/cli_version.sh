#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# --version prints the version on stdout and nothing else; a word that is no command is a usage error.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

assert_status 0 coldstart --version
[[ $out =~ ^coldstart\ [0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "not a version: $out"
assert_eq "$err" "" "stderr"

assert_status 2 coldstart no-such-command
assert_eq "$out" "" "stdout"
assert_contains "$err" "coldstart: error: "
