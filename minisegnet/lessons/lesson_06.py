"""Lesson 6, dilated convolution: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_06_fields import PATHS, RATES, RECEPTIVE_FIELD
from minisegnet.lessons.lesson_06_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_INPUT = np.array([[1, 2, 0, 3, 1], [4, 0, 1, 2, 5], [2, 5, 3, 1, 0], [0, 1, 4, 6, 2]])
_KERNEL = np.array([[1, -1], [2, 3]])


def dilated(x, kernel, rate):
    """Slide a kernel whose taps lie ``rate`` cells apart."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    rows, columns = h - rate * (kh - 1), w - rate * (kw - 1)
    out = np.zeros((rows, columns), x.dtype)
    for r in range(rows):
        for c in range(columns):
            for i in range(kh):
                for j in range(kw):
                    out[r, c] += x[r + i * rate, c + j * rate] * kernel[i, j]
    return out


def _by_engine(x, kernel, **options):
    return F.conv2d(tensor(x[None, None]), tensor(kernel[None, None]), **options).numpy()[0, 0]


def _strided(x, kernel, rate):
    return _by_engine(x, kernel, stride=rate)


def _spread_input(x, kernel, rate):
    spread = F.insert_zeros(tensor(x[None, None]), rate).numpy()[0, 0]
    return dilated(spread, kernel, 1)


_NOT_DILATED = "There are no gaps between your taps: at rate 2 they lie 2 cells apart."
_ONE_GAP_TOO_MANY = (
    "Your gaps are one cell too wide: rate r puts taps r cells apart, with r - 1 gaps between them."
)
_STRIDED = (
    "You moved the windows apart: that is stride. Dilation moves the taps apart, and the windows "
    "stay one cell apart."
)
_INPUT_SPREAD = (
    "You put zeros between the cells of the map: that is what a transposed convolution does. "
    "Dilation spreads the kernel."
)
_FLIPPED = "You turned the kernel round: dilation spreads it, and leaves its order alone."

BY_HAND = ValueExercise(
    name="06/by-hand",
    question=(
        "To which 2x3 table does the kernel [[1, -1], [2, 3]] at rate 2 take [[1, 2, 0, 3, 1], "
        "[4, 0, 1, 2, 5], [2, 5, 3, 1, 0], [0, 1, 4, 6, 2]]?"
    ),
    definition=lambda: _by_engine(_INPUT, _KERNEL, dilation=2),
    mistakes=(
        Mistake(_NOT_DILATED, lambda: dilated(_INPUT, _KERNEL, 1)),
        Mistake(_ONE_GAP_TOO_MANY, lambda: dilated(_INPUT, _KERNEL, 3)),
        Mistake(_STRIDED, lambda: _strided(_INPUT, _KERNEL, 2)),
        Mistake(_INPUT_SPREAD, lambda: _spread_input(_INPUT, _KERNEL, 2)),
        Mistake(_FLIPPED, lambda: dilated(_INPUT, _KERNEL[::-1, ::-1], 2)),
    ),
    hints=(
        "The kernel has four taps still, but they touch the corners of a 3x3 square.",
        "The first window's corners are 1, 0, 2 and 3: 1*1 + 0*(-1) + 2*2 + 3*3.",
        "The next window begins one cell further right: its corners are 2, 3, 5 and 1.",
    ),
    explanation="Four products a cell, as without dilation, from a square of 3x3 cells.",
)

# ------------------------------------------------------------------ the loop


def _dilated_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernel, rate in [
        ((4, 5), (2, 2), 1),
        ((6, 5), (2, 2), 2),
        ((7, 9), (3, 2), 2),
        ((6, 10), (2, 3), 3),
        ((9, 8), (2, 2), 4),
    ]:
        yield {"x": distinct(rng, size), "kernel": distinct(rng, kernel, signed=True), "rate": rate}


def _too_short(x, kernel, rate):
    (h, w), (kh, kw) = x.shape, kernel.shape
    return dilated(x, kernel, rate)[: h - rate * kh + 1, : w - rate * kw + 1]


