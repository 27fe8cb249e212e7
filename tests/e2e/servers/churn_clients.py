#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of a server like Churn.java, all at once: each asks its own sequence and prints the digests that it got.

    churn_clients.py PORT FIRST LAST    asks /churn/CLIENT/SEED for the seeds from FIRST to LAST, as 4 clients

A server that is not there yet is waited for; one that breaks off, or answers anything but 200, fails it.
"""

import concurrent.futures
import http.client
import sys
import time

CLIENTS = 4


def ask(port, path):
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
            continue
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body}")
        return body


def client(number):
    port, first, last = map(int, sys.argv[1:4])
    return [f"{number} {seed} {ask(port, f'/churn/{number}/{seed}')}" for seed in range(first, last + 1)]


with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
    for lines in pool.map(client, range(CLIENTS)):
        print(*lines, sep="\n")
