"""Bands of work over a few threads, and the buffers that each thread keeps.

NumPy computes element by element on one core and lets go of the interpreter while it does. Working
on several bands at once therefore uses the other cores, as long as BLAS is held to one thread
meanwhile: otherwise both multiply, and the threads fight over the cores. It is held for products
also where there is a single band, because the threads of OpenBLAS go on spinning for a while after
each product that they had a share in, on the very cores that the next bands need.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import operator
import os
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minisegnet.backend import Array
from minisegnet.kernels.memory import keep_freed_memory

T = TypeVar("T")
B = TypeVar("B")

_local = threading.local()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_threads = _available_cores()


def get_num_threads() -> int:
    """How many threads the kernels may use: at first, the cores that this process may run on.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return _threads


thread_count = get_num_threads


def set_num_threads(number: int) -> None:
    """Let the kernels use so many threads, in all of this process.

    The same numbers come out at each run with the same number of threads. With another number,
    sums over a batch are added up in other parts: results then differ by rounding.

    Parameters
    ----------
    number : int
        1 or more. More than there are cores makes nothing faster.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer, or below 1.

    Examples
    --------
    >>> before = get_num_threads()
    >>> set_num_threads(3); get_num_threads()
    3
    >>> set_num_threads(before)
    """
    global _threads
    try:
        wanted = operator.index(number)
    except TypeError:
        raise TypeError(f"set_num_threads: {number!r} is not a number of threads") from None
    if wanted < 1:
        raise ValueError(f"set_num_threads: {wanted} threads can do nothing: give 1 or more")
    _threads = wanted


def run_bands(xp: Any, work: Callable[..., T], bands: Sequence[tuple]) -> list[T]:
    """``[work(*band) for band in bands]``, over several threads where that helps.

    The work is none of BLAS: for matrix products, :func:`run_shares`.

    The results come in the order of the bands whatever the number of threads, so that sums over
    them do not depend on it.
    """

    def run(some: Sequence[tuple]) -> list[T]:
        return [work(*band) for band in some]

    return [result for results in run_shares(xp, run, bands, blas=False) for result in results]


def run_shares(
    xp: Any,
    work: Callable[[Sequence[B]], T],
    items: Sequence[B],
    most: int | None = None,
    blas: bool = True,
) -> list[T]:
    """``work`` on all items in order, or on about equal shares of them, one for each thread.

    Parameters
    ----------
    xp : module
        On a GPU there is one share, of all items.
    work : callable
        Gets a list of items.
    items : sequence
    most : int, optional
        So many threads at most.
    blas : bool
        Whether there are matrix products in the work, for which BLAS is held to one thread.

    Returns
    -------
    list
        What came of each share. One task a thread, not one an item: handing a task over costs as
        much as a small item.
    """
    if xp is not np:
        return [work(items)]
    keep_freed_memory()
    # A helper that would wait for helpers might wait for itself.
    threads = 1 if getattr(_local, "helps", False) else min(_threads, len(items), most or _threads)
    with _one_blas_thread if blas else _nothing:
        if threads < 2:
            return [work(items)]
        first, *others = _shares(items, threads)
        answers = [_helper(number).ask(work, share) for number, share in enumerate(others)]
        try:
            results = [work(first)]
        finally:
            # They write into our arrays, so even after an error they are waited for.
            outcomes = [answer.get() for answer in answers]
        for result, error in outcomes:
            if error is not None:
                raise error
            results.append(result)
        return results


def _shares(bands: Sequence[B], parts: int) -> list[Sequence[B]]:
    """The bands in order, cut into parts of nearly equal length."""
    cuts = [len(bands) * part // parts for part in range(parts + 1)]
    return [bands[a:b] for a, b in pairwise(cuts)]


class _Helper:
    """A thread that waits for work: ten microseconds away, a third of what an executor takes."""

    def __init__(self, name: str) -> None:
        self._inbox: SimpleQueue = SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def ask(self, task: Callable, *arguments: Any) -> SimpleQueue:
        """Have it do the task; what comes of it, ``(result, error)``, can be got from the queue."""
        answer: SimpleQueue = SimpleQueue()
        # With the caller's context, for it holds what numpy.errstate says.
        self._inbox.put((contextvars.copy_context(), task, arguments, answer))
        return answer

    def _serve(self) -> None:
        _local.helps = True
        while True:
            context, task, arguments, answer = self._inbox.get()
            try:
                answer.put((context.run(task, *arguments), None))
            except BaseException as error:
                answer.put((None, error))
            # Nothing may stay alive in here while the thread waits.
            del context, task, arguments, answer


@functools.cache
def _helper(number: int) -> _Helper:
    return _Helper(f"minisegnet-{number + 1}")


class _OneBlasThread:
    """While anybody is inside, matrix products take one thread; then as many as before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = [(library, library.num_threads) for library in _blas()]
                for library, _ in self._before:
                    library.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, number in self._before:
                    library.set_num_threads(number)


_one_blas_thread = _OneBlasThread()
_nothing = contextlib.nullcontext()


def _begin_anew() -> None:
    """Threads do not survive a fork: the child starts its own."""
    _helper.cache_clear()
    _one_blas_thread.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@functools.cache
def _blas() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


def scratch(xp: Any, shape: tuple[int, ...], dtype: Any, number: int = 0) -> Array:
    """An array to write into, which this thread may use until it asks for this number again.

    Fresh memory costs a page fault for every 4 kB; a buffer that stays costs none.
    """
    if xp is not np:
        return xp.empty(shape, dtype=dtype)
    need = math.prod(shape) * np.dtype(dtype).itemsize
    buffers = _local.__dict__.setdefault("buffers", {})
    held = buffers.get(number)
    if held is None or held.nbytes < need:
        held = buffers[number] = np.empty(need, dtype=np.uint8)
    return np.ndarray(shape, dtype, held)
