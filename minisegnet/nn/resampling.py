"""Layers that change the size of maps without weights: upsampling, shuffling, windows."""

from __future__ import annotations

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.checks import Pair, pair
from minisegnet.nn.module import Module
from minisegnet.nn.options import require_choice, require_positive

Scale = float | tuple[float, float]


class Upsample(Module):
    """Interpolate maps to a size or by a factor; see :func:`minisegnet.functional.interpolate`.

    Parameters
    ----------
    size : int or (rows, columns), optional
    scale_factor : float or (rows, columns), optional
        One of the two is given.
    mode : "nearest" or "bilinear"
    align_corners : bool, optional
        For "bilinear": whether the centres of the corner cells stay where they are; otherwise
        their outer edges do.

    Raises
    ------
    ValueError
        If not exactly one of ``size`` and ``scale_factor`` is given, or the mode is not known.

    Examples
    --------
    >>> Upsample(scale_factor=2)(Tensor([[[[1.0, 3.0], [2.0, 0.0]]]])).tolist()[0][0]
    [[1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 3.0, 3.0], [2.0, 2.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0]]
    """

    def __init__(
        self,
        size: int | Pair | None = None,
        scale_factor: Scale | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require_choice(name, "mode", mode, ("nearest", "bilinear"))
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"{name}: size is {size} and scale_factor is {scale_factor}: give exactly one"
            )
        if mode == "nearest" and align_corners is not None:
            raise ValueError(f"{name}: align_corners has no meaning with mode='nearest': omit it")
        self.size = size if size is None else pair(size, "size", name, minimum=1)
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners

    def forward(self, input: Tensor) -> Tensor:
        """Resize (N, C, H, W)."""
        return F.interpolate(
            input, self.size, self.scale_factor, mode=self.mode, align_corners=self.align_corners
        )

    def extra_repr(self) -> str:
        """The size or factor, and the mode."""
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        corners = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{how}, mode={self.mode!r}{corners}"


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` with mode "nearest".

    Parameters
    ----------
    size : int or (rows, columns), optional
    scale_factor : float or (rows, columns), optional
    """

    def __init__(self, size: int | Pair | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` with mode "bilinear" and ``align_corners=True``.

    Parameters
    ----------
    size : int or (rows, columns), optional
    scale_factor : float or (rows, columns), optional
    """

    def __init__(self, size: int | Pair | None = None, scale_factor: Scale | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """Lay r² maps side by side into one that is r times as large in each direction [1]_.

    Parameters
    ----------
    upscale_factor : int
        r.

    Raises
    ------
    TypeError, ValueError
        If the factor is not a positive integer.

    References
    ----------
    .. [1] W. Shi et al., "Real-time single image and video super-resolution using an efficient
       sub-pixel convolutional neural network", CVPR 2016, arXiv:1609.05158, equation 4.

    Examples
    --------
    >>> PixelShuffle(2)(Tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]])).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        require_positive("PixelShuffle", upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """Turn (N, C r², H, W) into (N, C, H r, W r)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class _Windows(Module):
    def __init__(
        self,
        kernel_size: int | Pair,
        dilation: int | Pair,
        padding: int | Pair,
        stride: int | Pair,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = pair(kernel_size, "kernel_size", name, minimum=1)
        self.dilation = pair(dilation, "dilation", name, minimum=1)
        self.padding = pair(padding, "padding", name, minimum=0)
        self.stride = pair(stride, "stride", name, minimum=1)

    def extra_repr(self) -> str:
        """The window."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Unfold(_Windows):
    """The windows of a convolution as columns.

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or (row, column)
        As of the convolution.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> Unfold((1, 2))(Tensor([[[[1.0, 2.0, 3.0]]]])).tolist()
    [[[1.0, 2.0], [2.0, 3.0]]]
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        dilation: int | Pair = 1,
        padding: int | Pair = 0,
        stride: int | Pair = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, C kH kW, windows)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Columns back into maps; where windows overlap, their values are added.

    Parameters
    ----------
    output_size : int or (rows, columns)
        Size of the maps.
    kernel_size, dilation, padding, stride : int or (row, column)
        As of the :class:`Unfold`.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> Fold((1, 3), (1, 2))(Tensor([[[1.0, 2.0], [2.0, 3.0]]])).tolist()
    [[[[1.0, 4.0, 3.0]]]]
    """

    def __init__(
        self,
        output_size: int | Pair,
        kernel_size: int | Pair,
        dilation: int | Pair = 1,
        padding: int | Pair = 0,
        stride: int | Pair = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = pair(output_size, "output_size", "Fold", minimum=1)

    def forward(self, input: Tensor) -> Tensor:
        """Turn (N, C kH kW, windows) into (N, C, rows, columns)."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        """The size and the window."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
