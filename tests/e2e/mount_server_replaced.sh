#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# Fault 10: the serving process is killed again and again while readers compare every byte, through the mount itself
# and through an overlay above it: no error and no wrong byte, however quickly the kills follow one another.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse
need_program python3
need_program jq
[[ $(printf '%s\n6.9\n' "$(uname -r)" | sort -V | head -n 1) == 6.9 ]] || skip "needs Linux 6.9"

make_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t tree >/dev/null
mkdir -p "$TMP/at" "$TMP/scratch" "$TMP/merged"
coldstart mount tree "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
mount -t tmpfs tmpfs "$TMP/scratch"
at_exit umount "$TMP/scratch"
mkdir "$TMP/scratch/upper" "$TMP/scratch/work"
mount -t overlay overlay -o "lowerdir=$TMP/at,upperdir=$TMP/scratch/upper,workdir=$TMP/scratch/work" "$TMP/merged"
at_exit umount "$TMP/merged"
exec 8<"$TMP/at/large1" # opened from the first server, read from the last

start_readers 2 "$TMP/tree" "$TMP/at"
start_readers 2 "$TMP/tree" "$TMP/merged"
for i in {1..12}; do
  sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
  kill_server "$TMP/at"
done
for i in {1..8}; do kill_server "$TMP/at"; done # as soon as there is another one
sleep 1
finish_readers
cmp "$TMP/tree/large1" /dev/fd/8
exec 8<&-
diff -r --no-dereference "$TMP/tree" "$TMP/at"
# Fewer than were killed: some were killed before they served.
[[ $(grep -c 'another one serves on' "$STORE/logs/image-server.log") -ge 8 ]] || fail "$(cat "$STORE/logs/image-server.log")"

# A file that is open past the server, by the kernel alone, goes on so; and so do opens beside it.
stat_of() { coldstart --json mount stat "$TMP/at" | jq "$1"; }
passed() { cat "$TMP/at/small/1" >/dev/null && [[ $(stat_of .passed_through) -gt 0 ]]; }
if coldstart --json doctor | jq -e '.checks[] | select(.name == "fuse_passthrough") | .ok' >/dev/null; then wait_for 60 passed; fi
exec 9<"$TMP/at/small/1"
sleep 1.2 # a server that lives so long did not die of being started: its keeper does not give up after so many kills
kill_server "$TMP/at"
for _ in 1 2; do cmp "$TMP/at/small/1" "$TMP/tree/small/1"; done
cmp /dev/fd/9 "$TMP/tree/small/1"
exec 9<&-
cmp "$TMP/at/small/1" "$TMP/tree/small/1"
assert_eq "$(stat_of .pid)" "$(server_of "$TMP/at")" "the process that mount stat speaks of"
