#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Inside there is nothing of ours: three descriptors, a clean environment, private /proc, /dev, /sys and /dev/shm.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_rootfs small

export SECRET=from-outside
inside() { coldstart run --rootfs "$ROOTFS" "${options[@]}" -- "$@"; }
options=()

assert_status 0 inside sh -c 'ls -l /proc/$$/fd; true'
out=$(sed '1d; s/.* \([0-9]*\) -> /\1 /' <<<"$out")
assert_eq "$(awk '{ print $1 }' <<<"$out" | tr '\n' ' ')" "0 1 2 " "descriptors"
assert_contains "$out" "0 pipe:"
assert_contains "$out" "1 pipe:"

options=(-e A=b -e 'C=d e' -e TERM=x)
assert_status 0 inside sh -c 'tr "\0" "\n" </proc/$$/environ | sort'
assert_eq "$out" "$(printf '%s\n' A=b 'C=d e' HOME=/root \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=x)" environment
options=()
assert_status 0 inside sh -c 'tr -d "\0" </proc/1/environ | wc -c'
assert_eq "$out" 0 "bytes of init's environment"

# Its own processes, mounts and devices.
sleep 1000 &
at_exit kill_and_wait $!
assert_status 0 inside sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" " "'
[[ $out != *"sleep 1000"* ]] || fail "a process of the host is seen: $out"
assert_status 1 inside grep "$TMP" /proc/mounts
assert_eq "$out" "" "mounts of the host"
assert_status 0 inside sh -c 'echo x >/dev/null; head -c 3 /dev/zero | wc -c; echo y >/dev/shm/mine; cat /dev/shm/mine'
assert_eq "$out" $'3\ny'
[[ ! -e /dev/shm/mine ]] || fail "/dev/shm is shared with the host"
assert_status 1 inside sh -c 'echo 1 2>/dev/null >/sys/kernel/mm/ksm/run'

# Orphans are reaped: none stays as a zombie.
assert_status 0 inside sh -c '(sh -c "sleep 0.05 & exit" &) ; sleep 0.5; cat /proc/[0-9]*/stat | grep -c " Z " || true'
assert_eq "$out" 0 zombies
