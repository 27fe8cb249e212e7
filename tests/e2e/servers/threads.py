#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of one process and several threads, with state that only lives in memory.

    threads.py PORT [MEBIBYTES]

GET /add/N    adds N to the counter:   {"counter", "ticks", "threads", "digest"}
GET /         the same, adding nothing
"ticks" is counted by a thread of its own, ten a second, so it tells whether threads run. "digest" is that of MEBIBYTES of
memory (default 1) filled at the start, computed anew for each answer, so it tells whether memory is right.
"""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
counter = 0
ticks = 0
memory = b""


def tick():
    global ticks
    while True:
        threading.Event().wait(0.1)
        ticks += 1


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        global counter
        if self.path.startswith("/add/"):
            with lock:
                counter += int(self.path[len("/add/") :])
        answer = {
            "counter": counter,
            "ticks": ticks,
            "threads": threading.active_count(),
            "digest": hashlib.sha256(memory).hexdigest(),
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    global memory
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    memory = hashlib.shake_256(b"coldstart").digest(1 << 20) * mebibytes
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    threading.Thread(target=tick, daemon=True).start()
    print(f"ready on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
