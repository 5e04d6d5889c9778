"""Larger maps without learning anything: nails, nearest, bilinear, and channels laid out.

The learned way is ``conv_transpose2d``; the one that remembers is ``max_unpool2d``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minisegnet.arithmetic import Rule, as_float
from minisegnet.autograd import op
from minisegnet.backend import Array, array_module
from minisegnet.checks import Pair, did_you_mean, pair, require_ndim
from minisegnet.kernels.maps import like
from minisegnet.kernels.resample import bilinear, nearest, resample

MODES = ("nearest", "bilinear")


@op
def bed_of_nails(input: Array, scale: int | Pair) -> Rule:
    """Each value at the top left of a block of ``scale`` cells, zeros in the rest of the block.

    ``output[r * scale, c * scale] = input[r, c]``; each length becomes ``n * scale``.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
    scale : int or (row, column)

    Returns
    -------
    Tensor (N, C, H * scale, W * scale)

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W), or the scale is less than 1.

    Examples
    --------
    >>> import minisegnet as ms
    >>> bed_of_nails(ms.tensor([[[[1, 4], [3, 2]]]]), 2).tolist()
    [[[[1, 0, 4, 0], [0, 0, 0, 0], [3, 0, 2, 0], [0, 0, 0, 0]]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "bed_of_nails")
    down, across = pair(scale, "scale", "bed_of_nails", minimum=1)
    nails = (..., slice(None, None, down), slice(None, None, across))
    output = like(input, (input.shape[2] * down, input.shape[3] * across))
    output[nails] = input

    def backward(grad):
        return (grad[nails],)

    return output, backward


@op
def interpolate(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Rule:
    """The map resized, to ``size`` or by ``scale_factor``.

    One output cell is ``step = n / size`` input cells long, or ``1 / scale_factor`` where that is
    given; the size is then ``floor(n * scale_factor)``, and if that is n again, the axis is copied
    (so does PyTorch). Cell o of the output reads, along an axis:

    - "nearest": the cell ``floor(o * step)`` (in float32, as PyTorch computes it).
    - "bilinear": the coordinate ``(o + 1/2) * step - 1/2``, which maps the centres of cells to
      each other, but at least 0; the cells on both sides of it are weighted by their nearness.
    - "bilinear" with ``align_corners``: the coordinate ``o * (n - 1) / (size - 1)``, which maps
      the corner cells onto each other.

    Parameters
    ----------
    input : Tensor (N, C, H, W)
        Integers stay integers with "nearest", and become float32 with "bilinear".
    size : int or (row, column), optional
    scale_factor : number or (row, column), optional
        Either this or the size.
    mode : "nearest" or "bilinear"
    align_corners : bool, optional
        For "bilinear" only.

    Returns
    -------
    Tensor (N, C) + ``size``

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W) or empty, if not exactly one of ``size`` and
        ``scale_factor`` is given, the result would be empty, the mode is unknown, or
        ``align_corners`` is given with "nearest".

    Examples
    --------
    >>> import minisegnet as ms
    >>> interpolate(ms.tensor([[[[1, 3], [2, 0]]]]), scale_factor=2).tolist()
    [[[[1, 1, 3, 3], [1, 1, 3, 3], [2, 2, 0, 0], [2, 2, 0, 0]]]]
    >>> interpolate(ms.tensor([[[[1.0, 5.0]]]]), size=(1, 4), mode="bilinear").tolist()
    [[[[1.0, 2.0, 4.0, 5.0]]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "interpolate")
    if mode not in MODES:
        raise ValueError(f"interpolate: unknown mode {mode!r}: {did_you_mean(str(mode), MODES)}")
    if mode == "nearest" and align_corners is not None:
        raise ValueError(
            "interpolate: align_corners has no meaning for mode 'nearest', which reads one cell: "
            "leave it out, or use mode 'bilinear'"
        )
    lengths = (int(input.shape[2]), int(input.shape[3]))
    sizes, scales = _target_sizes(lengths, size, scale_factor)
    if mode == "nearest":
        rows, columns = (nearest(lengths[a], sizes[a], scales[a]) for a in (0, 1))
    else:
        input = as_float(input)
        rows, columns = (
            bilinear(lengths[a], sizes[a], scales[a], bool(align_corners)) for a in (0, 1)
        )

    def backward(grad):
        return (resample(grad, rows.transposed, columns.transposed),)

    return resample(input, rows, columns), backward


def _target_sizes(
    lengths: Pair,
    size: int | Sequence[int] | None,
    scale_factor: float | Sequence[float] | None,
) -> tuple[Pair, tuple[float | None, float | None]]:
    """The size of the result, and the scale along each axis where one was given."""
    if (size is None) == (scale_factor is None):
        given = "neither" if size is None else "both"
        raise ValueError(
            f"interpolate: {given} of size and scale_factor given: give exactly one of them"
        )
    if 0 in lengths:
        raise ValueError(f"interpolate: the input has no cells to read: its maps are {lengths}")
    if size is not None:
        return pair(size, "size", "interpolate", minimum=1), (None, None)
    scales = _scales(scale_factor)
    sizes = (math.floor(lengths[0] * scales[0]), math.floor(lengths[1] * scales[1]))
    if 0 in sizes:
        raise ValueError(
            f"interpolate: scale_factor {scale_factor} makes a map of {sizes} from {lengths}: "
            "nothing would be left; use a larger factor"
        )
    return sizes, scales


def _scales(scale_factor: Any) -> tuple[float, float]:
    two = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    try:
        down, across = (float(scale) for scale in two)
    except (TypeError, ValueError):
        down = across = math.nan
    if not (0 < down < math.inf and 0 < across < math.inf):
        raise ValueError(
            f"interpolate: scale_factor is {scale_factor!r}: give a number above 0, or a pair "
            "(row, column) of them"
        )
    return down, across


@op
def pixel_shuffle(input: Array, upscale_factor: int) -> Rule:
    """Groups of r*r channels laid out as blocks of r by r cells, for sub-pixel convolution.

    ``output[n, c, h*r + i, w*r + j] = input[n, c*r*r + i*r + j, h, w]``, r = ``upscale_factor``.

    Parameters
    ----------
    input : Tensor (N, C * r * r, H, W)
    upscale_factor : int

    Returns
    -------
    Tensor (N, C, H * r, W * r)

    Raises
    ------
    ValueError
        If the input is not (N, C, H, W), or r * r does not divide its channels.

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016, equation 4.

    Examples
    --------
    >>> import minisegnet as ms
    >>> pixel_shuffle(ms.tensor([[[[1]], [[2]], [[3]], [[4]]]]), 2).tolist()
    [[[[1, 2], [3, 4]]]]
    """
    require_ndim(input, 4, "(N, C, H, W)", "input", "pixel_shuffle")
    r, _ = pair(upscale_factor, "upscale_factor", "pixel_shuffle", minimum=1)
    images, channels, height, width = input.shape
    if channels % (r * r):
        raise ValueError(
            f"pixel_shuffle: {channels} channels do not divide into groups of {r}*{r} = {r * r}: "
            f"give a multiple of {r * r} channels"
        )
    xp = array_module(input)
    maps = channels // (r * r)
    blocks = input.transpose(0, 2, 3, 1).reshape(images, height, width, maps, r, r)
    output = blocks.transpose(0, 1, 4, 2, 5, 3).reshape(images, height * r, width * r, maps)

    def backward(grad):
        cells = grad.transpose(0, 2, 3, 1).reshape(images, height, r, width, r, maps)
        groups = cells.transpose(0, 1, 3, 5, 2, 4).reshape(images, height, width, channels)
        return (groups.transpose(0, 3, 1, 2),)

    return xp.ascontiguousarray(output).transpose(0, 3, 1, 2), backward
