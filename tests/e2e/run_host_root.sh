#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without an image and without --rootfs, a command runs on the host's root as it is, with its own processes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root

echo seen >"$TMP/file"
assert_status 0 coldstart run -w "$TMP" -- sh -c 'cat file; echo written >inside; cat /proc/1/comm; touch /dev/shm/private.$$; ls /dev/shm | wc -l'
assert_eq "$out" $'seen\ncoldstart-init\n1'
assert_eq "$(cat "$TMP/inside")" written
