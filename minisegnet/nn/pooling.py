"""Pooling and unpooling layers; :mod:`minisegnet.functional` has their formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.checks import Pair, pair
from minisegnet.nn.module import Module


class _Pool(Module):
    """The options that all windows have."""

    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair | None, padding: int | Pair
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = pair(kernel_size, "kernel_size", name, minimum=1)
        self.stride = (
            self.kernel_size if stride is None else pair(stride, "stride", name, minimum=1)
        )
        self.padding = pair(padding, "padding", name, minimum=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{name}: padding={self.padding} is more than half of "
                f"kernel_size={self.kernel_size}: some windows would hold nothing but padding"
            )

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool):
    """The largest value of every window; see :func:`minisegnet.functional.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or (row, column)
    stride : int or (row, column), optional
        The kernel's size if left out: windows side by side.
    padding : int or (row, column)
        Cells of minus infinity on each side, never chosen.
    dilation : int or (row, column)
    return_indices : bool
        Return where each maximum stood, too, for :class:`MaxUnpool2d`.
    ceil_mode : bool
        Whether a last, incomplete window counts.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> x = Tensor([[[[1.0, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]]])
    >>> MaxPool2d(2)(x).tolist()
    [[[[7.0, 8.0], [3.0, 5.0]]]]
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.dilation = pair(dilation, "dilation", "MaxPool2d", minimum=1)
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """Pool (N, C, H, W); with ``return_indices``, (values, indices)."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        """The window and the options that differ from the defaults."""
        shown = super().extra_repr()
        shown += f", dilation={self.dilation}" if self.dilation != (1, 1) else ""
        shown += ", return_indices=True" if self.return_indices else ""
        return shown + (", ceil_mode=True" if self.ceil_mode else "")


class MaxUnpool2d(_Pool):
    """Each value back where its maximum stood, zeros elsewhere.

    Parameters
    ----------
    kernel_size : int or (row, column)
    stride : int or (row, column), optional
        The kernel's size if left out.
    padding : int or (row, column)
        As in the :class:`MaxPool2d` whose indices are used.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> x = Tensor([[[[1.0, 4, 4, 8], [7, 0, 3, 2]]]])
    >>> values, indices = MaxPool2d(2, return_indices=True)(x)
    >>> MaxUnpool2d(2)(values, indices).tolist()
    [[[[0.0, 0.0, 0.0, 8.0], [7.0, 0.0, 0.0, 0.0]]]]
    """

    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
    ) -> None:
        super().__init__(kernel_size, stride, padding)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """Unpool (N, C, H, W).

        Parameters
        ----------
        input, indices : Tensor
            Values, and the indices that :class:`MaxPool2d` returned.
        output_size : sequence of ints, optional
            The size before pooling, (..., rows, columns), where several are possible.
        """
        return F.max_unpool2d(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class AvgPool2d(_Pool):
    """The mean of every window; see :func:`minisegnet.functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size : int or (row, column)
    stride : int or (row, column), optional
        The kernel's size if left out.
    padding : int or (row, column)
        Zeros on each side.
    ceil_mode : bool
        Whether a last, incomplete window counts.
    count_include_pad : bool
        Whether the zeros count as cells.
    divisor_override : int, optional
        Divide the sum by this number instead.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Examples
    --------
    >>> AvgPool2d((1, 2))(Tensor([[[[1.0, 4, 4, 8], [7, 0, 3, 2]]]])).tolist()
    [[[[2.5, 6.0], [3.5, 2.5]]]]
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        if divisor_override == 0:
            raise ValueError("AvgPool2d: divisor_override is 0: nothing can be divided by it")
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


OutputSize = int | tuple[int | None, int | None]


class AdaptiveAvgPool2d(Module):
    """Means of so many windows, of the sizes that this takes.

    Parameters
    ----------
    output_size : int or (rows, columns)
        None for a side leaves it as it is.

    Raises
    ------
    TypeError, ValueError
        If the size is not made of positive integers.

    Examples
    --------
    >>> AdaptiveAvgPool2d((1, 2))(Tensor([[[[1.0, 4, 4, 8], [7, 0, 3, 2]]]])).tolist()
    [[[[3.0, 4.25]]]]
    """

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = _checked_sides(output_size, "AdaptiveAvgPool2d")

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, H, W) into (N, C, rows, columns)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """Maxima of so many windows, of the sizes that this takes.

    Parameters
    ----------
    output_size : int or (rows, columns)
        None for a side leaves it as it is.
    return_indices : bool
        Return where each maximum stood, too.

    Raises
    ------
    TypeError, ValueError
        If the size is not made of positive integers.

    Examples
    --------
    >>> AdaptiveMaxPool2d((1, 2))(Tensor([[[[1.0, 4, 4, 8], [7, 0, 3, 2]]]])).tolist()
    [[[[7.0, 8.0]]]]
    """

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = _checked_sides(output_size, "AdaptiveMaxPool2d")
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """Pool (N, C, H, W) into (N, C, rows, columns)."""
        return F.adaptive_max_pool2d(input, self.output_size, return_indices=self.return_indices)

    def extra_repr(self) -> str:
        """The size."""
        return f"output_size={self.output_size}"


def _checked_sides(output_size: OutputSize, layer: str) -> OutputSize:
    sides = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    pair(tuple(1 if side is None else side for side in sides), "output_size", layer, minimum=1)
    return output_size
