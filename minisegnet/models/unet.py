"""U-Net: what was seen on the way down is laid beside what is upsampled on the way up."""

from __future__ import annotations

from typing import Any, Literal

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.checks import did_you_mean
from minisegnet.models.common import SegmentationModel


class UNet(SegmentationModel):
    r"""U-Net of Ronneberger et al.: contract, expand, and concatenate at every size.

    Going down, ``depth`` times two 3x3 convolutions and a 2x2 max-pooling, the channels doubling;
    two convolutions at the bottom; going up, each time a doubling of the size that halves the
    channels, the concatenation with the map of the same size from the way down (that map first),
    and two 3x3 convolutions; last a 1x1 convolution to one map of logits for each class.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Channels of the first level; the level below d poolings has ``base * 2**d``.
    depth : int
        Number of poolings.
    padding : "same" or "valid"
        "same" pads every convolution with zeros, and the logits have the input's size, which must
        be a multiple of ``2**depth``. "valid" is the paper's: every convolution loses a border of
        one cell, the skips are cropped centrally, and 572x572 gives 388x388 at depth 4.
    norm : bool
        Batch normalisation after every 3x3 convolution (not in the paper). A convolution has a
        bias only where no normalisation follows.
    up : "transpose", "bilinear" or "nearest"
        Double the size by a 2x2 transposed convolution of stride 2 (the paper's up-convolution),
        or by interpolation and a convolution (3x3, or 1x1 with padding "valid").

    Notes
    -----
    ``UNet(1, 2, padding="valid", norm=False)`` is the network of figure 1, with 31,030,658
    parameters.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015, arXiv:1505.04597.

    Examples
    --------
    >>> import numpy as np
    >>> model = UNet(in_channels=3, num_classes=5, base=4, depth=2)
    >>> model(Tensor(np.zeros((1, 3, 20, 32), dtype=np.float32))).shape
    (1, 5, 20, 32)
    >>> UNet(1, 2, base=2, padding="valid", norm=False).output_size((572, 572))
    (388, 388)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        base: int = 64,
        depth: int = 4,
        padding: Literal["same", "valid"] = "same",
        norm: bool = True,
        up: Literal["transpose", "bilinear", "nearest"] = "transpose",
    ) -> None:
        _check_options(in_channels, num_classes, base, depth, padding, up)
        super().__init__(in_channels, num_classes, size_multiple=2**depth)
        self.depth = depth
        self.padding = padding
        widths = [base * 2**level for level in range(depth + 1)]

        def two_convolutions(before: int, after: int) -> nn.Sequential:
            return _two_convolutions(before, after, padding, norm)

        self.down = nn.ModuleList(
            two_convolutions(before, after)
            for before, after in zip([in_channels, *widths], widths[:-1], strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = (
            two_convolutions(widths[-2], widths[-1])
            if depth
            else two_convolutions(in_channels, base)
        )
        self.up = nn.ModuleList(
            _doubling(2 * width, width, padding, up) for width in widths[-2::-1]
        )
        self.merge = nn.ModuleList(two_convolutions(2 * width, width) for width in widths[-2::-1])
        self.classify = nn.Conv2d(base, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the size is not one that halves evenly ``depth`` times; the message has the nearest
            sizes that do.
        """
        self.check_input(x)
        skips = []
        for convolve in self.down:
            x = convolve(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for double, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = double(x)
            x = merge(F.cat([_central_crop(skip, x.shape[2:]), x], 1))
        return self.classify(x)

    def accepts(self, size: int) -> bool:
        """Whether a side of this many cells halves evenly at every pooling."""
        return self._side_of_output(size) is not None

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of the logits for an input of ``size`` (rows, columns).

        Raises
        ------
        ValueError
            If the network does not accept the size.
        """
        sides = [self._side_of_output(side) for side in size]
        if None in sides:
            raise ValueError(self.size_advice(size))
        return sides[0], sides[1]  # type: ignore[return-value]

    def _side_of_output(self, side: int) -> int | None:
        lost = 4 if self.padding == "valid" else 0
        for _ in range(self.depth):
            side -= lost
            if side < 2 or side % 2:
                return None
            side //= 2
        side -= lost
        for _ in range(self.depth):
            side = 2 * side - lost
        return side if side > 0 else None


def _two_convolutions(
    before: int, after: int, padding: Literal["same", "valid"], norm: bool
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers.append(nn.Conv2d(channels, after, 3, padding=padding, bias=not norm))
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers.append(nn.ReLU())
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            # Section 3 of the paper: a standard deviation of sqrt(2 / fan_in).
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(*layers)


def _doubling(before: int, after: int, padding: str, up: str) -> nn.Module:
    if up == "transpose":
        return nn.ConvTranspose2d(before, after, 2, stride=2)
    # A border of zeros belongs to padding "same" only.
    kernel, border = (3, 1) if padding == "same" else (1, 0)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(before, after, kernel, padding=border)
    )


def _central_crop(skip: Tensor, size: tuple[int, ...]) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(skip.shape[2:], size, strict=True))
    if skip.shape[2:] == size:
        return skip
    return skip[:, :, top : top + size[0], left : left + size[1]]


def _check_options(
    in_channels: Any, num_classes: Any, base: Any, depth: Any, padding: Any, up: Any
) -> None:
    limits = {
        "in_channels": (in_channels, 1),
        "num_classes": (num_classes, 1),
        "base": (base, 1),
        "depth": (depth, 0),
    }
    for name, (value, least) in limits.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"UNet: {name} is {value!r}: it must be an integer >= {least}")
    choices = {
        "padding": (padding, ("same", "valid")),
        "up": (up, ("transpose", "bilinear", "nearest")),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"UNet: {name} is {value!r}: {did_you_mean(str(value), known)}")
