"""Windows that slide over a map: what a pooling or an unfolding looks at.

Everything here goes tap by tap. Tap ``(i, j)`` of all windows together is a view of the map: every
``stride``-th cell from ``i*dilation - padding`` on. Windows whose tap falls on the padding are left
out of the view, so no padded copy of the map is ever made and padding can never win or count.

Maps are ``(N, C, H, W)`` in any memory order, and results keep the order of their input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minisegnet.backend import Array, array_module

Pair = tuple[int, int]


def window_count(
    size: int, kernel: int, stride: int, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """How many windows lie along an axis of ``size`` cells (not positive if none fits).

    ``floor((size + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1``. With ``ceil_mode`` the
    division rounds up, so that the last window may stick out; but it must start on the map or on
    the padding before it, or it is dropped.

    Examples
    --------
    >>> window_count(7, kernel=2, stride=2), window_count(7, kernel=2, stride=2, ceil_mode=True)
    (3, 4)
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


class Tap(NamedTuple):
    """One tap of all windows: ``map[tap.cells]`` is what ``result[tap.windows]`` sees there."""

    number: int
    row: int
    column: int
    windows: tuple[Any, ...]
    cells: tuple[Any, ...]


@dataclass(frozen=True)
class Windows:
    """All windows on a map: their kernel, and how they are laid out. Pairs are (row, column)."""

    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    @property
    def count(self) -> Pair:
        """How many windows there are, down and across: the size of a pooled map."""
        return self._count(0), self._count(1)

    def _count(self, axis: int) -> int:
        return window_count(
            self.size[axis],
            self.kernel[axis],
            self.stride[axis],
            self.padding[axis],
            self.dilation[axis],
            self.ceil_mode,
        )

    @property
    def overlap(self) -> bool:
        """Whether a cell can lie under two windows."""
        reach = (self.dilation[a] * (self.kernel[a] - 1) + 1 for a in (0, 1))
        return any(r > s for r, s in zip(reach, self.stride, strict=True))

    def along(self, axis: int) -> list[tuple[slice, slice]]:
        """For each tap along one axis: which windows see a cell there, and which cells those are.

        Window r sees the cell ``r*stride + offset``, and it is one if that lies in 0..size-1.
        """
        size, count, stride = self.size[axis], self._count(axis), self.stride[axis]
        found = []
        for tap in range(self.kernel[axis]):
            offset = tap * self.dilation[axis] - self.padding[axis]
            first = max(-(offset // stride), 0)
            behind = max(min((size - 1 - offset) // stride + 1, count), first)
            start = first * stride + offset
            stop = (behind - 1) * stride + offset + 1 if behind > first else start
            found.append((slice(first, behind), slice(start, stop, stride)))
        return found

    def taps(self) -> Iterator[Tap]:
        """The taps row by row, with the views they make."""
        down, across = self.along(0), self.along(1)
        for i, (rows_out, rows_in) in enumerate(down):
            for j, (columns_out, columns_in) in enumerate(across):
                number = i * self.kernel[1] + j
                yield Tap(number, i, j, (..., rows_out, columns_out), (..., rows_in, columns_in))

    def first_on_map(self, xp: Any) -> Array:
        """The number of the first tap of each window that is not on padding: (down, across)."""
        row, column = (
            xp.maximum(
                -((xp.arange(self._count(a)) * self.stride[a] - self.padding[a]) // self.dilation[a]),
                0,
            )
            for a in (0, 1)
        )
        return row[:, None] * self.kernel[1] + column


def like(x: Array, size: Pair, dtype: Any = None, fill: Any = 0) -> Array:
    """A map of another size with the images, channels and memory order of ``x``."""
    xp = array_module(x)
    return xp.full_like(x, fill, dtype=dtype, shape=(*x.shape[:2], *size))


def lowest(dtype: Any) -> Any:
    """A value that no other of this dtype is below."""
    if dtype.kind == "f":
        return -float("inf")
    return False if dtype.kind == "b" else np.iinfo(dtype).min


def max_over_windows(x: Array, windows: Windows) -> tuple[Array, Array]:
    xp = array_module(x)
    best = like(x, windows.count, fill=lowest(x.dtype))
    tap_dtype = np.min_scalar_type(windows.kernel[0] * windows.kernel[1])
    winner = like(x, windows.count, tap_dtype)
    if any(windows.padding):
        winner[...] = windows.first_on_map(xp)
    for tap in windows.taps():
        seen, so_far, who = x[tap.cells], best[tap.windows], winner[tap.windows]
        better = seen > so_far
        if x.dtype.kind == "f":
            better |= seen != seen  # a NaN is greater than nothing, and must win
        xp.maximum(so_far, seen, out=so_far)
        xp.maximum(who, better * tap_dtype.type(tap.number), out=who)
    return best, winner


def scatter_to_winners(grad: Array, winner: Array, windows: Windows) -> Array:
    xp = array_module(grad)
    out = like(grad, windows.size)
    for tap in windows.taps():
        share = grad[tap.windows] * (winner[tap.windows] == tap.number)
        if windows.overlap:
            out[tap.cells] += share
        else:
            out[tap.cells] = share
    return out
