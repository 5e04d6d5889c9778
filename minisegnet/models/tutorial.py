"""The two small networks of a CamVid tutorial: down by strides, up by transposed convolutions.

They are one network with and without its skips: four 4x4 convolutions of stride 2, and four 4x4
transposed ones. There is no pooling and no normalisation, so both are quick to train and to read,
and what the concatenations are worth can be measured.
"""

from __future__ import annotations

import math

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.nn.options import require_positive

# The standard deviation of a standard normal distribution that is cut off at -2 and 2.
_CUT_OFF_STD = 0.87962566103423978


class _Tutorial(SegmentationModel):
    """Four halvings and four doublings; ``skips`` says whether the maps on the way are kept."""

    def __init__(self, in_channels: int, num_classes: int, base: int, skips: bool) -> None:
        name = type(self).__name__
        require_positive(name, in_channels=in_channels, num_classes=num_classes, base=base)
        super().__init__(in_channels, num_classes, size_multiple=16)
        down = [base, 2 * base, 4 * base, 8 * base]
        up = [4 * base, 2 * base, base, num_classes]
        kept = [0, *up[:3]] if skips else [0, 0, 0, 0]
        self.encoder = nn.ModuleList(
            _started(nn.Conv2d(before, after, 4, stride=2, padding=1))
            for before, after in zip([in_channels, *down[:3]], down, strict=True)
        )
        self.decoder = nn.ModuleList(
            _started(nn.ConvTranspose2d(before + skip, after, 4, stride=2, padding=1))
            for before, skip, after in zip([down[3], *up[:3]], kept, up, strict=True)
        )


class TutorialFCN(_Tutorial):
    """The tutorial's fully convolutional network: an encoder and a decoder, and no skips.

    Four 4x4 convolutions of stride 2, each with a ReLU, make ``base`` times 1, 2, 4 and 8 maps of
    a sixteenth of the size; four 4x4 transposed convolutions of stride 2 bring the size back, the
    first three with a ReLU.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first layer.

    Notes
    -----
    1,384,652 parameters with three channels and twelve classes. The sizes are TensorFlow's "SAME":
    exactly half of an even side, and padding 1 gives that here. A kernel of 4 divides by the stride
    of 2, so the overlaps of the transposed convolutions are even.

    Weights start as TensorFlow's variance scaling does, normal with variance 1 / fan-in cut off at
    two standard deviations, and biases at 0. The fan-in of a transposed convolution's weight is
    there, too, that of the convolution which it transposes.

    References
    ----------
    .. [1] Lambda Labs, lambda-deep-learning-demo, ``source/network/fcn.py``.

    Examples
    --------
    >>> import numpy as np
    >>> model = TutorialFCN(in_channels=3, num_classes=5, base=2)
    >>> model(Tensor(np.zeros((1, 3, 32, 48), dtype=np.float32))).shape
    (1, 5, 32, 48)
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 12, base: int = 32) -> None:
        super().__init__(in_channels, num_classes, base, skips=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If H or W is not a multiple of 16; the message has the nearest that are.
        """
        self.check_input(x)
        for halve in self.encoder:
            x = F.relu(halve(x))
        *doublings, last = self.decoder
        for double in doublings:
            x = F.relu(double(x))
        return last(x)


class TutorialUNet(_Tutorial):
    """The tutorial's U-Net: :class:`TutorialFCN` with the maps of the way down laid beside.

    Each of the first three transposed convolutions is followed by the concatenation with the
    encoder's map of the same size (that map first), so the next one sees twice as many maps.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first layer.

    Notes
    -----
    1,554,636 parameters with three channels and twelve classes.

    Without padding ("VALID") the two maps of a concatenation may differ: a side of 480 becomes
    ``(480 - 4) // 2 + 1 = 239`` and then ``(239 - 4) // 2 + 1 = 118``, and 118 comes back as
    ``(118 - 1) * 2 + 4 = 238``, which does not fit beside 239.

    References
    ----------
    .. [1] Lambda Labs, lambda-deep-learning-demo, ``source/network/unet.py``.

    Examples
    --------
    >>> import numpy as np
    >>> model = TutorialUNet(in_channels=3, num_classes=5, base=2)
    >>> model(Tensor(np.zeros((1, 3, 32, 48), dtype=np.float32))).shape
    (1, 5, 32, 48)
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 12, base: int = 32) -> None:
        super().__init__(in_channels, num_classes, base, skips=True)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If H or W is not a multiple of 16; the message has the nearest that are.
        """
        self.check_input(x)
        skips = []
        for halve in self.encoder:
            x = F.relu(halve(x))
            skips.append(x)
        *doublings, last = self.decoder
        for double, skip in zip(doublings, skips[-2::-1], strict=True):
            x = F.cat([skip, F.relu(double(x))], 1)
        return last(x)


def _started(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Conv2d | nn.ConvTranspose2d:
    """The layer with TensorFlow's variance scaling: variance 1 / fan-in after the cut."""
    fan_in, _ = nn.init.fans(layer.weight)
    std = 1.0 / math.sqrt(fan_in) / _CUT_OFF_STD
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
