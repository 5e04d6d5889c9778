"""Measure some cases with one engine, in a process of its own, and print what came out as JSON.

python -m tests.benchmarks.child '{"engine": "torch", "threads": 2, "seconds": 1, ...}'
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np

from tests.benchmarks.cases import NETWORKS, OPERATIONS, Work
from tests.benchmarks.engines import ENGINES

CASES = {case.name: case for case in (*NETWORKS, *OPERATIONS)}


def measure(work: Work, seconds: float) -> dict[str, float]:
    """The least and the middle time of one call, and the least processor time, in milliseconds."""
    for _ in range(3):
        work()
    wall, processor = [], []
    end = time.perf_counter() + seconds
    while len(wall) < 5 or time.perf_counter() < end:
        busy, start = time.process_time(), time.perf_counter()
        work()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return {
        "least": min(wall) * 1e3,
        "middle": sorted(wall)[len(wall) // 2] * 1e3,
        "processor": min(processor) * 1e3,
    }


def sgemm_rate(threads: int) -> float:
    """Billions of additions and multiplications a second in a large float32 matrix product."""
    from threadpoolctl import threadpool_limits

    side = 2048
    a, b = (np.random.default_rng(seed).random((side, side), np.float32) for seed in (1, 2))
    with threadpool_limits(threads):
        best = measure(lambda: a @ b, 1.0)["least"]
    return 2 * side**3 / best / 1e6


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main(order: dict[str, Any]) -> None:
    """Do what the order says; ``cores``, if given, are all that may be used."""
    if order.get("cores"):
        os.sched_setaffinity(0, order["cores"])
    found: dict[str, Any] = {}
    if order["engine"] == "sgemm":
        found["rate"] = sgemm_rate(order["threads"])
    else:
        engine = ENGINES[order["engine"]](order["threads"])
        for name in order["cases"]:
            found[name] = measure(CASES[name].prepare(engine), order["seconds"])
            found[name]["megabytes"] = peak_megabytes()
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
