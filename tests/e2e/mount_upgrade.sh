#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The program file is replaced under a mount: `mount upgrade`, or SIGHUP to the keeper, has the new one serve on, and no
# reader sees it; a new one that cannot does no harm.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/mount_lib.sh
. "$(dirname "$0")/mount_lib.sh"
need_fuse
need_program python3
need_program jq

make_tree "$TMP/tree"
coldstart image pack "$TMP/tree" -t tree >/dev/null
mkdir -p "$TMP/at" "$TMP/bin"
install "$COLDSTART" "$TMP/bin/coldstart"
"$TMP/bin/coldstart" mount tree "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
keeper=$(keeper_of "$TMP/at")
start_readers 3 "$TMP/tree" "$TMP/at"

# put FILE: it takes the name of the program
put() {
  server=$(server_of "$TMP/at")
  install "$1" "$TMP/bin/new"
  mv "$TMP/bin/new" "$TMP/bin/coldstart"
}
served_by_new() { [[ $(server_of "$TMP/at") != "$server" && /proc/$(server_of "$TMP/at")/exe -ef $TMP/bin/coldstart ]]; }
version=$(coldstart --version)
for _ in 1 2 3; do
  put "$COLDSTART"
  assert_status 0 coldstart mount upgrade "$TMP/at"
  served_by_new || fail "who serves now?"
  assert_eq "$out" "$TMP/at is served by $version (pid $(server_of "$TMP/at")); before: ${version#coldstart } (pid $server)"
  sleep 0.3
done
put "$COLDSTART"
assert_status 0 coldstart --json mount upgrade "$TMP/at"
assert_eq "$(jq -c '[.before.pid, .now.pid, .now.version]' <<<"$out")" \
  "[$server,$(server_of "$TMP/at"),\"${version#coldstart }\"]"

put "$COLDSTART"
kill -HUP "$keeper"
wait_for 20 served_by_new

put /bin/false
assert_status 1 coldstart mount upgrade "$TMP/at"
assert_contains "$err" "$TMP/bin/coldstart cannot take over: the image server ended before it was ready: exit status 1"
grep -q "cannot take over" "$STORE/logs/image-server.log"
[[ $(readlink "/proc/$(server_of "$TMP/at")/exe") == *"(deleted)" ]] || fail "who serves now?"
finish_readers
assert_eq "$(keeper_of "$TMP/at")" "$keeper"
assert_eq "$(coldstart --json mount stat "$TMP/at" | jq .keeper)" "$keeper"

# Who may not, and where nobody can.
cd "$TMP/at" # others may not pass through the folders above
assert_status 1 setpriv --reuid 65534 --clear-groups "$COLDSTART" mount upgrade .
cd /
assert_contains "$err" "only root"
assert_status 1 coldstart mount upgrade "$TMP/tree"
assert_contains "$err" "no image is mounted"
kill -9 "$keeper"
gone() { [[ -z $(keeper_of "$TMP/at") ]]; }
wait_for 10 gone
assert_status 1 coldstart mount upgrade "$TMP/at"
assert_contains "$err" "is dead: nobody can replace its server"
assert_eq "$(coldstart --json mount stat "$TMP/at" | jq .keeper)" null
cmp "$TMP/at/large1" "$TMP/tree/large1"
