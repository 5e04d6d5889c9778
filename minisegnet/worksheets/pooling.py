"""Problems on pooling, unpooling, and bed of nails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from random import Random

import numpy as np

from minisegnet import explain
from minisegnet.checks import Pair
from minisegnet.explain import Walkthrough
from minisegnet.explain.arguments import both
from minisegnet.kernels import reference
from minisegnet.worksheets.problem import Given, Matrix, Mistake, Problem, integers, matrix_of

_FROM_ONE = "the cells are counted from 1: the first one is 0"
_COLUMN_FIRST = "the cells are counted column by column: go row by row"


def pooled(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair = (0, 0), dilation: Pair = (1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Max-pooling of a matrix by its definition: the values and where they stood."""
    values, indices = reference.max_pool2d(x[None, None], kernel, stride, padding, dilation)
    return values[0, 0], indices[0, 0]


def unpooled(x: np.ndarray, indices: np.ndarray, size: Pair) -> np.ndarray:
    """Max-unpooling of a matrix by its definition."""
    return reference.max_unpool2d(x[None, None], indices[None, None], size)[0, 0]


def _map(random: Random, sizes: tuple[Pair, ...], low: int = 0, high: int = 9) -> np.ndarray:
    return integers(random, *random.choice(sizes), low, high)


def _written(mistakes: Iterator[tuple[str, np.ndarray]]) -> tuple[Mistake, ...]:
    return tuple(Mistake(words, matrix_of(wrong)) for words, wrong in mistakes if wrong.size)


def _random_cell(random: Random, answer: Matrix) -> Pair:
    return random.randrange(len(answer)), random.randrange(len(answer[0]))


def _about(walk: Walkthrough, answer: Matrix, cell: Pair) -> tuple[str, ...]:
    """The size's arithmetic and the account of one cell."""
    sizes = tuple(f"size, {fact}" for fact in walk.facts[1:])
    row, column = cell
    return (*sizes, f"result[{row}, {column}] = {walk.at(row, column)}")


# ------------------------------------------------------------------ max-pooling


def _max_pool(
    title: str,
    sizes: tuple[Pair, ...],
    kernel: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    low: int = 0,
    is_framed: bool = False,
) -> Callable[[Random], Problem]:
    """The function that draws a problem of max-pooling."""

    def draw(random: Random) -> Problem:
        x = _map(random, sizes, low, 9 if low >= 0 else -1)
        walk = explain.max_pool2d(x, kernel, stride, padding)
        answer = matrix_of(walk.result)
        cell = _random_cell(random, answer)
        around = f", padding {both(padding)}" if padding != (0, 0) else ""
        return Problem(
            title,
            f"Max-pool the input: windows of {kernel[0]}x{kernel[1]}, stride "
            f"{both(stride)}{around}.",
            (Given("input", matrix_of(x)),),
            answer,
            working=_about(walk, answer, cell),
            cell=cell,
            sum_of=lambda row, column: walk.at(row, column).equation,
            mistakes=_written(_pooling_mistakes(x, kernel, stride, padding)),
            is_framed=is_framed,
        )

    return draw


def _pooling_mistakes(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair
) -> Iterator[tuple[str, np.ndarray]]:
    indices = pooled(x, kernel, stride, padding)[1]
    yield "those are the smallest values: keep the largest", -pooled(-x, kernel, stride, padding)[0]
    yield "those are the places of the largest values, not the values", indices
    if kernel != stride:
        yield (
            "the window moved on by its own size: it moves by the stride, so windows overlap",
            pooled(x, kernel, kernel, padding)[0],
        )
    yield (
        "the window moved on by one cell: it moves by the stride",
        pooled(x, kernel, (1, 1), padding)[0],
    )
    if kernel[0] != kernel[1]:
        yield (
            "the window is turned: its first number counts rows",
            pooled(x, kernel[::-1], stride[::-1] if kernel == stride else stride, padding)[0],
        )
    if padding != (0, 0):
        around = tuple((p, p) for p in padding)
        zeros = reference.pad_or_crop(x[None, None], around)[0, 0]  # type: ignore[arg-type]
        yield (
            "the padding won: beyond the border stands minus infinity, not 0",
            pooled(zeros, kernel, stride)[0],
        )
        yield "the padding is forgotten", pooled(x, kernel, stride)[0]


