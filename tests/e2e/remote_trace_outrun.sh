#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who reads what an image's trace names before it has arrived waits for that alone: what lies beside it, and in no trace, does
# not come along.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_program jq

mkdir -p "$TMP/tree" "$TMP/at"
for i in {1..60}; do head -c 500000 /dev/urandom >"$TMP/tree/file-$i"; done
{
  echo "coldstart trace 1"
  for i in {1..59..2}; do echo "0 500000 file-$i"; done
} >"$TMP/trace"
coldstart image pack "$TMP/tree" -t app >/dev/null
# The trace comes later: the packs are in the tree's order.
coldstart push app "$TMP/www" >/dev/null
coldstart image pack "$TMP/tree" -t app --trace "$TMP/trace" >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_nginx "$TMP/www"
port=$(free_port)
# The trace takes 3 s over this.
background python3 "$SERVERS/proxy.py" --listen "$port" --to "${URL#http://}" --rtt 10 --rate 5000000
wait_for 20 curl -s -o "$TMP/answer" "http://127.0.0.1:$port/"
elsewhere mount --remote "http://127.0.0.1:$port" app "$TMP/at" >/dev/null
at_exit elsewhere umount "$TMP/at"
for i in 59 31 45; do cmp "$TMP/tree/file-$i" "$TMP/at/file-$i"; done
of_mount() { elsewhere --json mount stat "$TMP/at" | jq "$1"; }
filled() { [[ $(of_mount .cached_files) -eq 30 ]]; }
wait_for 60 filled
bytes=$(of_mount .tiers.remote.bytes)
[[ $bytes -ge 15000000 && $bytes -le 15100000 ]] || fail "$bytes bytes came"
