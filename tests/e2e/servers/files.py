#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A web server for a folder, with ranges, that can be told to fail: files.py PORT FOLDER [CONTROL]

The text in the file CONTROL, looked at for each request for a blob, says how:
    ok                     as it should be
    status N               answers with that status
    flaky N                every second request gets status N, with "Retry-After: 0"
    short                  sends half of what it says, and closes
    wrong-range            gives another range than asked for, and says so
    ignore-range           sends the whole file, status 200
    corrupt                right lengths, one bit flipped
    loop                   redirects to itself
    redirect               redirects once, to where the file is
Requests are logged to stderr, one line each.
"""
import http.server
import os
import re
import socketserver
import sys
import urllib.parse

port, folder = int(sys.argv[1]), sys.argv[2]
control = sys.argv[3] if len(sys.argv) > 3 else None
count = 0


def mode():
    try:
        with open(control) as file:
            return file.read().split() or ["ok"]
    except (OSError, TypeError):
        return ["ok"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *words):
        sys.stderr.write("%s %s\n" % (self.headers.get("Range", "-"), format % words))

    def empty(self, status, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        global count
        path = urllib.parse.unquote(self.path.removeprefix("/moved"))
        how = mode() if "/blobs/" in path else ["ok"]
        count += 1
        if how[0] == "status" or (how[0] == "flaky" and count % 2):
            return self.empty(int(how[1]), ("Retry-After", "0"))
        if how[0] == "loop":
            return self.empty(302, ("Location", self.path))
        if how[0] == "redirect" and not self.path.startswith("/moved"):
            return self.empty(307, ("Location", "/moved" + self.path))
        try:
            with open(os.path.join(folder, path.lstrip("/")), "rb") as file:
                data = file.read()
        except OSError:
            return self.empty(404)
        total = len(data)
        wanted = re.match(r"bytes=(\d+)-(\d+)$", self.headers.get("Range", ""))
        if wanted and how[0] != "ignore-range":
            first, last = int(wanted[1]), min(int(wanted[2]), total - 1)
            if how[0] == "wrong-range":
                first, last = first + 1, last + 1
            data = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        else:
            self.send_response(200)
        if how[0] == "corrupt" and data:
            data = bytearray(data)
            data[len(data) // 2] ^= 1
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not with_body:
            return
        if how[0] == "short":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.wfile.write(data)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", port), Handler).serve_forever()
