"""PSPNet: the map averaged into 1, 4, 9 and 36 regions, and all of that laid beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.checks import did_you_mean
from minisegnet.models.common import SegmentationModel
from minisegnet.models.parts import (
    PooledContext,
    auxiliary_head,
    conv_norm_relu,
    require_list,
    resize,
)
from minisegnet.models.resnet import ResNet
from minisegnet.nn.options import require_positive

#: How the encoder may begin.
STEMS = ("deep", "plain")


class PyramidPooling(nn.Module):
    """The pyramid pooling module: a map and, behind it, its means over ever smaller regions.

    Parameters
    ----------
    before : int
        Maps of the input. Each level has ``before // len(bins)`` of its own.
    bins : sequence of int
        Regions along each side, one entry for each level.

    References
    ----------
    .. [1] H. Zhao et al., arXiv:1612.01105, section 3.2 and figure 3.

    Examples
    --------
    >>> import numpy as np
    >>> pyramid = PyramidPooling(8, bins=(1, 2, 3, 6))
    >>> pyramid(Tensor(np.ones((2, 8, 7, 10), dtype=np.float32))).shape
    (2, 16, 7, 10)
    """

    def __init__(self, before: int, bins: Sequence[int]) -> None:
        super().__init__()
        require_list("PyramidPooling", bins=bins)
        each = before // len(bins)
        self.levels = nn.ModuleList(PooledContext(before, each, side) for side in bins)
        self.width = before + each * len(bins)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, before, H, W) into (N, width, H, W), the input first."""
        return F.cat([x, *(level(x) for level in self.levels)], 1)


class PSPNet(SegmentationModel):
    """PSPNet of Zhao et al.: a dilated ResNet, pyramid pooling, and a small classifier.

    Each level of the pyramid averages the encoder's last map into its bins, goes through a 1x1
    convolution and is enlarged again; all are concatenated with the map itself. A 3x3 and a 1x1
    convolution classify, and the logits are enlarged bilinearly to the image's size. Both times
    ``align_corners=True``, as in the authors' code; sides of ``8 k + 1`` (473) then fit exactly.
    Height and width are free; in training a batch has at least two images, for the first level has
    one value for each.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the encoder's first convolution; the classifier has ``8 * base``.
    backbone : "resnet50" or "resnet101"; "resnet14" and "resnet26" for toys
    output_stride : 8, 16 or 32
        How many times smaller than the image the last map of the encoder is.
    bins : sequence of int
        Levels of the pyramid.
    dropout : float
        Probability that a map is dropped in training, before the 1x1 convolution.
    auxiliary : bool
        A second classifier on the third stage, for training only; see
        :meth:`forward_with_auxiliary` and section 4 of the paper. Its loss counts 0.4, as there.
    stem : "deep" or "plain"
        How the encoder begins: with three 3x3 convolutions, as the authors' does, or with one of
        7x7, as torchvision's ResNets, whose published weights then load whole.

    Notes
    -----
    As in the authors' code, the first block of a dilated stage has the dilation of its stage. With
    21 classes there are 46,716,373 parameters with ResNet-50 and 65,708,501 with ResNet-101, as in
    hszhao/semseg; with the auxiliary classifier 49,081,578 and 68,073,706. With the plain stem
    there are 46,592,597 and 65,584,725: the first block looks at 64 maps then, and not at 128.

    The paper speaks of a dilated ResNet; the deep stem (``base``, ``base``, ``2 * base`` maps) is
    in the authors' code. Encoders trained on ImageNet with this very stem come with hszhao/semseg
    and with MIT CSAIL's semantic-segmentation-pytorch, and their names fit. The stem of ResNet-v1c
    in MMSegmentation is narrower and does not fit; the PSPNets called ``r50b`` there have the plain
    one.

    References
    ----------
    .. [1] H. Zhao, J. Shi, X. Qi, X. Wang, J. Jia, "Pyramid scene parsing network", CVPR 2017,
       arXiv:1612.01105.

    Examples
    --------
    >>> import numpy as np
    >>> model = PSPNet(num_classes=5, base=4, backbone="resnet14").eval()
    >>> model(Tensor(np.zeros((1, 3, 50, 37), dtype=np.float32))).shape
    (1, 5, 50, 37)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        backbone: str = "resnet50",
        output_stride: int = 8,
        bins: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        auxiliary: bool = False,
        stem: str = "deep",
    ) -> None:
        require_positive("PSPNet", in_channels=in_channels, num_classes=num_classes, base=base)
        if stem not in STEMS:
            raise ValueError(f"PSPNet: unknown stem {stem!r}: {did_you_mean(str(stem), STEMS)}")
        super().__init__(in_channels, num_classes)
        self.backbone = ResNet(
            backbone, in_channels, base, output_stride, deep_stem=stem == "deep", dilate_first=True
        )
        *_, third, last = self.backbone.widths
        self.pyramid = PyramidPooling(last, bins)
        self.classifier = nn.Sequential(
            *conv_norm_relu(self.pyramid.width, 8 * base, 3),
            nn.Dropout2d(dropout),
            nn.Conv2d(8 * base, num_classes, 1),
        )
        self.aux_classifier: nn.Sequential | None = None
        if auxiliary:
            self.aux_classifier = auxiliary_head(third, num_classes, nn.Dropout2d(dropout))
            self.auxiliary_weight = 0.4

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the channels are not ``in_channels``, or a single image comes in training.
        """
        return next(self._each_logits(x))

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and with ``auxiliary`` those of the second classifier after them."""
        return tuple(self._each_logits(x))

    def _each_logits(self, x: Tensor) -> Iterator[Tensor]:
        """What the classifiers say, the main one first; each runs only when it is asked."""
        self.check_input(x)
        *_, third, last = self.backbone(x)
        yield resize(self.classifier(self.pyramid(last)), x, align_corners=True)
        if self.aux_classifier is not None:
            yield resize(self.aux_classifier(third), x, align_corners=True)
