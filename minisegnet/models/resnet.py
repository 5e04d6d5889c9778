"""ResNet, the encoder of the DeepLab family, PSPNet and RefineNet: four stages of residual blocks.

What it gives is not a class but maps: one of each stage, at 1/4, 1/8, 1/16 and 1/32 of the image's
size, or larger ones where a stage dilates its convolutions instead of taking strides.
"""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.checks import did_you_mean
from minisegnet.models.parts import require_list
from minisegnet.nn.options import require_positive

#: How many blocks each stage has; a network's number counts its convolutions and the classifier.
BLOCKS = {
    "resnet14": (1, 1, 1, 1),
    "resnet26": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}

#: By how much a block's output is wider than the 3x3 convolution in its middle.
EXPANSION = 4


class Bottleneck(nn.Module):
    """A residual block: 1x1 down to ``width`` maps, 3x3, 1x1 up to four times as many, plus input.

    Where the shape changes, the input goes through a 1x1 convolution first. The stride stands at
    the 3x3 convolution, as in torchvision; the paper and its Caffe models have it at the first 1x1.

    Parameters
    ----------
    before : int
        Maps of the input.
    width : int
        Maps in the middle; the output has ``4 * width``.
    stride, dilation : int
        Of the 3x3 convolution.

    Examples
    --------
    >>> import numpy as np
    >>> block = Bottleneck(12, 5, stride=2)
    >>> block(Tensor(np.ones((2, 12, 7, 10), dtype=np.float32))).shape
    (2, 20, 4, 5)
    """

    def __init__(self, before: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        after = EXPANSION * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, before, H, W) into (N, 4 * width, H / stride, W / stride), rounded up."""
        residual = F.relu(self.bn1(self.conv1(x)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(residual + shortcut)


class ResNet(nn.Module):
    """The ResNet of He et al. without its classifier: an image in, the maps of four stages out.

    A stem halves the image twice (a convolution of stride 2 and a pooling), and the stages 2, 3
    and 4 halve once each: 1/32 in the end. For ``output_stride`` 16 or 8 the last one or two stages
    take stride 1, and their convolutions are dilated by 2 (then 4) in exchange: the kernels reach
    the same cells of the image as before, but none is left out.

    Parameters
    ----------
    name : "resnet14", "resnet26", "resnet50" or "resnet101"
        The number of blocks; the first two are for toys.
    in_channels : int
    base : int
        Maps of the stem (64 in the paper); the stages have 4, 8, 16 and 32 times as many.
    output_stride : 8, 16 or 32
        How many times smaller than the image the last map is.
    deep_stem : bool
        Begin with three 3x3 convolutions instead of one 7x7 (and twice as many maps).
    dilate_first : bool
        The first block of a dilated stage still gets its input from the stage before. With False it
        keeps that stage's dilation (torchvision), which is what makes the exchange above exact;
        with True it has its own stage's (the Caffe models of DeepLab v2 and PSPNet).
    multi_grid : sequence of int, optional
        Factors to the dilations of the last stage, one for each of its blocks.

    Attributes
    ----------
    widths : tuple of int
        How many maps each stage gives.

    Raises
    ------
    ValueError
        If an option has no such value; if ``multi_grid`` does not have one factor for each block.

    Notes
    -----
    Parameters and statistics have the names and shapes of torchvision's ``resnet50`` and
    ``resnet101``. Its published weights load with ``load_state_dict(state, strict=False)``; what is
    left over are ``fc.weight`` and ``fc.bias``, the classifier. There are 23,508,032 and 42,500,160
    parameters: torchvision's 25,557,032 and 44,549,160 less those of the classifier, 2,049,000.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR
       2016, arXiv:1512.03385, table 1.
    .. [2] L.-C. Chen et al., "Rethinking atrous convolution for semantic image segmentation",
       arXiv:1706.05587, sections 3.1 (output stride) and 3.2.1 (multi-grid).

    Examples
    --------
    >>> import numpy as np
    >>> image = Tensor(np.zeros((1, 3, 64, 96), dtype=np.float32))
    >>> [maps.shape for maps in ResNet("resnet14", base=2)(image)]
    [(1, 8, 16, 24), (1, 16, 8, 12), (1, 32, 4, 6), (1, 64, 2, 3)]
    >>> [maps.shape for maps in ResNet("resnet14", base=2, output_stride=8)(image)]
    [(1, 8, 16, 24), (1, 16, 8, 12), (1, 32, 8, 12), (1, 64, 8, 12)]
    """

    def __init__(
        self,
        name: str = "resnet50",
        in_channels: int = 3,
        base: int = 64,
        output_stride: int = 32,
        deep_stem: bool = False,
        dilate_first: bool = False,
        multi_grid: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        grid = _checked_grid(name, output_stride, multi_grid)
        require_positive("ResNet", in_channels=in_channels, base=base)
        self.deep_stem = deep_stem
        self.widths = tuple(EXPANSION * base * 2**stage for stage in range(4))
        before, previous = self._make_stem(in_channels, base), 1
        layers = []
        for stage, (stride, dilation) in enumerate(_strides_and_dilations(output_stride)):
            factors = grid if stage == 3 else [1] * BLOCKS[name][stage]
            dilations = [dilation * factor for factor in factors]
            if not dilate_first:
                dilations[0] = previous * factors[0]
            blocks = []
            for number, each in enumerate(dilations):
                width = base * 2**stage
                blocks.append(Bottleneck(before, width, 1 if number else stride, each))
                before = EXPANSION * width
            layers.append(nn.Sequential(*blocks))
            previous = dilation
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_stem(self, in_channels: int, base: int) -> int:
        """Set the first convolutions; returns how many maps the last of them gives."""
        if not self.deep_stem:
            self.conv1 = nn.Conv2d(in_channels, base, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(base)
            return base
        self.conv1 = nn.Conv2d(in_channels, base, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.conv2 = nn.Conv2d(base, base, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(base)
        self.conv3 = nn.Conv2d(base, 2 * base, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * base)
        return 2 * base

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The maps of the four stages for images (N, in_channels, H, W), the largest map first."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self.deep_stem:
            x = F.relu(self.bn2(self.conv2(x)))
            x = F.relu(self.bn3(self.conv3(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        first = self.layer1(x)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)


def _strides_and_dilations(output_stride: int) -> list[tuple[int, int]]:
    """Of the four stages; where a stride would exceed the output stride, the dilation doubles."""
    plan, reached, dilation = [(1, 1)], 4, 1
    for _ in range(3):
        if reached < output_stride:
            reached *= 2
            plan.append((2, dilation))
        else:
            dilation *= 2
            plan.append((1, dilation))
    return plan


def _checked_grid(name: str, output_stride: int, multi_grid: Sequence[int] | None) -> list[int]:
    """The factors of the last stage's dilations, after a look at the options."""
    if name not in BLOCKS:
        raise ValueError(f"ResNet: unknown network {name!r}: {did_you_mean(str(name), BLOCKS)}")
    if output_stride not in (8, 16, 32):
        raise ValueError(
            f"ResNet: output_stride is {output_stride!r}: choose 8, 16 or 32 (the stem and the "
            "second stage always halve three times)"
        )
    count = BLOCKS[name][-1]
    if multi_grid is None:
        return [1] * count
    require_list("ResNet", multi_grid=multi_grid)
    grid = list(multi_grid)
    if len(grid) != count:
        raise ValueError(
            f"ResNet: multi_grid {tuple(grid)} has {len(grid)} factors, but the last stage of "
            f"{name} has {count} blocks: give {count}"
        )
    return grid
