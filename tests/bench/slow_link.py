# SPDX-License-Identifier: Apache-2.0
"""A folder served by nginx, behind a link of 20 ms and 1 Gbit/s (tests/e2e/servers/proxy.py)."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

RTT_MS = 20
BYTES_PER_SECOND = 125_000_000
PROXY = pathlib.Path(__file__).resolve().parent.parent / "e2e/servers/proxy.py"

NGINX = """
daemon off; master_process off; pid {work}/pid; error_log {work}/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_listening(port):
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


class SlowLink:
    """`url` leads to the files of `root`."""

    def __init__(self, root):
        if shutil.which("nginx") is None:
            print("skipped: needs nginx")
            sys.exit(77)
        self.work = tempfile.mkdtemp(prefix="coldstart-bench-", dir="/var/tmp")
        server, port = free_port(), free_port()
        config = pathlib.Path(self.work) / "nginx.conf"
        config.write_text(NGINX.format(work=self.work, port=server, root=root))
        self.stats = pathlib.Path(self.work) / "stats"
        self.children = [
            subprocess.Popen(["nginx", "-p", self.work, "-c", config], stderr=subprocess.DEVNULL),
            subprocess.Popen(
                [sys.executable, PROXY, "--listen", str(port), "--to", f"127.0.0.1:{server}", "--rtt", str(RTT_MS),
                 "--rate", str(BYTES_PER_SECOND), "--stats", self.stats]
            ),
        ]  # fmt: skip
        until_listening(server)
        until_listening(port)
        self.url = f"http://127.0.0.1:{port}"

    def received(self):
        """Bytes that came over the link so far."""
        self.stats.unlink(missing_ok=True)
        self.children[1].send_signal(signal.SIGUSR1)
        while not self.stats.exists() or not self.stats.read_text():
            time.sleep(0.01)
        return json.loads(self.stats.read_text())["bytes_down"]

    def close(self):
        for child in self.children:
            child.terminate()
            child.wait()
        shutil.rmtree(self.work)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def make_archive(root, file):
    """As an image comes by other means: tar.zst, level 3."""
    with open(file, "wb") as out:
        tar = subprocess.Popen(["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["zstd", "-q", "-3", "-T0", "-c"], stdin=tar.stdout, stdout=out, check=True)
        if tar.wait() != 0:
            raise SystemExit("tar failed")


def unpack(stream, folder):
    os.mkdir(folder)
    subprocess.run(["tar", "-C", folder, "--numeric-owner", "--zstd", "-x"], stdin=stream, check=True)


def download_then_unpack(url, folder):
    """As container runtimes do it: a layer is there whole, and its digest right, before any of it is unpacked."""
    archive = folder + ".tar.zst"
    subprocess.run(["curl", "-fsS", "-o", archive, url], check=True)
    subprocess.run(["sha256sum", archive], stdout=subprocess.DEVNULL, check=True)
    with open(archive, "rb") as stream:
        unpack(stream, folder)
    os.unlink(archive)


def unpack_while_downloading(url, folder):
    """As a careful user would in the shell: curl | tar."""
    curl = subprocess.Popen(["curl", "-fsS", url], stdout=subprocess.PIPE)
    unpack(curl.stdout, folder)
    if curl.wait() != 0:
        raise SystemExit("curl failed")
