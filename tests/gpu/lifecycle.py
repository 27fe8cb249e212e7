#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the driver's checkpoint calls take, and the limits of the hardware beside them, without coldstart.

    lifecycle.py MEBIBYTES...      a row a size: each call's seconds, and GB/s
    lifecycle.py --bandwidth       copies of pinned and pageable memory, GB/s
"""
import ctypes
import os
import signal
import subprocess
import sys
import time
import urllib.request

here = os.path.dirname(os.path.abspath(__file__))
cuda = ctypes.CDLL(os.environ.get("COLDSTART_LIBCUDA", "libcuda.so.1"))


def check(result, what):
    if result != 0:
        raise RuntimeError(f"{what}: CUDA error {result}")


def entry(name, version=12080):
    pointer, status = ctypes.c_void_p(), ctypes.c_int()
    check(cuda.cuGetProcAddress_v2(name.encode(), ctypes.byref(pointer), version, ctypes.c_uint64(0),
                                   ctypes.byref(status)), name)
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(pointer.value)


def timed(function, pid, arguments):
    start = time.perf_counter()
    check(function(pid, arguments), "a checkpoint call")
    return time.perf_counter() - start


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def life(mebibytes, port):
    server = subprocess.Popen([sys.executable, os.path.join(here, "counter.py"), str(port), str(mebibytes)],
                              preexec_fn=end_with_parent)
    try:
        for _ in range(2400):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=60).read()
                break
            except OSError:
                time.sleep(0.05)
        zeros = ctypes.create_string_buffer(64)
        seconds = [timed(entry("cuCheckpointProcess" + name), server.pid, zeros)
                   for name in ("Lock", "Checkpoint", "Restore", "Unlock")]
        out, back = (mebibytes * 1048576 / s / 1e9 for s in seconds[1:3])
        print(f"| {mebibytes} | " + " | ".join(f"{s:.3f}" for s in seconds) + f" | {out:.1f} | {back:.1f} |", flush=True)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def bandwidth():
    size, rounds = (256 << 20) if "COLDSTART_FAKE_GPU" not in os.environ else 1 << 20, 8
    device, context, at = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    pinned, stream = ctypes.c_void_p(), ctypes.c_void_p()
    check(cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    check(cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(size)), "cuMemAlloc")
    check(cuda.cuMemHostAlloc(ctypes.byref(pinned), ctypes.c_size_t(size), 0), "cuMemHostAlloc")
    check(cuda.cuStreamCreate(ctypes.byref(stream), 1), "cuStreamCreate")
    pageable = ctypes.create_string_buffer(size)
    for name, host in (("pinned", pinned), ("pageable", ctypes.cast(pageable, ctypes.c_void_p))):
        for way in ("to the device", "from the device"):
            def copy():
                if way == "to the device":
                    check(cuda.cuMemcpyHtoDAsync_v2(at, host, ctypes.c_size_t(size), stream), "copy")
                else:
                    check(cuda.cuMemcpyDtoHAsync_v2(host, at, ctypes.c_size_t(size), stream), "copy")
            copy()
            check(cuda.cuStreamSynchronize(stream), "cuStreamSynchronize")
            start = time.perf_counter()
            for _ in range(rounds):
                copy()
            check(cuda.cuStreamSynchronize(stream), "cuStreamSynchronize")
            print(f"{name} {way}: {rounds * size / (time.perf_counter() - start) / 1e9:.1f} GB/s", flush=True)


check(cuda.cuInit(0), "cuInit")
if sys.argv[1] == "--bandwidth":
    bandwidth()
else:
    print("| MiB | lock s | checkpoint s | restore s | unlock s | out GB/s | back GB/s |\n|---|---|---|---|---|---|---|")
    for number, argument in enumerate(sys.argv[1:]):
        life(int(argument), int(os.environ.get("PORT", "24700")) + number)
