"""The one convolution of the engine, and its two gradients.

``correlate`` slides a kernel over a map and sums the products under it. Along one axis, with
stride ``s``, input dilation ``u`` (``u - 1`` zeros between neighbours), kernel dilation ``d`` and
padding ``p`` in front::

    out[o] = sum over k of  w[k] * x[(o*s + k*d - p) / u]     where the division leaves no rest

The terms with a rest fall on inserted zeros, so they are never computed: the output positions are
sorted into :mod:`~minisegnet.kernels.phases` that meet the same taps of the kernel, and each phase
is a correlation without input dilation. A phase copies the windows of a band of rows side by side
(:mod:`~minisegnet.kernels.gathering`), which turns it into matrix products small enough to stay in
the processor's cache. Where there are very many phases, each input stamps its kernel instead
(:mod:`~minisegnet.kernels.stamping`).

Maps are ``(N, C, H, W)`` in their indices and channels-last in memory, so that a window's channels
are neighbours: a view, not a copy, to whoever only computes element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels import depthwise
from minisegnet.kernels.gathering import BAND_NUMBERS, Band, Gathering
from minisegnet.kernels.parallel import run_shares
from minisegnet.kernels.phases import Pair, Phase, phases
from minisegnet.kernels.products import matmul
from minisegnet.kernels.rows import add_to_columns
from minisegnet.kernels.stamping import MANY_PHASES, stamp

__all__ = [
    "BAND_NUMBERS",
    "correlate",
    "exchange_channels",
    "gradients",
    "input_gradient",
    "output_size",
    "weight_gradient",
]

Padding = tuple[Pair, Pair]
#: What is done with the gathered windows of a band of images and rows.
Task = Callable[[Array, slice, slice], Any]


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
    bias: Array | None = None,
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
    bias : array (O,), optional
        Added to each output.

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
    if _has_many_phases(stride, input_dilation, kernel_dilation):
        out = stamp(x, w, (rows, columns), starts, input_dilation, groups)
    else:
        found = phases(
            (rows, columns), w.shape[2:], starts, stride, input_dilation, kernel_dilation
        )
        out, _ = _slide(x, list(found), (rows, columns), groups, kernels=w)
    if bias is not None:
        add_to_columns(out.reshape(-1, len(w)), bias)
    return out.transpose(0, 3, 1, 2)


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
    if _has_many_phases(input_dilation, stride, kernel_dilation):
        starts = _starts_back(w.shape[2:], padding, kernel_dilation)
        out = stamp(grad, _mirrored(w, groups), input_size, starts, stride, groups)
        return out.transpose(0, 3, 1, 2)
    back = _phases_back(w.shape[2:], input_size, stride, padding, input_dilation, kernel_dilation)
    out, _ = _slide(grad, back, input_size, groups, kernels=_mirrored(w, groups))
    return out.transpose(0, 3, 1, 2)


def _has_many_phases(stride: Pair, input_dilation: Pair, kernel_dilation: Pair) -> bool:
    """Whether the outputs fall into so many phases that stamps are quicker, and can be made."""
    plain = tuple(stride) == tuple(kernel_dilation) == (1, 1)
    return plain and math.prod(input_dilation) >= MANY_PHASES


def _mirrored(w: Array, groups: int) -> Array:
    return exchange_channels(w, groups)[:, :, ::-1, ::-1]


def _phases_back(
    kernel_size: Pair,
    input_size: Pair,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
) -> list[Phase]:
    """The phases of the correlation that leads from the output's gradient to the input's."""
    starts = _starts_back(kernel_size, padding, kernel_dilation)
    return list(phases(input_size, kernel_size, starts, input_dilation, stride, kernel_dilation))


def _starts_back(kernel_size: Pair, padding: Padding, kernel_dilation: Pair) -> Pair:
    """How many zeros stand in front of the output's gradient."""
    top, left = (kernel_dilation[a] * (kernel_size[a] - 1) - padding[a][0] for a in (0, 1))
    return top, left


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
    starts, size = (padding[0][0], padding[1][0]), grad.shape[2:]
    found = phases(size, kernel_size, starts, stride, input_dilation, kernel_dilation)
    _, products = _slide(x, list(found), size, groups, cells=grad, kernel_size=kernel_size)
    return products


def gradients(
    x: Array,
    grad: Array,
    w: Array,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
    groups: int,
) -> tuple[Array, Array]:
    """Both gradients of :func:`correlate`, with respect to ``x`` and to ``w``, from one gathering.

    The window of the output's gradient around an input cell holds all outputs which that cell went
    into. Times the mirrored kernel it is the gradient of the cell. Times the cell's value it is the
    cell's share of the gradient of the kernel, so that ``x`` need not be gathered at all.
    """
    size, kernel_size = x.shape[2:], w.shape[2:]
    if _has_many_phases(input_dilation, stride, kernel_dilation):
        geometry = (stride, padding, input_dilation, kernel_dilation, groups)
        return (
            input_gradient(grad, w, size, *geometry),
            weight_gradient(x, grad, kernel_size, *geometry),
        )
    back = _phases_back(kernel_size, size, stride, padding, input_dilation, kernel_dilation)
    out, products = _slide(
        grad, back, size, groups, kernels=_mirrored(w, groups), cells=x, kernel_size=kernel_size
    )
    of_w = array_module(w).ascontiguousarray(_mirrored(products, groups))
    return out.transpose(0, 3, 1, 2), of_w


