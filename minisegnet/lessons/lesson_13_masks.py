"""Lesson 13, real images: class numbers from what a mask file holds, and moving pairs together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet.data import RandomHorizontalFlip
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, distinct


def classes(mask, values):
    """Class numbers 0, 1, 2, ... in place of the values, in the order of `values`."""
    out = np.zeros(mask.shape, int)
    for number, value in enumerate(values):
        out[mask == value] = number
    return out


def _class_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, values in [
        ((2, 3), (0, 255)),
        ((3, 5), (0, 128, 255)),
        ((4, 3), (7, 3, 200)),
        ((3, 4), (1, 2, 3, 4)),
        ((2, 6), (255, 0)),
    ]:
        cells = np.resize(values, size[0] * size[1])
        yield {"mask": rng.permutation(cells).reshape(size), "values": values}


def _overwritten(mask, values):
    out = mask.copy()
    for number, value in enumerate(values):
        out[out == value] = number
    return out


CLASSES = FunctionExercise(
    name="13/classes",
    question="Write classes(mask, values): the place in `values` of each pixel's value.",
    definition=classes,
    data=_class_cases,
    mistakes=(
        Mistake(
            "That knows two classes only: above 0 and not.",
            lambda mask, values: (mask > 0).astype(int),
        ),
        Mistake(
            "Dividing by 255 works for 0 and 255, and for nothing else.",
            lambda mask, values: mask // 255,
        ),
        Mistake(
            "You went by size: the order is that of `values`.",
            lambda mask, values: np.searchsorted(sorted(values), mask),
        ),
        Mistake(
            "You replaced in the mask itself, so a value that was replaced was found again: write "
            "into a new array.",
            _overwritten,
        ),
        Mistake("Classes count from 0.", lambda mask, values: classes(mask, values) + 1),
    ),
    hints=(
        "Begin with an array of zeros, and go through the values.",
        "out[mask == value] = number, with number from enumerate(values).",
    ),
    explanation="A table from values to numbers, written into a new array.",
)


def mirror(image, mask):
    """The picture (C, H, W) and its mask (H, W), left and right exchanged."""
    return image[:, :, ::-1], mask[:, ::-1]


def _pair_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for channels, rows, columns in [(1, 2, 3), (3, 3, 4), (2, 4, 3)]:
        yield {
            "image": distinct(rng, (channels, rows, columns)),
            "mask": distinct(rng, (rows, columns)),
        }


MIRROR = FunctionExercise(
    name="13/mirror",
    question="Write mirror(image, mask): both, with left and right exchanged.",
    definition=mirror,
    data=_pair_cases,
    engine=lambda image, mask: RandomHorizontalFlip(p=1.0)(
        image.astype(np.float32), mask, np.random.default_rng(0)
    ),
    mistakes=(
        Mistake(
            "The mask stayed as it was: every pixel would have another pixel's label.",
            lambda image, mask: (image[:, :, ::-1], mask),
        ),
        Mistake(
            "You turned the picture upside down: columns are the last dimension.",
            lambda image, mask: (image[:, ::-1], mask[::-1]),
        ),
        Mistake(
            "You exchanged the channels: an image here is (C, H, W).",
            lambda image, mask: (image[::-1], mask[:, ::-1]),
        ),
        Mistake(
            "You took rows and columns both: that is a half turn.",
            lambda image, mask: (image[:, ::-1, ::-1], mask[::-1, ::-1]),
        ),
        Mistake(
            "Image and mask were mirrored in different directions.",
            lambda image, mask: (image[:, :, ::-1], mask[::-1]),
        ),
    ),
    hints=(
        "Which dimension of (C, H, W) runs from left to right? And of (H, W)?",
        "image[:, :, ::-1] and mask[:, ::-1].",
    ),
    explanation="Whatever moves a picture's pixels moves its labels, in the same way.",
)
