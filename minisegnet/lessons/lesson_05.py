"""Lesson 5, upsampling and checkerboards: ways to a larger map, with the classic mistakes."""

from __future__ import annotations

import math
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
from minisegnet.lessons.lesson_05_kernels import OVERLAP, SHUFFLE, TENT
from minisegnet.lessons.lesson_05_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ blocks, by hand


def _nearest(cells: list[list[int]]) -> np.ndarray:
    return F.interpolate(tensor([[cells]]), scale_factor=2).numpy()[0, 0]


def _nails(cells: list[list[int]]) -> np.ndarray:
    return F.bed_of_nails(tensor([[cells]]), 2).numpy()[0, 0]


_FIRST, _SECOND = [[1, 3], [2, 0]], [[1, 4], [3, 2]]

BLOCKS = ValueExercise(
    name="05/blocks",
    question=(
        "Row 2 (counted from 0) of [[1, 3], [2, 0]] by nearest neighbour, and row 2 of "
        "[[1, 4], [3, 2]] on a bed of nails, both twice as large?"
    ),
    definition=lambda: np.stack([_nearest(_FIRST)[2], _nails(_SECOND)[2]]),
    mistakes=(
        Mistake(
            "That is row 1: rows are counted from 0.",
            lambda: np.stack([_nearest(_FIRST)[1], _nails(_SECOND)[1]]),
        ),
        Mistake(
            "You laid the whole map side by side: each cell becomes a block of its own.",
            lambda: [np.tile(row, 2) for row in (_FIRST[0], _SECOND[0])],
        ),
        Mistake(
            "The two changed places: nearest copies a value into its block, a nail stands alone.",
            lambda: np.stack([_nails(_FIRST)[2], _nearest(_SECOND)[2]]),
        ),
        Mistake(
            "Nails have zeros around them: you copied the second map as you did the first.",
            lambda: np.stack([_nearest(_FIRST)[2], _nearest(_SECOND)[2]]),
        ),
        Mistake(
            "The nail stands at the top left of its block, not at the bottom right.",
            lambda: np.stack([_nearest(_FIRST)[2], np.zeros(4, int)]),
        ),
    ),
    hints=(
        "Row 2 is the first row of the lower blocks.",
        "Nearest: the 2 and the 0, each twice. Nails: the 3, a zero, the 2, a zero.",
    ),
    explanation="Nearest copies a cell into its whole block; a nail has zeros around it.",
)

# ------------------------------------------------------------------ unpooling