# ------------------------------------------------------------------ where the largest stood


def _indices(title: str, sizes: tuple[Pair, ...], kernel: Pair) -> Callable[[Random], Problem]:
    """The function that draws a problem on the indices of a max-pooling."""

    def draw(random: Random) -> Problem:
        x = _map(random, sizes)
        indices = explain.max_pool2d(x, kernel).outputs["indices"]
        answer = matrix_of(indices)
        cell = _random_cell(random, answer)
        place, width = answer[cell[0]][cell[1]], x.shape[1]
        row, column = divmod(int(place or 0), width)
        return Problem(
            title,
            f"Max-pool with windows of {kernel[0]}x{kernel[1]}, stride {both(kernel)}. Write where "
            "each largest value stood: count the input's cells row by row, from 0.",
            (Given("input", matrix_of(x)),),
            answer,
            name="indices",
            working=(
                "index = row*width + column",
                f"indices[{cell[0]}, {cell[1]}] = {row}*{width} + {column} = {place}",
            ),
            cell=cell,
            sum_of=lambda row, column: f"row*{width} + column of the largest value in its window",
            mistakes=_written(_index_mistakes(x, indices, kernel)),
            is_framed=True,
        )

    return draw


def _index_mistakes(
    x: np.ndarray, indices: np.ndarray, kernel: Pair
) -> Iterator[tuple[str, np.ndarray]]:
    rows, columns = np.divmod(indices, x.shape[1])
    yield "those are the largest values: write where they stood", pooled(x, kernel, kernel)[0]
    yield _FROM_ONE, indices + 1
    yield _COLUMN_FIRST, columns * x.shape[0] + rows
    yield (
        "those count the cells of the window: count those of the whole input",
        rows % kernel[0] * kernel[1] + columns % kernel[1],
    )


# ------------------------------------------------------------------ unpooling


def _unpool(title: str, sizes: tuple[Pair, ...], kernel: Pair) -> Callable[[Random], Problem]:
    """The function that draws a problem of unpooling, with the places given."""

    def draw(random: Random) -> Problem:
        x = _map(random, sizes)
        _, indices = pooled(x, kernel, kernel)
        values = integers(random, len(indices), len(indices[0]), 1, 9)
        given = (
            Given("values", matrix_of(values)),
            Given("indices", matrix_of(indices), "note"),
        )
        rows, columns = x.shape
        task = (
            f"Unpool the values into a map of {rows}x{columns}: each goes to the cell that its "
            "index counts, row by row from 0."
        )
        return _unpooling(title, task, given, values, indices, x, kernel, random)

    return draw


def _remember(title: str, sizes: tuple[Pair, ...], kernel: Pair) -> Callable[[Random], Problem]:
    """The function that draws a problem of pooling one map and unpooling another."""

    def draw(random: Random) -> Problem:
        x = _map(random, sizes)
        _, indices = pooled(x, kernel, kernel)
        values = integers(random, len(indices), len(indices[0]), 1, 9)
        given = (Given("input", matrix_of(x)), Given("values", matrix_of(values)))
        task = (
            f"Max-pool the input with windows of {kernel[0]}x{kernel[1]}, stride {both(kernel)}, "
            "and remember where the largest values stood. Then unpool these values to those places."
        )
        return _unpooling(title, task, given, values, indices, x, kernel, random)

    return draw


def _unpooling(
    title: str,
    task: str,
    given: tuple[Given, ...],
    values: np.ndarray,
    indices: np.ndarray,
    x: np.ndarray,
    kernel: Pair,
    random: Random,
) -> Problem:
    walk = explain.max_unpool2d(values, indices, kernel, output_size=x.shape)
    row, column = _random_cell(random, matrix_of(values))
    place = int(indices[row, column])
    where = divmod(place, x.shape[1])
    return Problem(
        title,
        task,
        given,
        matrix_of(walk.result),
        working=(
            f"values[{row}, {column}] = {values[row, column]} has the index {place} = "
            f"{where[0]}*{x.shape[1]} + {where[1]}: row {where[0]}, column {where[1]}",
        ),
        sum_of=lambda row, column: walk.at(row, column).equation,
        mistakes=_written(_unpooling_mistakes(values, indices, x, kernel)),
        is_framed=True,
    )


