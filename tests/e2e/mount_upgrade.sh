#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The program file is replaced under a mount: on SIGHUP the new one serves on, no reader sees it; a new one that cannot
# does no harm.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse
need_program python3

make_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t tree >/dev/null
mkdir -p "$TMP/at" "$TMP/bin"
install "$COLDSTART" "$TMP/bin/coldstart"
"$TMP/bin/coldstart" mount tree "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
keeper=$(keeper_of "$TMP/at")
start_readers 3 "$TMP/tree" "$TMP/at"

# upgrade FILE: it takes the name of the program, and the keeper is told
upgrade() {
  server=$(server_of "$TMP/at")
  install "$1" "$TMP/bin/new"
  mv "$TMP/bin/new" "$TMP/bin/coldstart"
  kill -HUP "$keeper"
  other_server() { [[ -n $(server_of "$TMP/at") && $(server_of "$TMP/at") != "$server" ]]; }
  wait_for 20 other_server
  sleep 0.5
}
served_by_new() { [[ /proc/$(server_of "$TMP/at")/exe -ef $TMP/bin/coldstart ]]; }
upgrade "$COLDSTART"
wait_for 10 served_by_new
upgrade "$COLDSTART"
wait_for 10 served_by_new
upgrade /bin/false
wait_for 10 grep -q "cannot take over" "$STORE/logs/image-server.log"
[[ $(readlink "/proc/$(server_of "$TMP/at")/exe") == *"(deleted)" ]] || fail "who serves now?"
finish_readers
assert_eq "$(keeper_of "$TMP/at")" "$keeper"
