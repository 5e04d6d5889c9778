"""DeconvNet: down to a single cell for each window, and back by unpooling and deconvolution."""

from __future__ import annotations

from typing import Literal

from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.models.common import SegmentationModel
from minisegnet.models.vgg import CONVOLUTIONS, VGG16, WIDTHS, start
from minisegnet.nn.options import require_choice, require_positive


class DeconvNet(SegmentationModel):
    """DeconvNet of Noh et al.: VGG-16 with its two large layers, and the mirror image of all.

    After the fifth pooling, fc6 looks at 7x7 cells at once and fc7 at what it found; a 7x7
    transposed convolution spreads that over 7x7 cells again. From there on each unpooling puts
    values back where the encoder's maxima stood, and 3x3 transposed convolutions of stride 1
    (*deconvolutions*) fill in what is between. Every layer has batch normalisation and a relu.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first block; fc6 and fc7 have ``64 * base``.
    padding : "valid" or "same"
        "valid" is the paper's: at 224x224, fc6 has one window and the middle is a single cell.
        Sides of 193 pixels or more fit. "same" gives fc6 a border of 3 zeros, so that the middle
        has as many cells as the fifth pooling, and sides of any length fit: for toys.

    Notes
    -----
    251,805,653 parameters with 3 channels and 21 classes, as in
    ``DeconvNet_inference_deploy.prototxt`` of the authors' code [2]_: six of seven are in fc6, fc7
    and the deconvolution of fc6. There, and so here, every layer has a bias even where a
    normalisation follows that takes it away again: those biases have a gradient of zero but for
    rounding. In training the middle of a 224x224 image is one cell, so a batch must hold two
    images or more: one value has no variance. ``features`` is numbered as torchvision's
    ``vgg16_bn``.

    References
    ----------
    .. [1] H. Noh, S. Hong, B. Han, "Learning deconvolution network for semantic segmentation",
       ICCV 2015, arXiv:1505.04366.
    .. [2] github.com/HyeonwooNoh/DeconvNet

    Examples
    --------
    >>> import numpy as np
    >>> model = DeconvNet(in_channels=3, num_classes=5, base=1, padding="same")
    >>> model(Tensor(np.zeros((1, 3, 45, 64), dtype=np.float32))).shape
    (1, 5, 45, 64)
    >>> DeconvNet(base=1).next_size(64)
    193
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        padding: Literal["valid", "same"] = "valid",
    ) -> None:
        require_positive("DeconvNet", in_channels=in_channels, num_classes=num_classes, base=base)
        require_choice("DeconvNet", "padding", padding, ("valid", "same"))
        super().__init__(in_channels, num_classes)
        self.padding = padding
        self.features = VGG16(in_channels, base, norm=True, return_indices=True)
        border = 3 if padding == "same" else 0
        self.fc6 = _normed(nn.Conv2d(8 * base, 64 * base, 7, padding=border))
        self.fc7 = _normed(nn.Conv2d(64 * base, 64 * base, 1))
        self.fc6_deconv = _normed(nn.ConvTranspose2d(64 * base, 8 * base, 7, padding=border))
        self.unpool = nn.MaxUnpool2d(2)
        self.decoder = nn.ModuleList(
            _decoder_block(base, block) for block in reversed(range(len(WIDTHS)))
        )
        self.classify = start(nn.Conv2d(base, num_classes, 1), "linear")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's, or the image is too small.
        """
        self.check_input(x)
        levels = self.features(x)
        x = self.fc6_deconv(self.fc7(self.fc6(levels[-1].maps)))
        for level, convolve in zip(reversed(levels), self.decoder, strict=True):
            x = convolve(self.unpool(x, level.indices, output_size=level.size))
        return self.classify(x)

    def accepts(self, size: int) -> bool:
        """Whether the fifth pooling of a side of this many pixels fills the window of fc6."""
        cells = -(-size // 32)
        return cells >= (7 if self.padding == "valid" else 1)

    def size_advice(self, size: tuple[int, ...]) -> str:
        """A sentence that says why a size does not fit and what to do."""
        wanted = tuple(self.next_size(side) for side in size)
        cells = tuple(-(-side // 32) for side in size)
        return (
            f"DeconvNet: five poolings make {cells[0]}x{cells[1]} cells of an input of "
            f"{size[0]}x{size[1]}, but fc6 looks at 7x7. Enlarge or pad it to "
            f"{wanted[0]}x{wanted[1]} or more (the paper takes 224x224), or build the network "
            'with padding="same", which takes any size'
        )


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(start(layer), nn.BatchNorm2d(layer.out_channels), nn.ReLU())


def _decoder_block(base: int, block: int) -> nn.Sequential:
    """As many deconvolutions as the encoder's block has convolutions, in mirrored widths."""
    width, after = base * WIDTHS[block], base * WIDTHS[max(block - 1, 0)]
    return nn.Sequential(
        *(
            _normed(nn.ConvTranspose2d(width, channels, 3, padding=1))
            for channels in [width] * (CONVOLUTIONS[block] - 1) + [after]
        )
    )
