"""Convolutions that hold their weights, and the padding layers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.checks import Pair, pair
from minisegnet.nn import init
from minisegnet.nn.module import Module, Parameter
from minisegnet.nn.options import require_choice, require_positive

PadMode = Literal["zeros", "reflect", "replicate"]


class _Convolution(Module):
    """What both directions share: the options, and a weight and bias to learn."""

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair,
        dilation: int | Pair,
        groups: int,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        for channels, what in ((in_channels, "in_channels"), (out_channels, "out_channels")):
            if channels % groups:
                raise ValueError(
                    f"{name}: {what}={channels} does not divide into groups={groups}: "
                    f"{channels} / {groups} leaves {channels % groups}. Choose multiples of groups"
                )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(kernel_size, "kernel_size", name, minimum=1)
        self.stride = pair(stride, "stride", name, minimum=1)
        self.dilation = pair(dilation, "dilation", name, minimum=1)
        self.groups = groups

    def _make_weight(self, shape: tuple[int, ...], bias: bool) -> None:
        self.weight = Parameter(np.empty(shape, dtype=np.float32))
        self.bias = Parameter(np.empty(self.out_channels, dtype=np.float32)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform within 1 / sqrt(fan_in), as in PyTorch."""
        init.default_(self.weight, self.bias)

    def _shown(self, **options: tuple[Any, Any]) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        shown += [f"stride={self.stride}"]
        options["dilation"] = (self.dilation, (1, 1))
        options["groups"] = (self.groups, 1)
        options["bias"] = (self.bias is not None, True)
        shown += [f"{n}={value!r}" for n, (value, default) in options.items() if value != default]
        return ", ".join(shown)


