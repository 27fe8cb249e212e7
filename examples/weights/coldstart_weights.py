# SPDX-License-Identifier: Apache-2.0
"""Weights that need not be in a snapshot: for servers. See docs/weights.md.

    driver = coldstart_weights.Driver()
    places = {name: (p.data_ptr(), p.nbytes) for name, p in model.state_dict().items()}
    dropped = coldstart_weights.drop(driver, places, "llm:v1", file="/models/llm.safetensors")
    ...                                    # free the tensors that dropped["tensors"] names: they are in the image
    # --- the snapshot; then, after the restore: allocate them again, and
    coldstart_weights.refill(driver, dropped, places)

Needs the `coldstart` program (or what $COLDSTART names) and its store, and nothing else.
"""

import ctypes
import hashlib
import json
import os
import subprocess


class Driver:
    """The few calls of the CUDA driver that are needed, in the primary context, which torch uses too."""

    def __init__(self, ordinal=0):
        self.cuda = ctypes.CDLL(os.environ.get("COLDSTART_LIBCUDA", "libcuda.so.1"))
        self.context, device, uuid = ctypes.c_void_p(), ctypes.c_int(), ctypes.create_string_buffer(16)
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), ordinal)
        self.call("cuDeviceGetUuid_v2", uuid, device)
        text = uuid.raw.hex()
        self.gpu = "GPU-" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.enter()

    def call(self, name, *arguments):
        result = getattr(self.cuda, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: CUDA error {result}")

    def enter(self):
        """For each thread that uses it."""
        self.call("cuCtxSetCurrent", self.context)

    def allocation_of(self, at):
        """Where the allocation begins that this address is in, and its size; (0, 0) if it is in none."""
        base, size = ctypes.c_uint64(), ctypes.c_size_t()
        if self.cuda.cuMemGetAddressRange_v2(ctypes.byref(base), ctypes.byref(size), ctypes.c_uint64(at)) != 0:
            return 0, 0
        return base.value, size.value

    def handle_of(self, at):
        """Exports the allocation that this address is in: its handle, and the place in it."""
        base = self.allocation_of(at)[0]
        handle = ctypes.create_string_buffer(64)
        self.call("cuIpcGetMemHandle", handle, ctypes.c_uint64(base))
        return handle.raw.hex(), at - base

    # For programs without torch.

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


def run(verb, arguments, text):
    """One call of coldstart, which works in a process of its own; gives what it says."""
    done = subprocess.run([os.environ.get("COLDSTART", "coldstart"), "--json", "weights", verb, *arguments],
                          input=text.encode(), capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"coldstart weights {verb} (exit {done.returncode}): {done.stderr.decode().strip()}")
    return json.loads(done.stdout)


def digest_of(driver, at, size):
    digest = hashlib.sha256()
    for start in range(0, size, 1 << 26):
        digest.update(driver.read(at + start, min(1 << 26, size - start)))
    return "sha256:" + digest.hexdigest()


def drop(driver, places, image, file):
    """Compares them with the image; `places` is {name: (address, bytes)}. What it gives says which may be freed
    ("tensors"), and which are not as in the file and must stay ("kept"). Nothing is exported: memory that is, the
    driver may not be able to checkpoint."""
    tensors = [{"name": name, "file": file, "bytes": size, "digest": digest_of(driver, at, size)}
               for name, (at, size) in places.items()]
    return run("drop", [image], json.dumps({"tensors": tensors}))


def placed(driver, dropped, places):
    """What drop() gave, with the handles of where the tensors are to be now."""
    entries = []
    for one in dropped["tensors"]:
        handle, offset = driver.handle_of(places[one["name"]][0])
        entries.append({**one, "handle": handle, "offset": offset})
    return {"image": dropped["image"], "gpu": driver.gpu, "tensors": entries}


def refill(driver, dropped, places):
    """Fills them in again; raises if a single byte could not be had as it was."""
    return run("refill", [], json.dumps(placed(driver, dropped, places)))
