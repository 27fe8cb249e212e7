# SPDX-License-Identifier: Apache-2.0
"""Pools of a small server (tests/e2e/servers/threads.py), spoken to over their own API."""

import hashlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

from paired import COLDSTART

SERVERS = pathlib.Path(__file__).resolve().parent.parent / "e2e/servers"
PORT = 8000
DIGEST = hashlib.sha256(hashlib.shake_256(b"coldstart").digest(1 << 20)).hexdigest()  # in every right answer
BINDS = ["--bind", f"{SERVERS}:/mnt:ro"]


def need_root():
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)


def take_snapshot(folder, name="s"):
    """Of the server, in the store folder/store, which is the tool's from now on; the folder's name is in the environment of all
    that runs for it."""
    os.environ["COLDSTART_STORE"] = str(folder / "store")
    command = [COLDSTART, "snapshot", "-t", name, "--rootfs", "/", *BINDS, "--net", "private", "-e", f"OF={folder}"]
    ready = ["--ready", f"http://127.0.0.1:{PORT}/", "--", "python3", "/mnt/threads.py", str(PORT), "1"]
    subprocess.run([*command, *ready], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def replicas():
    """What `ps` shows."""
    return json.loads(subprocess.run([COLDSTART, "--json", "ps"], check=True, stdout=subprocess.PIPE).stdout)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("pool", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Pool:
    def __init__(self, folder, *options, snapshot="s"):
        self.socket = str(folder / "socket")
        command = [COLDSTART, "--json", "pool", "warm", snapshot, "-d", "--listen", f"unix:{self.socket}", *options]
        self.pid = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["pid"]

    def ask(self, path, body=None):
        connection = Connection(self.socket)
        connection.request("POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def wait(self, what, seconds=120):
        deadline = time.monotonic() + seconds
        while not what(status := self.ask("/v1/status")):
            if time.monotonic() > deadline:
                raise SystemExit(f"waited in vain for the pool: {status}")
            time.sleep(0.05)
        return status

    def stop(self):
        self.ask("/v1/stop", {"all": True})
        while os.path.exists(f"/proc/{self.pid}"):
            time.sleep(0.05)


def ask_server(at, path="/"):
    connection = http.client.HTTPConnection(at.rsplit(":", 1)[0], timeout=60)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
