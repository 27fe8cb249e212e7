#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fault 5, on the wire: a remote that hangs, trickles, resets or corrupts. Other files go on meanwhile, and unmounting
# does not wait; 64 threads at random read right while one connection in twenty is dropped.
# timeout 240
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/remote_lib.sh
. "$here/remote_lib.sh"
need_fuse

mkdir -p "$TMP/tree" "$TMP/at"
for i in $(seq 1 40); do head -c 400000 /dev/urandom >"$TMP/tree/$i"; done
coldstart image pack "$TMP/tree" -t app --chunk-size 64K >/dev/null
coldstart push app "$TMP/www" >/dev/null
start_nginx "$TMP/www"
port=$(free_port)
echo ok >"$TMP/wire"
background python3 "$SERVERS/proxy.py" --listen "$port" --to "${URL#http://}" --drop 0.05 --control "$TMP/wire"
proxied=http://127.0.0.1:$port
wait_for 20 curl -s -o "$TMP/answer" "$proxied/"

elsewhere mount app "$TMP/at" --remote "$proxied" --remote-timeout 3 >/dev/null
at_exit elsewhere umount "$TMP/at"
cmp "$TMP/at/1" "$TMP/tree/1"
# From the image's end (1 10 11 … 19 2 20 …) to its front: what is fetched ahead lies behind what is read.
declare -A file_of=([hang]=9 [refuse]=6 [trickle]=38 [corrupt]=33)
for how in hang refuse trickle corrupt; do
  file=${file_of[$how]}
  echo "$how" >"$TMP/wire"
  start=$SECONDS
  (cmp "$TMP/at/1" "$TMP/tree/1") || fail "what is here is not read while the remote does $how"
  [[ $((SECONDS - start)) -le 2 ]] || fail "what is here waits while the remote does $how"
  assert_status 2 cmp "$TMP/at/$file" "$TMP/tree/$file"
  [[ $((SECONDS - start)) -le 40 ]] || fail "$how took $((SECONDS - start)) s"
  echo ok >"$TMP/wire"
  wait_for 20 cmp "$TMP/at/$file" "$TMP/tree/$file"
done

# Each thread reads files in an order of its own, pieces at random places.
python3 - "$TMP/at" "$TMP/tree" <<'PY'
import concurrent.futures, os, random, sys
mounted, tree = sys.argv[1:]
names = os.listdir(tree)
def read(seed):
    rng = random.Random(seed)
    for _ in range(15):
        name = rng.choice(names)
        at = rng.randrange(400000)
        with open(f"{mounted}/{name}", "rb") as a, open(f"{tree}/{name}", "rb") as b:
            a.seek(at), b.seek(at)
            if a.read(10000) != b.read(10000):
                sys.exit(f"wrong bytes in {name} at {at}")
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    list(pool.map(read, range(64)))
PY

# What is fetched ahead while nobody answers is given up when the mount goes.
elsewhere umount "$TMP/at"
head -c 300000 /dev/urandom >"$TMP/tree/more"
coldstart image pack "$TMP/tree" -t more --chunk-size 64K >/dev/null
coldstart push more "$TMP/www" >/dev/null
elsewhere pull --lazy --remote-timeout 60 "$proxied/more" >/dev/null
echo hang >"$TMP/wire"
elsewhere mount more "$TMP/at" --prefetch all >/dev/null
sleep 1
start=$SECONDS
assert_status 0 elsewhere umount "$TMP/at"
assert_eq "$err" ""
[[ $((SECONDS - start)) -le 4 ]] || fail "unmounting took $((SECONDS - start)) s"
