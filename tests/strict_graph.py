"""CUDA graphs for the stand-in: what is recorded once is computed again at every launch.

``recording(monkeypatch)`` gives the stand-in library a ``cuda`` with streams, memory pools and
graphs. Between ``begin_capture`` and ``end_capture`` every operation on stand-in arrays is written
to a tape, with the arrays and the Python numbers that it was given then. A launch goes through the
tape and writes each result to where it was the first time. So a number that the host should have
put in anew stays what it was, as on a GPU, and looking at a value while recording is an error.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests import strict, strict_array, strict_index, strict_rules
from tests.strict_array import StrictArray

#: What happened, in order: "begin", "end", "launch", "wait", "free".
events: list[str] = []
_tape: list[Callable[[], None]] | None = None
_depth = 0
_before: dict[int, tuple[np.ndarray, np.ndarray]] = {}
_MEMORY = ("empty", "empty_like")


def _arrays(result: Any) -> list[np.ndarray]:
    return [array._values for array in strict_array.arrays_in(result)]


def _keep(values: np.ndarray) -> None:
    """Remember memory as it was before recording, which computes nothing on a GPU."""
    while isinstance(values.base, np.ndarray):
        values = values.base
    if id(values) not in _before:
        _before[id(values)] = values, values.copy()


def _taped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which while recording also notes how to compute its result again."""

    @functools.wraps(function)
    def noted(*args: Any, **kwargs: Any) -> Any:
        global _depth
        # Memory that is asked for is there at every launch: nothing is launched for it.
        if _tape is None or _depth or (isinstance(args[0], str) and args[0] in _MEMORY):
            return function(*args, **kwargs)
        for array in strict_array.arrays_in([args, kwargs]):
            _keep(array._values)
        _depth += 1
        try:
            result = function(*args, **kwargs)
        finally:
            _depth -= 1

        places = _arrays(result)

        def again() -> None:
            for place, value in zip(places, _arrays(function(*args, **kwargs)), strict=True):
                if place.flags.writeable:  # a broadcast view follows what it is a view of
                    place[...] = value

        _tape.append(again)
        return result

    return noted


def _forbidden(what: str) -> Callable[[], None]:
    def forbidden() -> None:
        if _tape is not None:
            raise RuntimeError(f"the stream is capturing, and this {what}")

    return forbidden


class Graph:
    """The tape of one recording."""

    def __init__(self, tape: list[Callable[[], None]]) -> None:
        self._tape = tape

    def launch(self, stream: Any = None) -> None:
        events.append("launch")
        for again in self._tape:
            again()


class Stream:
    """A stream that does everything at once and in order, and can record."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self) -> object:
        return object()

    def wait_event(self, event: object) -> None:
        events.append("wait")

    def begin_capture(self, mode: Any = None) -> None:
        global _tape
        assert self.non_blocking and _tape is None
        events.append("begin")
        _tape = []

    def end_capture(self) -> Graph:
        global _tape
        assert _tape is not None
        events.append("end")
        tape, _tape = _tape, None
        for values, before in _before.values():
            if values.flags.writeable:
                values[...] = before
        _before.clear()
        return Graph(tape)


class MemoryPool:
    """Memory that only its owner uses, and that is lost with it, as that of CuPy 14.0 is."""

    def __init__(self) -> None:
        self._lent: list[weakref.ref[np.ndarray]] = []
        weakref.finalize(self, _lose, self._lent).atexit = False

    def malloc(self, size: int) -> None:
        raise AssertionError("the stand-in allocates by itself")

    def lend(self, values: np.ndarray) -> None:
        """Note that an array lies in this memory."""
        self._lent.append(weakref.ref(values))

    def free_all_blocks(self, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        events.append("free")


def _lose(lent: list[weakref.ref[np.ndarray]]) -> None:
    """Fill what is left of arrays with nonsense: somebody else has their memory now."""
    for reference in lent:
        values = reference()
        if values is not None and values.flags.writeable:
            values.fill({"b": True, "f": np.nan, "c": np.nan}.get(values.dtype.kind, 77))


_lender: MemoryPool | None = None


class Cuda:
    """The names of ``cupy.cuda`` that recording needs."""

    Stream, MemoryPool = Stream, MemoryPool
    _current = Stream()

    @classmethod
    def get_current_stream(cls) -> Stream:
        return cls._current

    @staticmethod
    @contextlib.contextmanager
    def using_allocator(allocator: Any) -> Iterator[None]:
        global _lender
        _lender = allocator.__self__
        try:
            yield
        finally:
            _lender = None


def _born(self: StrictArray, values: np.ndarray, before: Any = StrictArray.__init__) -> None:
    before(self, values)
    if _lender is not None and values.base is None:
        _lender.lend(values)


def install(monkeypatch: Any) -> None:
    """Give the stand-in for CuPy a ``cuda`` that records, for one test."""
    gc.collect()  # what earlier tests left says "free" before, and not in between
    events.clear()
    monkeypatch.setattr(StrictArray, "__init__", _born)
    monkeypatch.setattr(strict.xp, "cuda", Cuda, raising=False)
    for module in (strict, strict_array):
        monkeypatch.setattr(module, "call", _taped(module.call))
    for method in ("astype", "copy", "flatten", "reshape", "__getitem__", "__setitem__", "sort"):
        monkeypatch.setattr(StrictArray, method, _taped(getattr(StrictArray, method)))
    monkeypatch.setattr(strict.xp, "array", _taped(strict.array))
    monkeypatch.setattr(strict.Ufunc, "_at", _taped(strict.Ufunc._at))
    for name, what in (("synchronised", "looks at a value"), ("uploaded", "copies from the host")):
        refuse = _forbidden(what)
        for module in (strict_rules, strict_array, strict, strict_index):
            if hasattr(module, name):
                before = getattr(module, name)
                both = functools.partial(_both, before, refuse)
                monkeypatch.setattr(module, name, both)


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()
