"""What a problem of a worksheet is: the numbers given, the answer, and the wrong ones to expect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, combinations, product
from random import Random
from typing import Any, Literal, TypeAlias

import numpy as np

from minisegnet.explain.numbers import show
from minisegnet.explain.walkthrough import Walkthrough

#: None stands for a score that is not defined: 0/0.
Value: TypeAlias = int | Fraction | None
Matrix: TypeAlias = tuple[tuple[Value, ...], ...]
Kind: TypeAlias = Literal["map", "kernel", "note"]

_MOST_DRAWS = 2000
_ROUNDING = Fraction(1, 100)


@dataclass(frozen=True)
class Given:
    """A matrix that a problem gives.

    Attributes
    ----------
    name : str
        What it is called: ``input``, ``kernel``.
    matrix : tuple of rows
        Numbers, or words (``v`` for void).
    kind : {"map", "kernel", "note"}
        Kernels are shaded.
    """

    name: str
    matrix: tuple[tuple[Any, ...], ...]
    kind: Kind = "map"

    @property
    def size(self) -> str:
        """``2x3``."""
        return size_of(self.matrix)


@dataclass(frozen=True)
class Mistake:
    """A classic mistake, and the answer of somebody who makes it."""

    sentence: str
    answer: Matrix


@dataclass(frozen=True)
class Problem:
    """One problem of a sheet.

    Attributes
    ----------
    title : str
        A few words.
    task : str
        What to do, in sentences.
    given : tuple of Given
    answer : tuple of rows
        Computed, never typed.
    name : str
        What the answer is called: ``result``.
    working : tuple of str
        How to get there: the arithmetic of the size, the whole sum of one cell.
    cell : (row, column) or None
        The cell whose whole sum is asked for.
    sum_of : callable
        (row, column) to what has to be summed there: ``1*1 + 2*0``; empty where nothing is.
    mistakes : tuple of Mistake
        Each with another answer than the right one.
    labels : tuple of str
        Names of the answer's columns, where they have some.
    is_framed : bool
        Whether the sheet shows how large the answer is; else that is a part of the problem.
    """

    title: str
    task: str
    given: tuple[Given, ...]
    answer: Matrix
    name: str = "result"
    working: tuple[str, ...] = ()
    cell: tuple[int, int] | None = None
    sum_of: Callable[[int, int], str] = field(default=lambda row, column: "", compare=False)
    mistakes: tuple[Mistake, ...] = ()
    labels: tuple[str, ...] = ()
    is_framed: bool = True

    @property
    def is_telling(self) -> bool:
        """Whether every mistake shows: none gives the right answer, and no two the same."""
        answers = [self.answer, *(mistake.answer for mistake in self.mistakes)]
        return all(are_apart(a, b) for a, b in combinations(answers, 2))


def are_apart(one: Matrix, other: Matrix) -> bool:
    """Whether two answers differ, even if both are rounded to two decimals.

    Examples
    --------
    >>> are_apart(((Fraction(2, 3),),), ((Fraction(3, 5),),))
    True
    >>> are_apart(((Fraction(2, 3),),), ((Fraction(67, 100),),))
    False
    """
    if size_of(one) != size_of(other):
        return True
    cells = zip(chain(*one), chain(*other), strict=True)
    return any(
        a is not b if a is None or b is None else abs(Fraction(a) - b) > _ROUNDING for a, b in cells
    )


Draw: TypeAlias = Callable[[Random], Problem]


def telling(draw: Draw, random: Random, others: Sequence[Problem] = ()) -> Problem:
    """Draw problems until one tells all its mistakes apart and is none of the others.

    Raises
    ------
    RuntimeError
        If there seems to be none: the drawing itself is at fault.
    """
    used = {problem.given for problem in others}
    for _ in range(_MOST_DRAWS):
        problem = draw(random)
        if problem.is_telling and problem.given not in used:
            return problem
    raise RuntimeError(f"no telling problem in {_MOST_DRAWS} draws of {draw}")


def busy_cell(walk: Walkthrough, random: Random) -> tuple[int, int]:
    """One of the cells of the result that are summed from the most numbers given."""
    rows, columns = walk.cells.shape[-2:]
    cells = list(product(range(rows), range(columns)))
    counts = {cell: len(walk.at(*cell).real_terms) for cell in cells}
    most = max(counts.values())
    return random.choice([cell for cell in cells if counts[cell] == most])


def matrix_of(array: Any) -> Matrix:
    """The rows of an array as tuples of Python numbers.

    Examples
    --------
    >>> matrix_of(np.array([[1, 2, 3], [4, 5, 6]]))
    ((1, 2, 3), (4, 5, 6))
    """
    return tuple(tuple(row) for row in np.asarray(array).tolist())


def size_of(matrix: Sequence[Sequence[Any]]) -> str:
    """``2x3``.

    Examples
    --------
    >>> size_of(((1, 2, 3), (4, 5, 6)))
    '2x3'
    """
    return f"{len(matrix)}x{len(matrix[0]) if matrix else 0}"


def write(value: Any) -> str:
    """A value as it stands on the sheet: ``-`` for one that is not defined.

    Examples
    --------
    >>> write(3), write(Fraction(2, 3)), write(None), write("v")
    ('3', '2/3', '-', 'v')
    """
    if value is None:
        return "-"
    return value if isinstance(value, str) else show(value)


def integers(
    random: Random, rows: int, columns: int, low: int, high: int, others: Sequence[int] = ()
) -> np.ndarray:
    """A matrix of random integers from ``low`` to ``high`` in which few are alike.

    Examples
    --------
    >>> integers(Random(3), 2, 3, 0, 9).shape
    (2, 3)
    """
    pool: list[int] = []
    while len(pool) < rows * columns:
        numbers = [n for n in range(low, high + 1) if n not in others]
        random.shuffle(numbers)
        pool += numbers
    return np.array(pool[: rows * columns], np.int64).reshape(rows, columns)
