#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a .safetensors file of weights as models have them: of a normal distribution, the mantissa being noise.

    model_weights.py FILE MEBIBYTES [BF16|F32]
"""
import json
import os
import random
import struct
import sys

PIECE = 16 << 20


def high_bytes():
    """Sign and exponent of 256 numbers that stand for the distribution."""
    rng = random.Random(1)
    high = sorted(struct.pack(">f", rng.gauss(0, 0.02))[0] for _ in range(1 << 16))
    return bytes(high[128::256])


class Pieces:
    """No two are alike: each begins elsewhere in the same noise, which takes less time than new noise for each."""

    def __init__(self, width):
        self.width = width
        self.noise = os.urandom(2 * PIECE)
        self.high = os.urandom(2 * PIECE).translate(high_bytes())

    def get(self, number, size):
        numbers = bytearray(self.of(self.noise, number * 1_000_003, size))
        numbers[self.width - 1 :: self.width] = self.of(self.high, number * 2_000_003, size // self.width)
        return numbers

    def of(self, what, start, size):
        return what[start % PIECE : start % PIECE + size]


def write(path, size, kind):
    width = {"BF16": 2, "F32": 4}[kind]
    header = json.dumps({"weights": {"dtype": kind, "shape": [size // width], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    pieces = Pieces(width)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for number in range(-(-size // PIECE)):
            file.write(pieces.get(number, min(PIECE, size - number * PIECE)))


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]) << 20, sys.argv[3] if len(sys.argv) > 3 else "BF16")
