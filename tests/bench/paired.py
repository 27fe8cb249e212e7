# SPDX-License-Identifier: Apache-2.0
"""Paired measurements: the cases run in turn, so that all of them see the same machine; medians count."""

import os
import statistics
import time

COLDSTART = os.environ.get("COLDSTART", os.path.join(os.path.dirname(__file__), "../../build/release/coldstart"))


def command(*argv, environment=None):
    """A case: one run of a program, from before its start to after its end. Fails if the program does."""

    def run():
        with open(os.devnull, "w") as null:
            files = [(os.POSIX_SPAWN_DUP2, null.fileno(), 1)]
            start = time.perf_counter()
            pid = os.posix_spawnp(argv[0], argv, {**os.environ, **(environment or {})}, file_actions=files)
            _, status = os.waitpid(pid, 0)
            seconds = time.perf_counter() - start
        if status != 0:
            raise SystemExit(f"{' '.join(argv)}: exit status {os.waitstatus_to_exitcode(status)}")
        return seconds

    return run


def paired(cases, runs, warmup=1):
    """{name: function that gives seconds} -> {name: [seconds, ...]}. Every other round runs backwards."""
    results = {name: [] for name in cases}
    for i in range(-warmup, runs):
        for name in list(cases) if i % 2 == 0 else reversed(cases):
            seconds = cases[name]()
            if i >= 0:
                results[name].append(seconds)
    return results


def human(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def show(results, aims=None):
    """Prints a table: the first case is what the others are compared with. aims: {name: (seconds, text)}."""
    base = statistics.median(next(iter(results.values())))
    width = max(len(name) for name in results)
    print(f"{'':{width}}  {'median':>9}  {'min':>9}  {'max':>9}  {'ratio':>6}")
    for name, runs in results.items():
        median = statistics.median(runs)
        cells = [f"{human(x):>9}" for x in (median, min(runs), max(runs))]
        print(f"{name:{width}}  {'  '.join(cells)}  {median / base:6.2f}")
    for name, (most, text) in (aims or {}).items():
        median = statistics.median(results[name])
        print(f"{text}: {human(median)}, aim {human(most)}: {'met' if median <= most else 'MISSED'}")
