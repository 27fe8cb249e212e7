#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server whose memory is allocated, freed, grown and written to by what it is asked.

    churn.py PORT [MEBIBYTES]

GET /churn/SEED   does a thousand such things, at random by SEED: {"digest"} of all its memory afterwards, so that two
                  servers that were asked the same must answer the same
GET /             {"digest"}
Started with PYTHONMALLOC=malloc, all of it goes through the C library's allocator, or the one that LD_PRELOAD puts in its
place.
"""

import hashlib
import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZES = (100, 3000, 20_000, 300_000)
blocks = []


def fill(size, value):
    return bytearray(value.to_bytes(8, "little") * (size // 8 + 1))


def churn(seed):
    rng = random.Random(seed)
    for _ in range(1000):
        i = rng.randrange(len(blocks))
        what = rng.randrange(4)
        if what == 0:
            blocks[i] = fill(rng.choice(SIZES), rng.getrandbits(60))
        elif what == 1:
            blocks[i].extend(fill(rng.choice(SIZES), rng.getrandbits(60)))
        elif what == 2:
            del blocks[i][len(blocks[i]) // 2 :]
        elif blocks[i]:
            blocks[i][rng.randrange(len(blocks[i]))] ^= rng.randrange(1, 256)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/churn/"):
            churn(int(self.path[len("/churn/") :]))
        digest = hashlib.sha256()
        for block in blocks:
            digest.update(block)
        body = json.dumps({"digest": digest.hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def main():
    rng = random.Random(0)
    left = int(sys.argv[2] if len(sys.argv) > 2 else 48) << 20
    while left > 0:
        size = rng.choice(SIZES)
        blocks.append(fill(size, rng.getrandbits(60)))
        left -= size
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()


main()
