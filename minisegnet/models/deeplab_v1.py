"""DeepLab v1: poolings that do not shrink, and dilation to see as far as if they did."""

from __future__ import annotations

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.vgg import VGG16, start
from minisegnet.nn.options import require_positive


class DeepLabV1(SegmentationModel):
    """DeepLab-LargeFOV of Chen et al.: VGG-16 at 1/8 of the size, with a wide field of view.

    The fourth and fifth poolings of VGG-16 keep the size, and what comes after them is dilated: the
    fifth block by 2, and fc6, which would be a 7x7 window, is a 3x3 window of dilation 12. So the
    scores are four times denser than FCN-32s's in each direction, with about a seventh of its
    weights. They are enlarged bilinearly. The paper then sharpens the result with a conditional
    random field, which is no part of the network.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first block of the encoder; fc6 and fc7 have ``16 * base``.
    rate : int
        Dilation of fc6. A map must have more than ``rate`` cells on a side, 8 pixels each, for any
        tap but the middle one to meet it, so toys want a small rate.
    dropout : float
        Probability of dropping a value after fc6 and after fc7, in training.

    Notes
    -----
    Takes images of any size. 20,505,429 parameters with 3 channels and 21 classes; the paper gives
    20.5 million. Its poolings of 3x3 cells with a border of 1 put cell i of the scores on
    pixel 8i exactly, and so they are enlarged with ``align_corners=True``; a side of 8k + 1 pixels,
    as the paper's 321, has its last cell on its last pixel. For training the paper shrinks the
    masks instead.

    References
    ----------
    .. [1] L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille, "Semantic image
       segmentation with deep convolutional nets and fully connected CRFs", ICLR 2015,
       arXiv:1412.7062.

    Examples
    --------
    >>> import numpy as np
    >>> model = DeepLabV1(in_channels=3, num_classes=5, base=2, rate=2)
    >>> model(Tensor(np.zeros((1, 3, 45, 60), dtype=np.float32))).shape
    (1, 5, 45, 60)
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        rate: int = 12,
        dropout: float = 0.5,
    ) -> None:
        require_positive("DeepLabV1", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.features = VGG16(in_channels, base, output_stride=8)
        self.smooth = nn.AvgPool2d(3, stride=1, padding=1)
        self.head = field_of_view(8 * base, 16 * base, num_classes, rate, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's.
        """
        self.check_input(x)
        deepest = self.features(x)[-1].maps
        return enlarge_eightfold(self.head(self.smooth(deepest)), x.shape[2:])


def field_of_view(
    before: int, width: int, num_classes: int, rate: int, dropout: float
) -> nn.Sequential:
    """VGG-16's three fully connected layers as convolutions, the first of them dilated.

    Parameters
    ----------
    before, width, num_classes : int
        Maps that come in, maps of fc6 and fc7, and maps that go out.
    rate : int
        Dilation of fc6.
    dropout : float
        After fc6 and after fc7.

    Examples
    --------
    >>> import numpy as np
    >>> head = field_of_view(4, 8, 3, rate=2, dropout=0.5)
    >>> head(Tensor(np.zeros((1, 4, 5, 7), dtype=np.float32))).shape
    (1, 3, 5, 7)
    """
    return nn.Sequential(
        {
            "fc6": start(nn.Conv2d(before, width, 3, padding=rate, dilation=rate)),
            "relu6": nn.ReLU(),
            "dropout6": nn.Dropout(dropout),
            "fc7": start(nn.Conv2d(width, width, 1)),
            "relu7": nn.ReLU(),
            "dropout7": nn.Dropout(dropout),
            "fc8": start(nn.Conv2d(width, num_classes, 1), "linear"),
        }
    )


def enlarge_eightfold(scores: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate bilinearly, cell i on pixel 8i, and cut to ``size``.

    Examples
    --------
    >>> enlarge_eightfold(Tensor([[[[0.0, 8.0, 16.0]]]]), (1, 12)).tolist()[0][0]
    [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]
    """
    whole = tuple(8 * (cells - 1) + 1 for cells in scores.shape[2:])
    enlarged = F.interpolate(scores, whole, mode="bilinear", align_corners=True)
    return enlarged[:, :, : size[0], : size[1]]
