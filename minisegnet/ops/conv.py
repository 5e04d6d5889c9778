"""Convolution and transposed convolution: one primitive, read in two directions.

Both are :func:`minisegnet.kernels.correlate.correlate`, and so are both of their gradients. A
convolution gathers many cells into one; its transpose spreads one cell over many, which the three
steps of :func:`conv_transpose2d` turn into gathering again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.checks import Pair, pair, require_ndim
from minisegnet.kernels import correlate as kernels
from minisegnet.kernels.rows import as_table, column_sums

Padding = tuple[Pair, Pair]


def _correlate(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Padding,
    input_dilation: Pair,
    kernel_dilation: Pair,
    groups: int,
    wanted: tuple[bool, ...] = (),
) -> Rule:
    """Slide the kernel over the map; the gradients of both are correlations again."""
    geometry = (stride, padding, input_dilation, kernel_dilation, groups)
    out = kernels.correlate(x, w, *geometry, bias)

    def backward(grad):
        def of_bias():
            return column_sums(as_table(grad))

        if wanted[0] and wanted[1]:
            return *kernels.gradients(x, grad, w, *geometry), of_bias
        return (
            lambda: kernels.input_gradient(grad, w, x.shape[2:], *geometry),
            lambda: kernels.weight_gradient(x, grad, w.shape[2:], *geometry),
            of_bias,
        )

    return out, backward


# One rule; in errors and in lists of what ran, each op has the name of the function called.
_conv2d = op(_correlate, name="conv2d")
_conv_transpose2d = op(_correlate, name="conv_transpose2d")


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    r"""Convolution of maps with kernels, as networks mean it: the kernel is not flipped.

    Each output cell is the sum of the products of the kernel with the window under it:

    .. math:: y_{n,o,r,c} = b_o + \sum_{k,i,j} w_{o,k,i,j}\; x_{n,k,\;r s + i d - p,\;c s + j d - p}

    so that each side has ``floor((H + 2*padding - dilation*(k-1) - 1) / stride) + 1`` cells. A
    dilation above 1 makes it the atrous convolution.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (C_out, C / groups, kH, kW)
    bias : Tensor (C_out,), optional
    stride, dilation : int or (row, column)
    padding : int, (row, column), "same" or "valid"
        Zeros on each side. "same" keeps the size (stride 1 only; an odd zero goes to the bottom
        and right), "valid" is 0.
    groups : int
        Splits the channels into groups that do not see each other; ``groups=C`` is depthwise.

    Returns
    -------
    Tensor (N, C_out, H_out, W_out)

    Raises
    ------
    ValueError
        If shapes, groups or sizes do not fit; the message has the numbers.
    TypeError
        If the dtypes or devices differ.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
       arXiv:1603.07285, relationships 6 and 12 (dilation).

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    >>> conv2d(x, ms.tensor([[[[1, 0], [2, -1]]]])).tolist()
    [[[[4, 6]]]]
    """
    op = "conv2d"
    _check_maps_and_kernels(op, input, weight, groups)
    stride, dilation = pair(stride, "stride", op, 1), pair(dilation, "dilation", op, 1)
    size, kernel = input.shape[2:], weight.shape[2:]
    channels, out_channels = input.shape[1], weight.shape[0]
    if channels != weight.shape[1] * groups:
        raise ValueError(
            f"{op}: input has {channels} channels but weight {tuple(weight.shape)} with groups "
            f"{groups} takes {weight.shape[1]} * {groups} = {weight.shape[1] * groups}: make the "
            f"weight ({out_channels}, {channels}/groups, {kernel[0]}, {kernel[1]})"
        )
    if out_channels % groups:
        raise ValueError(
            f"{op}: {out_channels} output channels do not divide into {groups} groups: choose a "
            "number of groups that divides both channel counts"
        )
    _check_bias(op, bias, out_channels, weight)
    frame = _conv_frame(padding, kernel, stride, dilation)
    for axis, side in enumerate(("rows", "columns")):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        there = size[axis] + sum(frame[axis])
        if span > there or size[axis] == 0:
            raise ValueError(
                f"{op}: the kernel spans {span} {side} (dilation {dilation[axis]} * "
                f"({kernel[axis]} - 1) + 1) but the padded input has {there} ({size[axis]} + "
                f"{frame[axis][0]} + {frame[axis][1]}): use a larger input, more padding, or a "
                "smaller kernel or dilation"
            )
    return _conv2d(input, weight, bias, stride, frame, (1, 1), dilation, groups)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Tensor:
    """Transposed convolution: every input cell stamps a scaled copy of the kernel on the output.

    It is the map that carries gradients back through :func:`conv2d` of the same weight, stride,
    padding and dilation, so it turns that convolution's output size into its input size:
    ``(H - 1)*stride - 2*padding + dilation*(k - 1) + output_padding + 1``. It restores the size,
    not the values.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    weight : Tensor (C, C_out / groups, kH, kW)
        The order of the convolution that it transposes: there C came out and C_out went in.
    bias : Tensor (C_out,), optional
    stride, dilation : int or (row, column)
    padding : int or (row, column)
        Rows and columns cut off each side of the stamped output: padding shrinks it.
    output_padding : int or (row, column)
        Rows and columns uncovered at the bottom and right. They are not zeros: the same stamps
        reach them. Smaller than the stride or the dilation; it settles which of the ``stride``
        input sizes that one convolution maps to the same output size is meant.
    groups : int

    Returns
    -------
    Tensor (N, C_out, H_out, W_out)

    Raises
    ------
    ValueError
        If shapes, groups or sizes do not fit; the message has the numbers.
    TypeError
        If the dtypes or devices differ.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
       arXiv:1603.07285, section 4.
    .. [2] M. Zeiler et al., "Deconvolutional networks", CVPR 2010.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[1, 2], [3, 4]]]])
    >>> conv_transpose2d(x, ms.tensor([[[[1, 0], [1, 1]]]])).tolist()
    [[[[1, 2, 0], [4, 7, 2], [3, 7, 4]]]]
    """
    op = "conv_transpose2d"
    _check_maps_and_kernels(op, input, weight, groups)
    stride, dilation = pair(stride, "stride", op, 1), pair(dilation, "dilation", op, 1)
    padding = pair(padding, "padding", op, 0)
    output_padding = pair(output_padding, "output_padding", op, 0)
    kernel, out_channels = weight.shape[2:], weight.shape[1] * groups
    if input.shape[1] != weight.shape[0]:
        raise ValueError(
            f"{op}: input has {input.shape[1]} channels but weight {tuple(weight.shape)} takes "
            f"{weight.shape[0]}: a transposed weight is (C_in, C_out/groups, kH, kW), so make "
            f"it ({input.shape[1]}, C_out/groups, {kernel[0]}, {kernel[1]})"
        )
    _check_bias(op, bias, out_channels, weight)
    _check_transposed_size(op, input.shape[2:], kernel, stride, padding, output_padding, dilation)

    # 1. Insert stride - 1 zeros between neighbouring rows and columns.
    zeros_between = stride
    # 2. Pad by dilation*(k-1) - padding on every side (a negative amount crops), and by
    #    output_padding more at the bottom and right.
    rows, columns = (dilation[a] * (kernel[a] - 1) - padding[a] for a in (0, 1))
    frame = (rows, rows + output_padding[0]), (columns, columns + output_padding[1])
    # 3. Flip the kernel up-down and left-right, and correlate with stride 1.
    flipped = flip(_conv_transpose2d_weight(weight, groups=groups), dims=(2, 3))
    return _conv_transpose2d(input, flipped, bias, (1, 1), frame, zeros_between, dilation, groups)


@op
def _conv_transpose2d_weight(w: Array, groups: int) -> Rule:
    """From (C_in, C_out/groups, kH, kW) to the (C_out, C_in/groups, kH, kW) of a convolution."""
    return kernels.exchange_channels(w, groups), lambda grad: (
        kernels.exchange_channels(grad, groups),
    )


@op
def flip(input: Array, dims: int | Sequence[int]) -> Rule:
    """The input with the order of its cells reversed along ``dims``.

    Parameters
    ----------
    input : Tensor
    dims : int or sequence of ints

    Raises
    ------
    IndexError
        If a dimension is out of range.

    Examples
    --------
    >>> import minisegnet as ms
    >>> flip(ms.tensor([[1, 0], [1, 1]]), dims=(0, 1)).tolist()
    [[1, 1], [0, 1]]
    """
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    for axis in axes:
        if not -input.ndim <= axis < input.ndim:
            raise IndexError(f"flip: dim {axis} is out of range for shape {tuple(input.shape)}")
    xp = array_module(input)
    return xp.flip(input, axes), lambda grad: (xp.flip(grad, axes),)


@op
def _insert_zeros(input: Array, stride: Pair) -> Rule:
    n, c, h, w = input.shape
    rows, columns = stride
    xp = array_module(input)
    out = xp.zeros((n, c, (h - 1) * rows + 1, (w - 1) * columns + 1), dtype=input.dtype)
    out[:, :, ::rows, ::columns] = input
    return out, lambda grad: (grad[:, :, ::rows, ::columns],)


def insert_zeros(input: Any, stride: int | Pair) -> Tensor:
    """``stride - 1`` zeros between neighbouring rows and columns: step 1 of a transposed conv.

    The result is ``((H - 1)*stride + 1, (W - 1)*stride + 1)`` large: zeros go between cells, not
    behind the last one.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    stride : int or (row, column)

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W) with at least one row and column, or the stride is not
        positive.

    Examples
    --------
    >>> import minisegnet as ms
    >>> insert_zeros(ms.tensor([[[[1, 2], [3, 4]]]]), stride=(1, 2)).tolist()
    [[[[1, 0, 2], [3, 0, 4]]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "insert_zeros")
    if 0 in input.shape[2:]:
        raise ValueError(f"insert_zeros: input {tuple(input.shape)} has no rows or columns")
    return _insert_zeros(input, pair(stride, "stride", "insert_zeros", 1))


def _check_maps_and_kernels(op: str, input: Any, weight: Any, groups: int) -> None:
    require_ndim(input, 4, "(N, C, H, W)", "input", op)
    require_ndim(weight, 4, "four-dimensional, (.., .., kH, kW)", "weight", op)
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
        raise ValueError(f"{op}: groups is {groups!r}: it must be an integer of at least 1")
    if 0 in weight.shape:
        raise ValueError(f"{op}: weight has shape {tuple(weight.shape)}, which holds no values")
    if input.shape[1] % groups or weight.shape[0] % groups:
        raise ValueError(
            f"{op}: {input.shape[1]} input channels and a weight of shape {tuple(weight.shape)} "
            f"do not divide into {groups} groups: choose a number of groups that divides the "
            "input's channels and the weight's first dimension"
        )
    if input.dtype != weight.dtype:
        raise TypeError(
            f"{op}: input is {input.dtype} and weight is {weight.dtype}: convert one of them, "
            f"for example input.to(dtype='{weight.dtype}')"
        )


def _check_bias(op: str, bias: Any, out_channels: int, weight: Any) -> None:
    if bias is None:
        return
    if tuple(bias.shape) != (out_channels,):
        raise ValueError(
            f"{op}: bias has shape {tuple(bias.shape)} but there are {out_channels} output "
            f"channels: make it ({out_channels},)"
        )
    if bias.dtype != weight.dtype:
        raise TypeError(f"{op}: bias is {bias.dtype} and weight is {weight.dtype}: convert one")


def _conv_frame(padding: int | Pair | str, kernel: Pair, stride: Pair, dilation: Pair) -> Padding:
    """((top, bottom), (left, right)) of zeros around the input."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(
                f"conv2d: padding 'same' keeps the size, which stride {stride} does not: use "
                "stride 1, or give the padding in numbers"
            )
        totals = (dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1))
        return (totals[0] // 2, totals[0] - totals[0] // 2), (
            totals[1] // 2,
            totals[1] - totals[1] // 2,
        )
    if isinstance(padding, str):
        raise ValueError(f"conv2d: padding is {padding!r}: give numbers, 'same' or 'valid'")
    rows, columns = pair(padding, "padding", "conv2d", 0)
    return (rows, rows), (columns, columns)


def _check_transposed_size(
    op: str, size: Pair, kernel: Pair, stride: Pair, padding: Pair, extra: Pair, dilation: Pair
) -> None:
    for a, side in enumerate(("rows", "columns")):
        if extra[a] >= max(stride[a], dilation[a]):
            raise ValueError(
                f"{op}: output_padding {extra[a]} along the {side} must be smaller than the "
                f"stride ({stride[a]}) or the dilation ({dilation[a]}): it only settles which of "
                "the sizes that one stride covers is meant"
            )
        out = (size[a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1)
        out += extra[a] + 1
        if out < 1 or size[a] == 0:
            raise ValueError(
                f"{op}: no {side} are left: ({size[a]} - 1)*{stride[a]} - 2*{padding[a]} + "
                f"{dilation[a]}*({kernel[a]} - 1) + {extra[a]} + 1 = {out}: use less padding "
                "(padding cuts off), a larger kernel or a larger input"
            )
