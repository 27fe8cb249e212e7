#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the kernel passes nothing through (a store on an overlay), the cache is read by the server, and all is right.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at" "$TMP/over"/{lower,top,at}
head -c 3000000 /dev/urandom >"$TMP/tree/large"
for i in {1..40}; do echo "small $i" >"$TMP/tree/small-$i"; done
# Its upper folder must not lie on an overlay itself, as /tmp does in some containers.
mount -t tmpfs none "$TMP/over/top"
at_exit umount "$TMP/over/top"
mkdir "$TMP/over/top/upper" "$TMP/over/top/work"
mount -t overlay -o "lowerdir=$TMP/over/lower,upperdir=$TMP/over/top/upper,workdir=$TMP/over/top/work" none "$TMP/over/at"
at_exit umount "$TMP/over/at"
export COLDSTART_STORE=$TMP/over/at/store

coldstart image pack "$TMP/tree" -t some >"$TMP/packed"
coldstart mount some "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
diff -r "$TMP/tree" "$TMP/at"
# 41 files and the metadata.
all_cached() { [[ $(find "$COLDSTART_STORE/cache/files" -type f | wc -l) -eq 42 ]]; }
wait_for 60 all_cached
coldstart umount "$TMP/at"
coldstart mount some "$TMP/at" >/dev/null
diff -r "$TMP/tree" "$TMP/at"
coldstart --json mount stat "$TMP/at" >"$TMP/stat"
python3 - "$TMP/stat" <<'PY'
import json, sys
stat = json.load(open(sys.argv[1]))
assert stat["passed_through"] == 0, stat
assert stat["tiers"]["disk"]["bytes"] >= 3000000, stat
assert stat["tiers"]["store"]["bytes"] == 0, stat
PY
large=$(find "$COLDSTART_STORE/cache/files" -type f -size +1M)
chmod u+w "$large"
printf XXXX | dd of="$large" bs=1 seek=70000 conv=notrunc status=none
echo 3 >/proc/sys/vm/drop_caches
diff -r "$TMP/tree" "$TMP/at"
