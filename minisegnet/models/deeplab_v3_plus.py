"""DeepLab v3+: the pyramid of v3, and a decoder that looks once more at the fine, early maps."""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.deeplab_v3 import ASPP
from minisegnet.models.parts import conv_norm_relu, resize, separable_conv_norm_relu
from minisegnet.models.resnet import ResNet
from minisegnet.nn.options import require_positive


class DeepLabV3Plus(SegmentationModel):
    """DeepLab v3+ of Chen et al.: encoder and pyramid of DeepLab v3, and a decoder.

    The pyramid's answer is enlarged to 1/4 of the image's size and concatenated with the map of the
    encoder's first stage, which a 1x1 convolution has brought down to few maps, so that it does not
    outweigh the other. Two 3x3 convolutions and a 1x1 convolution give the logits, enlarged to the
    image's size. Both times bilinearly with ``align_corners=True``, as in the authors' code. Height
    and width are free; in training a batch has at least two images (see :class:`.DeepLabV3`).

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the encoder's stem; pyramid and decoder have ``4 * base``, and the early map
        ``3 * base / 4``: 256 and 48 at 64.
    backbone : "resnet50" or "resnet101"; "resnet14" and "resnet26" for toys
    output_stride : 8, 16 or 32
        How many times smaller than the image the last map of the encoder is.
    rates : sequence of int
        Dilations in the pyramid, to be doubled for output stride 8. Of a rate as large as the map's
        side, only the kernel's centre meets the map.
    separable : bool
        Depthwise separable convolutions in pyramid and decoder (section 3.1).
    dropout : float
        Probability that a value of the pyramid's answer is dropped in training.

    Notes
    -----
    With 21 classes there are 40,352,181 parameters with ResNet-50 and 59,344,309 with ResNet-101;
    with ``separable`` 26,696,133 and 45,688,261: computed from section 4.1 of the paper, which
    measures with ResNet-101 and with Xception.

    References
    ----------
    .. [1] L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff, H. Adam, "Encoder-decoder with atrous
       separable convolution for semantic image segmentation", ECCV 2018, arXiv:1802.02611,
       figure 2.

    Examples
    --------
    >>> import numpy as np
    >>> model = DeepLabV3Plus(num_classes=5, base=4, backbone="resnet14", rates=(1, 2)).eval()
    >>> model(Tensor(np.zeros((1, 3, 50, 37), dtype=np.float32))).shape
    (1, 5, 50, 37)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        backbone: str = "resnet50",
        output_stride: int = 16,
        rates: Sequence[int] = (6, 12, 18),
        separable: bool = False,
        dropout: float = 0.1,
    ) -> None:
        require_positive(
            "DeepLabV3Plus", in_channels=in_channels, num_classes=num_classes, base=base
        )
        super().__init__(in_channels, num_classes)
        convolution = separable_conv_norm_relu if separable else conv_norm_relu
        width, few = 4 * base, max(1, 3 * base // 4)
        self.backbone = ResNet(backbone, in_channels, base, output_stride)
        self.aspp = ASPP(self.backbone.widths[-1], width, rates, dropout, convolution)
        self.reduce = conv_norm_relu(self.backbone.widths[0], few)
        self.decoder = nn.Sequential(
            convolution(width + few, width, 3), convolution(width, width, 3)
        )
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the channels are not ``in_channels``, or a single image comes in training.
        """
        self.check_input(x)
        early, *_, last = self.backbone(x)
        context = resize(self.aspp(last), early, align_corners=True)
        fine = self.decoder(F.cat([context, self.reduce(early)], 1))
        return resize(self.classifier(fine), x, align_corners=True)
