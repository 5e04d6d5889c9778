"""Lesson 10, U-Net: crop, concatenate, assemble, and the sizes that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_10_questions import PREDICTIONS, QUESTIONS, RECALL
from minisegnet.lessons.lesson_10_sizes import ADD, SIZE, TUTORIAL

# ------------------------------------------------------------------ the table worked by hand

_SKIP = np.array(
    [[3, 0, 1, 7, 2], [4, 1, 5, 2, 6], [0, 3, 2, 9, 1], [8, 1, 7, 4, 0], [5, 6, 2, 0, 3]]
)
_UP = np.array([[1, 0, 4], [6, 2, 1], [3, 5, 0]])


def _mixed(skip: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The 1x1 convolution with the weights 2 and -1 over (skip, up)."""
    both = tensor(np.stack([skip, up])[None])
    return F.conv2d(both, tensor(np.array([2, -1]).reshape(1, 2, 1, 1))).numpy()[0, 0]


BY_HAND = ValueExercise(
    name="10/by-hand",
    question="Crop the 5x5 skip centrally, lay the upsampled map behind it, and mix by (2, -1).",
    definition=lambda: _mixed(_SKIP[1:4, 1:4], _UP),
    mistakes=(
        Mistake(
            "You cropped at the top left: two rows are too many, so one goes at the top and one at "
            "the bottom.",
            lambda: _mixed(_SKIP[:3, :3], _UP),
        ),
        Mistake(
            "The order is the skip first: its weight is 2, the upsampled map's is -1.",
            lambda: _mixed(_UP, _SKIP[1:4, 1:4]),
        ),
        Mistake(
            "You added the maps and left the weights out: that is how FCN joins its scores.",
            lambda: _SKIP[1:4, 1:4] + _UP,
        ),
        Mistake(
            "Rows and columns changed places in one of the maps.",
            lambda: _mixed(_SKIP[1:4, 1:4].T, _UP),
        ),
        Mistake(
            "You cropped at the bottom right: one row goes at the top and one at the bottom.",
            lambda: _mixed(_SKIP[2:, 2:], _UP),
        ),
    ),
    hints=(
        "The skip has two rows and two columns more than the other map: half of them go on each "
        "side.",
        "What is left of the skip begins [1, 5, 2].",
        "The first cell is 2*1 - 1*1.",
    ),
    explanation=(
        "A 1x1 convolution over two channels weighs them cell by cell: 2 * cropped skip - 1 * "
        "upsampled. A sum, as in FCN, is the special case (1, 1)."
    ),
)

# ------------------------------------------------------------------ crop and concatenate


def merge(skip, up):
    """The skip, cropped centrally to the size of the upsampled map, and that map behind it."""
    rows, columns = up.shape[2:]
    top, left = (skip.shape[2] - rows) // 2, (skip.shape[3] - columns) // 2
    cropped = skip[:, :, top : top + rows, left : left + columns]
    return F.cat([cropped, up], 1)


def _merge_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for skip, up in [
        ((1, 1, 3, 4), (1, 1, 1, 2)),
        ((1, 2, 5, 9), (1, 1, 3, 4)),
        ((2, 1, 8, 5), (2, 2, 3, 3)),
        ((1, 2, 6, 7), (1, 3, 2, 4)),
    ]:
        yield {"skip": tensor(distinct(rng, skip)), "up": tensor(distinct(rng, up))}


def _cropped_at(corner: Callable[[int, int], int]) -> Callable[[Tensor, Tensor], Tensor]:
    """The same with another first row and column: ``corner`` is of (have, want)."""

    def wrong(skip, up):
        rows, columns = up.shape[2:]
        top, left = corner(skip.shape[2], rows), corner(skip.shape[3], columns)
        return F.cat([skip[:, :, top : top + rows, left : left + columns], up], 1)

    return wrong


def _up_first(skip, up):
    both = merge(skip, up)
    return F.cat([up, both[:, : skip.shape[1]]], 1)


def _resized(skip, up):
    small = F.interpolate(tensor(skip.numpy().astype(np.float32)), size=up.shape[2:])
    return F.cat([small, tensor(up.numpy().astype(np.float32))], 1)


def _zeros_around(skip, up):
    rows, columns = (have - want for have, want in zip(skip.shape[2:], up.shape[2:], strict=True))
    top, left = rows // 2, columns // 2
    return F.cat([skip, F.pad(up, (left, columns - left, top, rows - top))], 1)


