#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `mount stat` tells what the server of a mount has done: as a table, as JSON, and for Prometheus.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree/sub" "$TMP/at"
head -c 300000 /dev/urandom >"$TMP/tree/file"
coldstart image pack "$TMP/tree" -t stat >"$TMP/packed"

# An image that is called like the subcommand.
coldstart mount --prefetch none stat:latest "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"
cat "$TMP/at/file" >/dev/null
assert_status 0 coldstart --json mount stat "$TMP/at"
echo "$out" >"$TMP/stat"
python3 - "$(pgrep -f "serve-image .*$TMP/at ")" "$TMP/stat" <<'PY' || fail "the figures are wrong: $out"
import json, sys
stat = json.load(open(sys.argv[2]))
assert stat["pid"] == int(sys.argv[1]), "pid"
assert stat["tiers"]["store"] == {"hits": 1, "bytes": 300000}, "store"
assert stat["tiers"]["remote"]["hits"] == 0, "remote"
assert stat["fetch_seconds"]["count"] == 1 and 0 < stat["fetch_seconds"]["p99"] < 30, "fetch"
assert stat["opens"] in (0, 1) and stat["passthrough_share"] == 0, "opens"  # 0: the kernel does not ask
assert stat["errors"] == 0 and stat["cached_files"] == 0, "errors"
assert stat["memory_bytes"] > 1000000, "memory"
PY
assert_status 0 coldstart mount stat "$TMP/at"
assert_contains "$out" "from store"
assert_status 0 coldstart mount stat --prometheus "$TMP/at"
assert_contains "$out" "coldstart_tier_bytes_total{mount=\"$TMP/at\",tier=\"store\"} 300000"

assert_status 1 coldstart mount stat "$TMP/tree"
assert_contains "$err" "no image is mounted"
assert_status 1 coldstart mount stat "$TMP/at/sub"
assert_status 2 coldstart mount stat
assert_status 2 coldstart mount
assert_status 2 coldstart mount stat:latest
