"""Pooling: one value for each window; and unpooling: each value back to where it came from.

A max pooling remembers where each maximum stood. ``max_unpool2d`` puts values back at remembered
places, which is how SegNet's decoder recovers boundaries that pooling has blurred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minisegnet.arithmetic import Rule, as_float
from minisegnet.autograd import op
from minisegnet.backend import Array, array_module
from minisegnet.checks import Pair, pair, require_ndim
from minisegnet.kernels import places
from minisegnet.kernels.resample import bin_edges, max_over_bins, resample, sums
from minisegnet.kernels.windows import (
    Windows,
    max_over_windows,
    scatter_to_winners,
    spread_over_windows,
    sum_over_windows,
    winning_cells,
)
from minisegnet.ops.unfolding import AXES, fold, require_fit, unfold
from minisegnet.replay import refuse

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "fold",
    "max_pool2d",
    "max_unpool2d",
    "unfold",
]


@op
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Rule:
    """The largest value under each window.

    Each length becomes ``floor((n + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1``; with
    ``ceil_mode`` it is rounded up, and the last window may stick out. Padding never wins, not even
    over ``-inf``. Of equal values the first wins, row by row. A NaN beats every number.

    The gradient of each window goes to the cell that won it, and adds up where windows overlap.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size, stride, padding, dilation : int or (row, column)
        The stride is the kernel size if left out. The padding is at most half the kernel.
    ceil_mode : bool
    return_indices : bool
        Return where each maximum stood as well: ``row * W + column`` in the input without its
        padding, the same shape as the values, int64. :func:`max_unpool2d` takes them.

    Returns
    -------
    Tensor (N, C, H_out, W_out), or a pair of it and the indices

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W), the kernel is larger than the padded input, or the
        padding is more than half of the kernel.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]]])
    >>> values, indices = max_pool2d(x, 2, return_indices=True)
    >>> values.tolist(), indices.tolist()
    ([[[[7, 8], [3, 5]]]], [[[[4, 3], [8, 15]]]])
    """
    windows = _windows("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    values, winner = max_over_windows(input, windows)

    def backward(grad):
        return (scatter_to_winners(grad, winner, windows),)

    if return_indices:
        return (values, winning_cells(winner, windows)), backward
    return values, backward


def _windows(
    name: str,
    x: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None,
    padding: int | Pair,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> Windows:
    """The windows of a pooling, if its options make sense for this input."""
    require_ndim(x, 4, "(N, C, H, W)", "input", name)
    windows = Windows(
        size=tuple(x.shape[2:]),
        kernel=pair(kernel_size, "kernel_size", name, minimum=1),
        stride=pair(kernel_size if stride is None else stride, "stride", name, minimum=1),
        padding=pair(padding, "padding", name, minimum=0),
        dilation=pair(dilation, "dilation", name, minimum=1),
        ceil_mode=bool(ceil_mode),
    )
    for axis, cells in enumerate(AXES):
        kernel, amount = windows.kernel[axis], windows.padding[axis]
        if amount > kernel // 2:
            raise ValueError(
                f"{name}: padding {amount} along the {cells} is more than half of the kernel size "
                f"{kernel}, so that windows could lie on padding alone: use at most {kernel // 2}"
            )
    require_fit(name, windows)
    if any(windows.padding) and (blind := windows.seeing_nothing()) is not None:
        raise ValueError(
            f"{name}: with dilation {windows.dilation[blind]}, the taps of a window step over all "
            f"{windows.size[blind]} {AXES[blind]} and fall on padding alone: use a smaller "
            "dilation, no padding, or a larger input"
        )
    return windows


@op
def avg_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Rule:
    """The mean under each window.

    Each length becomes ``floor((n + 2*padding - kernel) / stride) + 1``; with ``ceil_mode`` it is
    rounded up. Integers average into float32.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size, stride, padding : int or (row, column)
        The stride is the kernel size if left out. The padding is at most half the kernel.
    ceil_mode : bool
        Let the last window stick out of the padded map. What sticks out is never counted.
    count_include_pad : bool
        Count the zeros of the padding as values, or divide by the number of real cells.
    divisor_override : int, optional
        Divide the sums by this instead.

    Returns
    -------
    Tensor (N, C, H_out, W_out)

    Raises
    ------
    ValueError
        As in :func:`max_pool2d`, or if the divisor is 0.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[2, 4, 9]]]])
    >>> avg_pool2d(x, (1, 2), padding=(0, 1)).tolist()
    [[[[1.0, 6.5]]]]
    >>> avg_pool2d(x, (1, 2), padding=(0, 1), count_include_pad=False).tolist()
    [[[[2.0, 6.5]]]]
    """
    windows = _windows("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and not divisor_override:
        raise ValueError("avg_pool2d: divisor_override is 0: leave it out to take the mean")
    total = sum_over_windows(as_float(input), windows)
    divisor = divisor_override or _cells_counted(total, windows, count_include_pad)
    total /= divisor

    def backward(grad):
        return (spread_over_windows(grad / divisor, windows),)

    return total, backward


def _cells_counted(x: Array, windows: Windows, with_padding: bool) -> Any:
    """How many cells each window averages over."""

    def lengths(axis: int, xp: Any) -> Array:
        padding = windows.padding[axis] if with_padding else 0
        starts = windows.starts(axis, xp)
        stops = xp.minimum(starts + windows.kernel[axis], windows.size[axis] + padding)
        return stops - xp.maximum(starts, -padding)

    return _areas(x, lengths)


def _cells_in_bins(x: Array, bins: Pair) -> Any:
    """How many cells each bin of an adaptive pooling has."""

    def lengths(axis: int, xp: Any) -> Array:
        first, behind = bin_edges(x.shape[2 + axis], bins[axis], xp)
        return behind - first

    return _areas(x, lengths)


def _areas(x: Array, lengths: Callable[[int, Any], Array]) -> Any:
    """Length down times length across: one number, or a map where they differ."""
    # Looked at on the host, so that a GPU need not wait to tell.
    down, across = lengths(0, np), lengths(1, np)
    if (down == down[0]).all() and (across == across[0]).all():
        return int(down[0]) * int(across[0])
    xp = array_module(x)
    return (lengths(0, xp)[:, None] * lengths(1, xp)).astype(x.dtype)


@op
def adaptive_avg_pool2d(input: Array, output_size: int | Sequence[int | None]) -> Rule:
    """The mean of each of ``output_size`` bins, whatever the size of the input.

    Along each axis, bin b holds the cells from ``floor(b*n/bins)`` up to ``ceil((b + 1)*n/bins)``;
    where n does not divide, neighbouring bins share a cell. Integers average into float32.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    output_size : int or (row, column)
        None keeps the size of the input along that axis.

    Returns
    -------
    Tensor (N, C) + ``output_size``

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W) or empty, or the output size is not positive.

    Examples
    --------
    >>> import minisegnet as ms
    >>> adaptive_avg_pool2d(ms.tensor([[[[1, 6, 2, 4, 3]]]]), (1, 2)).tolist()
    [[[[3.0, 3.0]]]]
    """
    size = _adaptive_size("adaptive_avg_pool2d", input, output_size)
    values = as_float(input)
    rows, columns = (sums(values.shape[2 + a], size[a]) for a in (0, 1))
    total = resample(values, rows, columns)
    divisor = _cells_in_bins(values, size)
    total /= divisor

    def backward(grad):
        return (resample(grad / divisor, rows.transposed, columns.transposed),)

    return total, backward


@op
def adaptive_max_pool2d(
    input: Array, output_size: int | Sequence[int | None], return_indices: bool = False
) -> Rule:
    """The largest value in each of ``output_size`` bins, whatever the size of the input.

    The bins are those of :func:`adaptive_avg_pool2d`. Ties, NaN and indices are as in
    :func:`max_pool2d`.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    output_size : int or (row, column)
        None keeps the size of the input along that axis.
    return_indices : bool
        Return where each maximum stood as well.

    Returns
    -------
    Tensor (N, C) + ``output_size``, or a pair of it and the indices

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W) or empty, or the output size is not positive.

    Examples
    --------
    >>> import minisegnet as ms
    >>> adaptive_max_pool2d(ms.tensor([[[[1, 6, 2, 4, 3]]]]), (1, 2)).tolist()
    [[[[6, 4]]]]
    """
    size = _adaptive_size("adaptive_max_pool2d", input, output_size)
    values, indices = max_over_bins(input, size)
    whole = input.shape[2:]

    def backward(grad):
        return (places.add(grad, indices, whole),)

    return ((values, indices) if return_indices else values), backward


def _adaptive_size(name: str, x: Array, output_size: int | Sequence[int | None]) -> Pair:
    require_ndim(x, 4, "(N, C, H, W)", "input", name)
    if 0 in x.shape[2:]:
        raise ValueError(f"{name}: the input has no cells to pool: its shape is {x.shape}")
    sizes = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    if len(sizes) == 2:
        kept = zip(sizes, x.shape[2:], strict=True)
        sizes = [here if size is None else size for size, here in kept]
    return pair(sizes, "output_size", name, minimum=1)


@op
def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Rule:
    """Put each value back where :func:`max_pool2d` found it, with zeros everywhere else.

    Each length becomes ``(n - 1)*stride - 2*padding + kernel``, unless ``output_size`` says
    otherwise. Pooling rounds down, so maps of several sizes give the same pooled size: pass the
    size of the map that was pooled. The indices count cells row by row in that map, and with
    another width they would name other cells.

    Where windows overlap, several values may name one cell. They are not added: the last of them
    stays, row by row, and it alone receives that cell's gradient.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    indices : Tensor (N, C, H, W) of integers
        ``row * W_out + column`` of each value.
    kernel_size, stride, padding : int or (row, column)
        Those of the pooling. The stride is the kernel size if left out.
    output_size : (row, column), or a whole shape, optional
        Less than one stride from the size above.

    Returns
    -------
    Tensor (N, C, H_out, W_out)

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C, H, W), or the output size is out of reach.
    TypeError
        If the indices are not integers.
    IndexError
        If an index lies outside the output plane.

    Examples
    --------
    >>> import minisegnet as ms
    >>> indices = ms.tensor([[[[4, 3], [8, 15]]]])
    >>> max_unpool2d(ms.tensor([[[[1, 3], [2, 4]]]]), indices, 2).tolist()
    [[[[0, 0, 0, 3], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4]]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "max_unpool2d")
    kernel = pair(kernel_size, "kernel_size", "max_unpool2d", minimum=1)
    steps = pair(kernel if stride is None else stride, "stride", "max_unpool2d", minimum=1)
    amounts = pair(padding, "padding", "max_unpool2d", minimum=0)
    size = _unpooled_size(input.shape[2:], kernel, steps, amounts, output_size)
    _check_places(input, indices, size)
    output, stayed = places.put(input, indices, size)

    def backward(grad):
        received = places.read(grad, indices)
        return (received if stayed is None else received * stayed), None

    return output, backward


