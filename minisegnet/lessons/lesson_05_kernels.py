"""Lesson 5: overlap counts, sub-pixel convolution's shuffle, and the bilinear filter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, distinct
from minisegnet.nn import init

# ------------------------------------------------------------------ overlap counts


def overlap(kh, kw, stride):
    """How many stamps reach each cell of one period, away from the border."""
    counts = np.zeros((stride, stride), int)
    for i in range(kh):
        for j in range(kw):
            counts[i % stride, j % stride] += 1
    return counts


def _overlap_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for kh, kw, stride in [(2, 3, 2), (3, 4, 2), (5, 2, 2), (4, 5, 3), (3, 2, 4), (7, 4, 3)]:
        yield {"kh": kh, "kw": kw, "stride": stride}


def _by_stamping(kh, kw, stride):
    """One period from the middle of what a kernel of ones stamps for a map of ones."""
    cells = max(kh, kw) + 2
    stamped = F.conv_transpose2d(
        tensor(np.ones((1, 1, cells, cells), int)),
        tensor(np.ones((1, 1, kh, kw), int)),
        stride=stride,
    )
    period = slice(stride * (cells - 2), stride * (cells - 1))
    return stamped.numpy()[0, 0, period, period]


def _along(kernel, stride):
    return np.array([len(range(phase, kernel, stride)) for phase in range(stride)])


OVERLAP = FunctionExercise(
    name="05/overlap",
    question=(
        "Write overlap(kh, kw, stride): how many stamps reach each cell of one period, a table of "
        "stride x stride cells that begins at a multiple of the stride, away from the border."
    ),
    definition=overlap,
    data=_overlap_cases,
    engine=_by_stamping,
    mistakes=(
        Mistake(
            "You gave every cell the same: where the stride does not divide the kernel, some cells "
            "get a stamp more.",
            lambda kh, kw, stride: np.full((stride, stride), (kh // stride) * (kw // stride)),
        ),
        Mistake(
            "You rounded up: only the first kernel % stride cells of a period get a stamp more.",
            lambda kh, kw, stride: np.full((stride, stride), -(-kh // stride) * -(-kw // stride)),
        ),
        Mistake(
            "That is the average: a cell has a whole number of stamps, and some may have one more.",
            lambda kh, kw, stride: np.full((stride, stride), kh * kw / stride**2),
        ),
        Mistake(
            "You added the counts of the two axes: each row of a stamp meets each of its columns, "
            "so multiply.",
            lambda kh, kw, stride: np.add.outer(_along(kh, stride), _along(kw, stride)),
        ),
        Mistake(
            "You counted along the rows only: the columns overlap, too.",
            lambda kh, kw, stride: np.outer(_along(kh, stride), np.ones(stride, int)),
        ),
        Mistake(
            "Rows and columns changed places: kh is the kernel's rows.",
            lambda kh, kw, stride: overlap(kw, kh, stride),
        ),
        Mistake(
            "No cell has more than one: count every tap that lands there (+=, not =), and away "
            "from the border, where neighbours reach over.",
            lambda kh, kw, stride: np.minimum(overlap(kh, kw, stride), 1),
        ),
    ),
    hints=(
        "Tap (i, j) of a stamp lands on row i, column j behind the stamp's corner, and corners lie "
        "at multiples of the stride.",
        "So it lands on row i % stride, column j % stride of the period.",
        "For all taps: counts[i % stride, j % stride] += 1.",
    ),
    explanation="Taps that are a stride apart land on the same cells, so the counts are equal "
    "exactly if the stride divides the kernel.",
)

# ------------------------------------------------------------------ sub-pixel


def shuffle(x, r):
    """Lay groups of r*r channels out as blocks of r x r cells."""
    channels, h, w = x.shape
    out = np.zeros((channels // r**2, h * r, w * r), x.dtype)
    for c in range(channels):
        group, cell = divmod(c, r * r)
        i, j = divmod(cell, r)
        out[group, i::r, j::r] = x[c]
    return out


def _shuffle_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for shape, r in [
        ((4, 1, 2), 2),
        ((8, 2, 3), 2),
        ((9, 2, 1), 3),
        ((18, 2, 3), 3),
        ((12, 3, 2), 2),
    ]:
        yield {"x": distinct(rng, shape), "r": r}


def _groups_last(x, r):
    order = np.arange(x.shape[0]).reshape(r * r, -1).T.ravel()
    return shuffle(x[order], r)


def _turned_blocks(x, r):
    return shuffle(x.swapaxes(1, 2), r).swapaxes(1, 2)


def _side_by_side(x, r):
    channels, h, w = x.shape
    tiles = x.reshape(channels // r**2, r, r, h, w).transpose(0, 1, 3, 2, 4)
    return tiles.reshape(channels // r**2, h * r, w * r)


SHUFFLE = FunctionExercise(
    name="05/shuffle",
    question=(
        "Write shuffle(x, r) for x of (channels, rows, columns): each group of r*r channels as "
        "one map, r times as high and wide."
    ),
    definition=shuffle,
    data=_shuffle_cases,
    engine=lambda x, r: F.pixel_shuffle(tensor(x[None]), r)[0],
    mistakes=(
        Mistake(
            "You reshaped, which keeps the order of the numbers: neighbours must come from "
            "different channels.",
            lambda x, r: x.reshape(x.shape[0] // r**2, x.shape[1] * r, x.shape[2] * r),
        ),
        Mistake(
            "The blocks are turned: the first r channels of a group are a block's first row.",
            _turned_blocks,
        ),
        Mistake(
            "You took channels of different groups: a group's r*r channels follow each other.",
            _groups_last,
        ),
        Mistake(
            "You laid the channels side by side, as whole maps: they interleave, cell by cell.",
            _side_by_side,
        ),
        Mistake(
            "You copied one channel of a group into the whole block: each of the r*r channels has "
            "a cell of its own.",
            lambda x, r: x[:: r * r].repeat(r, axis=1).repeat(r, axis=2),
        ),
    ),
    hints=(
        "Channel c belongs to group c // (r*r). Where in the block does it go?",
        "With cell = c % (r*r): row cell // r of every block, column cell % r.",
        "out[group, i::r, j::r] = x[c].",
    ),
    explanation="A convolution to r*r times as many channels, and then this: that is sub-pixel "
    "convolution.",
)

# ------------------------------------------------------------------ the bilinear filter


def tent(factor):
    """The weights of linear interpolation by a factor."""
    size = 2 * factor - factor % 2
    centre = (size - 1) / 2
    return np.array([1 - abs(i - centre) / factor for i in range(size)])


def _tent_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for factor in (2, 3, 4, 5, 8):
        yield {"factor": factor}


def _tent_with(size, centre, slope=lambda factor: factor):
    return lambda factor: np.array(
        [1 - abs(i - centre(factor)) / slope(factor) for i in range(size(factor))]
    )


def _right_size(factor):
    return 2 * factor - factor % 2


def _right_centre(factor):
    return (_right_size(factor) - 1) / 2


TENT = FunctionExercise(
    name="05/tent",
    question=(
        "Write tent(factor): the 2*factor - factor % 2 weights, along one axis, with which a "
        "transposed convolution interpolates by that factor."
    ),
    definition=tent,
    data=_tent_cases,
    engine=lambda factor: init.bilinear_(tensor(np.zeros((1, 1, 1, _right_size(factor)))))[0, 0, 0],
    mistakes=(
        Mistake(
            "The centre is half a cell too far: the middle of cells 0 to size - 1 is "
            "(size - 1) / 2.",
            _tent_with(_right_size, lambda factor: _right_size(factor) / 2),
        ),
        Mistake(
            "The centre stands on a cell: with an even size it lies between two.",
            _tent_with(_right_size, lambda factor: factor - 1),
        ),
        Mistake(
            "An odd factor has a centre cell, so its filter has 2*factor - 1 cells.",
            _tent_with(lambda factor: 2 * factor, lambda factor: factor - 0.5),
        ),
        Mistake(
            "An even factor has its middle between two cells, so its filter has 2*factor of them.",
            _tent_with(lambda factor: 2 * factor - 1, lambda factor: factor - 1),
        ),
        Mistake(
            "You made the weights sum to 1: all stamps on one cell do, a stamp sums to the factor.",
            lambda factor: tent(factor) / tent(factor).sum(),
        ),
        Mistake(
            "The tent falls too slowly: it reaches 0 one factor away from the centre.",
            _tent_with(_right_size, _right_centre, _right_size),
        ),
        Mistake(
            "All weights equal, as many as the factor: that is nearest neighbour.",
            lambda factor: np.ones(factor),
        ),
    ),
    hints=(
        "Highest in the middle, falling in a straight line to both sides: where is the middle?",
        "The centre is (size - 1) / 2, and a weight falls by its distance over the factor.",
        "1 - abs(i - centre) / factor for i in range(size).",
    ),
    explanation="Stamps overlap, and on each cell their weights sum to 1. `nn.init.bilinear_` "
    "makes a filter of it: this column times this row.",
)
