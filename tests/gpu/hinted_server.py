#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server with weights.

    hinted_server.py make FILE MB      writes a .safetensors file of random tensors of all sizes, MB in all
    hinted_server.py PORT FILE [gpu]   holds the tensors: each in a buffer of its memory, or by the driver's API on the device

GET / gives the digest of all tensors, in the order of their names. With gpu:
GET /drop      frees what `coldstart weights drop $IMAGE` says is in the image; GET /refill gets it back
GET /compare   what may be freed, by handles; frees nothing
GET /change    changes a byte of the second tensor
GET /place     allocates what was dropped and gives the list that /refill sends, without sending it
They answer with what coldstart said.
"""

import ctypes
import hashlib
import http.server
import json
import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path += [here, os.path.join(here, "../../examples/weights")]


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


class HostWeights:
    def __init__(self, path):
        self.buffers = [bytearray(data) for _, data in tensors_of(path)]

    def digest(self):
        digest = hashlib.sha256()
        for buffer in self.buffers:
            digest.update(buffer)
        return digest.hexdigest()


class DeviceWeights:
    """Two tensors an allocation where they are small, as allocators have it."""

    def __init__(self, path):
        self.path, self.device, self.tensors, room = path, hints.Driver(), {}, 0
        for name, data in tensors_of(path):
            if room < len(data):
                room = max(len(data), 1 << 20)
                at = self.device.allocate(room)
            self.tensors[name] = [at, len(data)]
            self.device.write(at, data)
            at, room = at + (len(data) + 511) // 512 * 512, max(0, room - (len(data) + 511) // 512 * 512)
        self.dropped = None

    def digest(self):
        self.device.enter()  # of this thread
        digest = hashlib.sha256()
        for at, size in self.tensors.values():
            if size:
                digest.update(self.device.read(at, size))
        return digest.hexdigest()

    def change(self):
        self.device.enter()
        at = list(self.tensors.values())[1][0] + 12345
        self.device.write(at, bytes([self.device.read(at, 1)[0] ^ 1]))
        return "changed"

    def allocations(self, names):
        return {self.device.allocation_of(self.tensors[name][0])[0] for name in names}

    def drop(self):
        self.device.enter()
        said = hints.drop(self.device, {n: (at, size) for n, (at, size) in self.tensors.items() if size},
                          os.environ["MODELS"], file=os.path.basename(self.path))
        # An allocation goes only if nothing in it has to stay.
        kept = self.allocations(said["kept"])
        said["tensors"] = [one for one in said["tensors"] if not self.allocations([one["name"]]) & kept]
        for at in self.allocations(one["name"] for one in said["tensors"]):
            self.device.free(at)
        self.dropped = said
        ctypes.CDLL(None).malloc_trim(0)  # what was read through the heap need not be kept either
        return json.dumps(said)

    def compare(self):
        """The same by handles, for coldstart to look for itself; nothing is freed."""
        self.device.enter()
        tensors = [{"name": name, "bytes": size, "handle": handle, "offset": offset}
                   for name, (at, size) in self.tensors.items() if size
                   for handle, offset in [self.device.handle_of(at)]]
        return json.dumps(hints.run("drop", [os.environ["MODELS"], "--file", os.path.basename(self.path)],
                                    json.dumps({"gpu": self.device.gpu, "tensors": tensors})))

    def place(self):
        self.device.enter()
        for one in self.dropped["tensors"]:
            place = self.tensors[one["name"]]
            place[0] = self.device.allocate(place[1])
        places = {one["name"]: tuple(self.tensors[one["name"]]) for one in self.dropped["tensors"]}
        return json.dumps(hints.placed(self.device, self.dropped, places))

    def refill(self):
        said = hints.run("refill", [], self.place())
        self.dropped = None
        return json.dumps(said)


def serve(port, answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                status, body = 200, answer(self.path).encode()
            except Exception as error:
                status, body = 500, str(error).encode()
            self.send_response(status)
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
    if "gpu" not in sys.argv[3:]:
        weights = HostWeights(sys.argv[2])
        return serve(int(sys.argv[1]), lambda _: weights.digest())
    global hints
    import coldstart_weights as hints

    weights = DeviceWeights(sys.argv[2])
    does = {"/": weights.digest, "/drop": weights.drop, "/place": weights.place, "/refill": weights.refill, "/compare": weights.compare,
            "/change": weights.change}
    serve(int(sys.argv[1]), lambda path: does[path]())


if __name__ == "__main__":
    main()