_POOLED = [[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]
_VALUES = [[1, 3], [2, 4]]


def _unpooled(values: list[list[int]] | None = None, *, is_turned: bool = False) -> np.ndarray:
    """``values`` (by default the pooled ones) where pooling found the largest."""
    largest, places = F.max_pool2d(tensor([[_POOLED]]), 2, return_indices=True)
    if is_turned:
        rows, columns = np.divmod(places.numpy(), 4)
        places = tensor(columns * 4 + rows)
    given = largest if values is None else tensor([[values]])
    return F.max_unpool2d(given, places, 2).numpy()[0, 0]


BY_HAND = ValueExercise(
    name="05/by-hand",
    question=(
        "[[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]] is max-pooled by 2x2. Put "
        "[[1, 3], [2, 4]] back at the remembered places."
    ),
    definition=lambda: _unpooled(_VALUES),
    mistakes=(
        Mistake(
            "You put the pooled values back: only their places are remembered, the values are "
            "those of [[1, 3], [2, 4]].",
            lambda: _unpooled(),
        ),
        Mistake(
            "That is a bed of nails, always at the top left: here each value goes where the "
            "largest of its window stood.",
            lambda: _nails(_VALUES),
        ),
        Mistake(
            "You filled the whole block: one cell of each window is named, the others stay zero.",
            lambda: _nearest(_VALUES),
        ),
        Mistake(
            "The windows changed places: the 3 belongs to the window at the top right.",
            lambda: _unpooled([[1, 2], [3, 4]]),
        ),
        Mistake(
            "Rows and columns of the places changed: the 7 stood in row 1, column 0.",
            lambda: _unpooled(_VALUES, is_turned=True),
        ),
    ),
    hints=(
        "Circle the largest number of each 2x2 window.",
        "They are the 7, the 8, the lower left 3 and the 5. Write 1, 3, 2, 4 there, zeros "
        "elsewhere.",
    ),
    explanation="Pooling hands on the places; the values come from wherever the network has them.",
)


def unpool(x, indices, height, width):
    """Put each value at its place in a map of height x width cells."""
    out = np.zeros((height, width), x.dtype)
    for r in range(x.shape[0]):
        for c in range(x.shape[1]):
            row, column = divmod(indices[r, c], width)
            out[row, column] = x[r, c]
    return out


def _unpool_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernel, stride in [
        ((2, 4), (2, 2), 2),
        ((5, 8), (3, 2), 2),
        ((6, 4), (3, 3), 1),
        ((4, 7), (2, 3), 1),
        ((7, 5), (3, 3), 2),
    ]:
        pooled = tensor(distinct(rng, (1, 1, *size)))
        places = F.max_pool2d(pooled, kernel, stride, return_indices=True)[1].numpy()[0, 0]
        yield {
            "x": distinct(rng, places.shape, signed=True),
            "indices": places,
            "height": size[0],
            "width": size[1],
        }


def _unpool_by(join, name=divmod):
    """Unpooling with the way changed in which values meet, or in which an index is read."""

    def changed(x, indices, height, width):
        out = np.zeros((height, width), x.dtype)
        for (r, c), value in np.ndenumerate(x):
            place = name(indices[r, c], width)
            out[place] = join(out[place], value)
        return out

    return changed


def _down_the_columns(x, indices, height, width):
    return unpool(x, indices, width, height).T


def _by_pooled_width(x, indices, height, width):
    out = np.zeros((height, width), x.dtype)
    for (r, c), value in np.ndenumerate(x):
        out[divmod(indices[r, c], x.shape[1])] = value
    return out


def _on_nails(x, indices, height, width):
    out = np.zeros((height, width), x.dtype)
    for (r, c), value in np.ndenumerate(x):
        out[r * (height // x.shape[0]), c * (width // x.shape[1])] = value
    return out


UNPOOL = FunctionExercise(
    name="05/unpool",
    question=(
        "Write unpool(x, indices, height, width): each value of x at the place that its index "
        "names, and where two name one cell, the last of them."
    ),
    definition=unpool,
    data=_unpool_cases,
    engine=lambda x, indices, height, width: F.max_unpool2d(
        tensor(x[None, None]),
        tensor(indices[None, None]),
        (height - x.shape[0] + 1, width - x.shape[1] + 1),
        stride=1,
    )[0, 0],
    mistakes=(
        Mistake(
            "You added where two values name one cell: unpooling places (=), the last one stays. "
            "Stamps add, and so does the gradient of pooling.",
            _unpool_by(lambda there, value: there + value),
        ),
        Mistake(
            "The first value stayed where two name one cell: let the later one overwrite it.",
            _unpool_by(lambda there, value: there or value),
        ),
        Mistake(
            "The largest value stayed where two name one cell: nothing is compared here, the last "
            "one stays.",
            _unpool_by(lambda there, value: max(there, value) if there else value),
        ),
        Mistake(
            "You counted down the columns: an index is row * width + column.",
            _down_the_columns,
        ),
        Mistake(
            "You divided by the width of x: the indices count the cells of the large map.",
            _by_pooled_width,
        ),
        Mistake(
            "You did not read the indices: that is a bed of nails.",
            _on_nails,
        ),
    ),
    hints=(
        "An index counts the cells of the large map row by row. How do you get its row?",
        "row, column = divmod(index, width).",
        "In the loop over r and c: out[row, column] = x[r, c].",
    ),
    explanation="An index is row * width + column of the map that was pooled: with another width "
    "it names another cell.",
)

# ------------------------------------------------------------------ bilinear


def stretch(x, length, align_corners):
    """Resize a line of numbers by linear interpolation."""
    n = len(x)
    out = np.zeros(length)
    for o in range(length):
        if align_corners:
            place = o * (n - 1) / (length - 1)
        else:
            place = max((o + 0.5) * n / length - 0.5, 0)
        left = int(place)
        right = min(left + 1, n - 1)
        share = place - left
        out[o] = (1 - share) * x[left] + share * x[right]
    return out


def _stretch_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for cells, length, align_corners in [
        (2, 4, False),
        (2, 4, True),
        (3, 7, False),
        (5, 8, True),
        (4, 12, False),
        (6, 4, False),
        (7, 3, True),
    ]:
        yield {"x": distinct(rng, (cells,)), "length": length, "align_corners": align_corners}


def _stretched(place, is_swapped=False):
    """Linear interpolation that reads at ``place(o, n, length, align_corners)``."""

    def changed(x, length, align_corners):
        n, out = len(x), np.zeros(length)
        for o in range(length):
            at = place(o, n, length, align_corners)
            left = min(int(at), n - 1)
            right = min(left + 1, n - 1)
            share = 1 - (at - left) if is_swapped else at - left
            out[o] = (1 - share) * x[left] + share * x[right]
        return out

    return changed


def _centres(o, n, length):
    return max((o + 0.5) * n / length - 0.5, 0)


def _corners(o, n, length):
    return o * (n - 1) / (length - 1)


def _right_place(o, n, length, align_corners):
    return _corners(o, n, length) if align_corners else _centres(o, n, length)


def _copied(x, length, align_corners):
    return np.array([x[int(_right_place(o, len(x), length, align_corners))] for o in range(length)])


def _around_the_end(x, length, align_corners):
    n, out = len(x), np.zeros(length)
    for o in range(length):
        place = _corners(o, n, length) if align_corners else (o + 0.5) * n / length - 0.5
        left = math.floor(place)
        share = place - left
        out[o] = (1 - share) * x[left] + share * x[min(left + 1, n - 1)]
    return out


def _over_the_end(x, length, align_corners):
    out = np.zeros(length)
    for o in range(length):
        place = _right_place(o, len(x), length, align_corners)
        left = int(place)
        share = place - left
        out[o] = (1 - share) * x[left] + share * x[left + 1]
    return out


STRETCH = FunctionExercise(
    name="05/stretch",
    question=(
        "Write stretch(x, length, align_corners): a line of numbers, resized by linear "
        "interpolation."
    ),
    definition=stretch,
    data=_stretch_cases,
    engine=lambda x, length, align_corners: F.interpolate(
        tensor(x[None, None, None].astype(float)),
        size=(1, length),
        mode="bilinear",
        align_corners=align_corners,
    )[0, 0, 0],
    mistakes=(
        Mistake(
            "You read centre on centre always: with `align_corners` the end cells lie on each "
            "other.",
            _stretched(lambda o, n, length, align: _centres(o, n, length)),
        ),
        Mistake(
            "You aligned the corners always: without `align_corners` the cells' borders lie on "
            "each other.",
            _stretched(lambda o, n, length, align: _corners(o, n, length)),
        ),
        Mistake(
            "The two conventions changed places.",
            _stretched(lambda o, n, length, align: _right_place(o, n, length, not align)),
        ),
        Mistake(
            "You forgot the half cells: a cell's centre is half a cell from its border, so the "
            "place is (o + 0.5) * n / length - 0.5.",
            _stretched(
                lambda o, n, length, align: _corners(o, n, length) if align else o * n / length
            ),
        ),
        Mistake(
            "The place went below 0, where there is no cell: hold it at 0, or the border is "
            "extrapolated.",
            _stretched(
                lambda o, n, length, align: (
                    _corners(o, n, length) if align else (o + 0.5) * n / length - 0.5
                )
            ),
        ),
        Mistake(
            "The place went below 0, and index -1 read the last cell: hold it at 0.",
            _around_the_end,
        ),
        Mistake(
            "There is no cell right of the last one: let right be min(left + 1, n - 1).",
            _over_the_end,
        ),
        Mistake(
            "The shares changed places: the nearer cell counts more, so the right one gets "
            "place - left.",
            _stretched(_right_place, is_swapped=True),
        ),
        Mistake(
            "You counted cells where `align_corners` counts steps: length cells have length - 1 "
            "steps between them.",
            _stretched(
                lambda o, n, length, align: (
                    o * (n - 1) / length if align else _centres(o, n, length)
                )
            ),
        ),
        Mistake(
            "You copied the cell on the left: share the value between its two neighbours.",
            _copied,
        ),
    ),
    hints=(
        "First the place that cell o reads, a number such as 0.25; then the cells left and right "
        "of it.",
        "Corners: o * (n - 1) / (length - 1). Centres: (o + 0.5) * n / length - 0.5, at least 0.",
        "share = place - left, and then (1 - share) * x[left] + share * x[right], where right is "
        "at most n - 1.",
    ),
    explanation="Bilinear is this, along the rows and then along the columns.",
)

LESSON = Lesson(
    number=5,
    title="Upsampling and checkerboards",
    exercises=(RECALL, BLOCKS, BY_HAND, UNPOOL, STRETCH, OVERLAP, SHUFFLE, TENT, *QUESTIONS),
    predictions=PREDICTIONS,
)
