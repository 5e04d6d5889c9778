"""FCN: a classifier made fully convolutional, with sums of coarse and fine scores on the way up."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.backend import Array
from minisegnet.models.common import SegmentationModel
from minisegnet.models.vgg import VGG16, WIDTHS, start
from minisegnet.nn.options import require_positive

# With this padding or more, even one pixel gives fc6 the 7x7 cells of its window (1 + 2*97 - 2 =
# 193 pixels, and the five poolings make 7 of 193), and the scores reach over the whole image.
ENOUGH_FOR_FC6 = 97


class Grid(NamedTuple):
    """Where the cells of a map lie on the image.

    Attributes
    ----------
    first : float
        The pixel on which the first cell is centred.
    step : int
        Pixels from one cell to the next.

    Examples
    --------
    >>> image = Grid(0, 1)
    >>> image.windows(kernel=2, stride=2)  # a cell of a pooled map lies between two pixels
    Grid(first=0.5, step=2)
    >>> image.windows(kernel=2, stride=2).spread(kernel=4, stride=2)
    Grid(first=-1.0, step=1)
    """

    first: float
    step: int

    def windows(self, kernel: int, stride: int = 1, padding: int = 0) -> Grid:
        """The grid after a convolution or pooling: each cell in the middle of its window."""
        return Grid(self.first + self.step * ((kernel - 1) / 2 - padding), self.step * stride)

    def spread(self, kernel: int, stride: int) -> Grid:
        """The grid after a transposed convolution: the first cell's stamp begins the map."""
        step = self.step // stride
        return Grid(self.first - step * (kernel - 1) / 2, step)


class FixedUpsampling(nn.Module):
    """Bilinear upsampling by a transposed convolution whose weights are not trained.

    Parameters
    ----------
    channels, factor : int
        The kernel has ``2 * factor`` cells, as in the authors' networks.

    Examples
    --------
    >>> FixedUpsampling(1, 2)(Tensor([[[[4.0, 8.0]]]]))[0, 0, 1].tolist()
    [0.75, 2.25, 3.75, 5.25, 4.5, 1.5]
    """

    weight: Array

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        weight = Tensor(np.empty((channels, 1, 2 * factor, 2 * factor), dtype=np.float32))
        self.register_buffer("weight", nn.init.bilinear_(weight).data, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (N, C, H, W) into (N, C, (H + 1) factor, (W + 1) factor), fading at the border."""
        return F.conv_transpose2d(x, self.weight, stride=self.factor, groups=x.shape[1])


class FCN32s(SegmentationModel):
    r"""FCN-32s of Long et al.: VGG-16 whose fully connected layers are convolutions.

    A fully connected layer over 7x7 maps is a convolution with a 7x7 window, so the classifier
    slides over an image of any size and gives scores at every 32nd pixel. One transposed
    convolution of stride 32 upsamples them, and the image's frame is cut out. There are no skips.

    Parameters
    ----------
    in_channels, num_classes : int
    base : int
        Maps of the first block of the encoder; fc6 and fc7 have ``64 * base``.
    padding : int
        Zeros around the image at the first convolution. 100 is the authors': fc6 has no padding of
        its own, and even one pixel has scores. It makes a small image large (64x64 is 262x262
        inside), so 1 suits toys: below 97, fc6 is padded by 3 and keeps the size instead.
    learn_upsampling : bool
        Train the transposed convolutions from their bilinear start, or keep them as they are. The
        paper learns those in the middle; the authors' networks fix all.
    dropout : float
        Probability of dropping a value after fc6 and after fc7, in training.

    Attributes
    ----------
    crop_offsets : tuple of int
        How many cells of a skip's scores come before the first upsampled one, for each skip
        (negative: how many upsampled cells come before the first of the skip); last, how many
        upsampled cells come before the first pixel. They follow from where the cells of each map
        lie on the image: see :class:`Grid`. (19,) with padding 100.

    Notes
    -----
    Takes images of any size. 134,346,581 parameters with 3 channels and 21 classes, as in
    ``voc-fcn32s/train.prototxt`` of the authors' code [2]_, where upsampling is fixed (its weights
    are not counted); 136,152,917 with ``learn_upsampling``. In the paper the scores start at zero.
    That suits a pre-trained encoder; from scratch nothing in front of the scores would learn in
    the first step, so here they start with small random weights.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic
       segmentation", CVPR 2015, arXiv:1411.4038; extended in arXiv:1605.06211.
    .. [2] github.com/shelhamer/fcn.berkeleyvision.org

    Examples
    --------
    >>> model = FCN32s(in_channels=3, num_classes=5, base=2)
    >>> model(Tensor(np.zeros((1, 3, 20, 33), dtype=np.float32))).shape
    (1, 5, 20, 33)
    >>> model.crop_offsets, FCN32s(base=2, padding=1).crop_offsets
    ((19,), (16,))
    """

    #: The poolings whose scores are added on the way up, the deepest first.
    skips: tuple[int, ...] = ()

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 21,
        base: int = 64,
        padding: int = 100,
        learn_upsampling: bool = False,
        dropout: float = 0.5,
    ) -> None:
        require_positive(
            type(self).__name__,
            in_channels=in_channels,
            num_classes=num_classes,
            base=base,
            padding=padding,
        )
        super().__init__(in_channels, num_classes)
        self.features = VGG16(in_channels, base, padding=padding)
        border = 0 if padding >= ENOUGH_FOR_FC6 else 3
        self.fc6 = start(nn.Conv2d(8 * base, 64 * base, 7, padding=border))
        self.fc7 = start(nn.Conv2d(64 * base, 64 * base, 1))
        self.dropout = nn.Dropout(dropout)
        scored = [64 * base, *(base * WIDTHS[level - 1] for level in self.skips)]
        self.score = nn.ModuleList(
            start(nn.Conv2d(channels, num_classes, 1), "linear") for channels in scored
        )
        factors = [2] * len(self.skips) + [32 // 2 ** len(self.skips)]
        self.up = nn.ModuleList(
            _upsampling(num_classes, factor, learn_upsampling) for factor in factors
        )
        self.crop_offsets = _crop_offsets(padding, border, self.skips)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes, H, W) of images (N, in_channels, H, W).

        Raises
        ------
        ValueError
            If the number of channels is not the network's.
        """
        self.check_input(x)
        pooled = [level.maps for level in self.features(x)]
        deep = self.dropout(F.relu(self.fc6(pooled[-1])))
        deep = self.dropout(F.relu(self.fc7(deep)))
        scores = self.score[0](deep)
        for number, level in enumerate(self.skips):
            fine = self.score[number + 1](pooled[level - 1])
            scores = _sum(self.up[number](scores), fine, self.crop_offsets[number])
        return _cut(self.up[-1](scores), self.crop_offsets[-1], x.shape[2:])


