#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memory.py PORT MB: holds MB of data, half of it noise and half of it text. /sum is the digest of all of it; /touch/N reads
the first N MB; /change/N writes to page N. /faults/N reads a byte of each 64 KiB of them and answers the median of the
nanoseconds that a read took; /last says that again."""

import hashlib
import http.server
import random
import statistics
import sys
import time

PAGE = 4096
SIZE = int(sys.argv[2]) << 20
DATA = bytearray(SIZE)
for at in range(0, SIZE, 1 << 20):
    if (at >> 20) % 2 == 0:
        DATA[at : at + (1 << 20)] = random.Random(at).randbytes(1 << 20)
    else:
        line = b"line %012d of text that compresses as text does\n" % at
        DATA[at : at + (1 << 20)] = (line * ((1 << 20) // len(line) + 1))[: 1 << 20]
last = None


def read_times(mb):
    times = []
    for at in range(0, mb << 20, 64 << 10):
        start = time.perf_counter_ns()
        DATA[at]
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global last
        what, _, number = self.path[1:].partition("/")
        if what == "change":
            DATA[int(number) * PAGE + 5] ^= 255
        answer = "ok"
        if what == "sum":
            answer = hashlib.sha256(DATA).hexdigest()
        elif what == "touch":
            answer = str(sum(DATA[at] for at in range(0, int(number) << 20, PAGE)))
        elif what == "faults":
            last = answer = str(read_times(int(number)))
        elif what == "last":
            answer = str(last)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


http.server.HTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
