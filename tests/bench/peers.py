# SPDX-License-Identifier: Apache-2.0
"""Debian with torch as a folder, as a kernel EROFS (lz4) image, and as an image of ours: mounted, in turn."""

import contextlib
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from paired import COLDSTART

ROOTFS = os.path.join(os.environ.get("COLDSTART_FIXTURES", "/var/cache/coldstart-fixtures"), "rootfs-torch")


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def forget_memory(store):
    """As on a host that has only the chunks: what restores have unpacked, and what they have kept in memory, is gone."""
    shutil.rmtree(os.path.join(store, "cache"), ignore_errors=True)
    for tier in glob.glob("/dev/shm/coldstart-*"):
        name = os.path.join(tier, "store")
        if os.path.exists(name) and open(name).read().strip() == store:
            shutil.rmtree(tier)


def end_replicas(store):
    """Of a bench that was interrupted, too; and what its snapshots keep in memory."""
    listed = subprocess.run([COLDSTART, "--store", store, "--json", "ps"], stdout=subprocess.PIPE).stdout
    ids = [replica["id"] for replica in json.loads(listed or "[]")]
    if ids:
        subprocess.run([COLDSTART, "--store", store, "-q", "stop", "--timeout", "1", *ids], stdout=subprocess.DEVNULL)
    forget_memory(store)


def quietly(*argv, **more):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **more)


def judge(what, ratio, aim, at_least=False):
    met = ratio >= aim if at_least else ratio <= aim
    print(f"{what}: {ratio:.2f}, aim {aim}: {'met' if met else 'MISSED'}")


def of_medians(results, name, base):
    return statistics.median(results[name]) / statistics.median(results[base])


def need_root():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is unmounted and removed
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("skipped: needs root and /dev/fuse")
        sys.exit(77)


class Box:
    """A store and a mount point below a temporary folder."""

    def __init__(self):
        self.work = tempfile.mkdtemp(dir="/var/tmp", prefix="coldstart-bench-")
        self.store = os.path.join(self.work, "store")
        self.at = os.path.join(self.work, "at")
        os.mkdir(self.at)
        self.environment = {**os.environ, "COLDSTART_STORE": self.store}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.work)

    def coldstart(self, *arguments):
        quietly(COLDSTART, "--no-progress", *arguments, env=self.environment)

    @contextlib.contextmanager
    def mounted(self, image, *options, at=None):
        at = at or self.at
        self.coldstart("mount", *options, image, at)
        try:
            yield at
        finally:
            self.coldstart("umount", at)

    def stat(self, at=None):
        return json.loads(
            subprocess.run(
                [COLDSTART, "--json", "mount", "stat", at or self.at], env=self.environment, check=True,
                capture_output=True,
            ).stdout
        )

    def fill(self, image):
        """Brings the whole image into the disk cache, and waits until it is flushed."""
        with self.mounted(image, "--prefetch", "all"):
            before = -1
            while (now := self.stat()["cached_files"]) != before or now == 0:
                before = now
                time.sleep(2)
            time.sleep(6)

    def forget(self):
        shutil.rmtree(os.path.join(self.store, "cache"), ignore_errors=True)


class TorchBox(Box):
    """With the image "torch" and, if mkfs.erofs is there, the same as EROFS."""

    def __init__(self):
        if not os.path.isdir(ROOTFS):
            print(f"skipped: needs {ROOTFS}: run 'make setup'")
            sys.exit(77)
        super().__init__()
        try:
            self.coldstart("image", "pack", ROOTFS, "-t", "torch")
            self.erofs_file = os.path.join(self.work, "torch.erofs")
            self.has_erofs = shutil.which("mkfs.erofs") is not None
            if self.has_erofs:
                quietly("mkfs.erofs", "-zlz4", self.erofs_file, ROOTFS, stderr=subprocess.DEVNULL)
            else:
                print("without EROFS: needs mkfs.erofs (erofs-utils)")
        except BaseException:
            shutil.rmtree(self.work)
            raise

    @contextlib.contextmanager
    def erofs(self):
        quietly("mount", "-t", "erofs", "-o", "loop,ro", self.erofs_file, self.at)
        try:
            yield self.at
        finally:
            quietly("umount", self.at)

    @contextlib.contextmanager
    def folder(self):
        yield ROOTFS
