#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# When `umount` returns, or `mount -f` does, the processes behind the mount have ended, whoever of them was killed before;
# one that does not end is waited for 10 s, and told of.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse

make_tree "$TMP/tree"
mkdir -p "$TMP/at" "$TMP/disk"
image_of_disk() {
  mount -t tmpfs -o size=200M none "$TMP/disk"
  COLDSTART_STORE=$TMP/disk/store coldstart image pack "$TMP/tree" -t tree >/dev/null
}
on_disk() { COLDSTART_STORE=$TMP/disk/store coldstart "$@"; }
nobody() { [[ -z $(keeper_of "$TMP/at")$(server_of "$TMP/at") ]] || fail "still there: $(pgrep -af -- "--mountpoint $TMP/at ")"; }

# What the store lies on can be taken away at once, however much is still to be cached.
image_of_disk
at_exit umount "$TMP/disk"
for _ in {1..5}; do
  on_disk mount --prefetch all tree "$TMP/at" >/dev/null
  cat "$TMP/at/large1" >/dev/null
  on_disk umount "$TMP/at"
  nobody
  umount "$TMP/disk"
  image_of_disk
done

# In the foreground.
COLDSTART_STORE=$TMP/disk/store "$COLDSTART" mount -f --prefetch all tree "$TMP/at" >"$TMP/said" &
tool=$!
wait_for 10 test -s "$TMP/said"
cat "$TMP/at/large1" >/dev/null
kill "$tool"
wait "$tool" || [[ $? -eq 143 ]]
nobody

quickly() {
  local start=$SECONDS
  assert_status 0 on_disk umount "$TMP/at"
  [[ $((SECONDS - start)) -le 3 ]] || fail "that took $((SECONDS - start)) s"
  assert_eq "$err" ""
  nobody
}
# The keeper is dead, or the server as well, or the server has just been killed.
on_disk mount tree "$TMP/at" >/dev/null
kill -9 "$(keeper_of "$TMP/at")"
quickly
on_disk mount tree "$TMP/at" >/dev/null
kill -9 "$(keeper_of "$TMP/at")"
kill_server "$TMP/at"
quickly
on_disk mount tree "$TMP/at" >/dev/null
kill_server "$TMP/at"
quickly

# A server that cannot end.
on_disk mount tree "$TMP/at" >/dev/null
server=$(server_of "$TMP/at")
kill -STOP "$server"
start=$SECONDS
assert_status 0 on_disk --json umount "$TMP/at"
[[ $((SECONDS - start)) -ge 9 && $((SECONDS - start)) -le 20 ]] || fail "it waited for $((SECONDS - start)) s"
assert_contains "$err" "is unmounted, but the processes behind it have not ended"
assert_contains "$out" '"ended": false'
# It disturbs nobody else.
mkdir "$TMP/other"
on_disk mount tree "$TMP/other" >/dev/null
assert_status 0 on_disk --json umount "$TMP/other"
assert_contains "$out" '"ended": true'
kill -CONT "$server"
gone() { [[ -z $(keeper_of "$TMP/at")$(server_of "$TMP/at") ]]; }
wait_for 10 gone
