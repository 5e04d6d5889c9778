"""Functions of each number by itself, in pieces that several threads work on.

A long array is worked on in pieces that stay in the processor's cache from one step to the next,
and each thread takes its share of them. That needs arrays that lie in memory alike and without
gaps; others are done at once, by one thread. On a GPU everything is done at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels.parallel import run_shares, scratch

#: Numbers in a piece: half a megabyte of float32.
PIECE = 1 << 17

# With fewer for each, handing pieces over to another thread costs more than it saves.
_PIECES_WORTH_A_THREAD = 1


def positive_part(x: Array) -> Array:
    """The numbers above 0, and 0 for the others.

    Examples
    --------
    >>> positive_part(np.array([-2, 3, 0, 5]))
    array([0, 3, 0, 5])
    """
    xp = array_module(x)
    out = xp.empty_like(x)

    def work(x: Array, out: Array) -> None:
        # Two arrays of a length are compared twice as fast as an array and a number.
        in_a_piece = xp is np and x.ndim == 1 and len(x) <= PIECE
        xp.maximum(x, _zeros(x.dtype)[: len(x)] if in_a_piece else 0, out=out)

    _in_pieces(work, x, out)
    return out


def where_positive(values: Array, of: Array) -> Array:
    """The values where ``of`` is above 0, and 0 elsewhere.

    Examples
    --------
    >>> where_positive(np.array([10, 20, 30]), of=np.array([1, 0, 5]))
    array([10,  0, 30])
    """
    xp = array_module(values)
    out = xp.empty_like(values)

    def work(values: Array, of: Array, out: Array) -> None:
        mask = scratch(xp, of.shape, np.bool_)
        xp.multiply(values, xp.greater(of, 0, out=mask), out=out)

    _in_pieces(work, values, of, out)
    return out


def add(a: Array, b: Array) -> Array:
    """``a + b``, of one shape and dtype.

    Examples
    --------
    >>> add(np.array([1.0, 2.0]), np.array([30.0, 40.0]))
    array([31., 42.])
    """
    xp = array_module(a)
    if a.ndim == 0 or a.dtype != b.dtype or a.shape != b.shape:
        return a + b
    out = xp.empty_like(a)
    _in_pieces(lambda a, b, out: xp.add(a, b, out=out), a, b, out)
    return out


@functools.cache
def _zeros(dtype: Any) -> Array:
    return np.zeros(PIECE, dtype=dtype)


def _in_pieces(work: Callable[..., None], *arrays: Array) -> None:
    """Do the work on pieces of all arrays, each laid out as one row, or on all of them at once.

    The last array is written to.
    """
    first, xp = arrays[0], array_module(*arrays)
    alike = all(array.strides == first.strides for array in arrays)
    if xp is not np or not alike or not _has_no_gaps(first):
        work(*arrays)
        return
    lines = [array.ravel(order="K") for array in arrays]
    pieces = range(0, first.size, PIECE)

    def share(starts: Sequence[int]) -> None:
        for start in starts:
            work(*(line[start : start + PIECE] for line in lines))

    most = max(1, len(pieces) // _PIECES_WORTH_A_THREAD)
    run_shares(np, share, pieces, most, blas=False)


def _has_no_gaps(array: Array) -> bool:
    """Whether the numbers lie side by side, in whatever order: then a row of them is a view."""
    reach = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True))
    return (
        array.size > 0
        and min(array.strides, default=1) > 0
        and (reach + array.itemsize == array.nbytes)
    )
