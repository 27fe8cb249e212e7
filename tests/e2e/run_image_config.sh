#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an OCI image says about its start is kept to, as docker does: entrypoint, command, environment, user, folder.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_rootfs small
need_program umoci

layout=$TMP/layout
umoci init --layout "$layout"
umoci new --image "$layout:v1"
tar -C "$ROOTFS" --numeric-owner -cf "$TMP/layer.tar" .
mkdir -p "$TMP/more/etc"
{ cat "$ROOTFS/etc/passwd" && echo 'served:x:1234:1235::/home/served:/bin/sh'; } >"$TMP/more/etc/passwd"
{ cat "$ROOTFS/etc/group" && printf '%s\n' own:x:1235: data:x:77:other,served more:x:78:; } >"$TMP/more/etc/group"
tar -C "$TMP/more" --owner=0 --group=0 -rf "$TMP/layer.tar" etc
umoci raw add-layer --image "$layout:v1" "$TMP/layer.tar"
# shellcheck disable=SC2016 # for the shell inside
umoci config --image "$layout:v1" --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd \
  'echo "$(id -u):$(id -G) $HOME $GREETING $(pwd)"; echo out >/dev/stdout; exit 7' \
  --config.env GREETING=hello --config.user served --config.workingdir /srv/made/here
coldstart image pack "oci:$layout" -t cfg >/dev/null

assert_status 7 coldstart run cfg
assert_eq "$out" "1234:1235 77 /home/served hello /srv/made/here"$'\n'"out"
assert_status 0 coldstart run cfg -- 'echo $0 $GREETING' # in place of the command
assert_eq "$out" "/bin/sh hello"
assert_status 0 coldstart run --entrypoint id -u 5:more -w /root cfg -- -G
assert_eq "$out" 78
assert_status 0 coldstart run --entrypoint "" -u root -e HOME=/x cfg -- sh -c 'echo "$(id -u) $HOME"'
assert_eq "$out" "0 /x"
assert_status 1 coldstart run -u nobody-of-that-name cfg
assert_contains "$err" "there is no user 'nobody-of-that-name' inside"
assert_status 126 coldstart run -w /etc/passwd/x cfg
assert_contains "$err" "working folder"

# A link in the image does not lead to the host's users.
echo "stranger:x:77:77::/:/bin/sh" >"$TMP/passwd"
cp -a "$ROOTFS" "$TMP/tree"
ln -sf "$TMP/passwd" "$TMP/tree/etc/passwd"
assert_status 1 coldstart run --rootfs "$TMP/tree" -u stranger -- true
assert_contains "$err" "there is no user 'stranger' inside"
