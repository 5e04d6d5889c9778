"""A transposed convolution of large stride: every input cell stamps its kernel on the output.

A stride of 32 has 32 x 32 phases with a handful of outputs each: too many pieces. The view of the
lessons is the better one there. One matrix product makes all stamps, and as few as
``ceil(k / stride)`` squared additions of whole blocks lay them on the output, for stamps that lie
a multiple of the stride apart do not meet within a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels.parallel import run_shares
from minisegnet.kernels.products import matmul

Pair = tuple[int, int]

#: From so many phases on, stamps are quicker (measured with kernels of twice the stride).
MANY_PHASES = 64
#: Numbers of stamps that are made at once: four megabytes of float32.
AT_ONCE = 1 << 20


def stamp(x: Array, w: Array, size: Pair, starts: Pair, u: Pair, groups: int) -> Array:
    """Correlate maps in which ``u - 1`` zeros were inserted, with stride 1 and no other dilation.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (O, C / groups, kH, kW)
    size : (rows, columns)
        Of the output.
    starts : (row, column)
        Zeros in front of the input; negative ones are cut off.
    u : (row, column)
        Input dilation.
    groups : int

    Returns
    -------
    array (N, *size, O)

    Examples
    --------
    >>> x, w = np.array([[[[1, 2]]]]), np.array([[[[3, 4, 5]]]])
    >>> stamp(x, w, size=(1, 5), starts=(0, 2), u=(1, 2), groups=1)[0, 0, :, 0]
    array([ 5,  4, 13,  8,  6])
    """
    xp, maps = array_module(x), x.transpose(0, 2, 3, 1)
    kernel = w.shape[2:]
    # (groups, C / groups, kH * kW * O / groups): the stamps of each input channel.
    stamps = w[:, :, ::-1, ::-1].reshape(groups, -1, w.shape[1], *kernel)
    stamps = xp.ascontiguousarray(stamps.transpose(0, 2, 3, 4, 1)).reshape(groups, w.shape[1], -1)
    out = xp.zeros((len(x), *size, len(w)), dtype=np.result_type(x.dtype, w.dtype))
    # Where the first output lies, counted from the corner of the first stamp.
    corner = tuple(kernel[a] - 1 - starts[a] for a in (0, 1))

    def share(images: Sequence[int]) -> None:
        for n in images:
            _cut(_stamped(maps[n], stamps, kernel, u, groups, out.dtype), out[n], corner)

    run_shares(xp, share, range(len(x)))
    return out


def _stamped(
    cells: Array, stamps: Array, kernel: Pair, u: Pair, groups: int, dtype: np.dtype
) -> Array:
    """All stamps of one map (H, W, C) added up, (rows, columns, O), in blocks of the stride."""
    xp = array_module(cells)
    (height, width, _), outputs = cells.shape, stamps.shape[2] // math.prod(kernel)
    blocks = tuple(-(-kernel[a] // u[a]) for a in (0, 1))
    shape = (height + blocks[0] - 1, u[0], width + blocks[1] - 1, u[1], groups, outputs)
    canvas = xp.zeros(shape, dtype=dtype)
    at_once = max(1, AT_ONCE // (width * stamps.shape[2] * groups))
    for top in range(0, height, at_once):
        some = cells[top : top + at_once]
        columns = some.reshape(-1, groups, some.shape[2] // groups).transpose(1, 0, 2)
        made = matmul(columns, stamps).reshape(groups, *some.shape[:2], *kernel, outputs)
        made = made.transpose(1, 3, 2, 4, 0, 5)
        for a in range(blocks[0]):
            for b in range(blocks[1]):
                part = made[:, a * u[0] : (a + 1) * u[0], :, b * u[1] : (b + 1) * u[1]]
                rows, columns_ = slice(top + a, top + a + len(some)), slice(b, b + width)
                canvas[rows, : part.shape[1], columns_, : part.shape[3]] += part
    return canvas.reshape(shape[0] * u[0], shape[2] * u[1], groups * outputs)


def _cut(canvas: Array, out: Array, corner: Pair) -> None:
    """Write the canvas from ``corner`` on into ``out``, as far as it goes."""
    here, there = [], []
    for first, have, want in zip(corner, canvas.shape, out.shape, strict=False):
        begin, end = max(first, 0), min(first + want, have)
        here.append(slice(begin, max(begin, end)))
        there.append(slice(begin - first, max(begin, end) - first))
    out[tuple(there)] = canvas[tuple(here)]
