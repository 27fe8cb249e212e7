#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install puts the tool, its man pages and its completions below PREFIX within DESTDIR, and it works from there.
# timeout 300
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program make
need_program jq
root=$here/../..
[[ $COLDSTART -ef $root/build/release/coldstart ]] || skip "tests another binary than build/release/coldstart"

make -C "$root" --no-print-directory install DESTDIR="$TMP/root" PREFIX=/opt/cs >"$TMP/log" 2>&1 || fail "$(<"$TMP/log")"
prefix=$TMP/root/opt/cs
assert_eq "$(ls "$TMP/root")" "opt" "what lies outside PREFIX"
assert_status 0 "$prefix/bin/coldstart" --version
assert_status 0 env --chdir=/ "$prefix/bin/coldstart" __complete docto
assert_contains "$out" "doctor"

for page in "$root"/man/*.1; do
  cmp "$page" "$prefix/share/man/man1/$(basename "$page")"
done
cmp "$root/completions/coldstart.bash" "$prefix/share/bash-completion/completions/coldstart"
cmp "$root/completions/_coldstart" "$prefix/share/zsh/site-functions/_coldstart"
cmp "$root/completions/coldstart.fish" "$prefix/share/fish/vendor_completions.d/coldstart.fish"

# Every command has its page; pages are right roff.
for command in "" $("$prefix/bin/coldstart" __describe | jq -r '.commands[].name'); do
  page=$prefix/share/man/man1/coldstart${command:+-$command}.1
  [[ -f $page ]] || fail "no man page of '$command'"
done
if command -v groff >/dev/null; then
  assert_eq "$(groff -man -Tutf8 -ww -z "$prefix"/share/man/man1/*.1 2>&1)" "" "complaints of groff"
fi
