"""Windows that slide over a map: what a pooling or an unfolding looks at.

Everything here goes tap by tap. Tap ``(i, j)`` of all windows together is a view of the map: every
``stride``-th cell from ``i*dilation - padding`` on. Windows whose tap falls on the padding are left
out of the view, so no padded copy of the map is ever made, and padding can neither win nor count.

Maps are ``(N, C, H, W)`` in any memory order, and results keep the order of their input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.kernels.cuda import on_gpu
from minisegnet.kernels.maps import Pair, like, over_images


def window_count(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """How many windows lie along an axis of ``size`` cells (none fits if not positive).

    ``floor((size + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1``. With ``ceil_mode`` the
    division rounds up, so that the last window may stick out; but it must start on the map or on
    the padding before it, or it is dropped (PyTorch's rule).

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
    """One tap of all windows: ``x[tap.cells]`` is what the windows ``y[tap.windows]`` see there."""

    number: int
    row: int
    column: int
    windows: tuple[Any, ...]
    cells: tuple[Any, ...]


@dataclass(frozen=True)
class Windows:
    """All windows on a map of ``size`` cells: their kernel, and how they are laid out.

    Examples
    --------
    >>> windows = Windows(size=(4, 6), kernel=(2, 3), stride=(2, 3))
    >>> windows.count
    (2, 2)
    >>> x = np.arange(24).reshape(1, 1, 4, 6)
    >>> x[next(windows.taps()).cells][0, 0]  # what every window sees at its top left
    array([[ 0,  3],
           [12, 15]])
    """

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
        return any(
            dilation * (kernel - 1) >= stride
            for kernel, stride, dilation in zip(
                self.kernel, self.stride, self.dilation, strict=True
            )
        )

    def starts(self, axis: int, xp: Any = np) -> Array:
        """Where each window begins along one axis, counted from the first cell of the map."""
        return xp.arange(self._count(axis)) * self.stride[axis] - self.padding[axis]

    def first_taps(self, axis: int, xp: Any = np) -> Array:
        """The first tap of each window along one axis that is not on padding."""
        return xp.maximum(-(self.starts(axis, xp) // self.dilation[axis]), 0)

    def along(self, axis: int) -> list[tuple[slice, slice]]:
        """For each tap along one axis: the windows that see a cell there, and those cells.

        Window r sees the cell ``r*stride + offset``, if that lies in 0..size-1.
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
        across = self.along(1)
        for i, (rows_out, rows_in) in enumerate(self.along(0)):
            for j, (columns_out, columns_in) in enumerate(across):
                number = i * self.kernel[1] + j
                yield Tap(number, i, j, (..., rows_out, columns_out), (..., rows_in, columns_in))

    def seeing_nothing(self) -> int | None:
        """The axis along which some window has all its taps on padding, if there is one."""
        for axis in (0, 1):
            tap = self.first_taps(axis)
            cell = self.starts(axis) + tap * self.dilation[axis]
            if ((tap >= self.kernel[axis]) | (cell >= self.size[axis])).any():
                return axis
        return None


def _lowest(dtype: Any) -> Any:
    """A value that no other value of this dtype is below."""
    if dtype.kind == "f":
        return -float("inf")
    return False if dtype.kind == "b" else np.iinfo(dtype).min


@on_gpu(cuda.max_over_windows)
def max_over_windows(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest value under each window, and the number of the tap that saw it.

    Of equal values the first tap wins; a NaN beats every number, and of several the last wins.

    Examples
    --------
    >>> x = np.array([[[[1, 4, 4], [7, 0, 3]]]])
    >>> values, winners = max_over_windows(x, Windows((2, 3), (2, 2), (1, 1)))
    >>> values[0, 0], winners[0, 0]
    (array([[7, 4]]), array([[2, 0]], dtype=uint8))
    """
    xp = array_module(x)
    taps = np.min_scalar_type(math.prod(windows.kernel))
    largest = like(x, windows.count, fill=_lowest(x.dtype))
    winner = like(x, windows.count, dtype=taps)
    padded = any(windows.padding)
    if padded:
        row, column = windows.first_taps(0, xp), windows.first_taps(1, xp)
        winner[...] = row[:, None] * windows.kernel[1] + column

    def work(source: Array, values: Array, winners: Array) -> None:
        for tap in windows.taps():
            seen, so_far, winning = source[tap.cells], values[tap.windows], winners[tap.windows]
            if tap.number == 0 and not padded:
                so_far[...] = seen  # every window begins on the map: nothing to compare with yet
                continue
            better = seen > so_far
            if source.dtype.kind == "f":
                better |= seen != seen
            xp.maximum(so_far, seen, out=so_far)
            # Taps come in rising order, so the maximum of the numbers is the latest winner.
            xp.maximum(winning, better * taps.type(tap.number), out=winning)

    over_images(work, x, largest, winner)
    return largest, winner


def winning_cells(winner: Array, windows: Windows) -> Array:
    """Where the winning taps are in the map, as ``row * W + column`` (int64).

    Examples
    --------
    >>> windows = Windows((2, 3), (2, 2), (1, 1))
    >>> winning_cells(np.array([[[[2, 0]]]], dtype=np.uint8), windows)[0, 0]
    array([[3, 1]])
    """
    xp = array_module(winner)
    width, across = windows.size[1], windows.kernel[1]
    row = winner // winner.dtype.type(across)
    column = winner - row * winner.dtype.type(across)
    cell = like(winner, windows.count, dtype=np.int64)
    cell += windows.starts(0, xp)[:, None] * width + windows.starts(1, xp)
    cell += row.astype(np.int64) * (windows.dilation[0] * width)
    cell += column.astype(np.int64) * windows.dilation[1]
    return cell


@on_gpu(cuda.scatter_to_winners)
def scatter_to_winners(grad: Array, winner: Array, windows: Windows) -> Array:
    """The adjoint of :func:`max_over_windows`: each value goes to the cell that won its window.

    Where windows overlap, what goes to one cell is added.

    Examples
    --------
    >>> windows = Windows((2, 3), (2, 2), (1, 1))
    >>> winner = np.array([[[[3, 2]]]], dtype=np.uint8)
    >>> scatter_to_winners(np.array([[[[10, 5]]]]), winner, windows)[0, 0]
    array([[ 0,  0,  0],
           [ 0, 15,  0]])
    """
    out = like(grad, windows.size)

    def work(values: Array, winners: Array, target: Array) -> None:
        for tap in windows.taps():
            share = values[tap.windows] * (winners[tap.windows] == tap.number)
            if windows.overlap:
                target[tap.cells] += share
            else:
                target[tap.cells] = share

    over_images(work, grad, winner, out)
    return out


def sum_over_windows(x: Array, windows: Windows) -> Array:
    """The sum under each window; padding counts as zero. First down each column, then across.

    Examples
    --------
    >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
    >>> sum_over_windows(x, Windows((2, 3), (2, 2), (1, 1)))[0, 0]
    array([[12, 16]])
    """
    down = like(x, (windows.count[0], windows.size[1]))
    total = like(x, windows.count)

    def work(source: Array, halfway: Array, target: Array) -> None:
        for rows_out, rows_in in windows.along(0):
            halfway[..., rows_out, :] += source[..., rows_in, :]
        for columns_out, columns_in in windows.along(1):
            target[..., columns_out] += halfway[..., columns_in]

    over_images(work, x, down, total)
    return total


def spread_over_windows(grad: Array, windows: Windows) -> Array:
    """The adjoint of :func:`sum_over_windows`: each value goes to every cell of its window.

    Examples
    --------
    >>> spread_over_windows(np.array([[[[10, 1]]]]), Windows((2, 3), (2, 2), (1, 1)))[0, 0]
    array([[10, 11,  1],
           [10, 11,  1]])
    """
    across = like(grad, (windows.count[0], windows.size[1]))
    out = like(grad, windows.size)

    def work(source: Array, halfway: Array, target: Array) -> None:
        for columns_out, columns_in in windows.along(1):
            halfway[..., columns_in] += source[..., columns_out]
        for rows_out, rows_in in windows.along(0):
            target[..., rows_in, :] += halfway[..., rows_out, :]

    over_images(work, grad, across, out)
    return out


def unfold_windows(x: Array, windows: Windows) -> Array:
    """Each window as a column of its values: (N, C * kH * kW, windows), zeros for padding.

    Examples
    --------
    >>> unfold_windows(np.array([[[[1, 2, 3], [4, 5, 6]]]]), Windows((2, 3), (2, 2), (1, 1)))[0]
    array([[1, 2],
           [2, 3],
           [4, 5],
           [5, 6]])
    """
    xp = array_module(x)
    images, channels = x.shape[:2]
    columns = xp.zeros((images, channels, *windows.kernel, *windows.count), dtype=x.dtype)
    for tap in windows.taps():
        columns[:, :, tap.row, tap.column][tap.windows] = x[tap.cells]
    rows = channels * math.prod(windows.kernel)
    return columns.reshape(images, rows, math.prod(windows.count))


def fold_windows(columns: Array, windows: Windows) -> Array:
    """The adjoint of :func:`unfold_windows`: the columns laid back, added where windows overlap.

    Examples
    --------
    >>> columns = np.array([[[1, 2], [2, 3], [4, 5], [5, 6]]])
    >>> fold_windows(columns, Windows((2, 3), (2, 2), (1, 1)))[0, 0]
    array([[ 1,  4,  3],
           [ 4, 10,  6]])
    """
    xp = array_module(columns)
    images, rows, _ = columns.shape
    channels = rows // math.prod(windows.kernel)
    taps = columns.reshape(images, channels, *windows.kernel, *windows.count)
    out = xp.zeros((images, channels, *windows.size), dtype=columns.dtype)
    for tap in windows.taps():
        out[tap.cells] += taps[:, :, tap.row, tap.column][tap.windows]
    return out
