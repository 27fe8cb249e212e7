#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server with weights.

    weights.py make FILE MB      writes a .safetensors file of random tensors of all sizes, MB in all
    weights.py PORT FILE [gpu]   holds each tensor in a buffer of its own: of its memory, or by the driver's API on the device

GET / gives the digest of all tensors, in the order of their names.
"""

import ctypes
import hashlib
import http.server
import json
import os
import sys


def make(path, size):
    header, start = {}, 0
    sizes = [1 << 20, 3_000_001, 40_000, 12_345_678, 4096, 10, 0, 700_000]
    data = []
    while start < size:
        part = min(sizes[len(data) % len(sizes)], size - start)
        header[f"layer.{len(data):03}"] = {"dtype": "U8", "shape": [part], "data_offsets": [start, start + part]}
        data.append(os.urandom(part))
        start += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(data)


def tensors_of(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for name in sorted(set(header) - {"__metadata__"}):
            begin, end = header[name]["data_offsets"]
            file.seek(8 + length + begin)
            yield name, file.read(end - begin)


class Device:
    """Device memory by the driver's API alone."""

    def __init__(self):
        self.cuda = ctypes.CDLL(os.environ.get("COLDSTART_LIBCUDA", "libcuda.so.1"))
        self.context, device = ctypes.c_void_p(), ctypes.c_int()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.enter()

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: CUDA error {result}")

    def enter(self):
        self.call("cuCtxSetCurrent", self.context)

    def allocate(self, size):
        at = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(at), ctypes.c_size_t(size))
        return at.value

    def free(self, at):
        self.call("cuMemFree_v2", ctypes.c_uint64(at))

    def write(self, at, data):
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(at), bytes(data), ctypes.c_size_t(len(data)))

    def read(self, at, size):
        buffer = ctypes.create_string_buffer(size)
        self.call("cuMemcpyDtoH_v2", buffer, ctypes.c_uint64(at), ctypes.c_size_t(size))
        return buffer.raw


class HostWeights:
    def __init__(self, path):
        self.buffers = [bytearray(data) for _, data in tensors_of(path)]

    def digest(self):
        digest = hashlib.sha256()
        for buffer in self.buffers:
            digest.update(buffer)
        return digest.hexdigest()


class DeviceWeights:
    def __init__(self, path):
        self.device = Device()
        self.places = []
        for _, data in tensors_of(path):
            if data:
                self.places.append((self.device.allocate(len(data)), len(data)))
                self.device.write(self.places[-1][0], data)

    def digest(self):
        self.device.enter()  # of this thread
        digest = hashlib.sha256()
        for at, size in self.places:
            digest.update(self.device.read(at, size))
        return digest.hexdigest()


def serve(port, answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer(self.path).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.HTTPServer.allow_reuse_address = True
    http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def main():
    if sys.argv[1] == "make":
        return make(sys.argv[2], int(sys.argv[3]) << 20)
    weights = (DeviceWeights if "gpu" in sys.argv[3:] else HostWeights)(sys.argv[2])
    serve(int(sys.argv[1]), lambda _: weights.digest())


if __name__ == "__main__":
    main()
