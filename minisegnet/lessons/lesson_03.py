"""Lesson 3, convolution by hand: what to write and to compute, with the classic mistakes."""

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
from minisegnet.lessons.lesson_03_matrices import (
    COLUMNS,
    INPUT_GRADIENT,
    MATRIX,
    WEIGHT_GRADIENT,
)
from minisegnet.lessons.lesson_03_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_INPUT = np.array([[1, 2, 0, 3], [4, 0, 1, 2], [2, 5, 3, 1]])
_KERNEL = np.array([[2, 1], [0, 3]])


def convolve(x, kernel, stride, padding):
    """Lay the kernel on every window and sum the products."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    padded = np.pad(x, padding)
    rows = (h + 2 * padding - kh) // stride + 1
    columns = (w + 2 * padding - kw) // stride + 1
    out = np.zeros((rows, columns), x.dtype)
    for r in range(rows):
        for c in range(columns):
            top, left = r * stride, c * stride
            out[r, c] = (padded[top : top + kh, left : left + kw] * kernel).sum()
    return out


def _windows(x, kernel, stride, padding, summed):
    """The loop with another sum: ``summed`` makes a number of a window and the kernel."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    padded = np.pad(x, padding)
    tops = range(0, h + 2 * padding - kh + 1, stride)
    lefts = range(0, w + 2 * padding - kw + 1, stride)
    return np.array([[summed(padded[t : t + kh, s : s + kw], kernel) for s in lefts] for t in tops])


_FLIPPED = (
    "You turned the kernel round, as mathematicians do. A network's convolution lays it on the "
    "window as it stands."
)

BY_HAND = ValueExercise(
    name="03/by-hand",
    question=(
        "To which 2x3 table does the kernel [[2, 1], [0, 3]] take [[1, 2, 0, 3], [4, 0, 1, 2], "
        "[2, 5, 3, 1]]?"
    ),
    definition=lambda: F.conv2d(tensor(_INPUT[None, None]), tensor(_KERNEL[None, None]))[0, 0],
    mistakes=(
        Mistake(_FLIPPED, lambda: convolve(_INPUT, _KERNEL[::-1, ::-1], 1, 0)),
        Mistake(
            "You read the kernel's columns as its rows: its first row is 2, 1.",
            lambda: convolve(_INPUT, _KERNEL.T, 1, 0),
        ),
        Mistake(
            "You moved by a whole window each time: at stride 1 the next window begins one cell "
            "further and overlaps the last one.",
            lambda: convolve(_INPUT, _KERNEL, 2, 0),
        ),
        Mistake(
            "You stamped the kernel on the output for every cell: that is the transposed "
            "convolution. Here a window of four cells makes one number.",
            lambda: F.conv_transpose2d(tensor(_INPUT[None, None]), tensor(_KERNEL[None, None]))[
                0, 0
            ],
        ),
        Mistake(
            "You put zeros around the map: there is no padding here, so each window lies whole on "
            "the map.",
            lambda: convolve(_INPUT, _KERNEL, 1, 1),
        ),
    ),
    hints=(
        "The first window is [[1, 2], [4, 0]]. How many windows are there beside and below it?",
        "Multiply the first window with the kernel cell by cell: 1*2 + 2*1 + 4*0 + 0*3.",
        "The second row begins with the window [[4, 0], [2, 5]]: 4*2 + 0*1 + 2*0 + 5*3.",
    ),
    explanation="Six windows, four products each: many in, one out.",
)

# ------------------------------------------------------------------ sizes


def output_size(size, kernel, stride, padding):
    """How many windows of ``kernel`` rows there are, ``stride`` apart."""
    return (size + 2 * padding - kernel) // stride + 1


def _size_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    names = ("size", "kernel", "stride", "padding")
    for values in [(4, 2, 1, 0), (8, 3, 2, 0), (9, 3, 2, 1), (11, 4, 3, 2), (12, 5, 4, 1)]:
        yield dict(zip(names, values, strict=True))
    for _ in range(4):
        kernel, stride, padding = (int(n) for n in rng.integers((2, 2, 1), (6, 5, 4)))
        yield dict(zip(names, (kernel + 7, kernel, stride, padding), strict=True))


