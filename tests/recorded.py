"""The format of PyTorch's recorded outputs: what ``record_torch.py`` writes and the tests read.

One ``.npz`` file holds many cases. All floating values lie behind one another in ``floats`` and all
others in ``integers``; ``cases`` is JSON, in which ``{"array": [kind, shape, offset]}`` stands for
an array. A case of ``functional`` looks like this::

    {"name": "relu-0", "call": "relu",
     "args": [{"array": [...], "wants_gradient": true, "gradient": [...]}], "kwargs": {},
     "upstream": {"array": [...]}, "outputs": [{"array": [...]}]}

``gradient`` is what the input must receive when ``upstream`` is sent back from the first output
(neither is there if the output has no gradient);
``after`` is what an array that the call changes must hold afterwards.

Values are multiples of 1/64, which float32 holds exactly, so that a case means the same thing in
float32 and in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"


@dataclass
class Input:
    """An array argument, the gradient it shall receive, and what it holds after the call."""

    values: np.ndarray
    wants_gradient: bool = True
    changes: bool = False
    gradient: np.ndarray | None = None
    after: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values)


def walk(node: Any, visit: Callable[[Any], Any]) -> Any:
    """A copy of nested tuples, lists and dicts with ``visit`` applied to everything else."""
    if isinstance(node, (tuple, list)):
        return type(node)(walk(item, visit) for item in node)
    if isinstance(node, dict):
        return {key: walk(item, visit) for key, item in node.items()}
    return visit(node)


class Writer:
    """Collects cases and writes them into one file."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self._pieces: dict[str, list[np.ndarray]] = {"floats": [], "integers": []}
        self._lengths = {"floats": 0, "integers": 0}

    def add(self, case: dict[str, Any]) -> None:
        """Add one case: a dict of JSON values, arrays, slices and ``Input``."""
        self.cases.append({key: self._encode(value) for key, value in case.items()})

    def _array(self, array: np.ndarray) -> list[Any]:
        array = np.asarray(array)
        pool = "floats" if array.dtype.kind == "f" else "integers"
        offset = self._lengths[pool]
        self._pieces[pool].append(array.ravel().astype("f8" if pool == "floats" else "i8"))
        self._lengths[pool] += array.size
        return [array.dtype.kind, list(array.shape), offset]

    def _encode(self, node: Any) -> Any:
        if isinstance(node, Input):
            encoded: dict[str, Any] = {"array": self._array(node.values)}
            if node.wants_gradient:
                encoded["wants_gradient"] = True
            for key in ("gradient", "after"):
                if getattr(node, key) is not None:
                    encoded[key] = self._array(getattr(node, key))
            return encoded
        if isinstance(node, np.ndarray):
            return {"array": self._array(node)}
        if isinstance(node, slice):
            return {"slice": [node.start, node.stop, node.step]}
        if node is Ellipsis:
            return {"ellipsis": True}
        if isinstance(node, list):
            return {"list": [self._encode(item) for item in node]}
        if isinstance(node, tuple):
            return [self._encode(item) for item in node]
        if isinstance(node, dict):
            return {key: self._encode(item) for key, item in node.items()}
        return node

    def write(self, name: str) -> None:
        """Write ``tests/data/<name>.npz``."""
        pools = {
            pool: np.concatenate([np.zeros(0, "f8" if pool == "floats" else "i8"), *pieces])
            for pool, pieces in self._pieces.items()
        }
        text = json.dumps(self.cases, separators=(",", ":"))
        np.savez_compressed(DATA / f"{name}.npz", cases=np.array(text), **pools)


def read(name: str) -> list[dict[str, Any]]:
    """All cases of one file, as they were handed to the writer."""
    with np.load(DATA / f"{name}.npz") as file:
        floats, integers = file["floats"], file["integers"]
        cases = json.loads(str(file["cases"]))

    def array(written: list[Any]) -> np.ndarray:
        kind, shape, offset = written
        pool = floats if kind == "f" else integers
        values = pool[offset : offset + int(np.prod(shape, dtype=int))].reshape(shape)
        return values.astype({"f": "f8", "b": "?"}.get(kind, "i8"))

    def decode(node: Any) -> Any:
        if isinstance(node, list):
            return tuple(decode(item) for item in node)
        if not isinstance(node, dict):
            return node
        if "array" in node:
            gradient, after = node.get("gradient"), node.get("after")
            return Input(
                array(node["array"]),
                wants_gradient="wants_gradient" in node,
                changes=after is not None,
                gradient=None if gradient is None else array(gradient),
                after=None if after is None else array(after),
            )
        if "slice" in node:
            return slice(*node["slice"])
        if "ellipsis" in node:
            return Ellipsis
        if "list" in node:
            return [decode(item) for item in node["list"]]
        return {key: decode(item) for key, item in node.items()}

    return [{key: decode(value) for key, value in case.items()} for case in cases]
