#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In fish TAB offers commands with their descriptions, options and folders.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program fish
need_program jq

offered() {
  PATH=$(dirname "$COLDSTART"):$PATH fish --no-config -c "source $here/../../completions/coldstart.fish; complete -C '$1'"
}

assert_eq "$(offered "coldstart docto")" "doctor	$(coldstart __describe | jq -r '.commands[] | select(.name == "doctor").description')"
assert_contains "$(offered "coldstart doctor --timel")" "--timeline"
cd "$TMP"
mkdir some-folder
touch some-file
assert_eq "$(offered "coldstart --store some-" | cut -f 1)" "some-folder/"
