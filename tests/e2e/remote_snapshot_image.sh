#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot of an image is restored from a remote: of the image come the parts that its processes had in memory, and not
# what lies beside them.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse
need_rootfs small

cp -a "$ROOTFS" "$TMP/root"
for i in {1..8}; do head -c 1000000 /dev/urandom >"$TMP/root/bin/busybox.$i"; done
coldstart image pack "$TMP/root" -t noisy >/dev/null
coldstart snapshot noisy -t s:warm -- sh -c 'while :; do sleep 0.1; date >/dev/null; done' >/dev/null
# In packs of its own: what is read of the snapshot itself brings no neighbours of the image along.
coldstart push noisy "$TMP/www" >/dev/null
coldstart push s:warm "$TMP/www" >/dev/null
start_nginx "$TMP/www"
bytes_sent() { awk '{ sum += $10 } END { print sum + 0 }' "$TMP/nginx/access.log"; }

export COLDSTART_STORE=$TMP/elsewhere STORE=$TMP/elsewhere
coldstart pull --lazy "$URL/s:warm" >/dev/null
before=$(bytes_sent)
id=$(restored s:warm)
sent=$(($(bytes_sent) - before))
[[ $sent -lt 2000000 ]] || fail "$sent bytes came for a shell"
# What it had not used before comes when it is asked for.
assert_eq "$(coldstart exec "$id" -- sha256sum /bin/busybox.7 | cut -d' ' -f1)" "$(sha256sum "$TMP/root/bin/busybox.7" | cut -d' ' -f1)"
coldstart stop "$id" >/dev/null
assert_nothing_left
