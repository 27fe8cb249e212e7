#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memory.py PORT MB: holds MB of data, half of it noise and half of it text. /sum is the digest of all of it; /touch/N reads
the first N MB; /change/N writes to page N."""

import hashlib
import http.server
import random
import sys

PAGE = 4096
SIZE = int(sys.argv[2]) << 20
DATA = bytearray(SIZE)
for at in range(0, SIZE, 1 << 20):
    if (at >> 20) % 2 == 0:
        DATA[at : at + (1 << 20)] = random.Random(at).randbytes(1 << 20)
    else:
        line = b"line %012d of text that compresses as text does\n" % at
        DATA[at : at + (1 << 20)] = (line * ((1 << 20) // len(line) + 1))[: 1 << 20]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what, _, number = self.path[1:].partition("/")
        if what == "change":
            DATA[int(number) * PAGE + 5] ^= 255
        answer = "ok"
        if what == "sum":
            answer = hashlib.sha256(DATA).hexdigest()
        elif what == "touch":
            answer = str(sum(DATA[at] for at in range(0, int(number) << 20, PAGE)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


http.server.HTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
