"""Every operation on maps, by its definition: plain loops over NumPy arrays, nothing clever.

Here the inserted zeros are really there, and every sum runs over its terms one after another. The
fast kernels are tested against these loops, and the step-by-step explanations are made from them.
Convolutions and padding stand below, pooling and resizing in ``reference_pooling``. All take arrays
of any real dtype: integers stay integers, so results are exact. Maps are ``(N, C, H, W)``; pairs
are ``(row, column)``; paddings are ``((top, bottom), (left, right))``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from minisegnet.kernels.reference_pooling import (
    adaptive_avg_pool2d,
    adaptive_cells,
    adaptive_max_pool2d,
    avg_pool2d,
    bed_of_nails,
    fold,
    interpolate,
    max_pool2d,
    max_unpool2d,
    pixel_shuffle,
    pooled_size,
    sources,
    unfold,
    window_cells,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_cells",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "bed_of_nails",
    "conv_transpose2d",
    "conv_transpose2d_by_scatter",
    "correlate",
    "correlate_input_gradient",
    "correlate_weight_gradient",
    "correlated_size",
    "exchange_channels",
    "flip",
    "fold",
    "insert_zeros",
    "interpolate",
    "max_pool2d",
    "max_unpool2d",
    "pad",
    "pad_or_crop",
    "pixel_shuffle",
    "pooled_size",
    "sources",
    "unfold",
    "window_cells",
]

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


def correlated_size(
    size: int, kernel: int, stride: int, padding: Pair, gap: int, dilation: int
) -> int:
    """How many windows fit along one axis.

    ``floor((spread + before + after - reach) / stride) + 1`` where the input, with its zeros
    inserted, is ``spread = (size - 1) * gap + 1`` long, and the kernel's taps reach over
    ``reach = (kernel - 1) * dilation + 1`` cells. Zero if the padded input is shorter than that.

    Examples
    --------
    >>> correlated_size(7, kernel=3, stride=2, padding=(1, 0), gap=1, dilation=2)
    2
    """
    spread = max((size - 1) * gap + 1, 0)
    reach = (kernel - 1) * dilation + 1
    return max((spread + sum(padding) - reach) // stride + 1, 0)


def insert_zeros(x: np.ndarray, gap: Pair) -> np.ndarray:
    """Insert ``gap - 1`` zeros between neighbouring rows and between neighbouring columns.

    ``y[r * gap_row, c * gap_column] = x[r, c]``, zero everywhere else. A map of H rows becomes one
    of ``(H - 1) * gap_row + 1``: nothing is appended after the last row.

    Examples
    --------
    >>> insert_zeros(np.array([[[[1, 2], [3, 4]]]]), (2, 3))[0, 0]
    array([[1, 0, 0, 2],
           [0, 0, 0, 0],
           [3, 0, 0, 4]])
    """
    n, c, h, w = x.shape
    y = np.zeros((n, c, max((h - 1) * gap[0] + 1, 0), max((w - 1) * gap[1] + 1, 0)), x.dtype)
    for row, column in product(range(h), range(w)):
        y[:, :, row * gap[0], column * gap[1]] = x[:, :, row, column]
    return y


def pad_or_crop(x: np.ndarray, padding: Padding, value: float = 0) -> np.ndarray:
    """Put ``padding`` cells of ``value`` around the map; a negative amount cuts cells off.

    ``y[r, c] = x[r - top, c - left]`` where that cell exists, ``value`` elsewhere.

    Examples
    --------
    >>> pad_or_crop(np.array([[[[1, 2, 3], [4, 5, 6]]]]), ((1, 0), (-1, 2)))[0, 0]
    array([[0, 0, 0, 0],
           [2, 3, 0, 0],
           [5, 6, 0, 0]])
    """
    n, c, h, w = x.shape
    (top, bottom), (left, right) = padding
    y = np.full((n, c, max(h + top + bottom, 0), max(w + left + right, 0)), value, x.dtype)
    for row, column in product(range(y.shape[2]), range(y.shape[3])):
        if 0 <= row - top < h and 0 <= column - left < w:
            y[:, :, row, column] = x[:, :, row - top, column - left]
    return y


def flip(w: np.ndarray) -> np.ndarray:
    """The kernel upside down and left to right: ``y[i, j] = w[kH - 1 - i, kW - 1 - j]``.

    Examples
    --------
    >>> flip(np.array([[[[1, 2, 3], [4, 5, 6]]]]))[0, 0]
    array([[6, 5, 4],
           [3, 2, 1]])
    """
    return w[:, :, ::-1, ::-1]


def correlate(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    input_dilation: Pair = (1, 1),
    kernel_dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    r"""Slide the kernel over the map and sum the products: the one convolution of the engine.

    .. math:: y_{n,o,r,c} = \sum_{k,i,j} w_{o,k,i,j}\;
              p_{n,\;gK+k,\;r s + i d,\;c s' + j d'}

    where p is x with its zeros inserted and then padded, K = C / groups input channels are seen by
    each output channel, and g = floor(o / (O / groups)) is the group that o belongs to.

    Parameters
    ----------
    x : (N, C, H, W)
    w : (O, C / groups, kH, kW)
    stride, input_dilation, kernel_dilation : (row, column)
    padding : ((top, bottom), (left, right)), added after the zeros are inserted; negative crops
    groups : int, divides C and O

    Returns
    -------
    (N, O, rows, columns), each length as in :func:`correlated_size`

    Examples
    --------
    >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
    >>> correlate(x, np.array([[[[1, 0], [10, 100]]]]))[0, 0]
    array([[541, 652]])
    """
    p = pad_or_crop(insert_zeros(x, input_dilation), padding)
    y = np.zeros(
        _correlated_shape(x, w, stride, padding, input_dilation, kernel_dilation),
        np.result_type(x, w),
    )
    for n, o, r, c, k, i, j in _terms(y.shape, w.shape):
        channel = o // (w.shape[0] // groups) * w.shape[1] + k
        row, column = _under_tap(r, c, i, j, stride, kernel_dilation)
        y[n, o, r, c] += w[o, k, i, j] * p[n, channel, row, column]
    return y


def _correlated_shape(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
) -> tuple[int, ...]:
    sizes = [
        correlated_size(
            x.shape[2 + a],
            w.shape[2 + a],
            stride[a],
            padding[a],
            input_dilation[a],
            kernel_dilation[a],
        )
        for a in (0, 1)
    ]
    return (x.shape[0], w.shape[0], *sizes)


def _terms(y_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every (n, o, r, c) of the output with every (k, i, j) of its kernel."""
    return product(*map(range, y_shape), *map(range, w_shape[1:]))


