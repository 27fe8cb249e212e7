#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the driver leaves in a process while its GPU state is checkpointed: what CRIU would stumble over, and where the
copy of device memory is.

    checkpointed.py PID
"""
import os
import sys


def read(path):
    with open(path) as file:
        return file.read()


pid = sys.argv[1]
open_files = []
for number in os.listdir(f"/proc/{pid}/fd"):
    try:
        link = os.readlink(f"/proc/{pid}/fd/{number}")
    except OSError:
        continue
    if "nvidia" in link or "socket:" in link or "memfd" in link or "io_uring" in link:
        open_files.append(f"{number} {link}")
print("open files of the driver's, sockets:", ", ".join(sorted(open_files)) or "none")

mappings, current = [], None
for line in read(f"/proc/{pid}/smaps").splitlines():
    words = line.split()
    if "-" in words[0] and not words[0].endswith(":"):
        current = {"range": words[0], "rights": words[1], "path": " ".join(words[5:]) or "anonymous"}
        mappings.append(current)
    elif words[0] in ("Rss:", "AnonHugePages:", "ShmemPmdMapped:"):
        current[words[0]] = int(words[1]) << 10
    elif words[0] == "VmFlags:":
        current["flags"] = " ".join(words[1:])
devices = [m for m in mappings if "/dev/" in m["path"]]
print("mappings of devices and shared memory:", ", ".join(sorted({m["path"] for m in devices})) or "none")
print("largest mappings:")
for m in sorted(mappings, key=lambda m: -m.get("Rss:", 0))[:6]:
    print(f"  {m['range']} {m['rights']} {m.get('Rss:', 0) / 1e6:.0f} MB, {m.get('AnonHugePages:', 0) / 1e6:.0f} huge, "
          f"{m['path']}, {m.get('flags', '')}")
names = {}
for thread in os.listdir(f"/proc/{pid}/task"):
    name = read(f"/proc/{pid}/task/{thread}/comm").strip()
    names[name] = names.get(name, 0) + 1
print("threads:", ", ".join(f"{count} {name}" for name, count in sorted(names.items())))
