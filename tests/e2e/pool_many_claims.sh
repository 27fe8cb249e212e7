#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout 240
# A thousand claims at once, ten idle slots: ten different replicas, and the others are told at their deadline (fault 20).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/pool_lib.sh
. "$(dirname "$0")/pool_lib.sh"

snapshot_of_threads
warm --min 10 --max 10 --at-once 1 --listen "unix:$TMP/socket"
wait_for 150 is idle 10
cat >"$TMP/claims.py" <<'PY'
import asyncio, json, sys

async def claim(path):
    reader, writer = await asyncio.open_unix_connection(path)
    body = b'{"timeout": 2}'
    writer.write(b"POST /v1/claim HTTP/1.1\r\nHost: pool\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answer = (await reader.read(65536)).decode()
    writer.close()
    return int(answer.split()[1]), json.loads(answer[answer.index("\r\n\r\n"):])

async def main():
    answers = await asyncio.gather(*(claim(sys.argv[1]) for _ in range(1000)))
    ids = [a["id"] for status, a in answers if status == 200]
    others = [a["error"] for status, a in answers if status == 503]
    print(json.dumps({"claimed": len(ids), "different": len(set(ids)), "told": len(others),
                      "codes": sorted({e["code"] for e in others}), "why": others[0]["message"]}))

asyncio.run(main())
PY
answers=$(python3 "$TMP/claims.py" "$TMP/socket")
# Refills go on meanwhile, so a few more than ten get one.
assert_eq "$(jq -c '.claimed >= 10 and .claimed < 100 and .claimed == .different and .claimed + .told == 1000 and .codes == [7]' \
  <<<"$answers")" true "$answers"
assert_contains "$(jq -r .why <<<"$answers")" "no slot became idle within 2 s"
wait_for 150 is idle 10
assert_eq "$(pool_says waiting)" 0
coldstart pool stop --all
assert_pool_gone
