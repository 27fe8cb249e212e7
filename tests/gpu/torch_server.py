#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A torch server with GIGABYTES of random weights on the GPU and captured CUDA graphs.

    torch_server.py PORT GIGABYTES

GET /?seed=N    {"sha256": of the output for that input}, the same to the last bit at every start
"""
import hashlib
import http.server
import json
import sys
from urllib.parse import parse_qs, urlsplit

import torch

WIDTH = 8192
port, gigabytes = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(1)
layers = [
    torch.randn(WIDTH, WIDTH, device="cuda", dtype=torch.bfloat16) / WIDTH**0.5
    for _ in range(gigabytes * 10**9 // (WIDTH * WIDTH * 2))
]
graphs = {}  # by batch size, as servers have them
with torch.no_grad():
    for batch in (1, 2, 4, 8):
        into = torch.zeros(batch, WIDTH, device="cuda", dtype=torch.bfloat16)

        def forward(x):
            for layer in layers:
                x = torch.nn.functional.gelu(x @ layer)
            return x

        warm = torch.cuda.Stream()
        warm.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm):
            forward(into)
        torch.cuda.current_stream().wait_stream(warm)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = forward(into)
        graphs[batch] = (graph, into, out)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seed = int(parse_qs(urlsplit(self.path).query).get("seed", ["0"])[0])
        graph, into, out = graphs[1]
        generator = torch.Generator().manual_seed(seed)
        into.copy_(torch.randn(1, WIDTH, generator=generator).to(torch.bfloat16))
        graph.replay()
        torch.cuda.synchronize()
        body = json.dumps({"sha256": hashlib.sha256(out.float().cpu().numpy().tobytes()).hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
