"""Other engines on NumPy, measured by a Python that has them; it needs nothing of this repository.

    path/to/python tests/benchmarks/others.py ENGINE SECONDS

The engines want different versions of NumPy, so they live in an environment of their own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: What is computed: the name here is that of the same operation in ``cases.py``.
CASES = {
    "conv 3x3, 16 to 16, 8 x 128x128": ((8, 16, 128, 128), (16, 16, 3, 3)),
    "max pool 2x2, 8 x 32x64x64": ((8, 32, 64, 64), None),
}


def mygrad(maps: np.ndarray, weight: np.ndarray | None) -> Callable[[], Any]:
    """MyGrad."""
    engine, layers = (importlib.import_module(n) for n in ("mygrad", "mygrad.nnet.layers"))
    x = engine.tensor(maps)
    if weight is None:
        return lambda: layers.max_pool(x, (2, 2), 2).sum().backward()
    w = engine.tensor(weight)
    return lambda: layers.conv_nd(x, w, stride=1, padding=1).sum().backward()


def dezero(maps: np.ndarray, weight: np.ndarray | None) -> Callable[[], Any]:
    """DeZero."""
    engine, functions = (importlib.import_module(n) for n in ("dezero", "dezero.functions"))
    x = engine.Variable(maps)
    w = None if weight is None else engine.Variable(weight)

    def both_ways() -> None:
        for variable in (x, w):
            if variable is not None:
                variable.cleargrad()
        y = functions.pooling(x, 2, 2, 0) if w is None else functions.conv2d(x, w, None, 1, 1)
        functions.sum(y).backward()

    return both_ways


def pydynet(maps: np.ndarray, weight: np.ndarray | None) -> Callable[[], Any]:
    """PyDyNet."""
    engine = importlib.import_module("pydynet")
    functions = importlib.import_module("pydynet.nn.functional")
    x = engine.Tensor(maps, requires_grad=True)
    if weight is None:
        return lambda: functions.max_pool2d(x, 2, 2).sum().backward()
    w = engine.Tensor(weight, requires_grad=True)
    return lambda: functions.conv2d(x, w, padding=1, stride=1).sum().backward()


ENGINES = {"mygrad": mygrad, "dezero": dezero, "pydynet": pydynet}


def least(work: Callable[[], Any], seconds: float) -> dict[str, float]:
    """The least time of a call on the clock, and of the processor, in milliseconds."""
    work()
    wall, processor = [], []
    end = time.perf_counter() + seconds
    while len(wall) < 3 or time.perf_counter() < end:
        busy, start = time.process_time(), time.perf_counter()
        work()
        wall.append((time.perf_counter() - start) * 1e3)
        processor.append((time.process_time() - busy) * 1e3)
    return {"least": min(wall), "processor": min(processor)}


def main(name: str, seconds: float) -> None:
    """Print as JSON what came out, or what went wrong, with the engine's version."""
    try:
        found: dict[str, Any] = {"version": importlib.metadata.version(name)}
    except importlib.metadata.PackageNotFoundError:
        found = {"version": "not installed"}
    rng = np.random.default_rng(0)
    for case, (shape, of_weight) in CASES.items():
        maps = rng.normal(size=shape).astype(np.float32)
        weight = None if of_weight is None else rng.normal(size=of_weight).astype(np.float32)
        try:
            found[case] = least(ENGINES[name](maps, weight), seconds)
        except Exception as error:  # another's engine fails in any way it likes
            found[case] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