def _unpooled_size(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, wanted: Sequence[int] | None
) -> Pair:
    default = tuple((size[a] - 1) * stride[a] - 2 * padding[a] + kernel[a] for a in (0, 1))
    if wanted is not None and len(wanted) == 4:
        wanted = tuple(wanted)[2:]
    chosen = default if wanted is None else pair(wanted, "output_size", "max_unpool2d")
    for axis, cells in enumerate(AXES):
        low, high = default[axis] - stride[axis] + 1, default[axis] + stride[axis] - 1
        if not max(low, 1) <= chosen[axis] <= high:
            raise ValueError(
                f"max_unpool2d: {chosen[axis]} {cells} of output are out of reach: {size[axis]} "
                f"pooled {cells} come from ({size[axis]} - 1)*{stride[axis]} - 2*{padding[axis]} + "
                f"{kernel[axis]} = {default[axis]}, give or take less than the stride: choose "
                f"between {max(low, 1)} and {high}, the size of the map that was pooled"
            )
    return chosen[0], chosen[1]


def _check_places(x: Array, indices: Array, size: Pair) -> None:
    if getattr(indices, "dtype", np.dtype(object)).kind not in "iu":
        raise TypeError(
            f"max_unpool2d: indices are {getattr(indices, 'dtype', type(indices).__name__)}: "
            "give the integers that max_pool2d(..., return_indices=True) returns"
        )
    if indices.shape != x.shape:
        raise ValueError(
            f"max_unpool2d: indices have shape {tuple(indices.shape)} and the input "
            f"{tuple(x.shape)}: there must be one index for each value"
        )
    xp = array_module(x, indices)
    cells = size[0] * size[1]
    outside = (indices < 0) | (indices >= cells)
    plane = (
        f"outside the output plane of {size[0]}*{size[1]} = {cells} cells, which are 0 to "
        f"{cells - 1}: indices count the cells of the map that was pooled; pass its size as "
        "output_size"
    )

    def explained() -> IndexError:
        where = tuple(int(axis[0]) for axis in xp.nonzero(outside))
        return IndexError(f"max_unpool2d: index {int(indices[where])} at {where} lies {plane}")

    refuse(outside, IndexError(f"max_unpool2d: an index lies {plane}"), explained)