class Conv2d(_Convolution):
    r"""Convolution of maps with learnt kernels; see :func:`minisegnet.functional.conv2d`.

    Each side becomes
    :math:`\lfloor (h + 2 p - d (k - 1) - 1) / s \rfloor + 1`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of maps before and after.
    kernel_size : int or (row, column)
    stride, dilation : int or (row, column)
    padding : int, (row, column), "same" or "valid"
        Zeros on each side; "same" keeps the size (stride 1 only), "valid" adds none.
    groups : int
        The maps are split into so many groups, each convolved by itself.
    bias : bool
        Whether a number is learnt for each output map and added to it.
    padding_mode : "zeros", "reflect" or "replicate"
        What the padding is made of.

    Attributes
    ----------
    weight : Parameter
        (out_channels, in_channels / groups, kH, kW), uniform within
        :math:`1 / \sqrt{fan_{in}}` at first.
    bias : Parameter or None
        (out_channels,), uniform within the same bounds.

    Raises
    ------
    ValueError
        If groups do not divide the channels, a number is not positive, or "same" meets a stride.
    TypeError
        If an option has the wrong type.

    Examples
    --------
    >>> layer = Conv2d(3, 5, kernel_size=(3, 2), stride=2, padding=(1, 0))
    >>> layer(np.ones((2, 3, 7, 8), dtype=np.float32)).shape
    (2, 5, 4, 4)
    >>> layer.weight.shape
    (5, 3, 3, 2)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | Literal["same", "valid"] = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PadMode = "zeros",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups)
        require_choice("Conv2d", "padding_mode", padding_mode, ("zeros", "reflect", "replicate"))
        self.padding = self._checked_padding(padding)
        self.padding_mode = padding_mode
        self._make_weight((out_channels, in_channels // groups, *self.kernel_size), bias)

    def _checked_padding(self, padding: int | Pair | str) -> Pair | str:
        if not isinstance(padding, str):
            return pair(padding, "padding", "Conv2d", minimum=0)
        if padding not in ("same", "valid"):
            raise ValueError(
                f"Conv2d: padding is {padding!r}: give a number, a pair, 'same' or 'valid'"
            )
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(
                f"Conv2d: padding='same' with stride={self.stride}: a stride changes the size; "
                "give the padding as a number"
            )
        return padding

    def _sides(self) -> list[int]:
        """The padding as ``pad`` takes it: left, right, top, bottom."""
        sides: list[int] = []
        for axis in (1, 0):
            if self.padding == "same":
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                sides += [total // 2, total - total // 2]
            else:
                sides += [0 if self.padding == "valid" else int(self.padding[axis])] * 2
        return sides

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, in_channels, H, W) into (N, out_channels, H', W')."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._sides(), mode=self.padding_mode), 0
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        """The options that differ from the defaults."""
        return self._shown(
            padding=(self.padding, (0, 0)), padding_mode=(self.padding_mode, "zeros")
        )


class ConvTranspose2d(_Convolution):
    r"""Transposed convolution with learnt kernels, upwards where ``Conv2d`` goes down.

    Each side becomes :math:`(h - 1) s - 2 p + d (k - 1) + a + 1`, with a the output padding; see
    :func:`minisegnet.functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of maps before and after.
    kernel_size : int or (row, column)
    stride, dilation : int or (row, column)
    padding : int or (row, column)
        Cells that are cut from each side: it undoes the padding of the ``Conv2d`` with the same
        options.
    output_padding : int or (row, column)
        Cells that are uncovered at the bottom and right, to choose among the sizes that
        ``Conv2d`` maps to the same one. Smaller than the stride or the dilation.
    groups : int
    bias : bool

    Attributes
    ----------
    weight : Parameter
        (in_channels, out_channels / groups, kH, kW), uniform at first within
        :math:`1 / \sqrt{(out\_channels / groups) k_H k_W}`, as in PyTorch.
    bias : Parameter or None
        (out_channels,), uniform within the same bounds.

    Raises
    ------
    ValueError
        If groups do not divide the channels, a number is too small, or ``output_padding`` is not
        smaller than the stride or dilation.
    TypeError
        If an option has the wrong type.

    Examples
    --------
    >>> layer = ConvTranspose2d(5, 3, kernel_size=3, stride=2, padding=1)
    >>> x = np.ones((2, 5, 4, 7), dtype=np.float32)
    >>> layer(x).shape, layer(x, output_size=(8, 14)).shape
    ((2, 3, 7, 13), (2, 3, 8, 14))
    >>> layer.weight.shape
    (5, 3, 3, 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, groups)
        self.padding = pair(padding, "padding", "ConvTranspose2d", minimum=0)
        self.output_padding = pair(output_padding, "output_padding", "ConvTranspose2d", minimum=0)
        limits = tuple(max(s, d) for s, d in zip(self.stride, self.dilation, strict=True))
        if any(a >= limit for a, limit in zip(self.output_padding, limits, strict=True)):
            raise ValueError(
                f"ConvTranspose2d: output_padding={self.output_padding} must be smaller than the "
                f"stride or the dilation, here {limits}: larger ones only append cells that "
                "nothing reaches"
            )
        self._make_weight((in_channels, out_channels // groups, *self.kernel_size), bias)

    def forward(self, input: Tensor, output_size: tuple[int, ...] | None = None) -> Tensor:
        """Upsample (N, in_channels, H, W) into (N, out_channels, H', W').

        Parameters
        ----------
        input : Tensor
        output_size : (rows, columns), optional
            The size wanted, instead of ``output_padding``.

        Raises
        ------
        ValueError
            If no output padding smaller than the stride gives that size.
        """
        extra = self.output_padding
        if output_size is not None:
            extra = self._output_padding(tuple(input.shape[-2:]), tuple(output_size)[-2:])
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _output_padding(self, size: tuple[int, ...], wanted: tuple[int, ...]) -> Pair:
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                size, self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        if len(wanted) != 2 or any(
            not low <= w <= high for low, w, high in zip(least, wanted, most, strict=True)
        ):
            raise ValueError(
                f"ConvTranspose2d: output_size={wanted} is out of reach: from {size}, this layer "
                f"makes {tuple(least)} to {tuple(most)} (rows, columns)"
            )
        return wanted[0] - least[0], wanted[1] - least[1]

    def extra_repr(self) -> str:
        """The options that differ from the defaults."""
        return self._shown(
            padding=(self.padding, (0, 0)), output_padding=(self.output_padding, (0, 0))
        )


Padding = int | tuple[int, int, int, int]


class _Pad(Module):
    mode: str
    value: float = 0.0

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        name = type(self).__name__
        sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(sides) != 4 or not all(isinstance(side, int) for side in sides):
            raise TypeError(
                f"{name}: padding is {padding!r}: give one integer or (left, right, top, bottom)"
            )
        self.padding = sides

    def forward(self, input: Tensor) -> Tensor:
        """Pad the last two dimensions of (N, C, H, W)."""
        return F.pad(input, self.padding, mode=self.mode, value=self.value)

    def extra_repr(self) -> str:
        """The padding, as (left, right, top, bottom)."""
        return str(self.padding)


class ConstantPad2d(_Pad):
    """Pad with one number; negative padding crops.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    value : float

    Examples
    --------
    >>> ConstantPad2d((1, 0, 0, 2), 7.0)(np.ones((1, 1, 1, 2), dtype=np.float32)).tolist()
    [[[[7.0, 1.0, 1.0], [7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]]]
    """

    mode = "constant"

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = float(value)

    def extra_repr(self) -> str:
        """The padding, as (left, right, top, bottom), and the number."""
        return f"{self.padding}, value={self.value}"


class ZeroPad2d(_Pad):
    """Pad with zeros; negative padding crops.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    mode = "constant"


class ReflectionPad2d(_Pad):
    """Pad with the mirror image; the border itself is not repeated.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    mode = "reflect"


class ReplicationPad2d(_Pad):
    """Pad with copies of the border.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    """

    mode = "replicate"