DILATED = FunctionExercise(
    name="06/dilated",
    question="Write dilated(x, kernel, rate): the convolution of one map with taps rate apart.",
    definition=dilated,
    data=_dilated_cases,
    engine=lambda x, kernel, rate: _by_engine(x, kernel, dilation=rate),
    mistakes=(
        Mistake(
            "There are no gaps between your taps: tap (i, j) lies i * rate rows and j * rate "
            "columns from the first.",
            lambda x, kernel, rate: dilated(x, kernel, 1),
        ),
        Mistake(
            "The size is right, but the taps lie side by side: tap (i, j) sees "
            "x[r + i * rate, c + j * rate].",
            lambda x, kernel, rate: dilated(x, kernel, 1)[
                : x.shape[0] - rate * (kernel.shape[0] - 1),
                : x.shape[1] - rate * (kernel.shape[1] - 1),
            ],
        ),
        Mistake(_ONE_GAP_TOO_MANY, lambda x, kernel, rate: dilated(x, kernel, rate + 1)),
        Mistake(_STRIDED, _strided),
        Mistake(_INPUT_SPREAD, _spread_input),
        Mistake(_FLIPPED, lambda x, kernel, rate: dilated(x, kernel[::-1, ::-1], rate)),
        Mistake(
            "One window is missing on each axis: h - rate * (kh - 1) rows of them fit, the last "
            "one included.",
            lambda x, kernel, rate: dilated(x, kernel, rate)[:-1, :-1],
        ),
        Mistake(
            "The last windows are missing: the kernel reaches over rate * (k - 1) + 1 cells, not "
            "over rate * k.",
            _too_short,
        ),
    ),
    hints=(
        "It is the loop of lesson 3 with one thing changed: which cell a tap sees.",
        "Tap (i, j) of window (r, c) sees x[r + i * rate, c + j * rate].",
        "There are h - rate * (kh - 1) rows of windows; in the loops: "
        "out[r, c] += x[r + i * rate, c + j * rate] * kernel[i, j].",
    ),
    explanation="Only the taps' places change: the windows still begin at every cell.",
)

# ------------------------------------------------------------------ sizes


def output_size(size, kernel, stride, padding, dilation):
    """How many windows there are for a kernel with gaps."""
    reach = dilation * (kernel - 1) + 1
    return (size + 2 * padding - reach) // stride + 1


def _size_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    names = ("size", "kernel", "stride", "padding", "dilation")
    for values in [(7, 2, 1, 0, 2), (12, 3, 2, 1, 3), (20, 4, 3, 2, 4), (17, 3, 2, 0, 5)]:
        yield dict(zip(names, values, strict=True))
    for _ in range(4):
        kernel, stride, padding, dilation = (
            int(n) for n in rng.integers((2, 2, 1, 2), (6, 5, 4, 5))
        )
        size = (dilation + 1) * kernel + 6
        yield dict(zip(names, (size, kernel, stride, padding, dilation), strict=True))


SIZE = FunctionExercise(
    name="06/size",
    question="Write output_size(size, kernel, stride, padding, dilation): the rows that come out.",
    definition=output_size,
    data=_size_cases,
    engine=lambda size, kernel, stride, padding, dilation: F.conv2d(
        tensor(np.zeros((1, 1, size, size))),
        tensor(np.zeros((1, 1, kernel, kernel))),
        stride=stride,
        padding=padding,
        dilation=dilation,
    ).shape[2],
    mistakes=(
        Mistake(
            "You forgot the dilation: the kernel reaches over dilation * (kernel - 1) + 1 cells.",
            lambda n, k, s, p, d: (n + 2 * p - k) // s + 1,
        ),
        Mistake(
            "There is no gap behind the last tap: the kernel reaches over "
            "dilation * (kernel - 1) + 1 cells, not dilation * kernel.",
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        ),
        Mistake(
            "Your gaps are one cell too wide: dilation d puts d - 1 gaps between two taps.",
            lambda n, k, s, p, d: (n + 2 * p - (d + 1) * (k - 1) - 1) // s + 1,
        ),
        Mistake(
            "The reach is one cell too short: from the first tap to the last it is "
            "dilation * (kernel - 1) steps, and so one cell more.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1,
        ),
        Mistake(
            "You treated dilation as stride: it does not move the windows apart.",
            lambda n, k, s, p, d: (n + 2 * p - k) // (s * d) + 1,
        ),
        Mistake(
            "You spread the map with zeros: dilation spreads the kernel, the map stays as it is.",
            lambda n, k, s, p, d: (d * (n - 1) + 1 + 2 * p - k) // s + 1,
        ),
        Mistake(
            "Padding is on both sides: add it twice.",
            lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        ),
    ),
    hints=(
        "How many cells are there from a kernel's first tap to its last?",
        "k taps have k - 1 spaces between them, each dilation cells long: the kernel reaches over "
        "dilation * (kernel - 1) + 1 cells.",
        "Put that for the kernel into the formula of lesson 3.",
    ),
    explanation=(
        "floor((size + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1. An odd kernel keeps "
        "the size with padding = dilation*(kernel - 1)/2: for 3x3 that is the rate itself."
    ),
)

LESSON = Lesson(
    number=6,
    title="Dilated convolution",
    exercises=(RECALL, BY_HAND, DILATED, SIZE, RECEPTIVE_FIELD, RATES, PATHS, *QUESTIONS),
    predictions=PREDICTIONS,
)
