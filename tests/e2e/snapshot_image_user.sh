#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A snapshot of an OCI image's own command: it runs as the image's user in the image's folder, and so it comes back.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_fuse
need_rootfs small
need_program umoci

# Without this capability CRIU cannot dump processes of another user: 'coldstart doctor' says so.
(($((16#$(awk '/^CapEff/ { print $2 }' /proc/self/status))) & 1 << 24)) || skip "needs CAP_SYS_RESOURCE"
layout=$TMP/layout
umoci init --layout "$layout"
umoci new --image "$layout:v1"
tar -C "$ROOTFS" --numeric-owner -cf "$TMP/layer.tar" .
umoci raw add-layer --image "$layout:v1" "$TMP/layer.tar"
# shellcheck disable=SC2016 # for the shell inside
umoci config --image "$layout:v1" --config.entrypoint /bin/sh --config.entrypoint -c \
  --config.cmd 'echo up; while :; do echo "$(id -u) $(pwd)"; sleep 0.2; done' --config.user 4321 --config.workingdir /work
coldstart image pack "oci:$layout" -t own >/dev/null
coldstart snapshot own -t own:warm --ready-log up >/dev/null
id=$(restored own:warm --no-wait)
says() { coldstart logs "$id" | grep -qx '4321 /work'; }
wait_for 20 says
coldstart stop "$id" >/dev/null
assert_nothing_left