class FCN16s(FCN32s):
    """FCN-16s: scores of the fourth pooling are added to those of FCN-32s upsampled twofold.

    The parameters are those of :class:`FCN32s`, and it takes images of any size.

    Notes
    -----
    134,357,354 parameters with 3 channels and 21 classes (``voc-fcn16s/train.prototxt``);
    134,815,994 with ``learn_upsampling``. ``crop_offsets`` are (5, 27) with padding 100.

    Examples
    --------
    >>> coarse = FCN32s(num_classes=5, base=2, padding=1)
    >>> model = FCN16s(num_classes=5, base=2, padding=1).start_from(coarse)
    >>> model(Tensor(np.zeros((1, 3, 20, 33), dtype=np.float32))).shape
    (1, 5, 20, 33)
    """

    skips: tuple[int, ...] = (4,)

    def start_from(self, coarser: FCN32s) -> Self:
        """Take over what the next coarser network has learnt, as the paper trains them in turn.

        The scores of the new skip start at zero, so that the network begins with the coarser
        one's answer: the same but for upsampling in one more step, which cuts the corners of the
        bilinear surface at the coarser cells.

        Parameters
        ----------
        coarser : FCN32s for FCN16s, FCN16s for FCN8s
            With the same options.

        Returns
        -------
        this network

        Raises
        ------
        TypeError
            If it is not the next coarser network.
        ValueError
            If it has other widths or numbers of classes.
        """
        if getattr(coarser, "skips", None) != self.skips[:-1]:
            wanted = {1: "FCN32s", 2: "FCN16s"}[len(self.skips)]
            raise TypeError(
                f"{type(self).__name__}: start_from needs the next coarser network, an {wanted}, "
                f"not {type(coarser).__name__}"
            )
        last = f"up.{len(coarser.skips)}."
        state = coarser.state_dict()
        shared = {name: value for name, value in state.items() if not name.startswith(last)}
        self.load_state_dict(shared, strict=False)
        for parameter in self.score[-1].parameters():
            nn.init.zeros_(parameter)
        return self


class FCN8s(FCN16s):
    """FCN-8s: scores of the third pooling, too, are added to those of FCN-16s upsampled twofold.

    The parameters are those of :class:`FCN32s`, and it takes images of any size.

    Notes
    -----
    134,362,751 parameters with 3 channels and 21 classes (``voc-fcn8s/train.prototxt``);
    134,489,759 with ``learn_upsampling``. ``crop_offsets`` are (5, 9, 31) with padding 100.

    Examples
    --------
    >>> model = FCN8s(in_channels=1, num_classes=5, base=2)
    >>> model(Tensor(np.zeros((1, 1, 20, 33), dtype=np.float32))).shape
    (1, 5, 20, 33)
    >>> model.crop_offsets, FCN8s(base=2, padding=1).crop_offsets
    ((5, 9, 31), (-1, -1, 4))
    """

    skips = (4, 3)


def _upsampling(channels: int, factor: int, learn: bool) -> nn.Module:
    if not learn:
        return FixedUpsampling(channels, factor)
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, bias=False)
    nn.init.bilinear_(layer.weight)
    return layer


def _crop_offsets(padding: int, fc6_padding: int, skips: tuple[int, ...]) -> tuple[int, ...]:
    # The other convolutions keep the size and leave their cells where they were.
    grid = Grid(0, 1).windows(3, padding=padding)
    pooled = []
    for _ in WIDTHS:
        grid = grid.windows(2, stride=2)
        pooled.append(grid)
    grid = grid.windows(7, padding=fc6_padding)
    offsets = []
    for level in skips:
        fine, grid = pooled[level - 1], grid.spread(4, stride=2)
        offsets.append(int(grid.first - fine.first) // grid.step)
        # The sum begins where both have begun.
        grid = max(grid, fine)
    grid = grid.spread(2 * grid.step, stride=grid.step)
    return (*offsets, -int(grid.first))


def _sum(upsampled: Tensor, fine: Tensor, offset: int) -> Tensor:
    """The sum of two maps where both have cells; see ``crop_offsets``."""
    before, beyond = max(offset, 0), max(-offset, 0)
    size = tuple(min(fine.shape[axis] - before, upsampled.shape[axis] - beyond) for axis in (2, 3))
    return _cut(upsampled, beyond, size) + _cut(fine, before, size)


def _cut(x: Tensor, first: int, size: tuple[int, ...]) -> Tensor:
    """The frame of ``size`` that begins at cell (first, first)."""
    return x[:, :, first : first + size[0], first : first + size[1]]