def _under_tap(r: int, c: int, i: int, j: int, stride: Pair, dilation: Pair) -> Pair:
    """The padded cell that tap (i, j) of the window of output (r, c) looks at."""
    return r * stride[0] + i * dilation[0], c * stride[1] + j * dilation[1]


def correlate_input_gradient(
    grad: np.ndarray,
    w: np.ndarray,
    input_size: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    input_dilation: Pair = (1, 1),
    kernel_dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    r"""What each input cell receives: every product it entered sends back weight times gradient.

    .. math:: \bar p_{n,\;gK+k,\;r s + i d,\;c s' + j d'} \mathrel{+}= w_{o,k,i,j}\;\bar y_{n,o,r,c}

    over all terms of :func:`correlate`; the padding is then taken off, and of what is left the
    cells are kept that were not inserted zeros. ``input_size`` is (H, W).

    Examples
    --------
    >>> grad = np.array([[[[1, 2]]]])
    >>> correlate_input_gradient(grad, np.array([[[[1, 0], [10, 100]]]]), (2, 3))[0, 0]
    array([[  1,   2,   0],
           [ 10, 120, 200]])
    """
    (gap_row, gap_column), (height, width) = input_dilation, input_size
    (top, bottom), (left, right) = padding
    spread = ((height - 1) * gap_row + 1, (width - 1) * gap_column + 1)
    channels = w.shape[1] * groups
    p = np.zeros(
        (grad.shape[0], channels, spread[0] + top + bottom, spread[1] + left + right),
        np.result_type(grad, w),
    )
    for n, o, r, c, k, i, j in _terms(grad.shape, w.shape):
        channel = o // (w.shape[0] // groups) * w.shape[1] + k
        row, column = _under_tap(r, c, i, j, stride, kernel_dilation)
        p[n, channel, row, column] += w[o, k, i, j] * grad[n, o, r, c]
    return pad_or_crop(p, ((-top, -bottom), (-left, -right)))[:, :, ::gap_row, ::gap_column]


def correlate_weight_gradient(
    x: np.ndarray,
    grad: np.ndarray,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    input_dilation: Pair = (1, 1),
    kernel_dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    r"""What each weight receives: the sum of everything it was multiplied with, times gradient.

    .. math:: \bar w_{o,k,i,j} \mathrel{+}= p_{n,\;gK+k,\;r s + i d,\;c s' + j d'}\;\bar y_{n,o,r,c}

    over all terms of :func:`correlate`. ``kernel_size`` is (kH, kW).

    Examples
    --------
    >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
    >>> correlate_weight_gradient(x, np.array([[[[10, 1]]]]), (2, 2))[0, 0]
    array([[12, 23],
           [45, 56]])
    """
    p = pad_or_crop(insert_zeros(x, input_dilation), padding)
    outputs, per_group = grad.shape[1], x.shape[1] // groups
    gradient = np.zeros((outputs, per_group, *kernel_size), np.result_type(x, grad))
    for n, o, r, c, k, i, j in _terms(grad.shape, gradient.shape):
        channel = o // (outputs // groups) * per_group + k
        row, column = _under_tap(r, c, i, j, stride, kernel_dilation)
        gradient[o, k, i, j] += p[n, channel, row, column] * grad[n, o, r, c]
    return gradient


def conv_transpose2d(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Transposed convolution by its three steps.

    1. Insert ``stride - 1`` zeros between the rows and the columns of x.
    2. Pad by ``dilation * (k - 1) - padding`` on every side (a negative amount crops), and by
       ``output_padding`` more at the bottom and at the right.
    3. Flip the kernel up-down and left-right, and correlate with stride 1.

    Each length becomes ``(n - 1)*stride - 2*padding + dilation*(k - 1) + output_padding + 1``.

    Parameters
    ----------
    x : (N, C, H, W)
    w : (C, O / groups, kH, kW)

    Examples
    --------
    >>> x, w = np.array([[[[1, 2], [3, 4]]]]), np.array([[[[1, 0], [1, 1]]]])
    >>> conv_transpose2d(x, w)[0, 0]
    array([[1, 2, 0],
           [4, 7, 2],
           [3, 7, 4]])
    """
    spread = insert_zeros(x, stride)
    rows, columns = (dilation[a] * (w.shape[2 + a] - 1) - padding[a] for a in (0, 1))
    amounts = ((rows, rows + output_padding[0]), (columns, columns + output_padding[1]))
    padded = pad_or_crop(spread, amounts)
    flipped = flip(exchange_channels(w, groups))
    return correlate(padded, flipped, kernel_dilation=dilation, groups=groups)


def exchange_channels(w: np.ndarray, groups: int = 1) -> np.ndarray:
    """The weight of a transposed convolution, (C, O / groups, kH, kW), as (O, C / groups, kH, kW).

    Within each group, ``y[o, c] = w[c, o]``: what was "from" becomes "to".

    Examples
    --------
    >>> exchange_channels(np.arange(4).reshape(4, 1, 1, 1), groups=2)[:, :, 0, 0]
    array([[0, 1],
           [2, 3]])
    """
    inputs, per_group = w.shape[0] // groups, w.shape[1]
    y = np.zeros((per_group * groups, inputs, *w.shape[2:]), w.dtype)
    for g, c, o in product(range(groups), range(inputs), range(per_group)):
        y[g * per_group + o, c] = w[g * inputs + c, o]
    return y


def conv_transpose2d_by_scatter(
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
    groups: int = 1,
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """Transposed convolution as stamping: each input cell adds its value times the kernel.

    ``canvas[n, o, r*stride + i*dilation, c*stride + j*dilation] += x[n, k, r, c] * w[k, o, i, j]``;
    where stamps overlap they add. The canvas is as large as the stamps reach, and
    ``output_padding`` more at the bottom and at the right; then ``padding`` cells are cut off on
    every side. This is the adjoint of the convolution with the same weight, and equals
    :func:`conv_transpose2d`.

    Examples
    --------
    >>> x, w = np.array([[[[0, 2], [3, 1]]]]), np.array([[[[0, 1], [2, 3]]]])
    >>> conv_transpose2d_by_scatter(x, w)[0, 0]
    array([[ 0,  0,  2],
           [ 0,  7,  7],
           [ 6, 11,  3]])
    """
    n_images, channels, height, width = x.shape
    per_group = w.shape[1]
    lengths = [
        (size - 1) * stride[a] + (w.shape[2 + a] - 1) * dilation[a] + 1 + output_padding[a]
        for a, size in enumerate((height, width))
    ]
    canvas = np.zeros((n_images, per_group * groups, *lengths), np.result_type(x, w))
    for n, k, r, c in product(*map(range, x.shape)):
        for o, i, j in product(*map(range, w.shape[1:])):
            out = k // (channels // groups) * per_group + o
            row, column = _under_tap(r, c, i, j, stride, dilation)
            canvas[n, out, row, column] += x[n, k, r, c] * w[k, o, i, j]
    rows, columns = padding
    return pad_or_crop(canvas, ((-rows, -rows), (-columns, -columns)))


def pad(x: np.ndarray, padding: Padding, mode: str = "constant", value: float = 0) -> np.ndarray:
    """Cells around the map: a constant, the map mirrored, or its border repeated.

    ``y[r, c] = x[source(r - top), source(c - left)]``, where beyond the map ``reflect`` mirrors
    about the border cell (``-1 -> 1``, ``n -> n - 2``) and ``replicate`` stays on it
    (``-1 -> 0``, ``n -> n - 1``). Negative amounts crop.

    Examples
    --------
    >>> pad(np.array([[[[1, 2, 3]]]]), ((0, 0), (2, 1)), "reflect")[0, 0]
    array([[3, 2, 1, 2, 3, 2]])
    >>> pad(np.array([[[[1, 2, 3]]]]), ((0, 0), (2, 1)), "replicate")[0, 0]
    array([[1, 1, 1, 2, 3, 3]])
    """
    y = pad_or_crop(x, padding, value)
    if mode == "constant":
        return y
    height, width = x.shape[2:]
    for row, column in product(range(y.shape[2]), range(y.shape[3])):
        source_row = _source(row - padding[0][0], height, mode)
        source_column = _source(column - padding[1][0], width, mode)
        y[:, :, row, column] = x[:, :, source_row, source_column]
    return y


def _source(cell: int, size: int, mode: str) -> int:
    if mode == "replicate":
        return min(max(cell, 0), size - 1)
    return -cell if cell < 0 else 2 * (size - 1) - cell if cell >= size else cell
