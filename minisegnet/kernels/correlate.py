"""The one convolution of the engine, and its two gradients.

``correlate`` slides a kernel over a map and sums the products under it. Along one axis, with
stride ``s``, input dilation ``u`` (``u - 1`` zeros between neighbours), kernel dilation ``d`` and
padding ``p`` in front::

    out[o] = sum over k of  w[k] * x[(o*s + k*d - p) / u]     where the division leaves no rest

The terms with a rest fall on inserted zeros, so they are never computed: the output positions are
sorted into phases that meet the same taps of the kernel, and each phase is a correlation without
input dilation. A phase copies the windows of a band of rows side by side (``im2col``), which turns
it into one matrix product small enough to stay in the processor's cache.

Maps are ``(N, C, H, W)`` in their indices and channels-last in memory, so that a window's channels
are neighbours: a view, not a copy, to whoever only computes element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels.parallel import run_bands, scratch, thread_count

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

# Numbers in one gathered band: about 1 MB of float32 on a processor, whose cache must hold it;
# a GPU wants few large products instead.
BAND_NUMBERS = 1 << 18
BAND_NUMBERS_ON_GPU = 1 << 27
# With fewer, handing work over to a second thread costs more than it saves.
WORTH_A_THREAD = 1 << 18


def output_size(n: int, k: int, stride: int, padding: Pair, u: int = 1, d: int = 1) -> int:
    """How many positions a kernel of ``k`` taps takes along an axis of length ``n``.

    ``floor((u*(n-1) + 1 + padding - d*(k-1) - 1) / stride) + 1``: the length with the zeros
    inserted and the padding added, less the span of the kernel, in steps of the stride.

    Examples
    --------
    >>> output_size(7, k=3, stride=2, padding=(1, 0))
    3
    """
    return (u * (n - 1) + 1 + sum(padding) - d * (k - 1) - 1) // stride + 1 if n else 0


def correlate(
    x: Array,
    w: Array,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    input_dilation: Pair = (1, 1),
    kernel_dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Cross-correlation of the maps ``x`` with the kernels ``w``.

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (O, C / groups, kH, kW)
    stride : (row, column)
        Steps between neighbouring outputs.
    padding : ((top, bottom), (left, right))
        Rows and columns of zeros around the (dilated) input; negative ones are cut off.
    input_dilation : (row, column)
        ``u`` inserts ``u - 1`` zeros between neighbouring inputs.
    kernel_dilation : (row, column)
        ``d`` leaves ``d - 1`` gaps between neighbouring taps.
    groups : int
        The channels split into this many groups that do not see each other.

    Returns
    -------
    array (N, O, H_out, W_out), channels-last in memory; sizes by :func:`output_size`.

    Examples
    --------
    >>> x = np.array([[[[1, 2, 3], [4, 5, 6]]]])
    >>> correlate(x, np.array([[[[1, 0], [2, -1]]]]))[0, 0]
    array([[4, 6]])
    """
    rows, columns = (
        output_size(
            x.shape[2 + a],
            w.shape[2 + a],
            stride[a],
            padding[a],
            input_dilation[a],
            kernel_dilation[a],
        )
        for a in (0, 1)
    )
    starts = (padding[0][0], padding[1][0])
    return _correlate_to(
        x, w, (rows, columns), starts, stride, input_dilation, kernel_dilation, groups
    )


def input_gradient(
    grad: Array,
    w: Array,
    input_size: Pair,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
    groups: int,
) -> Array:
    """The gradient of :func:`correlate` with respect to ``x``, given that of its output.

    It is a correlation again: the kernel flipped, its input and output channels exchanged, the
    roles of stride and input dilation exchanged, padded by ``d*(k-1) - p`` in front.
    """
    top, left = (kernel_dilation[a] * (w.shape[2 + a] - 1) - padding[a][0] for a in (0, 1))
    mirrored = exchange_channels(w, groups)[:, :, ::-1, ::-1]
    return _correlate_to(
        grad, mirrored, input_size, (top, left), input_dilation, stride, kernel_dilation, groups
    )


