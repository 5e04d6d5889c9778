"""Lesson 11, SegNet and DeconvNet: one level of the first, and the middle of the second."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake


def segnet(x, down, up, classify):
    """Convolve, pool, unpool to the same places and size, convolve, classify."""
    y = F.relu(F.conv2d(x, down, padding="same"))
    small, places = F.max_pool2d(y, 2, return_indices=True)
    large = F.max_unpool2d(small, places, 2, output_size=y.shape[2:])
    return F.conv2d(F.relu(F.conv2d(large, up, padding="same")), classify)


def _segnet_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for batch, rows, columns, channels, base, classes in [
        (1, 2, 4, 1, 2, 2),
        (1, 4, 6, 2, 2, 3),
        (2, 5, 2, 2, 3, 2),
        (1, 4, 7, 1, 3, 4),
    ]:
        yield {
            "x": tensor(rng.standard_normal((batch, channels, rows, columns))),
            "down": tensor(rng.standard_normal((base, channels, 3, 5))),
            "up": tensor(rng.standard_normal((base, base, 5, 3))),
            "classify": tensor(rng.standard_normal((classes, base, 1, 1))),
        }
    # The last one is a kernel like any other; taller than wide, to tell rows from columns.
    yield {
        "x": tensor(rng.standard_normal((1, 1, 6, 4))),
        "down": tensor(rng.standard_normal((2, 1, 3, 3))),
        "up": tensor(rng.standard_normal((2, 2, 3, 3))),
        "classify": tensor(rng.standard_normal((2, 2, 2, 3))),
    }


def _assembled(x, down, up, classify, enlarge=None, transposed=False, again=F.relu):
    """The network with one part exchanged; ``enlarge(small, places, y)`` goes back to y's size."""
    y = F.relu(F.conv2d(x, down, padding="same"))
    small, places = F.max_pool2d(y, 2, return_indices=True)
    if enlarge is None:
        large = F.max_unpool2d(small, places, 2, output_size=y.shape[2:])
    else:
        large = enlarge(small, places, y)
    if transposed:
        rows, columns = up.shape[2:]
        z = F.conv_transpose2d(large, up, padding=(rows // 2, columns // 2))
    else:
        z = F.conv2d(large, up, padding="same")
    return F.conv2d(again(z), classify)


def _nails(small: Tensor, places: Tensor, y: Tensor) -> Tensor:
    """Every number at the top left of its block."""
    rows, columns = small.shape[2:]
    corners = 2 * np.arange(rows)[:, None] * y.shape[3] + 2 * np.arange(columns)
    everywhere = np.broadcast_to(corners, places.shape).copy()
    return F.max_unpool2d(small, tensor(everywhere), 2, output_size=y.shape[2:])


SEGNET = FunctionExercise(
    name="11/segnet",
    question=(
        "Write segnet(x, down, up, classify): convolve, pool, unpool by places, convolve, classify."
    ),
    definition=segnet,
    data=_segnet_cases,
    mistakes=(
        Mistake(
            "You repeated cells: a SegNet that does not use the places is none.",
            partial(
                _assembled, enlarge=lambda small, places, y: F.interpolate(small, size=y.shape[2:])
            ),
        ),
        Mistake(
            "You put the numbers at the corners of the blocks: use the places.",
            partial(_assembled, enlarge=_nails),
        ),
        Mistake(
            "A transposed convolution after unpooling is DeconvNet: SegNet convolves.",
            partial(_assembled, transposed=True),
        ),
        Mistake(
            "The convolution after unpooling has a relu behind it too.",
            partial(_assembled, again=lambda z: z),
        ),
        Mistake(
            "You never pooled: the map went on at full size.",
            partial(_assembled, enlarge=lambda small, places, y: y),
        ),
    ),
    hints=(
        "F.max_pool2d(y, 2, return_indices=True) gives two tensors.",
        "F.max_unpool2d(small, places, 2, output_size=y.shape[2:]): the size too must be "
        "remembered, or an odd map comes back smaller.",
        "Convolve with `up`, relu, convolve with `classify`.",
    ),
    explanation="Of the way down only places and sizes are kept: no features cross over.",
)


def middle(x, fc6, fc7, back):
    """The waist of DeconvNet: to one cell, through a 1x1 convolution, and back to a map."""
    y = F.relu(F.conv2d(x, fc6))
    y = F.relu(F.conv2d(y, fc7))
    return F.relu(F.conv_transpose2d(y, back))


def _middle_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for batch, channels, wide, rows, columns, room in [
        (1, 1, 2, 2, 3, 0),
        (1, 2, 3, 3, 2, 0),
        (2, 2, 2, 2, 3, 1),
        (1, 3, 4, 3, 2, 2),
    ]:
        yield {
            "x": tensor(rng.standard_normal((batch, channels, rows + room, columns + room))),
            "fc6": tensor(rng.standard_normal((wide, channels, rows, columns))),
            "fc7": tensor(rng.standard_normal((wide, wide, 1, 1))),
            "back": tensor(rng.standard_normal((wide, channels, rows, columns))),
        }
    yield {
        "x": tensor(rng.standard_normal((1, 2, 5, 6))),
        "fc6": tensor(rng.standard_normal((2, 2, 2, 3))),
        "fc7": tensor(rng.standard_normal((2, 2, 2, 3))),
        "back": tensor(rng.standard_normal((2, 2, 2, 4))),
    }


def _gathered(y: Tensor, back: Tensor) -> Tensor:
    """A convolution with zeros all around, where stamping was asked for."""
    rows, columns = back.shape[2:]
    return F.conv2d(y, back.transpose(0, 1), padding=(rows - 1, columns - 1))


MIDDLE = FunctionExercise(
    name="11/middle",
    question=(
        "Write middle(x, fc6, fc7, back): two convolutions and a transposed one, each with a relu."
    ),
    definition=middle,
    data=_middle_cases,
    mistakes=(
        Mistake(
            "The way back is a transposed convolution: you convolved over zeros without flipping.",
            lambda x, fc6, fc7, back: F.relu(
                _gathered(F.relu(F.conv2d(F.relu(F.conv2d(x, fc6)), fc7)), back)
            ),
        ),
        Mistake(
            "The middle layer, fc7, is missing.",
            lambda x, fc6, fc7, back: F.relu(F.conv_transpose2d(F.relu(F.conv2d(x, fc6)), back)),
        ),
        Mistake(
            "Each of the three layers has a relu behind it: the last one too.",
            lambda x, fc6, fc7, back: F.conv_transpose2d(
                F.relu(F.conv2d(F.relu(F.conv2d(x, fc6)), fc7)), back
            ),
        ),
        Mistake(
            "There is a relu between fc6 and fc7.",
            lambda x, fc6, fc7, back: F.relu(
                F.conv_transpose2d(F.relu(F.conv2d(F.conv2d(x, fc6), fc7)), back)
            ),
        ),
        Mistake(
            "There is a relu between fc7 and the way back.",
            lambda x, fc6, fc7, back: F.relu(
                F.conv_transpose2d(F.conv2d(F.relu(F.conv2d(x, fc6)), fc7), back)
            ),
        ),
    ),
    hints=(
        "No padding anywhere: a 7x7 kernel on a 7x7 map leaves one cell.",
        "F.conv_transpose2d stamps that cell back to 7x7.",
        "y = relu(conv2d(x, fc6)), then the same with fc7, then relu(conv_transpose2d(y, back)).",
    ),
    explanation=(
        "In DeconvNet fc6 is 7x7 on a 7x7 map, so one cell of 4096 numbers describes the whole "
        "picture, and a 7x7 stamp spreads it out again."
    ),
)
