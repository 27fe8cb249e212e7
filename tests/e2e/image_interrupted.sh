#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 11: Ctrl-C in the middle of a pack or an unpack ends it with 130, SIGTERM with 143, and leaves nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$TMP/tree"
for i in {1..40}; do head -c 5000000 /dev/urandom >"$TMP/tree/$i"; done

# interrupt SIGNAL STATUS PATTERN ARGUMENT...: runs the tool, sends SIGNAL as soon as PATTERN matches a file
interrupt() {
  local signal=$1 want=$2 pattern=$3 status=0 pid
  shift 3
  # A shell lets what it starts in the background ignore SIGINT.
  python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])' "$COLDSTART" "$@" 2>"$TMP/err" &
  pid=$!
  wait_for 60 compgen -G "$pattern"
  kill "-$signal" "$pid"
  wait "$pid" || status=$?
  assert_eq "$status" "$want" "exit status"
}
# From a pipe that never ends, so that the signal cannot come too late.
mkfifo "$TMP/pipe"
endless() {
  tar -C "$TMP/tree" -cf - .
  exec sleep 1000
}
for signal in "INT 130" "TERM 143"; do
  endless >"$TMP/pipe" 2>/dev/null &
  writer=$!
  # shellcheck disable=SC2086
  interrupt $signal "$STORE/tmp/*/pack.*" image pack "$TMP/pipe" -t x
  kill_and_wait "$writer" || true
  assert_status 3 coldstart image inspect x
  left=$(find "$STORE/packs" "$STORE/tmp" -mindepth 1)
  assert_eq "$left" "" "left behind"
done

coldstart image pack "$TMP/tree" -t whole
mkdir "$TMP/empty"
interrupt INT 130 "$TMP/out/*" image unpack -j 1 whole "$TMP/out"
[[ ! -e $TMP/out ]] || fail "a half-unpacked tree was left"
interrupt TERM 143 "$TMP/empty/*" image unpack -j 1 whole "$TMP/empty"
[[ -d $TMP/empty && -z $(ls -A "$TMP/empty") ]] || fail "a half-unpacked tree was left"
