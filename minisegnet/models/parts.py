"""Parts that several networks share: convolutions with a norm, pooled context, a side head."""

from __future__ import annotations

from typing import Any

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.nn.options import require_positive


def conv_norm_relu(
    before: int, after: int, kernel_size: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution that keeps the size, batch normalisation and ReLU.

    Parameters
    ----------
    before, after : int
        Number of maps.
    kernel_size : int
        Odd.
    dilation, groups : int

    Examples
    --------
    >>> conv_norm_relu(3, 8, 3, dilation=2)
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), ..., padding=(2, 2), dilation=(2, 2), bias=False)
      (1): BatchNorm2d(8, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (2): ReLU()
    )
    """
    padding = dilation * (kernel_size - 1) // 2
    return nn.Sequential(
        nn.Conv2d(
            before,
            after,
            kernel_size,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def separable_conv_norm_relu(
    before: int, after: int, kernel_size: int = 3, dilation: int = 1
) -> nn.Sequential:
    """The same in two steps: each map filtered by itself, then 1x1 to mix the maps.

    ``before * k * k + before * after`` weights instead of ``before * after * k * k``. Both steps
    are followed by batch normalisation and ReLU, as in the code of DeepLab v3+.

    Parameters
    ----------
    before, after, kernel_size, dilation : int
        As of :func:`conv_norm_relu`.

    Examples
    --------
    >>> layers = separable_conv_norm_relu(5, 8)
    >>> [layer.weight.shape for layer in layers if isinstance(layer, nn.Conv2d)]
    [(5, 1, 3, 3), (8, 5, 1, 1)]
    """
    return nn.Sequential(
        *conv_norm_relu(before, before, kernel_size, dilation, groups=before),
        *conv_norm_relu(before, after),
    )


class PooledContext(nn.Sequential):
    """What a map holds on the whole, laid back over it: pool, 1x1 convolution, enlarge.

    Parameters
    ----------
    before, after : int
        Number of maps.
    bins : int
        The map is averaged into ``bins`` by ``bins`` cells; 1 is the mean of the whole map.

    Notes
    -----
    ``align_corners=True`` enlarges the cells, as PSPNet has it; with one bin it makes no
    difference.

    Examples
    --------
    >>> import numpy as np
    >>> context = PooledContext(4, 3, bins=2).eval()
    >>> context(Tensor(np.ones((1, 4, 5, 7), dtype=np.float32))).shape
    (1, 3, 5, 7)
    """

    def __init__(self, before: int, after: int, bins: int = 1) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(bins), *conv_norm_relu(before, after))
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, before, H, W) into (N, after, H, W).

        Raises
        ------
        ValueError
            If a single image is pooled into a single cell in training.
        """
        if len(x) * self.bins**2 == 1 and self[2].training:
            raise ValueError(
                f"PooledContext: one image, {tuple(x.shape)}, in training: pooled to 1x1 it has "
                "one value in each map, and batch_norm cannot normalise one value. Train with "
                "batches of at least 2 images, or switch to evaluation with .eval()"
            )
        return resize(super().forward(x), x, align_corners=True)


def auxiliary_head(before: int, num_classes: int, dropout: nn.Module) -> nn.Sequential:
    """A small classifier of every cell, trained beside the main one and not used afterwards.

    A 3x3 convolution to a quarter of the maps with batch norm and ReLU, dropout, and a 1x1
    convolution to the classes.

    Parameters
    ----------
    before : int
        Number of maps that it looks at.
    num_classes : int
    dropout : Module
        ``nn.Dropout`` or ``nn.Dropout2d``.
    """
    return nn.Sequential(
        *conv_norm_relu(before, before // 4, 3),
        dropout,
        nn.Conv2d(before // 4, num_classes, 1),
    )


def resize(x: Tensor, like: Any, align_corners: bool) -> Tensor:
    """``x`` enlarged bilinearly to the height and width of ``like``.

    Parameters
    ----------
    x, like : Tensor (N, C, H, W)
    align_corners : bool
        Whether the corner cells lie on each other, or the corners of the maps; see
        :func:`minisegnet.functional.interpolate`.
    """
    return F.interpolate(x, tuple(like.shape[2:]), mode="bilinear", align_corners=align_corners)


def require_list(part: str, **options: Any) -> None:
    """Refuse options that are not lists of whole numbers of at least 1.

    Raises
    ------
    TypeError
        If one is not a list or tuple of integers.
    ValueError
        If one is empty or holds a number below 1.

    Examples
    --------
    >>> require_list("ASPP", rates=[])
    Traceback (most recent call last):
    ...
    ValueError: ASPP: rates is []: give at least one number
    """
    for name, values in options.items():
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"{part}: {name} is {values!r}: give a list of numbers, as [1, 2, 4]")
        if not values:
            raise ValueError(f"{part}: {name} is {values!r}: give at least one number")
        for value in values:
            require_positive(part, **{name: value})
