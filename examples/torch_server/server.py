#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small but honest inference server: a language model over bytes with 1.1 GB of weights, behind HTTP.

    server.py [--port N]      (or the environment's PORT; default 8000)

    GET  /health                 {"ok", "weights"}, the SHA-256 of the weights, once the model can answer
    GET  /generate?prompt=TEXT   {"prompt", "text", "sha256"}
    POST /generate               the same for {"prompt": TEXT}

The weights come from a fixed seed and the number of threads is fixed, so that on one machine every start gives the same
logits to the last bit: `sha256` is that of the logits, and tells whether two servers answer alike. Every token reads all
the weights. The text is nonsense, as the model never learned anything.
"""

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import torch
from torch import nn

WIDTH, LAYERS, VOCABULARY = 2048, 8, 256
NEW_TOKENS, THREADS = 2, 2


class Block(nn.Module):
    """A feed-forward layer with its residual."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Model(nn.Module):
    """Logits of the next byte, from the bytes so far, the newest of which counts most."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for matrix in (p for p in self.parameters() if p.dim() == 2):
            nn.init.normal_(matrix, std=0.02)

    def forward(self, tokens):
        age = torch.arange(len(tokens) - 1, -1, -1, dtype=torch.float32)
        return self.head(self.blocks(0.9**age @ self.embedding(tokens)))


def sha256_of(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(memoryview(array).cast("B"))
    return digest.hexdigest()


class Engine:
    """The model and its lock: one prompt at a time."""

    def __init__(self):
        torch.manual_seed(1)
        torch.set_num_threads(THREADS)
        self.model = Model().eval()
        self.lock = threading.Lock()

        # As servers that load a checkpoint do: know that it is the right one, then answer once before anyone waits.
        weights = [p.detach().numpy() for p in self.model.parameters()]
        self.weight_bytes = sum(w.nbytes for w in weights)
        self.weight_sha256 = sha256_of(weights)
        self.generate("warm up")

    def generate(self, prompt):
        tokens = list(prompt.encode()) or [0]
        prompt_length, logits = len(tokens), []
        with self.lock, torch.inference_mode():
            for _ in range(NEW_TOKENS):
                logits.append(self.model(torch.tensor(tokens)).numpy())
                tokens.append(int(logits[-1].argmax()))
        text = bytes(tokens[prompt_length:]).decode("latin-1")
        return {"prompt": prompt, "text": text, "sha256": sha256_of(logits)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/health":
            self.reply(200, {"ok": True, "weights": self.engine.weight_sha256})
        elif url.path == "/generate":
            self.reply(200, self.engine.generate(parse_qs(url.query).get("prompt", [""])[0]))
        else:
            self.reply(404, {"error": "no such page"})

    def do_POST(self):
        try:
            prompt = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))["prompt"]
        except (ValueError, KeyError, TypeError):
            self.reply(400, {"error": 'want {"prompt": TEXT}'})
            return
        self.reply(200, self.engine.generate(str(prompt)))

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        # A connection that stays open would be in the way of a snapshot.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="an inference server with 1.1 GB of weights")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    options = parser.parse_args()

    started = time.monotonic()
    Handler.engine = Engine()
    server = ThreadingHTTPServer((options.host, options.port), Handler)
    print(
        f"ready on {options.host}:{options.port}: {Handler.engine.weight_bytes / 1e9:.2f} GB of weights "
        f"in {time.monotonic() - started:.1f} s",
        flush=True,
    )
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
