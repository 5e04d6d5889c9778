"""Lesson 10, U-Net: which sizes go down and come up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, ValueExercise
from minisegnet.models import UNet


def output_size(size, depth, lost):
    """Rows that come out, or 0 if a pooling meets an odd number or nothing is left."""
    for _ in range(depth):
        size -= lost
        if size < 2 or size % 2:
            return 0
        size //= 2
    size -= lost
    for _ in range(depth):
        size = 2 * size - lost
    return max(size, 0)


def _size_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, depth, lost in [
        (572, 4, 4),
        (64, 3, 0),
        (100, 2, 4),
        (70, 2, 4),
        (44, 2, 0),
        (188, 4, 4),
        (30, 1, 4),
    ]:
        yield {"size": size, "depth": depth, "lost": lost}
    for _ in range(8):
        depth = int(rng.integers(1, 5))
        yield {
            "size": int(rng.integers(90, 300)) * 2,
            "depth": depth,
            "lost": int(rng.choice([0, 4])),
        }


def _by_the_engine(size: int, depth: int, lost: int) -> int:
    model = UNet(1, 1, base=1, depth=depth, padding="valid" if lost else "same", norm=False)
    try:
        return model.output_size((size, size))[0]
    except ValueError:
        return 0


def _walk(
    size: int,
    depth: int,
    lost: int,
    bottom: int | None = None,
    up: int | None = None,
    fits: Callable[[int], bool] = lambda rows: rows >= 2 and rows % 2 == 0,
) -> int:
    """The way down and up with a step changed: rows lost at the bottom, or on each level up."""
    for _ in range(depth):
        size -= lost
        if not fits(size):
            return 0
        size //= 2
    size -= lost if bottom is None else bottom
    for _ in range(depth):
        size = 2 * size - (lost if up is None else up)
    return max(size, 0)


SIZE = FunctionExercise(
    name="10/size",
    question=(
        "Write output_size(size, depth, lost): the rows that come out, where two convolutions take "
        "`lost` rows at every level; 0 if the size does not fit."
    ),
    definition=output_size,
    data=_size_cases,
    engine=_by_the_engine,
    mistakes=(
        Mistake(
            "You let a pooling drop the last row of an odd map: the way up cannot bring it back, "
            "so return 0.",
            lambda n, d, lost: _walk(n, d, lost, fits=lambda rows: rows >= 2),
        ),
        Mistake(
            "You tested the input only: without padding it is the map at every level that must be "
            "even.",
            lambda n, d, lost: 0 if n % 2**d else _walk(n, d, lost, fits=lambda rows: rows >= 2),
        ),
        Mistake(
            "The two convolutions at the bottom are missing.",
            lambda n, d, lost: _walk(n, d, lost, bottom=0),
        ),
        Mistake(
            "On the way up every level has two convolutions as well.",
            lambda n, d, lost: _walk(n, d, lost, up=0),
        ),
        Mistake(
            "`lost` is what both convolutions of a level take together: you halved it.",
            lambda n, d, lost: _walk(n, d, lost // 2),
        ),
        Mistake(
            "The convolutions come before the pooling: take `lost` off first, then halve.",
            lambda n, d, lost: _pooled_first(n, d, lost),
        ),
    ),
    hints=(
        "Walk down level by level: take `lost` off, look whether it is even, halve.",
        "At the bottom take `lost` off once more; on each level up, double and take it off.",
        "572 -> 568 -> 284 -> 280 -> 140 -> 136 -> 68 -> 64 -> 32 -> 28, and then up.",
    ),
    explanation="Every level takes two convolutions' rows, going down, at the bottom and going up.",
)


def _pooled_first(size: int, depth: int, lost: int) -> int:
    for _ in range(depth):
        if size < 2 or size % 2:
            return 0
        size = size // 2 - lost
    for _ in range(depth):
        size = 2 * size - lost
    return max(size, 0)


def rows_to_add(size, depth):
    """How many rows to pad, so that a padded U-Net takes the map."""
    return -size % 2**depth


def _rows_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, depth in [(64, 4), (65, 4), (63, 4), (90, 3), (18, 1), (33, 5)]:
        yield {"size": size, "depth": depth}
    for _ in range(8):
        yield {"size": int(rng.integers(20, 900)), "depth": int(rng.integers(1, 6))}


ADD = FunctionExercise(
    name="10/rows-to-add",
    question="Write rows_to_add(size, depth): the fewest rows to pad, so that every map halves.",
    definition=rows_to_add,
    data=_rows_cases,
    engine=lambda size, depth: UNet(1, 1, base=1, depth=depth).next_size(size) - size,
    mistakes=(
        Mistake(
            "That is how many rows are too many, to crop: to pad, go up to the next multiple.",
            lambda size, depth: size % 2**depth,
        ),
        Mistake(
            "A size that fits needs nothing: you add a whole step.",
            lambda size, depth: 2**depth - size % 2**depth,
        ),
        Mistake(
            "Every pooling halves, so the steps are 2**depth, not 2 * depth.",
            lambda size, depth: -size % (2 * depth) if depth > 2 else -size % (depth + 1),
        ),
        Mistake(
            "You counted one pooling too many: the bottom is not pooled.",
            lambda size, depth: -size % 2 ** (depth + 1),
        ),
        Mistake(
            "Even is not enough: the map after a pooling must be even too.",
            lambda size, depth: size % 2,
        ),
    ),
    hints=(
        "Which sizes can be halved `depth` times?",
        "The multiples of 2**depth. How far is it to the next one?",
        "In Python -size % n is the distance up to the next multiple of n.",
    ),
    explanation=(
        "Pad, or crop? Padding keeps every pixel, and the logits of the padding are cropped "
        "afterwards. Cropping loses the border for good."
    ),
)


def _tutorial_maps(rows: int) -> tuple[int, int]:
    """Rows of the skip and of the upsampled map in the tutorial's toy U-Net, unpadded."""
    x, w = tensor(np.zeros((1, 1, rows, 12))), tensor(np.zeros((1, 1, 4, 4)))
    skip = F.conv2d(x, w, stride=2)
    up = F.conv_transpose2d(F.conv2d(skip, w, stride=2), w, stride=2)
    return skip.shape[2], up.shape[2]


TUTORIAL = ValueExercise(
    name="10/tutorial",
    question=(
        "480 rows, two 4x4 convolutions of stride 2 without padding, then one 4x4 transposed "
        "convolution of stride 2: how many rows have the skip and the upsampled map?"
    ),
    definition=lambda: _tutorial_maps(480),
    mistakes=(
        Mistake("Those are the sizes with padding 1: here there is none.", (240, 240)),
        Mistake("The order is the skip first.", lambda: _tutorial_maps(480)[::-1]),
        Mistake(
            "The transposed convolution gives (rows - 1) * 2 + 4: the kernel reaches further than "
            "the stride.",
            lambda: (239, 118 * 2),
        ),
        Mistake(
            "The second convolution rounds down: (239 - 4) // 2 + 1 = 118.",
            lambda: (239, (119 - 1) * 2 + 4),
        ),
        Mistake(
            "That is the map after both convolutions: the skip is the map of the same level, after "
            "the first.",
            lambda: (118, 238),
        ),
    ),
    hints=(
        "A convolution gives (rows - 4) // 2 + 1.",
        "480 gives 239, and 239 gives 118.",
        "A transposed convolution gives (rows - 1) * 2 + 4.",
    ),
    explanation=(
        "239 against 238: the concatenation fails. 239 is odd, so the second convolution left a "
        "row over. That happens for every multiple of 4."
    ),
)
