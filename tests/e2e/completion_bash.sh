#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In bash every command and every option that the tool has is offered, and nothing else; so are files and references.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program jq

# offered LINE: what bash's TAB has to offer behind LINE, sorted, one a line
offered() {
  PATH=$(dirname "$COLDSTART"):$PATH bash --norc -c '
    . "$1"
    compopt() { :; } # works only while the shell itself completes
    COMP_LINE=$2 COMP_POINT=${#2}
    _coldstart
    if [[ ${#COMPREPLY[@]} -gt 0 ]]; then printf "%s\n" "${COMPREPLY[@]}"; fi
  ' bash "$here/../../completions/coldstart.bash" "$1" | sort
}

description=$(coldstart __describe)
global=$(jq -r '.options[].names[]' <<<"$description")

# One line a command: the words that lead to it, and what must follow it.
while IFS='|' read -r words commands options; do
  if [[ -n $commands ]]; then
    assert_eq "$(offered "$words " | grep -v / || true)" "$(tr ' ' '\n' <<<"$commands" | sort)" "after '$words '"
  fi
  want=$(tr ' ' '\n' <<<"$options $global" | grep . | sort -u)
  assert_eq "$(offered "$words -")" "$want" "after '$words -'"
done < <(jq -r 'def walk_commands($path): ([$path, ([.commands[].name] | join(" ")),
    ([.options[].names[]] | join(" "))] | join("|")), (.commands[] | walk_commands($path + " " + .name));
  walk_commands("coldstart")' <<<"$description")

cd "$TMP"
mkdir some-folder
touch some-file
assert_eq "$(offered "coldstart --store some-")" "some-folder" "folders"
assert_eq "$(offered "coldstart --store=some-")" "some-folder" "folders after ="
assert_eq "$(offered "coldstart docto")" "doctor" "a command's beginning"
assert_eq "$(offered "coldstart xyzzy-")" "" "nothing fits"
