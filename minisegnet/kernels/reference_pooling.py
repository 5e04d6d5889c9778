"""Pooling, unpooling and resizing by their definitions: plain loops over NumPy arrays.

The second half of :mod:`minisegnet.kernels.reference`, which says what these are for. Maps are
``(N, C, H, W)``; pairs are ``(row, column)``. Integers stay integers, except in averages and
bilinear interpolation, which make float32 of them.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

Pair = tuple[int, int]
Cells = list[list[int]]


def pooled_size(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """How many windows a pooling has along one axis.

    ``floor((size + 2*padding - reach) / stride) + 1`` with ``reach = dilation*(kernel - 1) + 1``;
    with ``ceil_mode`` the division rounds up, so that the last window may stick out, but one that
    would start in the padding behind the map is dropped.

    Examples
    --------
    >>> pooled_size(6, 3, 2), pooled_size(6, 3, 2, ceil_mode=True)
    (2, 3)
    >>> pooled_size(3, 1, 3, ceil_mode=True)  # rounding up gives 2, and the second starts at 3
    1
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    windows = math.ceil(room / stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


def window_cells(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> Cells:
    """For every window along one axis, the cells of the map that it covers.

    Window r covers ``r*stride + i*dilation - padding`` for each tap i; on padding, none.

    Examples
    --------
    >>> window_cells(5, kernel=3, stride=2, padding=1)
    [[0, 1], [1, 2, 3], [3, 4]]
    """
    windows = pooled_size(size, kernel, stride, padding, dilation, ceil_mode)
    under = [[r * stride + i * dilation - padding for i in range(kernel)] for r in range(windows)]
    return [[cell for cell in cells if 0 <= cell < size] for cells in under]


def adaptive_cells(size: int, bins: int) -> Cells:
    """For every bin along one axis, its cells: ``floor(b*size/bins)`` to ``ceil((b+1)*size/bins)``.

    Neighbouring bins share a cell where the size does not divide.

    Examples
    --------
    >>> adaptive_cells(5, bins=3)
    [[0, 1], [1, 2, 3], [3, 4]]
    """
    return [list(range(b * size // bins, -(-(b + 1) * size // bins))) for b in range(bins)]


def max_pool2d(
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The largest value under each window, and where it stood: ``row * W + column`` in the input.

    Padding never wins. Of equal values the first wins, row by row; a NaN beats every number, and
    of several the last wins (as in PyTorch).

    Examples
    --------
    >>> x = np.array([[[[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]]])
    >>> values, indices = max_pool2d(x, (2, 2), (2, 2))
    >>> values[0, 0].tolist(), indices[0, 0].tolist()
    ([[7, 8], [3, 5]], [[4, 3], [8, 15]])
    """
    options = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    rows, columns = (window_cells(*axis, ceil_mode=ceil_mode) for axis in options)
    return _largest(x, rows, columns)


def adaptive_max_pool2d(x: np.ndarray, output_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest value in each bin of :func:`adaptive_cells`, and where it stood.

    Examples
    --------
    >>> values, indices = adaptive_max_pool2d(np.array([[[[1, 5, 2, 4, 3]]]]), (1, 3))
    >>> values[0, 0].tolist(), indices[0, 0].tolist()
    ([[5, 5, 4]], [[1, 1, 3]])
    """
    rows, columns = (adaptive_cells(x.shape[2 + a], output_size[a]) for a in (0, 1))
    return _largest(x, rows, columns)


def _largest(x: np.ndarray, rows: Cells, columns: Cells) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros((*x.shape[:2], len(rows), len(columns)), x.dtype)
    indices = np.zeros(values.shape, np.int64)
    for n, c, r, s in product(*map(range, values.shape)):
        best, place = None, 0
        for row, column in product(rows[r], columns[s]):
            value = x[n, c, row, column]
            if best is None or value > best or np.isnan(value):
                best, place = value, row * x.shape[3] + column
        values[n, c, r, s], indices[n, c, r, s] = best, place
    return values, indices


def max_unpool2d(x: np.ndarray, indices: np.ndarray, output_size: Pair) -> np.ndarray:
    """Put each value at its remembered place, ``row * W_out + column``; zeros elsewhere.

    Where several values name one place, the last of them (row by row) stays.

    Examples
    --------
    >>> indices = np.array([[[[4, 3], [8, 15]]]])
    >>> max_unpool2d(np.array([[[[1, 3], [2, 4]]]]), indices, (4, 4))[0, 0]
    array([[0, 0, 0, 3],
           [1, 0, 0, 0],
           [2, 0, 0, 0],
           [0, 0, 0, 4]])
    """
    y = np.zeros((*x.shape[:2], *output_size), x.dtype)
    for n, c, r, s in product(*map(range, x.shape)):
        row, column = divmod(int(indices[n, c, r, s]), output_size[1])
        y[n, c, row, column] = x[n, c, r, s]
    return y


def avg_pool2d(
    x: np.ndarray,
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """The sum under each window, divided by the number of cells counted.

    Those are the cells of the window that lie on the map and its padding, or on the map alone
    (``count_include_pad=False``); or ``divisor_override`` whatever the window.

    Examples
    --------
    >>> x = np.array([[[[2, 4, 9]]]])
    >>> avg_pool2d(x, (1, 2), (1, 2), padding=(0, 1))[0, 0]
    array([[1. , 6.5]], dtype=float32)
    >>> avg_pool2d(x, (1, 2), (1, 2), padding=(0, 1), count_include_pad=False)[0, 0]
    array([[2. , 6.5]], dtype=float32)
    """
    axes = [(x.shape[2 + a], kernel[a], stride[a], padding[a]) for a in (0, 1)]
    rows, columns = (window_cells(*axis, ceil_mode=ceil_mode) for axis in axes)
    heights, widths = (
        [min(r * s + k, size + 2 * p) - r * s for r in range(len(cells))]
        for (size, k, s, p), cells in zip(axes, (rows, columns), strict=True)
    )
    y = np.zeros((*x.shape[:2], len(rows), len(columns)), _float_dtype(x))
    for r, c in product(range(len(rows)), range(len(columns))):
        total = sum(x[:, :, row, column] for row, column in product(rows[r], columns[c]))
        real = len(rows[r]) * len(columns[c])
        y[:, :, r, c] = total / (
            divisor_override or (heights[r] * widths[c] if count_include_pad else real)
        )
    return y


def adaptive_avg_pool2d(x: np.ndarray, output_size: Pair) -> np.ndarray:
    """The mean of each bin of :func:`adaptive_cells`.

    Examples
    --------
    >>> adaptive_avg_pool2d(np.array([[[[1, 5, 2, 4, 3]]]]), (1, 2))[0, 0]
    array([[2.6666667, 3.       ]], dtype=float32)
    """
    rows, columns = (adaptive_cells(x.shape[2 + a], output_size[a]) for a in (0, 1))
    y = np.zeros((*x.shape[:2], *output_size), _float_dtype(x))
    for r, c in product(range(output_size[0]), range(output_size[1])):
        cells = list(product(rows[r], columns[c]))
        y[:, :, r, c] = sum(x[:, :, row, column] for row, column in cells) / len(cells)
    return y


def _float_dtype(x: np.ndarray) -> Any:
    return x.dtype if x.dtype.kind == "f" else np.float32


def unfold(
    x: np.ndarray,
    kernel: Pair,
    dilation: Pair = (1, 1),
    padding: Pair = (0, 0),
    stride: Pair = (1, 1),
) -> np.ndarray:
    """The windows of the zero-padded map as columns: (N, C * kH * kW, windows).

    The window at (r, s), which is column ``r * windows_across + s``, holds in its row
    ``(c*kH + i)*kW + j`` the value ``p[n, c, r*stride + i*dilation, s*stride' + j*dilation']``.

    Examples
    --------
    >>> unfold(np.array([[[[1, 2, 3], [4, 5, 6]]]]), (2, 2))[0]
    array([[1, 2],
           [2, 3],
           [4, 5],
           [5, 6]])
    """
    n, c, height, width = x.shape
    down = pooled_size(height, kernel[0], stride[0], padding[0], dilation[0])
    across = pooled_size(width, kernel[1], stride[1], padding[1], dilation[1])
    y = np.zeros((n, c, *kernel, down, across), x.dtype)
    for i, j, r, s in product(*map(range, y.shape[2:])):
        row, column = (
            r * stride[0] + i * dilation[0] - padding[0],
            s * stride[1] + j * dilation[1] - padding[1],
        )
        if 0 <= row < height and 0 <= column < width:
            y[:, :, i, j, r, s] = x[:, :, row, column]
    return y.reshape(n, c * kernel[0] * kernel[1], down * across)


def fold(
    x: np.ndarray,
    output_size: Pair,
    kernel: Pair,
    dilation: Pair = (1, 1),
    padding: Pair = (0, 0),
    stride: Pair = (1, 1),
) -> np.ndarray:
    """Lay the columns back where :func:`unfold` took them, adding where windows overlap.

    Examples
    --------
    >>> columns = np.array([[[1, 2], [2, 3], [4, 5], [5, 6]]])
    >>> fold(columns, (2, 3), (2, 2))[0, 0]
    array([[ 1,  4,  3],
           [ 4, 10,  6]])
    """
    n, rows_of_columns, _ = x.shape
    down = pooled_size(output_size[0], kernel[0], stride[0], padding[0], dilation[0])
    across = pooled_size(output_size[1], kernel[1], stride[1], padding[1], dilation[1])
    channels = rows_of_columns // (kernel[0] * kernel[1])
    windows = x.reshape(n, channels, *kernel, down, across)
    y = np.zeros((n, channels, *output_size), x.dtype)
    for i, j, r, s in product(*map(range, windows.shape[2:])):
        row, column = (
            r * stride[0] + i * dilation[0] - padding[0],
            s * stride[1] + j * dilation[1] - padding[1],
        )
        if 0 <= row < output_size[0] and 0 <= column < output_size[1]:
            y[:, :, row, column] += windows[:, :, i, j, r, s]
    return y


def bed_of_nails(x: np.ndarray, scale: Pair) -> np.ndarray:
    """Each value at the top left of a block of ``scale`` cells, zeros in the rest of the block.

    ``y[r * scale_row, c * scale_column] = x[r, c]``.

    Examples
    --------
    >>> bed_of_nails(np.array([[[[1, 4], [3, 2]]]]), (2, 2))[0, 0]
    array([[1, 0, 4, 0],
           [0, 0, 0, 0],
           [3, 0, 2, 0],
           [0, 0, 0, 0]])
    """
    n, c, height, width = x.shape
    y = np.zeros((n, c, height * scale[0], width * scale[1]), x.dtype)
    for row, column in product(range(height), range(width)):
        y[:, :, row * scale[0], column * scale[1]] = x[:, :, row, column]
    return y


def interpolate(
    x: np.ndarray,
    size: Pair,
    scale_factor: tuple[float | None, float | None] = (None, None),
    mode: str = "nearest",
    align_corners: bool = False,
) -> np.ndarray:
    """The map at another size: each output cell is read from :func:`sources` of the input.

    ``y[r, c]`` is the sum over its source rows and columns of
    ``weight_of_row * weight_of_column * x[row, column]``.

    Examples
    --------
    >>> interpolate(np.array([[[[1, 3], [2, 0]]]]), (4, 4))[0, 0]
    array([[1, 1, 3, 3],
           [1, 1, 3, 3],
           [2, 2, 0, 0],
           [2, 2, 0, 0]])
    >>> interpolate(np.array([[[[1.0, 5.0]]]]), (1, 4), mode="bilinear")[0, 0]
    array([[1., 2., 4., 5.]])
    """
    rows, columns = (
        [
            sources(cell, x.shape[2 + a], size[a], scale_factor[a], mode, align_corners)
            for cell in range(size[a])
        ]
        for a in (0, 1)
    )
    y = np.zeros((*x.shape[:2], *size), x.dtype if mode == "nearest" else _float_dtype(x))
    for r, c in product(range(size[0]), range(size[1])):
        y[:, :, r, c] = sum(
            down * across * x[:, :, row, column]
            for (row, down), (column, across) in product(rows[r], columns[c])
        )
    return y


def sources(
    cell: int,
    size: int,
    output_size: int,
    scale_factor: float | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> list[tuple[int, float]]:
    """The input cells that one output cell is read from along one axis, each with its weight.

    One output step is ``step = size / output_size`` input steps, or ``1 / scale_factor`` if a
    factor is given. (As in PyTorch, a factor does not count where it leaves the size as it is, nor
    for nearest where it doubles it: 1.2 leaves 4 cells as they are.)

    - nearest: the cell ``floor(cell * step)``.
    - bilinear: the coordinate is ``(cell + 1/2) * step - 1/2`` (the centres of the cells are half
      a step from their borders), at least 0; or ``cell * (size - 1) / (output_size - 1)`` with
      ``align_corners``. The two cells around it share its weight by their nearness.

    Examples
    --------
    >>> sources(3, size=2, output_size=8, mode="bilinear")
    [(0, 0.625), (1, 0.375)]
    >>> sources(3, size=2, output_size=8)
    [(0, 1)]
    """
    exact = (size, 2 * size) if mode == "nearest" else (size,)
    if output_size in exact:
        scale_factor = None
    if mode == "nearest":
        # PyTorch computes this coordinate in float32: the same cells only with the same rounding.
        short = np.float32(1 / scale_factor if scale_factor else np.float32(size) / output_size)
        return [(min(int(np.float32(cell) * short), size - 1), 1)]
    step = 1 / scale_factor if scale_factor else size / output_size
    coordinate = max((cell + 0.5) * step - 0.5, 0.0)
    if align_corners:
        coordinate = cell * (size - 1) / max(output_size - 1, 1)
    before = min(int(coordinate), size - 1)
    after = min(before + 1, size - 1)
    return [(before, 1 - (coordinate - before)), (after, coordinate - before)]


def pixel_shuffle(x: np.ndarray, upscale_factor: int) -> np.ndarray:
    """Groups of r*r channels laid out as blocks of r by r cells.

    ``y[n, c, h*r + i, w*r + j] = x[n, c*r*r + i*r + j, h, w]``.

    Examples
    --------
    >>> pixel_shuffle(np.array([1, 2, 3, 4]).reshape(1, 4, 1, 1), 2)[0, 0]
    array([[1, 2],
           [3, 4]])
    """
    r = upscale_factor
    n, channels, height, width = x.shape
    y = np.zeros((n, channels // r**2, height * r, width * r), x.dtype)
    for c, i, j, row, column in product(*map(range, (y.shape[1], r, r, height, width))):
        y[:, c, row * r + i, column * r + j] = x[:, (c * r + i) * r + j, row, column]
    return y
