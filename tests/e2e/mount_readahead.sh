#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernel is told to read ahead as far as suits an image of which nothing is known yet, also where a store behind a symlink
# is what the processes of a shared mount were told of.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
need_rootfs small
[[ -w /sys/class/bdi ]] || skip "/sys cannot be written"

readahead() { # PID: of the image that it sees mounted
  local device
  device=$(awk '/ - fuse.coldstart / { print $3 }' "/proc/$1/mountinfo" | tail -n 1)
  cat "/sys/class/bdi/$device/read_ahead_kb"
}
is() { [[ $(readahead "$1") == "$2" ]]; }

mkdir "$TMP/real" "$TMP/at"
ln -s real "$TMP/link"
export COLDSTART_STORE=$TMP/link/store
coldstart image pack "$ROOTFS" -t small >/dev/null
coldstart mount small "$TMP/at" >/dev/null
wait_for 10 is $$ 1024
coldstart umount "$TMP/at"

id=$(coldstart run -d small -- sleep 600)
at_exit coldstart stop "$id"
keeper=$(pgrep -f "keep-image .*--share $TMP/") || fail "no keeper of a shared mount"
wait_for 10 is "$keeper" 1024