MERGE = FunctionExercise(
    name="10/merge",
    question="Write merge(skip, up): crop the skip centrally and concatenate, skip first.",
    definition=merge,
    data=_merge_cases,
    mistakes=(
        Mistake(
            "You cropped at the top left corner: the same number of rows goes on both sides.",
            _cropped_at(lambda have, want: 0),
        ),
        Mistake(
            "You cropped at the bottom right corner: the same number of rows goes on both sides.",
            _cropped_at(lambda have, want: have - want),
        ),
        Mistake(
            "Where an odd number of rows goes, the smaller half goes at the top: round down.",
            _cropped_at(lambda have, want: -(-(have - want) // 2)),
        ),
        Mistake("The skip comes first, the upsampled map behind it.", _up_first),
        Mistake("You resized the skip: its cells must stay where they were, so crop it.", _resized),
        Mistake(
            "You padded the small map with zeros instead of cropping the large one: the border "
            "would be made up.",
            _zeros_around,
        ),
    ),
    hints=(
        "How many rows are too many, and how many of them go at the top?",
        "top = (skip.shape[2] - up.shape[2]) // 2, and the same for the columns.",
        "F.cat([skip[:, :, top : top + rows, left : left + columns], up], 1).",
    ),
    explanation="Nothing is added up: the next convolution sees both maps and weighs them itself.",
)

# ------------------------------------------------------------------ a U-Net of one pooling


def unet(x, weights):
    """One pooling down and one step up; the weights are those of five convolutions."""
    enter, bottom, up, leave, classify = weights
    skip = F.relu(F.conv2d(x, enter, padding="same"))
    low = F.relu(F.conv2d(F.max_pool2d(skip, 2), bottom, padding="same"))
    high = F.conv_transpose2d(low, up, stride=2)
    y = F.relu(F.conv2d(F.cat([skip, high], 1), leave, padding="same"))
    return F.conv2d(y, classify)


def _unet_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for batch, rows, columns, channels, base, classes in [
        (1, 2, 4, 1, 2, 2),
        (1, 4, 6, 2, 2, 3),
        (2, 6, 2, 3, 3, 2),
        (1, 4, 8, 1, 3, 4),
    ]:
        shapes = [
            (base, channels, 3, 5),
            (2 * base, base, 3, 3),
            (2 * base, base, 2, 2),
            (base, 2 * base, 5, 3),
            (classes, base, 1, 1),
        ]
        weights = tuple(tensor(rng.standard_normal(shape)) for shape in shapes)
        x = tensor(rng.standard_normal((batch, channels, rows, columns)))
        yield {"x": x, "weights": weights}


def _assembled(x, weights, skip_of=None, join=None, middle=F.relu, last=None):
    """The network with one part exchanged."""
    enter, bottom, up, leave, classify = weights
    first = F.relu(F.conv2d(x, enter, padding="same"))
    low = middle(F.conv2d(F.max_pool2d(first, 2), bottom, padding="same"))
    high = F.conv_transpose2d(low, up, stride=2)
    skip = first if skip_of is None else skip_of(x, enter, first)
    both = F.cat([skip, high], 1) if join is None else join(skip, high)
    y = F.relu(F.conv2d(both, leave, padding="same"))
    logits = F.conv2d(y, classify)
    return logits if last is None else last(logits)


UNET = FunctionExercise(
    name="10/unet",
    question=(
        "Write unet(x, weights): convolve, pool, convolve, double, concatenate, convolve, classify."
    ),
    definition=unet,
    data=_unet_cases,
    mistakes=(
        Mistake(
            "The skip comes first in the concatenation, then the upsampled map.",
            partial(_assembled, join=lambda skip, high: F.cat([high, skip], 1)),
        ),
        Mistake(
            "The skip was taken after the pooling and blown up again: the fine detail is gone "
            "there. Take it before the pooling.",
            partial(
                _assembled,
                skip_of=lambda x, w, first: F.interpolate(F.max_pool2d(first, 2), scale_factor=2),
            ),
        ),
        Mistake(
            "The skip was taken before its relu: take it after.",
            partial(_assembled, skip_of=lambda x, w, first: F.conv2d(x, w, padding="same")),
        ),
        Mistake(
            "The bottom convolution has a relu behind it too.",
            partial(_assembled, middle=lambda y: y),
        ),
        Mistake(
            "No relu on the logits: a class must be able to say no.",
            partial(_assembled, last=F.relu),
        ),
        Mistake(
            "The upsampled map stands there twice, and the skip is missing.",
            partial(_assembled, join=lambda skip, high: F.cat([high, high], 1)),
        ),
    ),
    hints=(
        "Keep the map from before the pooling under a name.",
        "F.conv_transpose2d(low, up, stride=2) doubles the size; padding='same' keeps it in the "
        "other convolutions.",
        "F.cat([skip, high], 1) goes into the convolution that leaves; the last line has no relu.",
    ),
    explanation="Five convolutions and one skip: the real one does the same four levels deep.",
)

LESSON = Lesson(
    number=10,
    title="U-Net",
    exercises=(RECALL, BY_HAND, MERGE, UNET, SIZE, ADD, TUTORIAL, *QUESTIONS),
    predictions=PREDICTIONS,
)
