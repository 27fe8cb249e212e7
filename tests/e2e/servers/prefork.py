#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of several processes: a parent and two workers that accept on one inherited socket.

    prefork.py PORT

GET /        {"pid", "parent", "answers"} of the worker that answered; "answers" counts that worker's own
GET /health  the same, not counted
A worker that dies is replaced; SIGTERM to the parent ends all three.
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

WORKERS = 2
SIGNALS = {signal.SIGCHLD, signal.SIGTERM}


class Handler(BaseHTTPRequestHandler):
    answers = 0

    def do_GET(self):
        if self.path != "/health":
            Handler.answers += 1
        body = json.dumps({"pid": os.getpid(), "parent": os.getppid(), "answers": Handler.answers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def work(listener):
    """The life of a worker; never returns."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    server = HTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    workers = set()
    # Waited for, not handled: a handler would not run when its signal comes just before os.wait() blocks.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    while True:
        while len(workers) < WORKERS:
            pid = os.fork()
            if pid == 0:
                work(listener)
            workers.add(pid)
            print(f"worker {pid} of {os.getpid()}", flush=True)
        if signal.sigwait(SIGNALS) == signal.SIGTERM:
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
            sys.exit(0)
        while workers and (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            workers.discard(pid)


if __name__ == "__main__":
    main()
