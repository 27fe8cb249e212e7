# shellcheck shell=bash disable=SC2034 # its variables are for the tests
# SPDX-License-Identifier: Apache-2.0
# What the tests of snapshots share. Sourced after lib.sh.

# Programs of the host in a root of their own: an overlay over the host's root, with the small servers in it.
need_criu
need_program python3

# get PORT PATH: asks a server on the host's network
get() { curl -sf --max-time 20 "http://127.0.0.1:$1$2"; }
# get_in REPLICA PORT PATH: asks it from inside, whatever its network is
get_in() {
  coldstart exec "$1" -- python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).read().decode())' \
    "http://127.0.0.1:$2$3"
}
# restored SNAPSHOT OPTION...: its id
restored() { coldstart --json restore -d "$@" | jq -r '.replicas[0].id'; }
# The servers, seen inside.
# shellcheck disable=SC2034 # for those who source this
servers=(--rootfs / --bind "$SERVERS:/mnt:ro")
# No process, mount or temporary of ours is left.
assert_nothing_left() {
  assert_eq "$(coldstart --json ps | jq length)" 0 "replicas that still run"
  assert_eq "$(find "$STORE/tmp" -mindepth 1 | wc -l)" 0 "temporaries left in the store"
  if grep -E 'coldstart|overlay' /proc/self/mountinfo | grep -F "$TMP"; then fail "a mount is left"; fi
}
