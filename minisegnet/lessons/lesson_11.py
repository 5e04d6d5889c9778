"""Lesson 11, SegNet and DeconvNet: remembered places, and what is done after unpooling."""

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
from minisegnet.lessons.lesson_11_networks import MIDDLE, SEGNET
from minisegnet.lessons.lesson_11_questions import MEMORY, PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_BEFORE = np.array([[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]])
_SMALL = np.array([[1, 3], [2, 4]])
_KERNEL = np.array([[1, 2], [0, 3]])


def _unpooled(small: np.ndarray) -> np.ndarray:
    """The small map at the places where the maxima of the 4x4 map stood."""
    _, places = F.max_pool2d(tensor(_BEFORE[None, None]), 2, return_indices=True)
    return F.max_unpool2d(tensor(small[None, None]), places, 2).numpy()[0, 0]


def _convolved(x: np.ndarray, kernel: np.ndarray = _KERNEL) -> np.ndarray:
    return F.conv2d(tensor(x[None, None]), tensor(kernel[None, None])).numpy()[0, 0]


def _nails(x: np.ndarray) -> np.ndarray:
    return np.kron(x, [[1, 0], [0, 0]])


BY_HAND = ValueExercise(
    name="11/by-hand",
    question="Unpool [[1, 3], [2, 4]] to the places of the maxima, then convolve: which 3x3 table?",
    definition=lambda: _convolved(_unpooled(_SMALL)),
    mistakes=(
        Mistake(
            "You put each number at the top left of its block: it goes where the maximum stood.",
            lambda: _convolved(_nails(_SMALL)),
        ),
        Mistake(
            "You filled the whole block: only the place of the maximum gets the number.",
            lambda: _convolved(np.kron(_SMALL, np.ones((2, 2), int))),
        ),
        Mistake(
            "You brought the old maxima back: their places are remembered, not their values.",
            lambda: _convolved(_unpooled(np.array([[7, 8], [3, 5]]))),
        ),
        Mistake(
            "The kernel is flipped: a convolution layer multiplies it as it is.",
            lambda: _convolved(_unpooled(_SMALL), _KERNEL[::-1, ::-1]),
        ),
        Mistake(
            "Rows and columns of the small map changed places.",
            lambda: _convolved(_unpooled(_SMALL.T)),
        ),
    ),
    hints=(
        "Mark the largest number of each 2x2 block of the 4x4 map.",
        "The 1 goes to row 1, column 0; the 3 to row 0, column 3.",
        "The window at the top left sees 0 0 over 1 0: 1*0 + 2*0 + 0*1 + 3*0 = 0.",
    ),
    explanation="After unpooling three cells of four are zero; the convolution fills them.",
)

# ------------------------------------------------------------------ pooling that remembers


def pool(x):
    """The maxima of 2x2 blocks of a map, and the places in x where they stood."""
    h, w = x.shape
    maxima = np.zeros((h // 2, w // 2), x.dtype)
    places = np.zeros((h // 2, w // 2), int)
    for r in range(h // 2):
        for c in range(w // 2):
            block = x[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
            down, right = divmod(block.argmax(), 2)
            maxima[r, c] = block.max()
            places[r, c] = (2 * r + down) * w + 2 * c + right
    return maxima, places


def _pool_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size in [(2, 4), (4, 2), (4, 6), (6, 4)]:
        yield {"x": distinct(rng, size, signed=True)}
    yield {"x": np.array([[3, 3, 1, 2], [3, 0, 2, 2]])}


def _by_the_engine(x):
    maxima, places = F.max_pool2d(tensor(x[None, None]), 2, return_indices=True)
    return maxima.numpy()[0, 0], places.numpy()[0, 0]


def _with_places(x, place, last=False):
    """The same, with places counted by ``place(r, c, down, right, h, w)``."""
    h, w = x.shape
    maxima, places = np.zeros((h // 2, w // 2), x.dtype), np.zeros((h // 2, w // 2), int)
    for r in range(h // 2):
        for c in range(w // 2):
            block = x[2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
            at = 3 - block.ravel()[::-1].argmax() if last else block.argmax()
            maxima[r, c] = block.max()
            places[r, c] = place(r, c, *divmod(int(at), 2), h, w)
    return maxima, places


POOL = FunctionExercise(
    name="11/pool",
    question="Write pool(x): the maxima of 2x2 blocks and their places, counted row by row in x.",
    definition=pool,
    data=_pool_cases,
    engine=_by_the_engine,
    mistakes=(
        Mistake(
            "You counted within the block: the place is one in the whole map x.",
            lambda x: _with_places(x, lambda r, c, down, right, h, w: 2 * down + right),
        ),
        Mistake(
            "You counted in rows as long as the pooled map's: the places address x.",
            lambda x: _with_places(
                x, lambda r, c, down, right, h, w: (2 * r + down) * (w // 2) + 2 * c + right
            ),
        ),
        Mistake(
            "You counted column by column: row * width + column.",
            lambda x: _with_places(
                x, lambda r, c, down, right, h, w: (2 * c + right) * h + 2 * r + down
            ),
        ),
        Mistake(
            "You gave the corner of the block: say where in the block the maximum stood.",
            lambda x: _with_places(x, lambda r, c, down, right, h, w: 2 * r * w + 2 * c),
        ),
        Mistake(
            "Of equal numbers the first one wins, row by row.",
            lambda x: _with_places(
                x, lambda r, c, down, right, h, w: (2 * r + down) * w + 2 * c + right, last=True
            ),
        ),
        Mistake(
            "You looked for the largest size: a maximum is the largest number, and -9 is small.",
            lambda x: _with_places(
                np.abs(x), lambda r, c, down, right, h, w: (2 * r + down) * w + 2 * c + right
            ),
        ),
    ),
    hints=(
        "block.argmax() counts row by row within the block; divmod(..., 2) makes row and column of "
        "it.",
        "The place in x is (2*r + down) * w + 2*c + right, with w the columns of x.",
    ),
    explanation="Counting in x, not in the block: that is what another output size scrambles.",
)

LESSON = Lesson(
    number=11,
    title="SegNet and DeconvNet",
    exercises=(RECALL, BY_HAND, POOL, SEGNET, MIDDLE, MEMORY, *QUESTIONS),
    predictions=PREDICTIONS,
)
