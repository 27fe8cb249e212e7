#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 11: `mount -f` stays until it is told to end, and then unmounts, even while somebody is in there; in the
# background SIGTERM to the keeper does the same. Nothing is left.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
echo content >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t tiny >"$TMP/packed"

mounted() { mountpoint -q "$TMP/at"; }
for signal in INT:130 TERM:143; do
  rm -f "$TMP/said"
  # A shell's background jobs ignore SIGINT unless told otherwise.
  python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
    "$COLDSTART" mount -f tiny "$TMP/at" >"$TMP/said" &
  tool=$!
  wait_for 10 test -s "$TMP/said"
  assert_eq "$(cat "$TMP/at/file")" content
  exec 7<"$TMP/at/file"
  kill -s "${signal%:*}" "$tool"
  status=0
  wait "$tool" || status=$?
  exec 7<&-
  assert_eq "$status" "${signal#*:}" "exit status after SIG${signal%:*}"
  if mounted; then fail "still mounted after SIG${signal%:*}"; fi
done

# Unmounted by another, it ends as well.
coldstart mount -f tiny "$TMP/at" >"$TMP/said" &
tool=$!
wait_for 10 mounted
wait_for 10 test -e "$TMP/at/file"
coldstart umount "$TMP/at"
wait "$tool"

coldstart mount tiny "$TMP/at" >/dev/null
pkill -TERM -f "keep-image .*$TMP/at "
wait_for 10 bash -c "! mountpoint -q '$TMP/at'"
nobody_left() { ! pgrep -f -- "--mountpoint $TMP/at "; }
wait_for 10 nobody_left
