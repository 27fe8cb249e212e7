#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Long work says how far it is on a terminal, and leaves nothing of that behind; without a terminal it is quiet.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program script

# on_terminal WORDS...: what the tool writes to a terminal
on_terminal() { script -qec "$(printf '%q ' "$COLDSTART" "$@")" /dev/null </dev/null; }

shown=$(on_terminal bench image.pack --size 16M -r 2 -w 0)
assert_contains "$shown" "image.pack  ["
assert_contains "$shown" " of "
# The line is wiped out before the result.
assert_contains "$shown" $'\r\033[K'"image.pack: until a folder was packed"

shown=$(on_terminal --no-progress bench image.pack --size 16M -r 2 -w 0)
[[ $shown != *"image.pack  ["* ]] || fail "a bar although --no-progress was given"
assert_status 0 coldstart bench image.pack --size 4M -r 1 -w 0
assert_eq "$err" "" "stderr that is no terminal"
