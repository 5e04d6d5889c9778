"""SegNet: the decoder puts every value back where the encoder's pooling found it."""

from __future__ import annotations

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.vgg import CONVOLUTIONS, VGG16, WIDTHS, start
from minisegnet.nn.options import require_positive


class SegNet(SegmentationModel):
    """SegNet of Badrinarayanan et al.: VGG-16 and its mirror image, joined by pooling indices.

    The encoder keeps no maps for later, only where each maximum stood. The decoder unpools: each
    value returns to that place, zeros stand elsewhere, and convolutions fill them in. So edges
    come back where they were, without anything learnt for upsampling. The last convolution gives
    the logits.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first block; the five blocks have ``base`` times 1, 2, 4, 8 and 8.

    Notes
    -----
    Takes images of any size: poolings round up, and every unpooling restores the size that was
    pooled. 29,455,125 parameters with 3 channels and 21 classes, as in ``segnet_train.prototxt`` of
    the authors' code [2]_. There, and so here, every convolution has a bias even where a
    normalisation follows that takes it away again: those biases have a gradient of zero but for
    rounding. ``features`` is numbered as torchvision's ``vgg16_bn``.

    References
    ----------
    .. [1] V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet: a deep convolutional encoder-decoder
       architecture for image segmentation", PAMI 2017, arXiv:1511.00561.
    .. [2] github.com/alexgkendall/SegNet-Tutorial

    Examples
    --------
    >>> import numpy as np
    >>> model = SegNet(in_channels=3, num_classes=5, base=2)
    >>> model(Tensor(np.zeros((1, 3, 45, 60), dtype=np.float32))).shape
    (1, 5, 45, 60)
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 21, base: int = 64) -> None:
        require_positive("SegNet", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.features = VGG16(in_channels, base, norm=True, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.decoder = nn.ModuleList(
            _decoder_block(base, block) for block in reversed(range(len(WIDTHS)))
        )
        self.classify = start(nn.Conv2d(base, num_classes, 3, padding=1), "linear")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's.
        """
        self.check_input(x)
        levels = self.features(x)
        x = levels[-1].maps
        for level, convolve in zip(reversed(levels), self.decoder, strict=True):
            x = convolve(self.unpool(x, level.indices, output_size=level.size))
        return self.classify(x)


def _decoder_block(base: int, block: int) -> nn.Sequential:
    """As many convolutions as the encoder's block has, the last one to the next block's width.

    The first block of the network is one shorter: the classifier is its last convolution.
    """
    width, after = base * WIDTHS[block], base * WIDTHS[max(block - 1, 0)]
    count = CONVOLUTIONS[block] - (block == 0)
    layers: list[nn.Module] = []
    for channels in [width] * (count - 1) + [after]:
        layers += [start(nn.Conv2d(width, channels, 3, padding=1)), nn.BatchNorm2d(channels)]
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class SegNetBasic(SegmentationModel):
    """SegNet-Basic: four levels of one 7x7 convolution each, all of the same width.

    The small network with which the authors compare decoders. The image passes a local response
    normalisation; each level of the encoder is a convolution, batch normalisation, relu and
    pooling; each of the decoder unpools, convolves and normalises, **without** a relu; a 1x1
    convolution gives the logits.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of every level.

    Notes
    -----
    Takes images of any size, as :class:`SegNet`. 1,417,237 parameters with 3 channels and 21
    classes, as in ``segnet_basic_train.prototxt`` of the authors' code [2]_; the biases of the
    convolutions in front of a normalisation have a gradient of zero but for rounding.

    References
    ----------
    .. [1] V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet", arXiv:1511.00561, section 3.1.
    .. [2] github.com/alexgkendall/SegNet-Tutorial

    Examples
    --------
    >>> import numpy as np
    >>> model = SegNetBasic(in_channels=3, num_classes=5, base=4)
    >>> model(Tensor(np.zeros((1, 3, 45, 60), dtype=np.float32))).shape
    (1, 5, 45, 60)
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 21, base: int = 64) -> None:
        require_positive("SegNetBasic", in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes)
        self.encoder = nn.ModuleList(
            _convolution_and_norm(channels, base) for channels in (in_channels, base, base, base)
        )
        self.pool = nn.MaxPool2d(2, return_indices=True, ceil_mode=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.decoder = nn.ModuleList(_convolution_and_norm(base, base) for _ in range(4))
        self.classify = start(nn.Conv2d(base, num_classes, 1), "linear")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's.
        """
        self.check_input(x)
        x = F.local_response_norm(x, 5, alpha=1e-4, beta=0.75)
        levels = []
        for convolve in self.encoder:
            x = F.relu(convolve(x))
            size = x.shape[2:]
            x, indices = self.pool(x)
            levels.append((indices, size))
        for (indices, size), convolve in zip(reversed(levels), self.decoder, strict=True):
            x = convolve(self.unpool(x, indices, output_size=size))
        return self.classify(x)


def _convolution_and_norm(before: int, after: int) -> nn.Sequential:
    layer = start(nn.Conv2d(before, after, 7, padding=3))
    return nn.Sequential(layer, nn.BatchNorm2d(after))