def _slide(
    x: Array,
    found: Sequence[Phase],
    size: Pair,
    groups: int,
    kernels: Any = None,
    cells: Any = None,
    kernel_size: Pair = (0, 0),
) -> tuple[Any, Any]:
    """Gather the windows on ``x`` once, and multiply them with kernels, with cells, or with both.

    Parameters
    ----------
    x : array (N, C, H, W)
    found : phases of outputs of ``size``
    kernels : array (O, C / groups, kH, kW), optional
    cells : array (N, P, *size), optional
        One cell for each window.

    Returns
    -------
    array (N, *size, O)
        The windows times the kernels; None without kernels.
    array (P, C / groups, *kernel_size)
        The windows times their cells, summed over all windows; None without cells.
    """
    xp, maps = array_module(x), x.transpose(0, 2, 3, 1)
    out: Any = None
    products: Any = None
    outputs = cells.shape[1] if cells is not None else len(kernels)
    # A kernel for each channel by itself; so are both gradients of one (of as many outputs).
    alone = xp is np and groups == x.shape[1] == outputs > 1
    alone = alone and depthwise.is_worthwhile(found, groups)
    block = depthwise.block_of(groups) if alone else 1
    if block > 1 and (kernels is None or depthwise.is_finite(x)):
        return _slide_in_blocks(x, found, size, groups // block, kernels, cells, kernel_size)
    if kernels is not None:
        covered = sum(phase.rows.length * phase.columns.length for phase in found)
        make = xp.empty if covered == size[0] * size[1] else xp.zeros
        out = make((len(x), *size, len(kernels)), dtype=np.result_type(x.dtype, kernels.dtype))
    if cells is not None:
        products = xp.zeros((cells.shape[1], x.shape[1] // groups, *kernel_size), dtype=x.dtype)
        cells = cells.transpose(0, 2, 3, 1)
    for phase in found if len(x) else ():
        if alone:
            if kernels is not None:
                depthwise.correlate(maps, kernels, phase.outputs_of(out), phase)
            if cells is not None:
                sums = depthwise.products(maps, phase.outputs_of(cells), phase)
                phase.taps_of(products)[...] = sums.transpose(2, 0, 1)[:, None]
            continue
        write = None if kernels is None else _times_kernels(kernels, out, phase, groups)
        read = None if cells is None else _times_cells(cells, phase, groups)
        windows = Gathering(maps, phase, groups, outputs)
        for total in _over_bands(windows, write, read):
            if total is not None:
                taps, tap_counts = phase.taps_of(products), (axis.tap_count for axis in phase)
                taps += total.reshape(len(taps), *tap_counts, -1).transpose(0, 3, 1, 2)
    return out, products


def _slide_in_blocks(
    x: Array,
    found: Sequence[Phase],
    size: Pair,
    blocks: int,
    kernels: Any,
    cells: Any,
    kernel_size: Pair,
) -> tuple[Any, Any]:
    """:func:`_slide` for a kernel a channel, with blocks of channels for groups."""
    if kernels is not None:
        kernels = depthwise.as_blocks(kernels, x.shape[1] // blocks)
    out, products = _slide(x, found, size, blocks, kernels, cells, kernel_size)
    return out, None if products is None else depthwise.from_blocks(products)


def _over_bands(windows: Gathering, write: Task | None, read: Task | None) -> list[Any]:
    """Gather the windows band by band, over several threads, and do both tasks with each band.

    Returns
    -------
    list
        For each thread, the sum of what ``read`` returned for its bands.
    """

    def share(bands: Sequence[Band]) -> Any:
        total = None
        for n, r in bands:
            columns = windows.columns(n, r)
            if write is not None:
                write(columns, n, r)
            if read is not None:
                part = read(columns, n, r)
                total = part if total is None else total + part
        return total

    return run_shares(windows.module, share, windows.bands(), windows.threads)


def _times_kernels(w: Array, out: Array, phase: Phase, groups: int) -> Task:
    """Multiply windows (groups, n, rows, columns, K) with the phase's taps, into its outputs."""
    xp, taps, target = array_module(w), phase.taps_of(w), phase.outputs_of(out)
    # (groups, K = taps * channels, outputs of a group): the kernels as columns of a matrix.
    matrix = taps.reshape(groups, -1, *taps.shape[1:]).transpose(0, 3, 4, 2, 1)
    matrix = xp.ascontiguousarray(matrix).reshape(groups, -1, len(w) // groups)

    def write(columns: Array, n: slice, r: slice) -> None:
        block = target[n, r]
        in_one_piece = columns.flags.c_contiguous and block.flags.c_contiguous
        if in_one_piece and groups == 1 and block.dtype == columns.dtype:
            # All windows of the band in one product: the larger, the better.
            rows = columns.reshape(-1, columns.shape[-1])
            matmul(rows, matrix[0], out=block.reshape(-1, block.shape[-1]))
        elif xp is np:
            # A product for each row of outputs, written to where it belongs.
            split = block.reshape(*block.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)
            np.matmul(columns, matrix[:, None, None], out=split)
        else:
            product = matmul(_one_matrix(columns), matrix).transpose(1, 0, 2)
            block[...] = product.reshape(block.shape)

    return write


def _times_cells(cells: Array, phase: Phase, groups: int) -> Task:
    """Multiply windows (groups, n, rows, columns, K) with their cells, summed over the band."""
    source = phase.outputs_of(cells)

    def read(columns: Array, n: slice, r: slice) -> Array:
        block = source[n, r]
        block = block.reshape(*block.shape[:3], groups, -1)
        if columns.flags.c_contiguous:
            rows = block.reshape(-1, groups, block.shape[4]).transpose(1, 2, 0)
            return matmul(rows, _one_matrix(columns))
        return np.matmul(block.transpose(3, 0, 1, 4, 2), columns).sum(axis=(1, 2))

    return read


def _one_matrix(columns: Array) -> Array:
    """The windows of a group as rows of one matrix: (groups, windows, K)."""
    return columns.reshape(len(columns), -1, columns.shape[-1])
