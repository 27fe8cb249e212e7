#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A program whose files are all in the disk cache, where a mount passes them through to the kernel, can be snapshotted:
# CRIU finds what it has mapped.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse
need_criu
need_rootfs small

mkdir "$TMP/at"
coldstart image pack "$ROOTFS" -t small >/dev/null
coldstart mount small "$TMP/at" --prefetch all >/dev/null
size=$(stat -c %s "$ROOTFS/bin/busybox")
cached() { find "$STORE/cache/files" -type f -size "${size}c" | grep -q .; }
wait_for 60 cached
coldstart umount "$TMP/at"

coldstart snapshot small -t warm -- sh -c 'while :; do sleep 0.1; done' >/dev/null
for _ in 1 2; do
  id=$(coldstart --json restore warm -d | jq -r '.replicas[0].id')
  coldstart snapshot --replica "$id" -t warm >/dev/null
  assert_eq "$(coldstart --json ps | jq length)" 0 "replicas after the snapshot"
done
