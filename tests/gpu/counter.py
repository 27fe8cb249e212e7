#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server whose state is in device memory, by the driver's API alone: for the fake driver and for a real one.

    counter.py PORT MEBIBYTES [WORKERS [ZEROS]]

GET /       {"count": how often it was asked, kept on the device; "digest": of all its device memory}
GET /ready  {}, at once: reading 100 GB of device memory takes minutes
WORKERS     further processes, each with device memory of its own; they do nothing but keep it
ZEROS       mebibytes of further device memory that hold nothing, as a cache that nothing is in yet
"""
import ctypes
import hashlib
import http.server
import json
import os
import sys

cuda = ctypes.CDLL(os.environ.get("COLDSTART_LIBCUDA", "libcuda.so.1"))


def call(name, *arguments):
    result = getattr(cuda, name)(*arguments)
    if result != 0:
        raise RuntimeError(f"{name}: CUDA error {result}")


class DeviceMemory:
    """The first 8 bytes count, the rest is a pattern."""

    def __init__(self, size, seed):
        self.size = size
        device, context = ctypes.c_int(), ctypes.c_void_p()
        call("cuInit", 0)
        call("cuDeviceGet", ctypes.byref(device), 0)
        call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        call("cuCtxSetCurrent", context)
        self.context = context
        self.at = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(self.at), ctypes.c_size_t(size))
        block = hashlib.shake_256(seed.encode()).digest(1 << 20)
        for offset in range(0, size, len(block)):
            self.write(offset, block[: size - offset])
        self.write(0, bytes(8))

    def write(self, offset, data):
        call("cuMemcpyHtoD_v2", ctypes.c_uint64(self.at.value + offset), data, ctypes.c_size_t(len(data)))

    def read(self, offset, size):
        buffer = ctypes.create_string_buffer(size)
        call("cuMemcpyDtoH_v2", buffer, ctypes.c_uint64(self.at.value + offset), ctypes.c_size_t(size))
        return buffer.raw

    def count(self):
        call("cuCtxSetCurrent", self.context)  # of this thread
        count = int.from_bytes(self.read(0, 8), "little") + 1
        self.write(0, count.to_bytes(8, "little"))
        digest = hashlib.sha256()
        for offset in range(0, self.size, 1 << 24):
            digest.update(self.read(offset, min(1 << 24, self.size - offset))[8 if offset == 0 else 0 :])
        return {"count": count, "digest": digest.hexdigest()}


def main():
    port, size = int(sys.argv[1]), int(sys.argv[2]) << 20
    for worker in range(int(sys.argv[3]) if len(sys.argv) > 3 else 0):
        if os.fork() == 0:
            memory = DeviceMemory(size, f"worker {worker}")
            while True:
                os.read(os.pipe()[0], 1)  # for ever
    memory = DeviceMemory(size, "coldstart")
    zeros = (int(sys.argv[4]) if len(sys.argv) > 4 else 0) << 20
    if zeros:
        at = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(zeros))
        call("cuMemsetD8_v2", at, ctypes.c_ubyte(0), ctypes.c_size_t(zeros))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({} if self.path == "/ready" else memory.count()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.HTTPServer.allow_reuse_address = True
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
