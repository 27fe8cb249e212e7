#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network between a client and a server: a TCP proxy that delays, limits, drops and corrupts.

    proxy.py --listen PORT --to HOST:PORT [--rtt MS] [--rate BYTES_PER_SECOND] [--drop P] [--control FILE] [--stats FILE]

--rtt delays each direction by half of it, and --rate is shared by all connections, each direction by itself, as a
link is. A connection that is opened costs a round trip, as TCP's handshake does. --drop is the share of connections
that are reset in the middle of what the server sends.

The text in FILE of --control, looked at whenever bytes pass, changes how they do:
    ok        as above                hang      nothing passes any more
    refuse    connections are reset   corrupt   one bit in each block from the server is flipped, behind its headers
    trickle   a byte a second from the server
Whatever happened goes into FILE of --stats as JSON: connections, requests (pieces the client sent after it had heard
something, or at first), bytes_up, bytes_down, dropped. For benches too: netem is not in every kernel.
"""
import argparse
import asyncio
import json
import random
import signal
import socket
import struct
import time


class Link:
    """One direction of the wire: when a piece that is handed over now arrives at the other end."""

    def __init__(self, rate, delay):
        self.rate, self.delay, self.free = rate, delay, 0.0

    def arrival(self, size):
        now = time.monotonic()
        self.free = max(self.free, now) + (size / self.rate if self.rate else 0)
        return self.free + self.delay


class Proxy:
    def __init__(self, options):
        self.options = options
        host, port = options.to.rsplit(":", 1)
        self.server = (host, int(port))
        delay = options.rtt / 2000
        self.up, self.down = Link(options.rate, delay), Link(options.rate, delay)
        self.counts = {"connections": 0, "requests": 0, "bytes_up": 0, "bytes_down": 0, "dropped": 0}

    def mode(self):
        if not self.options.control:
            return "ok"
        try:
            with open(self.options.control) as file:
                return file.read().strip() or "ok"
        except OSError:
            return "ok"

    def save(self):
        if self.options.stats:
            with open(self.options.stats, "w") as file:
                json.dump(self.counts, file)

    @staticmethod
    def reset(writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def pass_on(self, reader, writer, link, down, state):
        """Takes pieces as they come and hands each over when it has crossed the wire. The queue is what is on it."""
        queue = asyncio.Queue(maxsize=64)

        async def deliver():
            while True:
                at, data = await queue.get()
                if data is None:
                    break
                await asyncio.sleep(max(0, at - time.monotonic()))
                while self.mode() == "hang":
                    await asyncio.sleep(0.05)
                if down and self.mode() == "trickle":
                    for i in range(len(data)):
                        writer.write(data[i : i + 1])
                        await writer.drain()
                        await asyncio.sleep(1)
                    continue
                writer.write(data)
                await writer.drain()

        task = asyncio.create_task(deliver())
        try:
            while data := await reader.read(64 << 10):
                self.counts["bytes_down" if down else "bytes_up"] += len(data)
                if not down and state["heard"]:
                    state["heard"] = False
                    self.counts["requests"] += 1
                if down:
                    state["heard"] = True
                    state["left"] -= len(data)
                if state["left"] < 0 or self.mode() == "refuse":
                    self.counts["dropped"] += 1
                    self.reset(state["client"])
                    state["upstream"].transport.abort()
                    break
                if down:
                    if self.mode() == "corrupt" and not data.startswith(b"HTTP/") and len(data) > 100:
                        spoilt = bytearray(data)
                        spoilt[len(spoilt) // 2] ^= 1
                        data = bytes(spoilt)
                await queue.put((link.arrival(len(data)), data))
            await queue.put((0, None))
            await task
            if writer.can_write_eof():
                writer.write_eof()
        finally:
            task.cancel()

    async def serve(self, reader, writer):
        self.counts["connections"] += 1
        upstream = None
        try:
            if self.mode() == "refuse":
                self.reset(writer)
                return
            await asyncio.sleep(self.options.rtt / 1000)
            server_reader, upstream = await asyncio.open_connection(*self.server)
            dropped = random.random() < self.options.drop
            state = {"heard": True, "left": random.randrange(1, 1 << 20) if dropped else 1 << 62,
                     "client": writer, "upstream": upstream}
            await asyncio.gather(self.pass_on(reader, upstream, self.up, False, state),
                                 self.pass_on(server_reader, writer, self.down, True, state))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for w in (writer, upstream):
                if w is not None:
                    w.transport.abort() if self.mode() == "refuse" else w.close()
            self.save()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--rtt", type=float, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--drop", type=float, default=0)
    parser.add_argument("--control")
    parser.add_argument("--stats")
    proxy = Proxy(parser.parse_args())
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.options.listen, limit=1 << 20)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, proxy.save)
    async with server:
        await ended.wait()
    proxy.save()
    # What is still open is cut, as by a cable.
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()


asyncio.run(main())
