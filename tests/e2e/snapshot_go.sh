#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 300
# A server in Go (Docker's registry, with all it holds in memory), used by several clients from before it is back until long
# after, has in every memory mode what it was given before the snapshot, and works on.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/snapshot_lib.sh
. "$(dirname "$0")/snapshot_lib.sh"
need_program docker-registry

port=$(free_port)
cat >"$TMP/registry.yml" <<END
version: 0.1
log: {level: error}
http: {addr: "127.0.0.1:$port"}
storage: {inmemory: {}, delete: {enabled: true}}
END
# The clients: each has a repository, puts blobs into it, asks for all that it has put, and deletes some.
cat >"$TMP/clients.py" <<'PY'
import concurrent.futures, hashlib, http.client, random, sys, time

PORT, FIRST, LAST = map(int, sys.argv[1:4])


def ask(method, path, body=None):
    """Status, headers and body. A server that is not there yet is waited for."""
    deadline = time.monotonic() + 60
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    while True:
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
    connection.request(method, path, body, {"Content-Type": "application/octet-stream"} if body else {})
    answer = connection.getresponse()
    result = answer.status, answer.headers, answer.read()
    connection.close()
    return result


def want(status, got):
    if got[0] != status:
        raise SystemExit(f"{got[0]}, not {status}: {got[2][:200]}")
    return got


def blob(client, number):
    return hashlib.shake_256(f"{client} {number}".encode()).digest(random.Random(number).choice([100, 20_000, 300_000]))


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def client(number):
    at = f"/v2/client{number}/blobs/"
    for n in range(FIRST, LAST + 1):
        content = blob(number, n)
        upload = want(202, ask("POST", at + "uploads/"))[1]["Location"].split(str(PORT), 1)[1]
        want(201, ask("PUT", f"{upload}&digest={digest_of(content)}", content))
        for earlier in sorted({max(1, n - 12), max(1, n - 6), max(1, n - n % 5 - 5), n}):  # some are of before the snapshot
            content, gone = blob(number, earlier), earlier % 5 == 0 and earlier < n - 5
            got = want(404 if gone else 200, ask("GET", at + digest_of(content)))
            if not gone and got[2] != content:
                raise SystemExit(f"wrong content of blob {earlier} of client {number}")
        if n % 5 == 0 and n > 5:
            want(202, ask("DELETE", at + digest_of(blob(number, n - 5))))


with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(client, range(4)))
PY

coldstart snapshot -t s --ready "http://127.0.0.1:$port/v2/" --warmup "python3 $TMP/clients.py $port 1 12" \
  -- docker-registry serve "$TMP/registry.yml" >/dev/null
for mode in eager lazy shared; do
  python3 "$TMP/clients.py" "$port" 13 24 &
  clients=$!
  id=$(restored s --memory "$mode")
  wait "$clients" || fail "a client failed, with memory that is restored $mode"
  coldstart stop "$id" >/dev/null
done
assert_nothing_left
