#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes memory and gives it back: in a virtual machine what was never used is several times slower, and some machines
begin with little memory and get more as it is used.

    grow_memory.py GIBIBYTES SECONDS      at most
"""
import mmap
import os
import sys
import time

POPULATE_WRITE = 23
PIECE = 256 << 20
LEAST_AVAILABLE = 4 << 30


def meminfo(name):
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name + ":"))


def take(size, end):
    taken = []
    while (len(taken) + 1) * PIECE <= size and time.monotonic() < end:
        if meminfo("MemAvailable") < LEAST_AVAILABLE:
            time.sleep(0.1)  # there may be more in a moment
            continue
        taken.append(mmap.mmap(-1, PIECE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        taken[-1].madvise(POPULATE_WRITE)
    return taken


size, limit, start = int(sys.argv[1]) << 30, float(sys.argv[2]), time.monotonic()
total, workers = meminfo("MemTotal"), os.cpu_count()
told, tell = os.pipe()
held, hold = os.pipe()
for _ in range(workers):
    if os.fork() == 0:
        os.close(hold)
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
        pieces = take(size // workers, start + limit)
        os.write(tell, bytes([min(255, len(pieces))]))
        os.read(held, 1)  # until all are done: none gets what another has used already
        os._exit(0)
os.close(tell)
taken = 0
while answer := os.read(told, 1):
    taken += answer[0] * PIECE
    workers -= 1
    if workers == 0:
        break
os.close(hold)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
print(f"memory: {total / 2**30:.0f} GiB, {taken / 2**30:.0f} GiB used once in {time.monotonic() - start:.1f} s, "
      f"{meminfo('MemTotal') / 2**30:.0f} GiB since")
