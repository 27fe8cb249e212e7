# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Completion for bash. The tool itself knows what may come next; here it is only asked.

_coldstart() {
  local line=${COMP_LINE:0:COMP_POINT} typed reply kept
  local -a words
  # COMP_WORDS breaks at ':' and '=', which are parts of our words.
  read -ra words <<<"$line"
  if [[ $line == *[[:space:]] ]]; then words+=(""); fi
  typed=${words[-1]}
  # The part before the last of these is not replaced by what is in COMPREPLY.
  kept=${typed%"${typed##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r reply; do
    case $reply in
      :files | :folders)
        compopt -o filenames
        local paths=-f
        if [[ $reply == :folders ]]; then paths=-d; fi
        while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen "$paths" -- "${typed#"$kept"}")
        ;;
      *)
        reply=${reply%%$'\t'*}
        COMPREPLY+=("${reply#"$kept"}")
        ;;
    esac
  done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _coldstart coldstart
