"""Unfolding: the windows of a map as the columns of a matrix, and back again."""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet.arithmetic import Rule
from minisegnet.autograd import op
from minisegnet.backend import Array
from minisegnet.checks import Pair, pair, require_ndim
from minisegnet.kernels.windows import Windows, fold_windows, unfold_windows

AXES = ("rows", "columns")


@op
def unfold(
    input: Array,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Rule:
    """The windows of a convolution as columns ("im2col").

    A convolution is then one matrix product: ``weight.reshape(C_out, -1) @ unfold(input)``.
    ``output[n, (c*kH + i)*kW + j, window]`` is what tap (i, j) of the window sees in channel c,
    zero on padding; windows are counted row by row.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    kernel_size, dilation, padding, stride : int or (row, column)

    Returns
    -------
    Tensor (N, C * kH * kW, windows)

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W), or the kernel is larger than the padded input.

    Examples
    --------
    >>> import minisegnet as ms
    >>> unfold(ms.tensor([[[[1, 2, 3], [4, 5, 6]]]]), 2).tolist()
    [[[1, 2], [2, 3], [4, 5], [5, 6]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "unfold")
    windows = _free_windows("unfold", input.shape[2:], kernel_size, dilation, padding, stride)

    def backward(grad):
        return (fold_windows(grad, windows),)

    return unfold_windows(input, windows), backward


@op
def fold(
    input: Array,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Rule:
    """The columns of :func:`unfold` laid back on a map, added where windows overlap ("col2im").

    This is the adjoint of unfold, not its inverse: a cell under two windows comes back doubled.

    Parameters
    ----------
    input : Tensor (N, C * kH * kW, windows)
    output_size : int or (row, column)
    kernel_size, dilation, padding, stride : int or (row, column)

    Returns
    -------
    Tensor (N, C) + ``output_size``

    Raises
    ------
    ValueError
        If the columns cannot come from a map of ``output_size``.

    Examples
    --------
    >>> import minisegnet as ms
    >>> fold(ms.tensor([[[1, 2], [2, 3], [4, 5], [5, 6]]]), (2, 3), 2).tolist()
    [[[[1, 4, 3], [4, 10, 6]]]]
    """
    require_ndim(input, 3, "(N, C * kH * kW, windows)", "input", "fold")
    size = pair(output_size, "output_size", "fold", minimum=1)
    windows = _free_windows("fold", size, kernel_size, dilation, padding, stride)
    (down, across), (rows, columns) = windows.kernel, windows.count
    if input.shape[1] % (down * across):
        raise ValueError(
            f"fold: columns of {input.shape[1]} values cannot hold whole windows of {down}*{across}"
            f" = {down * across}: check kernel_size, or the order (N, C * kH * kW, windows)"
        )
    if input.shape[2] != rows * columns:
        raise ValueError(
            f"fold: {input.shape[2]} columns, but a map of {size} has {rows}*{columns} = "
            f"{rows * columns} windows with {windows}: use the options given to unfold"
        )

    def backward(grad):
        return (unfold_windows(grad, windows),)

    return fold_windows(input, windows), backward


def _free_windows(
    name: str,
    size: Sequence[int],
    kernel_size: int | Pair,
    dilation: int | Pair,
    padding: int | Pair,
    stride: int | Pair,
) -> Windows:
    """The windows of a convolution, which may lie on padding alone."""
    windows = Windows(
        size=(size[0], size[1]),
        kernel=pair(kernel_size, "kernel_size", name, minimum=1),
        stride=pair(stride, "stride", name, minimum=1),
        padding=pair(padding, "padding", name, minimum=0),
        dilation=pair(dilation, "dilation", name, minimum=1),
    )
    require_fit(name, windows)
    return windows


def require_fit(name: str, windows: Windows) -> None:
    """Refuse a kernel that does not fit into the padded map even once."""
    for axis, cells in enumerate(AXES):
        size, padding = windows.size[axis], windows.padding[axis]
        kernel, dilation = windows.kernel[axis], windows.dilation[axis]
        reach = dilation * (kernel - 1) + 1
        if windows.count[axis] < 1:
            raise ValueError(
                f"{name}: the kernel reaches over {dilation}*({kernel} - 1) + 1 = {reach} {cells}, "
                f"but the padded input has {size} + 2*{padding} = {size + 2 * padding}: "
                "use a smaller kernel, more padding, or a larger input"
            )