def exchange_channels(w: Array, groups: int) -> Array:
    """(O, C/groups, kH, kW) as (C, O/groups, kH, kW): what came out of a group goes in, and back.

    Examples
    --------
    >>> exchange_channels(np.zeros((6, 2, 3, 1)), groups=3).shape
    (6, 2, 3, 1)
    """
    out, per_group, rows, columns = w.shape
    grouped = w.reshape(groups, out // groups, per_group, rows, columns)
    return grouped.swapaxes(1, 2).reshape(groups * per_group, out // groups, rows, columns)


def weight_gradient(
    x: Array,
    grad: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
    groups: int,
) -> Array:
    """The gradient of :func:`correlate` with respect to ``w``: the two maps correlated.

    Each tap's gradient is the product of the output's gradient with the input that the tap saw,
    summed over images and positions: ``dw[o, c, k] = sum  grad[n, o, y] * x[n, c, y*s + k*d - p]``.
    """
    xp = array_module(x, grad)
    channels, out_channels = x.shape[1] // groups, grad.shape[1]
    total = xp.zeros((groups, *kernel_size, channels, out_channels // groups), dtype=x.dtype)
    starts = (padding[0][0], padding[1][0])
    rows, columns = x.transpose(0, 2, 3, 1), grad.transpose(0, 2, 3, 1)
    for phase in _phases(
        grad.shape[2:], kernel_size, starts, stride, input_dilation, kernel_dilation
    ):
        part = columns[:, phase.rows.out, phase.columns.out]
        taps = total[:, phase.rows.taps, phase.columns.taps]
        for share in _phase_weight_gradients(xp, rows, part, phase, groups):
            taps += share.reshape(taps.shape)
    return total.transpose(0, 4, 3, 1, 2).reshape(out_channels, channels, *kernel_size)


class _Axis(NamedTuple):
    """Along one axis: outputs that meet the same taps, as a correlation without input dilation."""

    out: slice
    length: int
    taps: slice
    tap_count: int
    stride: int
    dilation: int
    start: int  # zeros in front; negative: input skipped


class _Phase(NamedTuple):
    rows: _Axis
    columns: _Axis

    @property
    def is_empty(self) -> bool:
        axes = (self.rows, self.columns)
        return any(axis.tap_count == 0 or axis.length == 0 for axis in axes)


def _axis_phases(size: int, k: int, start: int, s: int, u: int, d: int) -> Iterator[_Axis]:
    """Solve ``(o*s + t*d - start) % u == 0`` for the taps t that each output o meets.

    Outputs ``period`` apart meet the same taps; those taps lie ``step`` apart.
    """
    period, step = u // math.gcd(s, u), u // math.gcd(d, u)
    for first in range(min(period, size)):
        offset = first * s - start
        tap = next((t for t in range(min(step, k)) if (offset + t * d) % u == 0), k)
        yield _Axis(
            out=slice(first, size, period),
            length=len(range(first, size, period)),
            taps=slice(tap, k, step),
            tap_count=len(range(tap, k, step)),
            stride=s * period // u,
            dilation=d * step // u,
            start=-((offset + tap * d) // u),
        )


def _phases(
    size: Pair, kernel: Pair, starts: Pair, stride: Pair, u: Pair, d: Pair
) -> Iterator[_Phase]:
    along_rows, along_columns = (
        list(_axis_phases(size[a], kernel[a], starts[a], stride[a], u[a], d[a])) for a in (0, 1)
    )
    for rows in along_rows:
        for columns in along_columns:
            phase = _Phase(rows, columns)
            if not phase.is_empty:
                yield phase


def _correlate_to(
    x: Array, w: Array, size: Pair, starts: Pair, stride: Pair, u: Pair, d: Pair, groups: int
) -> Array:
    """Correlate into an output of a given size, with given padding in front."""
    xp = array_module(x, w)
    shape = (x.shape[0], *size, w.shape[0])
    phases = list(_phases(size, w.shape[2:], starts, stride, u, d))
    covered = sum(phase.rows.length * phase.columns.length for phase in phases)
    make = xp.empty if covered == size[0] * size[1] else xp.zeros
    out = make(shape, dtype=np.result_type(x.dtype, w.dtype))
    maps = x.transpose(0, 2, 3, 1)
    for phase in phases:
        taps = w[:, :, phase.rows.taps, phase.columns.taps]
        _phase_forward(xp, maps, taps, out[:, phase.rows.out, phase.columns.out], phase, groups)
    return out.transpose(0, 3, 1, 2)


def _phase_forward(xp: Any, maps: Array, w: Array, out: Array, phase: _Phase, groups: int) -> None:
    channels = w.shape[1]
    # (groups, taps * channels, outputs of a group): the kernels as columns of a matrix.
    matrix = w.reshape(groups, -1, channels, phase.rows.tap_count, phase.columns.tap_count)
    matrix = xp.ascontiguousarray(matrix.transpose(0, 3, 4, 2, 1)).reshape(
        groups, -1, w.shape[0] // groups
    )
    windows = _windows(xp, maps, phase, groups)

    def band(n: slice, r: slice) -> None:
        columns = _gather(xp, windows[:, n, r])
        block = out[n, r]
        # A block in one piece is written by the product itself; a strided one through a copy.
        if groups == 1 and block.flags.c_contiguous and block.dtype == columns.dtype:
            xp.matmul(columns[0], matrix[0], out=block.reshape(-1, block.shape[-1]))
        else:
            product = xp.matmul(columns, matrix).transpose(1, 0, 2)
            block[...] = product.reshape(block.shape)

    _for_bands(xp, windows, band)


def _phase_weight_gradients(
    xp: Any, maps: Array, grad: Array, phase: _Phase, groups: int
) -> list[Array]:
    """Each band's share of the gradient of the phase's taps."""
    windows = _windows(xp, maps, phase, groups)
    per_group = grad.shape[3] // groups

    def band(n: slice, r: slice) -> Array:
        columns = _gather(xp, windows[:, n, r])
        block = grad[n, r].reshape(-1, groups, per_group).transpose(1, 0, 2)
        return xp.matmul(columns.transpose(0, 2, 1), block)

    return _for_bands(xp, windows, band)


def _windows(xp: Any, maps: Array, phase: _Phase, groups: int) -> Array:
    """A view (groups, N, rows, columns, kH, kW, channels of a group) of every window."""
    padded = _framed(xp, maps, phase)
    n, _, _, c = padded.shape
    sn, sh, sw, sc = padded.strides
    rows, columns = phase.rows, phase.columns
    return xp.lib.stride_tricks.as_strided(
        padded,
        shape=(
            groups,
            n,
            rows.length,
            columns.length,
            rows.tap_count,
            columns.tap_count,
            c // groups,
        ),
        strides=(
            c // groups * sc,
            sn,
            sh * rows.stride,
            sw * columns.stride,
            sh * rows.dilation,
            sw * columns.dilation,
            sc,
        ),
    )


def _framed(xp: Any, maps: Array, phase: _Phase) -> Array:
    """Exactly the rows and columns that the windows touch, zeros where there is no input."""
    spans = [
        (-axis.start, (axis.length - 1) * axis.stride + (axis.tap_count - 1) * axis.dilation + 1)
        for axis in phase
    ]
    inside = [
        slice(max(first, 0), max(min(first + length, n), 0))
        for (first, length), n in zip(spans, maps.shape[1:3], strict=True)
    ]
    if all(
        first >= 0 and first + length <= n
        for (first, length), n in zip(spans, maps.shape[1:3], strict=True)
    ):
        return maps[:, inside[0], inside[1]]
    framed = xp.zeros((maps.shape[0], spans[0][1], spans[1][1], maps.shape[3]), dtype=maps.dtype)
    core = maps[:, inside[0], inside[1]]
    if core.size:
        top, left = (piece.start - first for piece, (first, _) in zip(inside, spans, strict=True))
        framed[:, top : top + core.shape[1], left : left + core.shape[2]] = core
    return framed


def _gather(xp: Any, windows: Array) -> Array:
    """The windows of a band as rows of a matrix, one matrix a group."""
    groups = windows.shape[0]
    length = math.prod(windows.shape[4:])
    if windows.flags.c_contiguous:
        return windows.reshape(groups, -1, length)
    columns = scratch(xp, windows.shape, windows.dtype)
    columns[...] = windows
    return columns.reshape(groups, -1, length)


def _for_bands(xp: Any, windows: Array, work: Callable[[slice, slice], Array | None]) -> list:
    """Do the work for bands (images, rows) whose gathered windows fit the cache."""
    groups, images, rows = windows.shape[:3]
    per_row = groups * math.prod(windows.shape[3:])
    limit = BAND_NUMBERS_ON_GPU
    if xp is np:
        share = -(-images * rows // thread_count()) * per_row
        limit = min(BAND_NUMBERS, max(share, WORTH_A_THREAD))
    rows_at_once = max(1, min(rows, limit // max(per_row, 1)))
    images_at_once = max(1, limit // max(per_row * rows, 1)) if rows_at_once == rows else 1
    bands = [
        (slice(n, min(n + images_at_once, images)), slice(r, min(r + rows_at_once, rows)))
        for n in range(0, images, images_at_once)
        for r in range(0, rows, rows_at_once)
    ]
    return run_bands(xp, work, bands)