def _unpooling_mistakes(
    values: np.ndarray, indices: np.ndarray, x: np.ndarray, kernel: Pair
) -> Iterator[tuple[str, np.ndarray]]:
    size = x.shape[0], x.shape[1]
    rows, columns = np.divmod(indices, size[1])
    yield (
        "the values are at the top left of their blocks: that is a bed of nails; put them at the "
        "remembered places",
        _nails(values, kernel, size),
    )
    yield (
        "the values fill their blocks: that is nearest neighbour; elsewhere than at the "
        "remembered places are zeros",
        np.kron(values, np.ones(kernel, np.int64)),
    )
    if indices.min() > 0:
        yield _FROM_ONE, unpooled(values, indices - 1, size)
    by_column = np.zeros(size, values.dtype)
    for value, place in zip(values.ravel(), indices.ravel(), strict=True):
        by_column[place % size[0], place // size[0]] = value
    yield _COLUMN_FIRST, by_column
    yield (
        "those are the old largest values: only their places are used",
        unpooled(x[rows, columns], indices, size),
    )


def _nails(values: np.ndarray, scale: Pair, size: Pair) -> np.ndarray:
    nails = np.zeros(size, values.dtype)
    for row, column in product(*map(range, values.shape)):
        nails[row * scale[0], column * scale[1]] = values[row, column]
    return nails


# ------------------------------------------------------------------ bed of nails


def _bed(title: str, sizes: tuple[Pair, ...], scales: tuple[Pair, ...]) -> Callable[..., Problem]:
    """The function that draws a problem on the bed of nails."""

    def draw(random: Random) -> Problem:
        x, scale = integers(random, *random.choice(sizes), 1, 9), random.choice(scales)
        walk = explain.bed_of_nails(x, scale)
        rows, columns = scale
        height, width = walk.result.shape
        centred = np.zeros_like(walk.result)
        centred[rows - 1 :: rows, columns - 1 :: columns] = x
        mistakes = [
            (
                "the values fill their blocks: that is nearest neighbour; here all but the top "
                "left is 0",
                np.kron(x, np.ones(scale, np.int64)),
            ),
            (
                "the values are at the bottom right: they go to the top left of their blocks",
                centred,
            ),
            (
                "zeros are only between the cells: every value becomes a whole block",
                walk.result[: height - rows + 1, : width - columns + 1],
            ),
            ("rows and columns of the scale are exchanged", _nails_of(x, (columns, rows))),
        ]
        return Problem(
            title,
            f"Enlarge the input as a bed of nails: {rows} times as many rows, {columns} times as "
            "many columns.",
            (Given("input", matrix_of(x)),),
            matrix_of(walk.result),
            working=tuple(f"size, {fact}" for fact in walk.facts[1:]),
            sum_of=lambda row, column: walk.at(row, column).equation,
            mistakes=_written(iter(mistakes)),
        )

    return draw


def _nails_of(x: np.ndarray, scale: Pair) -> np.ndarray:
    return _nails(x, scale, (x.shape[0] * scale[0], x.shape[1] * scale[1]))


LADDER = (
    _max_pool("The largest of each window", ((4, 6), (6, 4)), (2, 2), (2, 2), is_framed=True),
    _indices("Where it stood", ((4, 6), (6, 4)), (2, 2)),
    _max_pool("Overlapping windows", ((5, 7), (7, 5)), (3, 3), (2, 2)),
    _unpool("Back to the remembered places", ((4, 6), (6, 4)), (2, 2)),
    _max_pool("Padding never wins", ((4, 5), (5, 4)), (3, 2), (2, 2), (1, 1), low=-9),
    _remember("Pool, then unpool", ((4, 6), (6, 4)), (2, 2)),
    _bed("A bed of nails", ((2, 3), (3, 2)), ((2, 3), (3, 2))),
    _max_pool("Rows and columns apart", ((6, 5), (7, 4)), (3, 2), (2, 1)),
)
