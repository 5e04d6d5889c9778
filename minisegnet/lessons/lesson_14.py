"""Lesson 14, to the GPU: one thread a cell, what moves, what waits, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
)
from minisegnet.lessons.lesson_14_cost import MOVED, STEP
from minisegnet.lessons.lesson_14_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_MAP = np.array([[2, 5, 1, 0], [7, 3, 4, 6], [1, 8, 2, 3], [0, 4, 9, 5]])


def _threads(map_: np.ndarray, down: int = 1, right: int = 1) -> np.ndarray:
    """What nine threads write: cell minus the cell ``down`` and ``right`` of it."""
    out = np.zeros((3, 3), int)
    for thread in range(9):
        r, c = divmod(thread, 3)
        out[r, c] = map_[r, c] - map_[r + down, c + right]
    return out


BY_HAND = ValueExercise(
    name="14/by-hand",
    question=(
        "Thread i of nine has row, column = divmod(i, 3) and writes x[row, column] - x[row + 1, "
        "column + 1]. Which 3x3 table do they write?"
    ),
    definition=lambda: _threads(_MAP),
    mistakes=(
        Mistake(
            "Numbers run along rows: thread 1 is right of thread 0, not below it.",
            lambda: _threads(_MAP).T,
        ),
        Mistake(
            "You took the cell to the right in the same row: the second one is one row further "
            "down as well.",
            lambda: _threads(_MAP, down=0),
        ),
        Mistake(
            "You took the cell below in the same column: the second one is one column further "
            "right as well.",
            lambda: _threads(_MAP, right=0),
        ),
        Mistake("The sign is exchanged: the cell itself comes first.", lambda: -_threads(_MAP)),
        Mistake(
            "The threads would read what others had already written: all of them read the map "
            "as it was.",
            lambda: _in_turn(_MAP),
        ),
    ),
    hints=(
        "Thread 0 stands on row 0, column 0; thread 4 on row 1, column 1.",
        "Thread 0 writes 2 - 3.",
    ),
    explanation="Every thread does the same with another number of its own: where am I?",
)


def _in_turn(map_: np.ndarray) -> np.ndarray:
    """The same in place, from the last thread to the first, so that each reads changed cells."""
    x = map_.copy()
    for thread in reversed(range(9)):
        r, c = divmod(thread, 3)
        x[r, c] -= x[r + 1, c + 1]
    return x[:3, :3]


# ------------------------------------------------------------------ which cell is mine?


def cell(block, thread, threads, rows, columns):
    """Row and column of the map for one thread of one block; (-1, -1) for those left over."""
    number = block * threads + thread
    if number >= rows * columns:
        return (-1, -1)
    return divmod(number, columns)


def _cell_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    names = ("block", "thread", "threads", "rows", "columns")
    for values in [(0, 0, 4, 3, 5), (1, 3, 4, 3, 5), (3, 3, 4, 3, 5), (2, 1, 8, 7, 3)]:
        yield dict(zip(names, values, strict=True))
    for _ in range(12):
        threads, rows, columns = (int(n) for n in rng.integers((3, 3, 4), (9, 8, 12)))
        blocks = -(-rows * columns // threads)
        block, thread = int(rng.integers(blocks)), int(rng.integers(threads))
        yield dict(zip(names, (block, thread, threads, rows, columns), strict=True))


def _numbered(number: int, rows: int, columns: int) -> tuple[int, int]:
    return divmod(number, columns) if number < rows * columns else (-1, -1)


CELL = FunctionExercise(
    name="14/cell",
    question=(
        "Write cell(block, thread, threads, rows, columns): the row and column for that thread, "
        "with `threads` threads in a block; (-1, -1) beyond the last cell."
    ),
    definition=cell,
    data=_cell_cases,
    mistakes=(
        Mistake(
            "You left the block out: all blocks would write the same few cells.",
            lambda b, t, threads, rows, columns: _numbered(t, rows, columns),
        ),
        Mistake(
            "Each block begins where the one before ended: block * threads + thread.",
            lambda b, t, threads, rows, columns: _numbered(b + t, rows, columns),
        ),
        Mistake(
            "Rows and columns changed places: a row has `columns` cells.",
            lambda b, t, threads, rows, columns: (
                divmod(b * threads + t, rows) if b * threads + t < rows * columns else (-1, -1)
            ),
        ),
        Mistake(
            "Threads beyond the last cell must do nothing, or they write into foreign memory.",
            lambda b, t, threads, rows, columns: divmod(b * threads + t, columns),
        ),
        Mistake(
            "You took the block for the row: rows and blocks end at different places.",
            lambda b, t, threads, rows, columns: (b, t) if b < rows and t < columns else (-1, -1),
        ),
    ),
    hints=(
        "How many threads are there in the blocks before this one?",
        "number = block * threads + thread; divmod(number, columns).",
    ),
    explanation="The last block is rarely full: whoever has no cell goes home.",
)


# ------------------------------------------------------------------ one source, two libraries


def softmax(xp, x):
    """Softmax over axis 1, by the functions of the library `xp` alone."""
    shifted = x - xp.max(x, axis=1, keepdims=True)
    e = xp.exp(shifted)
    return e / xp.sum(e, axis=1, keepdims=True)


class _Counted:
    """NumPy, as a library that is told apart from NumPy: it counts what was asked of it."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(np, name)

        def counting(*args, **kwargs):
            self.calls[name] = self.calls.get(name, 0) + 1
            return function(*args, **kwargs)

        return counting


def _run_on_both(answer, x):
    """The values, and how often the answer asked the library for exp (it must: once)."""
    library = _Counted()
    values = answer(library, x)
    return values, library.calls.get("exp", 0)


def _softmax_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for shape, largest in [((2, 3), 1), ((1, 4, 2, 3), 3), ((2, 2, 3, 5), 900)]:
        yield {"x": largest * rng.standard_normal(shape)}


def _with_numpy(xp, x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _over_the_last_axis(xp, x):
    e = xp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _not_shifted(xp, x):
    with np.errstate(over="ignore", invalid="ignore"):
        e = xp.exp(x)
        return e / e.sum(1, keepdims=True)


SOFTMAX = FunctionExercise(
    name="14/softmax",
    question=("Write softmax(xp, x): softmax over axis 1 with the functions of xp: numpy or cupy."),
    definition=softmax,
    data=_softmax_cases,
    apply=_run_on_both,
    engine=lambda x: (F.softmax(tensor(x), 1).numpy(), 1),
    mistakes=(
        Mistake(
            "You asked NumPy itself. An array of CuPy lies on the GPU, and NumPy cannot reach it: "
            "ask xp.",
            _with_numpy,
        ),
        Mistake("The softmax runs over axis 1, not over the last one.", _over_the_last_axis),
        Mistake(
            "Subtract the largest number first: exp of 1000 is infinite.",
            _not_shifted,
        ),
        Mistake(
            "You took exp twice as often as needed: keep the result.",
            lambda xp, x: (
                xp.exp(x - x.max(1, keepdims=True))
                / xp.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)
            ),
        ),
    ),
    hints=(
        "Methods of the array, x.max(...), belong to its own library; functions come from xp.",
        "e = xp.exp(x - x.max(axis=1, keepdims=True)), and then a division.",
    ),
    explanation="Whoever never writes np in an operation has written it for both.",
)

LESSON = Lesson(
    number=14,
    title="To the GPU",
    exercises=(RECALL, BY_HAND, CELL, SOFTMAX, MOVED, STEP, *QUESTIONS),
    predictions=PREDICTIONS,
)
