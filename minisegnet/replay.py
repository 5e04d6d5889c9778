"""Steps that never wait for the device, and steps that are recorded once and replayed.

The host runs ahead of a GPU: it queues work and goes on. It has to stop and wait as soon as it
looks at a value, so a training step should look at none. And the launches of a whole step can be
recorded as a CUDA graph, which the host then sends with a single call. While a step is recorded
nothing is computed, so nothing may be looked at; and what the host puts in, such as a learning
rate, would be put in once for all. Whoever needs one of the two says so here, in one line:

- :func:`refuse` looks for values that are not allowed: at once, or, inside :func:`deferred`,
  whenever the host reads from the device anyway;
- :func:`number` and :func:`drawn` put in what the host computes anew at each step.

Outside :func:`deferred` and :class:`Recording` all three do the plain thing.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from minisegnet.backend import (
    Array,
    array_module,
    device_of,
    library_for,
    to_device,
    to_numpy,
)

__all__ = ["Flags", "Recording", "deferred", "drawn", "number", "recording", "refuse"]

#: So many numbers of the host are sent to the device in one piece.
_BLOCK = 1024

_flags: ContextVar[Flags | None] = ContextVar("flags", default=None)
_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


# ------------------------------------------------------------------------ values not allowed


class Flags:
    """What was found wrong on the device and has not been looked at yet."""

    def __init__(self) -> None:
        self._raised: dict[tuple[type[Exception], str], Array] = {}

    def add(self, wrong: Array, error: Exception) -> None:
        """Remember the error if any entry of ``wrong`` is true; nobody waits."""
        key = type(error), str(error)
        if key not in self._raised:
            self._raised[key] = array_module(wrong).zeros((), dtype=np.bool_)
        flag = self._raised[key]
        flag |= wrong.any()

    def read(self) -> None:
        """Wait for the device, and raise the first error that was remembered."""
        if not self._raised:
            return
        flags = list(self._raised.values())
        found = to_numpy(array_module(flags[0]).stack(flags))
        if not found.any():
            return
        for flag in flags:
            flag[...] = False
        kind, text = list(self._raised)[int(found.argmax())]
        raise kind(text)


@contextlib.contextmanager
def deferred(flags: Flags) -> Iterator[Flags]:
    """Inside, what :func:`refuse` finds on a GPU is only noted, until ``flags.read()``.

    Examples
    --------
    >>> with deferred(Flags()) as flags:
    ...     refuse(np.array([False]), ValueError("too large"))  # on the host: looked at as always
    >>> flags.read()
    """
    token = _flags.set(flags)
    try:
        yield flags
    finally:
        _flags.reset(token)


def refuse(wrong: Array, error: Exception, explain: Callable[[], Exception] | None = None) -> None:
    """Raise if any entry of ``wrong`` is true.

    Parameters
    ----------
    wrong : array of bool
    error : Exception
        What to raise where the values cannot be looked at now.
    explain : callable, optional
        Makes a better error, with the values in it, where they can.

    Raises
    ------
    Exception
        ``error``, or what ``explain()`` returns.

    Examples
    --------
    >>> labels = np.array([0, 7, 2])
    >>> refuse(labels > 3, ValueError("too large"), lambda: ValueError(f"{labels.max()} > 3"))
    Traceback (most recent call last):
    ValueError: 7 > 3
    """
    flags = _flags.get()
    if flags is not None and array_module(wrong) is not np:
        flags.add(wrong, error)
    elif wrong.any():
        raise error if explain is None else explain()


# ------------------------------------------------------------------------ what the host puts in


def number(make: Callable[[], float], like: Array) -> Any:
    """A number that the host computes anew at each step, to be used with an array.

    Parameters
    ----------
    make : callable
        Called once for every step.
    like : array
        What it is used with: tells the device and the dtype.

    Returns
    -------
    float, or, while a step is recorded, array () on the device

    Examples
    --------
    >>> number(lambda: 0.5, np.zeros(3))
    0.5
    """
    current = _recording.get()
    if current is None or array_module(like) is np:
        return make()
    return current.number(make, like)


def drawn(make: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """An array that the host draws anew at each step, moved to the device of ``like``.

    Parameters
    ----------
    make : callable
        Called once for every step; returns an array of this shape and dtype.
    shape : tuple of int
    dtype : dtype
    like : array

    Examples
    --------
    >>> drawn(lambda: np.arange(3), (3,), np.int64, np.zeros(3))
    array([0, 1, 2])
    """
    current = _recording.get()
    if current is None or array_module(like) is np:
        return to_device(make(), device_of(like))
    return current.drawn(make, shape, dtype, like)


def recording() -> bool:
    """Whether a step is being recorded, or rehearsed for it."""
    return _recording.get() is not None


class Recording:
    """One step recorded as a CUDA graph.

    It is rehearsed first: run as it will be recorded, on a stream of its own and in memory of its
    own, so that kernels are compiled, tables are on the device and memory is there before recording
    begins. A rehearsal is a real step. Afterwards nobody else may use that memory, because each
    replay writes to the same places again. It goes back to the device with the recording, but for
    the arrays that live on, such as an optimiser's state.

    Parameters
    ----------
    work : callable
        The step. Everything that it reads and changes stays where it is in memory.
    device : str

    Raises
    ------
    ValueError
        If nothing can be recorded on the device.

    Examples
    --------
    >>> Recording(lambda: None, "cpu")
    Traceback (most recent call last):
    ValueError: device 'cpu' records no CUDA graphs: train without capture, or on device 'cuda'
    """

    def __init__(self, work: Callable[[], Any], device: str) -> None:
        cuda = getattr(library_for(device).module, "cuda", None)
        if cuda is None:
            raise ValueError(
                f"device {device!r} records no CUDA graphs: train without capture, or on device "
                "'cuda'"
            )
        self._work, self._device, self._cuda = work, device, cuda
        self._stream, self._pool = cuda.Stream(non_blocking=True), _pool(cuda)
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next thing to do is a rehearsal."""
        self._graph: Any = None
        self._result: Any = None
        self._rehearsing = True
        self._blocks: list[_Block] = []
        self._draws: list[tuple[Callable[[], np.ndarray], Array]] = []

    def __del__(self) -> None:
        # Without a device there is no pool yet; at the end of a program it may be gone already.
        if hasattr(self, "_draws") and not sys.is_finalizing():
            self.forget()
            self._pool.free_all_blocks(self._stream)

    # ---- the three stages

    def rehearse(self) -> Any:
        """Do the step, as one that is going to be recorded."""
        self._rehearsing = True
        with self._aside():
            return self._work()

    def record(self) -> None:
        """Write down the launches of the step, without doing it.

        Raises
        ------
        ValueError
            If the step does something that cannot be recorded.
        """
        self._rehearsing = False
        with self._aside(), _nothing_collected():
            self._stream.begin_capture()
            try:
                self._result = self._work()
            except BaseException as error:
                # The stream is of no use to anybody before its capture has ended.
                with contextlib.suppress(Exception):
                    self._stream.end_capture()
                if not isinstance(error, Exception):
                    raise
                raise ValueError(
                    f"the step cannot be recorded as a CUDA graph: {error}. Train without capture"
                ) from error
            self._graph = self._stream.end_capture()

    def replay(self) -> Any:
        """Do the recorded step with the numbers of the host as they are now.

        Returns
        -------
        What the step returned when it was recorded; its arrays are overwritten at the next replay.
        """
        for block in self._blocks:
            block.fill(self._device)
        for make, place in self._draws:
            place[...] = to_device(make(), self._device)
        self._graph.launch()
        return self._result

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """On the recording's own stream, after all that was queued before; then back again."""
        around = self._cuda.get_current_stream()
        self._stream.wait_event(around.record())
        token = _recording.set(self)
        try:
            with self._stream, self._cuda.using_allocator(self._pool.malloc):
                yield
        finally:
            _recording.reset(token)
        around.wait_event(self._stream.record())

    # ---- what the host puts in

    def number(self, make: Callable[[], float], like: Array) -> Array:
        """A place on the device that is filled with ``make()`` before each replay."""
        if self._rehearsing:
            return to_device(np.asarray(make(), dtype=like.dtype), self._device)
        block = next((b for b in self._blocks if b.has_room(like.dtype)), None)
        if block is None:
            block = _Block(array_module(like), like.dtype)
            self._blocks.append(block)
        return block.add(make)

    def drawn(
        self, make: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: Any, like: Array
    ) -> Array:
        """A place on the device that is filled with the array ``make()`` before each replay."""
        if self._rehearsing:
            return to_device(make(), self._device)
        place = array_module(like).empty(shape, dtype=dtype)
        self._draws.append((make, place))
        return place


@functools.cache
def _pool(cuda: Any) -> Any:
    """The memory of all recordings, apart by their streams.

    It stays: an array of CuPy is lost with the pool that it is from, and some outlive a recording.
    """
    return cuda.MemoryPool()


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Inside, no garbage is collected: to free memory of a device is no part of a recording."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Block:
    """Some numbers of the host on the device, sent there together."""

    def __init__(self, xp: Any, dtype: Any) -> None:
        self._makes: list[Callable[[], float]] = []
        # Not zeros: to fill them would be recorded, and undo at each replay what was sent before.
        self._places = xp.empty(_BLOCK, dtype=dtype)

    def has_room(self, dtype: Any) -> bool:
        return bool(self._places.dtype == dtype) and len(self._makes) < _BLOCK

    def add(self, make: Callable[[], float]) -> Array:
        self._makes.append(make)
        return self._places[len(self._makes) - 1]

    def fill(self, device: str) -> None:
        values = np.array([make() for make in self._makes], dtype=self._places.dtype)
        self._places[: len(values)] = to_device(values, device)
