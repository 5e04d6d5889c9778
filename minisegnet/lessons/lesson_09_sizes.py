"""Lesson 9, FCN: how many rows the authors' network has at its end, before it crops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake


def rows_before_the_crop(size, padding):
    """Rows of FCN-32s's upsampled scores for a picture of `size` rows."""
    size = size + 2 * padding - 2
    for _ in range(5):
        size = -(-size // 2)
    scores = size - 6
    return (scores - 1) * 32 + 64


def _rows_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, padding in [(500, 100), (333, 100), (64, 100), (33, 90), (224, 0), (47, 85)]:
        yield {"size": size, "padding": padding}
    for _ in range(8):
        yield {"size": int(rng.integers(60, 600)), "padding": int(rng.integers(80, 110))}


def _by_the_engine(size: int, padding: int) -> int:
    """One column wide, with every kernel only as tall as it has to be."""

    def empty(rows: int) -> Tensor:
        return tensor(np.zeros((1, 1, rows, 1), dtype=np.float32))

    x = F.conv2d(empty(size), empty(3), padding=(padding, 0))
    for _ in range(5):
        x = F.max_pool2d(x, (2, 1), ceil_mode=True)
    return F.conv_transpose2d(F.conv2d(x, empty(7)), empty(64), stride=(32, 1)).shape[2]


def _counted(size, around, halve, lost, up):
    size = size + around
    for _ in range(5):
        size = halve(size)
    return up(size - lost)


def _up(scores: int) -> int:
    return (scores - 1) * 32 + 64


def _ceil(rows: int) -> int:
    return -(-rows // 2)


ROWS = FunctionExercise(
    name="09/rows",
    question=(
        "Write rows_before_the_crop(size, padding): the rows of FCN-32s's scores once they are "
        "upsampled by a 64x64 kernel at stride 32."
    ),
    definition=rows_before_the_crop,
    data=_rows_cases,
    engine=_by_the_engine,
    mistakes=(
        Mistake(
            "Padding is at the top and at the bottom: count it twice.",
            lambda n, p: _counted(n, p - 2, _ceil, 6, _up),
        ),
        Mistake(
            "These poolings round up: a last half window counts as one.",
            lambda n, p: _counted(n, 2 * p - 2, lambda rows: rows // 2, 6, _up),
        ),
        Mistake(
            "The 7x7 layer slides too: its map has 6 rows less.",
            lambda n, p: _counted(n, 2 * p - 2, _ceil, 0, _up),
        ),
        Mistake(
            "A transposed convolution gives (rows - 1) * 32 + 64: the last stamp is 64 rows tall.",
            lambda n, p: _counted(n, 2 * p - 2, _ceil, 6, lambda rows: rows * 32),
        ),
        Mistake(
            "You left the large padding out, which is there so that even small pictures get past "
            "the 7x7 layer.",
            lambda n, p: _counted(n, 0, _ceil, 6, _up),
        ),
    ),
    hints=(
        "The first convolution, 3x3 with that padding, makes size + 2*padding - 2 rows; the others "
        "keep the size.",
        "Halve five times, rounding up; take 6 off for the 7x7 layer.",
        "(scores - 1) * 32 + 64 at the end.",
    ),
    explanation=(
        "500 rows with padding 100 become 698, then 22 after the poolings, 16 scores and 544 rows, "
        "of which rows 19 to 518 are kept."
    ),
)
