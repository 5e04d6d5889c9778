"""DeepLab v2: four dilated convolutions look at the same map, and their scores are added."""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.parts import require_list, resize
from minisegnet.models.resnet import ResNet
from minisegnet.nn.options import require_positive


class SummedPyramid(nn.ModuleList):
    """The first atrous pyramid: 3x3 convolutions of several rates, each to logits, added up.

    Parameters
    ----------
    before, num_classes : int
        Number of maps before and after.
    rates : sequence of int
        Dilations of the convolutions.

    References
    ----------
    .. [1] L.-C. Chen et al., arXiv:1606.00915, figure 4.

    Examples
    --------
    >>> import numpy as np
    >>> pyramid = SummedPyramid(6, 2, rates=(1, 3, 4))
    >>> pyramid(Tensor(np.ones((1, 6, 5, 7), dtype=np.float32))).shape
    (1, 2, 5, 7)
    """

    def __init__(self, before: int, num_classes: int, rates: Sequence[int]) -> None:
        require_list("SummedPyramid", rates=rates)
        super().__init__(
            nn.Conv2d(before, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )
        for branch in self:
            # Their sum then begins near nothing, however many there are.
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, before, H, W) into logits (N, num_classes, H, W)."""
        first, *others = self
        total = first(x)
        for branch in others:
            total = total + branch(x)
        return total


class DeepLabV2(SegmentationModel):
    """DeepLab v2 of Chen et al.: a dilated ResNet and a pyramid of dilated classifiers.

    The logits, at 1/8 of the image's size, are enlarged bilinearly to it (``align_corners=False``,
    as in kazuto1011/deeplab-pytorch). Height and width are free. The paper sharpens the result with
    a conditional random field, which is no part of the network.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the encoder's stem.
    backbone : "resnet101" or "resnet50"; "resnet14" and "resnet26" for toys
    output_stride : 8, 16 or 32
        How many times smaller than the image the last map of the encoder is.
    rates : sequence of int
        Dilations in the pyramid. Of a rate as large as the map's side, only the kernel's centre
        meets the map.

    Notes
    -----
    With 21 classes and ResNet-101 there are 44,048,532 parameters, as in
    kazuto1011/deeplab-pytorch; the scales and shifts of the batch norms count, although they are
    usually kept as they came from ImageNet. The first block of a dilated stage has the dilation of
    its stage, as there.

    References
    ----------
    .. [1] L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "DeepLab: semantic image
       segmentation with deep convolutional nets, atrous convolution, and fully connected CRFs",
       IEEE TPAMI 40(4), 2018, arXiv:1606.00915.

    Examples
    --------
    >>> import numpy as np
    >>> model = DeepLabV2(num_classes=5, base=4, backbone="resnet14", rates=(1, 2))
    >>> model(Tensor(np.zeros((1, 3, 50, 37), dtype=np.float32))).shape
    (1, 5, 50, 37)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        backbone: str = "resnet101",
        output_stride: int = 8,
        rates: Sequence[int] = (6, 12, 18, 24),
    ) -> None:
        require_positive("DeepLabV2", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.backbone = ResNet(backbone, in_channels, base, output_stride, dilate_first=True)
        self.classifier = SummedPyramid(self.backbone.widths[-1], num_classes, rates)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the channels are not ``in_channels``.
        """
        self.check_input(x)
        *_, last = self.backbone(x)
        return resize(self.classifier(last), x, align_corners=False)
