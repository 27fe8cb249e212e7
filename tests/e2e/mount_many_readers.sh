#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many readers at once, whole files and random places, read the right bytes; the server's memory stays bounded.
# timeout 300
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_fuse

mkdir -p "$TMP/tree/small" "$TMP/at"
for i in {1..4}; do head -c 40000000 /dev/urandom >"$TMP/tree/big-$i"; done
for i in {1..500}; do head -c $((i * 37)) /dev/urandom >"$TMP/tree/small/$i"; done
coldstart image pack "$TMP/tree" -t noise >"$TMP/packed"
coldstart mount noise "$TMP/at" >/dev/null
at_exit coldstart umount "$TMP/at"

python3 - "$TMP/tree" "$TMP/at" <<'PY'
import mmap, os, random, sys, threading
want, got = sys.argv[1:]
names = [f"big-{i}" for i in range(1, 5)] + [f"small/{i}" for i in range(1, 501)]
content = {name: open(f"{want}/{name}", "rb").read() for name in names}
wrong = []

def read(seed):
    rng = random.Random(seed)
    for _ in range(300):
        name = rng.choice(names[:4] if rng.random() < 0.7 else names)
        size = len(content[name])
        at = rng.randrange(size)
        count = rng.choice([1, 4096, 70000, 600000])
        with open(f"{got}/{name}", "rb") as file:
            if rng.random() < 0.3:
                data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[at:at + count]
            else:
                data = os.pread(file.fileno(), count, at)
        if data != content[name][at:at + count]:
            wrong.append((name, at, count))

threads = [threading.Thread(target=read, args=(seed,)) for seed in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(f"wrong bytes: {wrong[:5]}" if wrong else 0)
PY
for i in {1..4}; do cmp "$TMP/tree/big-$i" "$TMP/at/big-$i" & done
wait
diff -r "$TMP/tree" "$TMP/at"

server=$(pgrep -f "serve-image .*$TMP/at ")
peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$server/status")
[[ $peak -lt 102400 || -n ${ASAN_OPTIONS:-}${TSAN_OPTIONS:-} ]] || fail "the server took $peak KiB"
