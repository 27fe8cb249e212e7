#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packing and gc killed at any point leave the old state or the new: fsck is clean, published images are whole, gc
# collects what is left over, and the same command works again (fault 1).
# timeout 300
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_program jq

# tree NAME MEGABYTES: a folder with that much that compresses by half, and many small files
tree() {
  mkdir -p "$TMP/$1"
  head -c "$(($2 * 500000))" /dev/urandom | base64 >"$TMP/$1/large"
  split -b 3000 -a 4 --numeric-suffixes=1 <(head -c "$(($2 * 300000))" /dev/urandom) "$TMP/$1/small."
}
# kill_within MILLISECONDS COMMAND...: starts it and kills it at a random point of that time; true if it was killed
kill_within() {
  local within=$1 status=0
  shift
  "$@" >/dev/null 2>&1 </dev/null &
  sleep "$(printf '0.%03d' $((RANDOM % within)))"
  kill -KILL $! 2>/dev/null || true
  wait $! || status=$?
  [[ $status -eq 137 ]]
}
field() { coldstart --json store stat | jq "$1"; }

tree base 2
tree next 12
coldstart image pack "$TMP/base" -t base >/dev/null
base_digest=$(coldstart --json image inspect base | jq -r .digest)

start=$EPOCHREALTIME
coldstart --store "$TMP/timing" image pack "$TMP/next" -t next >/dev/null
took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))
rm -r "$TMP/timing"
within=$((took > 900 ? 900 : took + 20))

killed=0
for _ in {1..24}; do
  if kill_within "$within" "$COLDSTART" image pack "$TMP/next" -t next; then killed=$((killed + 1)); fi
  assert_status 0 coldstart store fsck
  assert_eq "$(coldstart --json image inspect base | jq -r .digest)" "$base_digest" "the published image"
  if coldstart --json image inspect next >/dev/null 2>&1; then
    coldstart image verify next >/dev/null
    coldstart image rm next >/dev/null
  fi
  assert_status 0 coldstart store gc
  assert_eq "$(field .leftover_bytes)" 0 "leftovers"
  assert_eq "$(field .garbage_bytes)" 0 "garbage"
done
[[ $killed -ge 5 ]] || fail "only $killed of 24 were killed while they ran"

# gc, with something to remove and something to rewrite
mkdir "$TMP/some"
cp "$TMP/next/large" "$TMP/some"
for _ in {1..8}; do
  coldstart image pack "$TMP/next" -t next >/dev/null
  coldstart image pack "$TMP/some" -t some >/dev/null
  coldstart image rm next >/dev/null
  kill_within 60 "$COLDSTART" store gc || true
  assert_status 0 coldstart store fsck
  coldstart image verify some >/dev/null
done

coldstart image pack "$TMP/next" -t next >/dev/null
for image in base some next; do coldstart image verify "$image" >/dev/null; done
coldstart image unpack next "$TMP/out" >/dev/null
diff -r "$TMP/next" "$TMP/out"
