"""VGG-16 without its classifier: the encoder that FCN, SegNet, DeconvNet and DeepLab share."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

from minisegnet import nn
from minisegnet.autograd import Tensor

# Convolutions of each of the five blocks, and their widths in units of `base`.
CONVOLUTIONS = (2, 2, 3, 3, 3)
WIDTHS = (1, 2, 4, 8, 8)

Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)


class Pooled(NamedTuple):
    """What one pooling of the encoder leaves behind.

    Attributes
    ----------
    maps : Tensor (N, C, H, W)
        The pooled maps.
    indices : Tensor (N, C, H, W) or None
        Where each maximum stood, if the encoder was made with ``return_indices``.
    size : (rows, columns)
        The size before the pooling: what an unpooling has to restore.
    """

    maps: Tensor
    indices: Tensor | None
    size: tuple[int, int]


class VGG16(nn.Sequential):
    """The thirteen 3x3 convolutions and five max-poolings of VGG-16.

    The layers are numbered as in torchvision's ``vgg16`` and ``vgg16_bn``, so a model that keeps
    its encoder under the name ``features`` has ``features.0.weight`` and so on, and published
    weights load by name. Poolings round up, as in Caffe, where these networks come from: an odd
    row or column is pooled with what there is of its window, and nothing is dropped.

    Parameters
    ----------
    in_channels : int
    base : int
        Maps of the first block; the five blocks have ``base`` times 1, 2, 4, 8 and 8.
    norm : bool
        Batch normalisation between every convolution and its relu.
    padding : int
        Zeros around the image at the first convolution. All others keep the size.
    return_indices : bool
        Keep where the maxima stood, for networks that unpool.
    output_stride : 32 or 8
        32 is VGG. 8 is DeepLab's form: poolings of 3x3 cells, of which the fourth and fifth have
        stride 1, and convolutions of dilation 2 after the fourth, which see what they would have
        seen at stride 2.

    Raises
    ------
    ValueError
        If the output stride is another, or a number is not positive.

    Notes
    -----
    14,714,688 parameters at base 64 with three input channels, 14,723,136 with normalisation.
    Weights start normal with variance 2 / fan-in and biases at zero [2]_: without normalisation
    thirteen convolutions in a row train from scratch only if each keeps the spread of its input.
    A bias in front of a normalisation is there for the published weights alone: the normalisation
    takes it away again, and its gradient is zero but for rounding.

    References
    ----------
    .. [1] K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image
       recognition", ICLR 2015, arXiv:1409.1556, table 1, column D.
    .. [2] K. He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> encoder = VGG16(in_channels=3, base=2)
    >>> levels = encoder(Tensor(np.zeros((1, 3, 64, 90), dtype=np.float32)))
    >>> [level.maps.shape[1:] for level in levels]
    [(2, 32, 45), (4, 16, 23), (8, 8, 12), (16, 4, 6), (16, 2, 3)]
    >>> levels[1].size
    (32, 45)
    >>> list(encoder.state_dict())[:4]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(
        self,
        in_channels: int = 3,
        base: int = 64,
        norm: bool = False,
        padding: int = 1,
        return_indices: bool = False,
        output_stride: Literal[8, 32] = 32,
    ) -> None:
        if output_stride not in (8, 32):
            raise ValueError(f"VGG16: output_stride is {output_stride!r}: choose 8 or 32")
        super().__init__()
        channels = in_channels
        for block, (count, width) in enumerate(zip(CONVOLUTIONS, WIDTHS, strict=True)):
            dilation = 2 if output_stride == 8 and block == 4 else 1
            for _ in range(count):
                border = dilation if len(self) else padding
                self.append(nn.Conv2d(channels, base * width, 3, 1, border, dilation))
                self.extend([nn.BatchNorm2d(base * width)] if norm else [])
                self.append(nn.ReLU())
                channels = base * width
            self.append(_pooling(block, output_stride, return_indices))
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                start(layer)

    def forward(self, x: Tensor) -> list[Pooled]:
        """What each of the five poolings gives, the finest first."""
        levels = []
        for layer in self:
            if not isinstance(layer, nn.MaxPool2d):
                x = layer(x)
                continue
            size = (x.shape[2], x.shape[3])
            x, indices = layer(x) if layer.return_indices else (layer(x), None)
            levels.append(Pooled(x, indices, size))
        return levels


def start(layer: Convolution, nonlinearity: str = "relu") -> Convolution:
    """Give a convolution the starting values of He et al.; returns the layer.

    Parameters
    ----------
    layer : Conv2d or ConvTranspose2d
    nonlinearity : str
        What follows it: "relu", or "linear" for scores.
    """
    # The weight of a transposed convolution begins with (in, out): its fans stand exchanged.
    mode: Literal["fan_in", "fan_out"] = "fan_in" if isinstance(layer, nn.Conv2d) else "fan_out"
    nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity=nonlinearity)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pooling(block: int, output_stride: int, return_indices: bool) -> nn.MaxPool2d:
    if output_stride == 32:
        return nn.MaxPool2d(2, return_indices=return_indices, ceil_mode=True)
    stride = 1 if block >= 3 else 2
    return nn.MaxPool2d(3, stride, padding=1, return_indices=return_indices, ceil_mode=True)
