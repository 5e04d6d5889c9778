"""Bands of work over a few threads, and the buffers that each thread keeps.

NumPy computes element by element on one core and lets go of the interpreter while it does. Working
on several bands at once therefore uses the other cores, as long as BLAS is held to one thread
meanwhile: otherwise both multiply, and the threads fight over the cores. It is held also where
there is a single band, because the threads of OpenBLAS go on spinning for a while after each
product that they had a share in, on the very cores that the next bands need.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minisegnet.backend import Array

T = TypeVar("T")

_local = threading.local()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="minisegnet")


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


# The threads of a pool do not survive a fork: the child starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def thread_count() -> int:
    """How many threads the kernels may use: the cores this process may run on."""
    return _threads


_threads = _available_cores()


def run_bands(xp: Any, work: Callable[..., T], bands: Sequence[tuple]) -> list[T]:
    """``[work(*band) for band in bands]``, over several threads where that helps.

    The results come in the order of the bands whatever the number of threads, so that sums over
    them do not depend on it.
    """
    if xp is not np:
        return [work(*band) for band in bands]

    def run(some: Sequence[tuple]) -> list[T]:
        return [work(*band) for band in some]

    with _blas().limit(limits=1):
        # One task a thread, not one a band: handing a task over costs as much as a small band.
        first, *others = _shares(bands, min(_threads, len(bands)))
        handed_over = [_pool(_threads).submit(run, share) for share in others]
        results = run(first)
        for future in handed_over:
            results += future.result()
        return results


def _shares(bands: Sequence[tuple], parts: int) -> list[Sequence[tuple]]:
    """The bands in order, cut into parts of nearly equal length (at least one, maybe empty)."""
    cuts = [len(bands) * part // max(parts, 1) for part in range(max(parts, 1) + 1)]
    return [bands[a:b] for a, b in pairwise(cuts)]


def scratch(xp: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array to write into that this thread may use until it asks for the next one.

    Fresh memory costs a page fault for every 4 kB; a buffer that stays costs none.
    """
    if xp is not np:
        return xp.empty(shape, dtype=dtype)
    need = math.prod(shape) * np.dtype(dtype).itemsize
    held = getattr(_local, "buffer", None)
    if held is None or held.nbytes < need:
        held = _local.buffer = np.empty(need, dtype=np.uint8)
    return held[:need].view(dtype).reshape(shape)