SIZE = FunctionExercise(
    name="03/size",
    question="Write output_size(size, kernel, stride, padding): how many windows there are.",
    definition=output_size,
    data=_size_cases,
    engine=lambda size, kernel, stride, padding: F.conv2d(
        tensor(np.zeros((1, 1, size, size))),
        tensor(np.zeros((1, 1, kernel, kernel))),
        stride=stride,
        padding=padding,
    ).shape[2],
    mistakes=(
        Mistake(
            "You counted the steps: the first window needs none, so there is one window more.",
            lambda n, k, s, p: (n + 2 * p - k) // s,
        ),
        Mistake(
            "Padding is on both sides: add it twice.",
            lambda n, k, s, p: (n + p - k) // s + 1,
        ),
        Mistake(
            "You forgot the padding: the window slides over size + 2 * padding cells.",
            lambda n, k, s, p: (n - k) // s + 1,
        ),
        Mistake(
            "You forgot the stride: divide the room that the window has by it.",
            lambda n, k, s, p: n + 2 * p - k + 1,
        ),
        Mistake(
            "You rounded up: a window that does not lie whole on the padded map is not there.",
            lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1,
        ),
        Mistake(
            "The 1 stands outside the division: it is the first window, which needs no step.",
            lambda n, k, s, p: (n + 2 * p - k + 1) // s,
        ),
        Mistake(
            "You took no kernel away: the last window must begin kernel cells before the end.",
            lambda n, k, s, p: (n + 2 * p) // s + 1,
        ),
    ),
    hints=(
        "How many cells has the padded map, and where can the last window begin?",
        "The window has size + 2*padding - kernel cells of room to move, stride cells a step.",
        "Whole steps into that room, and one window more for the start.",
    ),
    explanation=(
        "floor((size + 2*padding - kernel) / stride) + 1. The floor means that several input sizes "
        "give the same output size: remember that for lesson 4."
    ),
)

# ------------------------------------------------------------------ the loop


def _convolve_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernel, stride, padding in [
        ((2, 3), (2, 2), 1, 0),
        ((3, 4), (2, 3), 1, 1),
        ((5, 4), (3, 2), 2, 1),
        ((4, 7), (1, 3), 2, 0),
        ((6, 5), (2, 2), 3, 2),
    ]:
        yield {
            "x": distinct(rng, size),
            "kernel": distinct(rng, kernel, signed=True),
            "stride": stride,
            "padding": padding,
        }


def _windows_not_moved(x, kernel, stride, padding):
    whole = convolve(x, kernel, 1, padding)
    rows, columns = convolve(x, kernel, stride, padding).shape
    return whole[:rows, :columns]


CONVOLVE = FunctionExercise(
    name="03/convolve",
    question=(
        "Write convolve(x, kernel, stride, padding): the sum of products under every window of one "
        "map."
    ),
    definition=convolve,
    data=_convolve_cases,
    engine=lambda x, kernel, stride, padding: F.conv2d(
        tensor(x[None, None]), tensor(kernel[None, None]), stride=stride, padding=padding
    )[0, 0],
    mistakes=(
        Mistake(_FLIPPED, lambda x, k, s, p: convolve(x, k[::-1, ::-1], s, p)),
        Mistake(
            "You ignored the stride: window (r, c) begins at (r * stride, c * stride).",
            lambda x, k, s, p: convolve(x, k, 1, p),
        ),
        Mistake(
            "There are as many windows as there should be, but they begin at (r, c): begin them at "
            "(r * stride, c * stride).",
            _windows_not_moved,
        ),
        Mistake(
            "You left the padding out: put zeros around the map first, np.pad(x, padding).",
            lambda x, k, s, p: convolve(x, k, s, 0),
        ),
        Mistake(
            "You padded only above and on the left: padding puts zeros on all four sides.",
            lambda x, k, s, p: convolve(np.pad(x, ((p, 0), (p, 0))), k, s, 0),
        ),
        Mistake(
            "The last windows are missing, one on each axis: there are "
            "(size + 2 * padding - kernel) // stride + 1 of them.",
            lambda x, k, s, p: convolve(x, k, s, p)[:-1, :-1],
        ),
        Mistake(
            "You used the matrix product @: window and kernel are multiplied cell by cell, with *.",
            lambda x, k, s, p: _windows(x, k, s, p, lambda window, kernel: (window @ kernel).sum()),
        ),
        Mistake(
            "You took the mean of the products: take their sum.",
            lambda x, k, s, p: _windows(
                x, k, s, p, lambda window, kernel: (window * kernel).mean()
            ),
        ),
        Mistake(
            "You stamped the kernel on the output: that is the transposed convolution, which makes "
            "maps larger.",
            lambda x, k, s, p: F.conv_transpose2d(
                tensor(x[None, None]), tensor(k[None, None]), stride=s
            )[0, 0],
        ),
    ),
    hints=(
        "Walk over the cells of the output, and find the window of each.",
        "Window (r, c) begins at row r * stride of the padded map and is kh rows high.",
        "In the loop: out[r, c] = (padded[top : top + kh, left : left + kw] * kernel).sum().",
    ),
    explanation="One loop over the output: it gathers. Lesson 4 has one over the input.",
)

LESSON = Lesson(
    number=3,
    title="Convolution by hand",
    exercises=(
        RECALL,
        BY_HAND,
        SIZE,
        CONVOLVE,
        COLUMNS,
        MATRIX,
        INPUT_GRADIENT,
        WEIGHT_GRADIENT,
        *QUESTIONS,
    ),
    predictions=PREDICTIONS,
)
