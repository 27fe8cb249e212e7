#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In zsh TAB completes commands, options and folders.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program zsh

# after_tab TEXT: what TEXT becomes when TAB is pressed at its end, in a zsh on a terminal of its own
after_tab() {
  cat >"$TMP/drive.zsh" <<END
zmodload zsh/zpty
zpty shell 'zsh -f -i'
say() { zpty -w shell "\$1"; }
say 'PS1= RPS1= fpath=($here/../../completions \$fpath) PATH=$(dirname "$COLDSTART"):\$PATH'
say 'autoload -Uz compinit && compinit -u -d $TMP/zcompdump && unsetopt zle_bracketed_paste; unset zle_bracketed_paste'
say 'report() { print -r -- "<<\$BUFFER>>"; }; zle -N report; bindkey "^X" report; cd $TMP; print rea""dy'
zpty -r shell reply '*ready*'
zpty -w -n shell "\$1"\$'\t\x18'
zpty -r -m shell reply '*<<*>>*'
reply=\${reply##*<<}
print -r -- \${reply%%>>*}
END
  timeout 20 zsh -f "$TMP/drive.zsh" "$1"
}

assert_eq "$(after_tab "coldstart docto")" "coldstart doctor "
assert_eq "$(after_tab "coldstart doctor --timel")" "coldstart doctor --timeline "
mkdir "$TMP/some-folder"
touch "$TMP/some-file"
assert_eq "$(after_tab "coldstart --store some-")" "coldstart --store some-folder/"
