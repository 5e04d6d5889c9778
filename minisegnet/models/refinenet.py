"""RefineNet: block by block, the coarsest map of the encoder is refined by the finer ones."""

from __future__ import annotations

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.parts import resize
from minisegnet.models.resnet import ResNet
from minisegnet.nn.options import require_positive


def _conv3x3(before: int, after: int, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, added to the input; no batch normalisation.

    Parameters
    ----------
    width : int
        Number of maps.

    References
    ----------
    .. [1] G. Lin et al., arXiv:1611.06612, figure 3 (b).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(width, width, bias=True)
        self.conv2 = _conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Refine maps (N, width, H, W)."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class ChainedResidualPooling(nn.Module):
    """Pool and convolve, again and again, and add the result of every round to the input.

    A round takes the maximum of 5x5 cells around each, so later rounds look further: context from a
    large region, at full resolution and without dilation.

    Parameters
    ----------
    width : int
        Number of maps.
    rounds : int

    References
    ----------
    .. [1] G. Lin et al., arXiv:1611.06612, figure 3 (d).
    """

    def __init__(self, width: int, rounds: int = 4) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv3x3(width, width) for _ in range(rounds))

    def forward(self, x: Tensor) -> Tensor:
        """Add context to maps (N, width, H, W)."""
        pooled = total = F.relu(x)
        for conv in self.convs:
            pooled = conv(F.max_pool2d(pooled, 5, stride=1, padding=2))
            total = total + pooled
        return total


class RefineNetBlock(nn.Module):
    """One refinement: a map of the encoder and the coarser block's answer become a finer map.

    Both inputs go through two residual units; both are convolved to the same number of maps, the
    coarse one is enlarged, and they are added (multi-resolution fusion); then chained residual
    pooling, and a residual unit for the output. The first block has the encoder's map alone.

    Parameters
    ----------
    features : int
        Maps of the encoder's stage.
    width : int
        Maps of the output.
    coarse : int, optional
        Maps of the coarser block.

    References
    ----------
    .. [1] G. Lin et al., arXiv:1611.06612, figure 3.

    Examples
    --------
    >>> import numpy as np
    >>> fine, coarse = (Tensor(np.ones(s, np.float32)) for s in [(1, 5, 8, 6), (1, 4, 4, 3)])
    >>> RefineNetBlock(features=5, width=2, coarse=4)(fine, coarse).shape
    (1, 2, 8, 6)
    """

    def __init__(self, features: int, width: int, coarse: int | None = None) -> None:
        super().__init__()
        self.reduce = _conv3x3(features, width)
        self.adapt = nn.Sequential(ResidualConvUnit(width), ResidualConvUnit(width))
        self.has_coarse = coarse is not None
        if coarse is not None:
            self.fuse = _conv3x3(width, width)
            self.adapt_coarse = nn.Sequential(ResidualConvUnit(coarse), ResidualConvUnit(coarse))
            self.fuse_coarse = _conv3x3(coarse, width)
        self.pool = ChainedResidualPooling(width)
        self.output = ResidualConvUnit(width)

    def forward(self, features: Tensor, coarse: Tensor | None = None) -> Tensor:
        """Refine ``coarse`` (N, coarse, h, w) by ``features`` (N, features, H, W) at their size."""
        x = self.adapt(self.reduce(features))
        if coarse is not None:
            below = self.fuse_coarse(self.adapt_coarse(coarse))
            x = self.fuse(x) + resize(below, x, align_corners=True)
        return self.output(self.pool(x))


class RefineNet(SegmentationModel):
    """RefineNet of Lin et al.: four blocks refine the coarsest map by the finer ones, step by step.

    The encoder keeps its strides and goes down to 1/32; there is no dilation. The blocks bring its
    maps from 1/32 back to 1/4 of the image's size, where two more residual units and a 3x3
    convolution give the logits. All enlarging is bilinear with ``align_corners=True``, as in
    DrSleep/refinenet-pytorch, which leaves the last step, to the image's size, to the caller.
    Height and width are free.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the encoder's stem; the first block has ``8 * base``, the others ``4 * base``.
    backbone : "resnet101" or "resnet50"; "resnet14" and "resnet26" for toys
    dropout : float
        Probability that a value of the two coarsest maps, and of the finest before the classifier,
        is dropped in training.

    Notes
    -----
    With 21 classes there are 118,052,437 parameters with ResNet-101, as in
    DrSleep/refinenet-pytorch, and 99,060,309 with ResNet-50. As there, a pooling chain has four
    rounds, and of a residual unit only the first convolution has a bias. Nothing in the blocks
    normalises, so the learning rate must be smaller than for networks that do: Adam learns the toy
    with 0.003, and diverges with 0.01.

    References
    ----------
    .. [1] G. Lin, A. Milan, C. Shen, I. Reid, "RefineNet: multi-path refinement networks for
       high-resolution semantic segmentation", CVPR 2017, arXiv:1611.06612.

    Examples
    --------
    >>> import numpy as np
    >>> model = RefineNet(num_classes=5, base=4, backbone="resnet14").eval()
    >>> model(Tensor(np.zeros((1, 3, 50, 37), dtype=np.float32))).shape
    (1, 5, 50, 37)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        backbone: str = "resnet101",
        dropout: float = 0.5,
    ) -> None:
        require_positive("RefineNet", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.backbone = ResNet(backbone, in_channels, base)
        quarter, eighth, sixteenth, last = self.backbone.widths
        width = 4 * base
        self.dropout = nn.Dropout(dropout)
        self.refine4 = RefineNetBlock(last, 2 * width)
        self.refine3 = RefineNetBlock(sixteenth, width, coarse=2 * width)
        self.refine2 = RefineNetBlock(eighth, width, coarse=width)
        self.refine1 = RefineNetBlock(quarter, width, coarse=width)
        self.finish = nn.Sequential(ResidualConvUnit(width), ResidualConvUnit(width))
        self.classifier = _conv3x3(width, num_classes, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the channels are not ``in_channels``.
        """
        self.check_input(x)
        quarter, eighth, sixteenth, last = self.backbone(x)
        refined = self.refine4(self.dropout(last))
        refined = self.refine3(self.dropout(sixteenth), refined)
        refined = self.refine2(eighth, refined)
        refined = self.refine1(quarter, refined)
        logits = self.classifier(self.dropout(self.finish(refined)))
        return resize(logits, x, align_corners=True)
