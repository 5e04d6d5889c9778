"""DeepLab v3: dilated convolutions of several rates beside the mean of the whole map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: one map seen through windows of several widths at once.

    A 1x1 convolution, a 3x3 convolution of each rate, and the mean of the whole map (each with a
    batch norm and ReLU) are concatenated, and a 1x1 convolution mixes them.

    Parameters
    ----------
    before, after : int
        Number of maps; each branch has ``after`` of them.
    rates : sequence of int
        Dilations of the 3x3 convolutions.
    dropout : float
        Probability that a value is dropped at the end.
    convolution : callable
        Makes the 3x3 convolutions from ``(before, after, kernel_size, dilation)``.

    References
    ----------
    .. [1] L.-C. Chen et al., arXiv:1706.05587, section 3.3 and figure 5.

    Examples
    --------
    >>> import numpy as np
    >>> pyramid = ASPP(6, 4, rates=(2, 3), dropout=0.5)
    >>> len(pyramid.convs)
    4
    >>> pyramid(Tensor(np.ones((2, 6, 5, 7), dtype=np.float32))).shape
    (2, 4, 5, 7)
    """

    def __init__(
        self,
        before: int,
        after: int,
        rates: Sequence[int],
        dropout: float,
        convolution: Callable[[int, int, int, int], nn.Module] = conv_norm_relu,
    ) -> None:
        super().__init__()
        require_list("ASPP", rates=rates)
        self.convs = nn.ModuleList([conv_norm_relu(before, after)])
        self.convs.extend(convolution(before, after, 3, rate) for rate in rates)
        self.convs.append(PooledContext(before, after))
        self.project = nn.Sequential(
            *conv_norm_relu(len(self.convs) * after, after), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, before, H, W) into (N, after, H, W)."""
        return self.project(F.cat([branch(x) for branch in self.convs], 1))


class DeepLabV3(SegmentationModel):
    """DeepLab v3 of Chen et al.: a dilated ResNet, an atrous pyramid, and a small classifier.

    The last map of the encoder goes through :class:`ASPP`, a 3x3 convolution and a 1x1 convolution
    to one map of logits for each class, which is enlarged bilinearly to the image's size
    (``align_corners=False``, as in torchvision). Height and width are free; in training a batch has
    at least two images, for the image-level branch has one value for each.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the encoder's stem; the pyramid has ``4 * base``.
    backbone : "resnet50" or "resnet101"; "resnet14" and "resnet26" for toys
    output_stride : 8, 16 or 32
        How many times smaller than the image the last map of the encoder is.
    rates : sequence of int
        Dilations in the pyramid. The default belongs to output stride 8; the paper halves it for
        16. Of a rate as large as the map's side, only the kernel's centre meets the map.
    multi_grid : sequence of int, optional
        Factors to the dilations of the encoder's last blocks, (1, 2, 4) in the paper; torchvision's
        network has none.
    dropout : float
        Probability that a value of the pyramid's answer is dropped in training.
    auxiliary : bool
        A second classifier on the third stage, for training only; see
        :meth:`forward_with_auxiliary`. Its loss counts half, as in torchvision's training.

    Notes
    -----
    With 21 classes it has torchvision's numbers of parameters: 39,638,869 with ResNet-50 and
    58,630,997 with ResNet-101; 42,004,074 and 60,996,202 with the auxiliary classifier. The names
    are torchvision's too, so that the weights of its ``deeplabv3_resnet50`` load.

    References
    ----------
    .. [1] L.-C. Chen, G. Papandreou, F. Schroff, H. Adam, "Rethinking atrous convolution for
       semantic image segmentation", 2017, arXiv:1706.05587.

    Examples
    --------
    >>> import numpy as np
    >>> model = DeepLabV3(num_classes=5, base=4, backbone="resnet14", rates=(2, 4)).eval()
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
        rates: Sequence[int] = (12, 24, 36),
        multi_grid: Sequence[int] | None = None,
        dropout: float = 0.5,
        auxiliary: bool = False,
    ) -> None:
        require_positive("DeepLabV3", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.backbone = ResNet(backbone, in_channels, base, output_stride, multi_grid=multi_grid)
        *_, third, last = self.backbone.widths
        self.classifier = nn.Sequential(
            ASPP(last, 4 * base, rates, dropout),
            *conv_norm_relu(4 * base, 4 * base, 3),
            nn.Conv2d(4 * base, num_classes, 1),
        )
        self.aux_classifier: nn.Sequential | None = None
        if auxiliary:
            self.aux_classifier = auxiliary_head(third, num_classes, nn.Dropout(0.1))
            self.auxiliary_weight = 0.5

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
        yield resize(self.classifier(last), x, align_corners=False)
        if self.aux_classifier is not None:
            yield resize(self.aux_classifier(third), x, align_corners=False)
