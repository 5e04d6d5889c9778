"""PSPNet: the map averaged into 1, 4, 9 and 36 regions, and all of that laid beside it."""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
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
        Half the maps of the encoder's stem; the classifier has ``8 * base``.
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

    Notes
    -----
    The encoder has the deep stem of the authors' code (three 3x3 convolutions), and the first block
    of a dilated stage has the dilation of its stage. With 21 classes there are 46,716,373
    parameters with ResNet-50 and 65,708,501 with ResNet-101, as in hszhao/semseg; with the
    auxiliary classifier 49,081,578 and 68,073,706.

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
    ) -> None:
        require_positive("PSPNet", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.backbone = ResNet(
            backbone, in_channels, base, output_stride, deep_stem=True, dilate_first=True
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
        self.check_input(x)
        *_, last = self.backbone(x)
        return resize(self.classifier(self.pyramid(last)), x, align_corners=True)

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and with ``auxiliary`` those of the second classifier after them."""
        if self.aux_classifier is None:
            return (self(x),)
        self.check_input(x)
        *_, third, last = self.backbone(x)
        return (
            resize(self.classifier(self.pyramid(last)), x, align_corners=True),
            resize(self.aux_classifier(third), x, align_corners=True),
        )
