#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a .safetensors file of weights as models have them, bf16 of a normal distribution where there is torch, and
beside it what they are, in a file named kind.

    bf16_weights.py FILE MEBIBYTES
"""
import json
import os
import sys

PIECE = 64 << 20
path, size = sys.argv[1], int(sys.argv[2]) << 20
try:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = "bf16 weights"

    def piece(count):
        values = torch.randn(count // 2, device=device) * 0.02
        return values.to(torch.bfloat16).view(torch.uint8).cpu().numpy().tobytes()
except ImportError:
    kind = "random bytes"
    piece = os.urandom
header = json.dumps({"weights": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}).encode()
header += b" " * (-len(header) % 8)
with open(path, "wb") as file:
    file.write(len(header).to_bytes(8, "little") + header)
    for at in range(0, size, PIECE):
        file.write(piece(min(PIECE, size - at)))
with open(os.path.join(os.path.dirname(path), "kind"), "w") as file:
    file.write(kind)
