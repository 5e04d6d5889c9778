"""Typed answers: how they are written, and what is wrong with a wrong one.

The format is plain text. A number and a colon begin a problem; the rows of its matrix follow, on
lines of their own or after the colon with semicolons between them::

    1:
    1 2 0
    4 7 2
    2: 1/2 0.67 -

Numbers are apart by blanks or commas: integers, fractions, decimals (at least two places), and
``-`` for a score that is not defined. What follows a ``#`` is a remark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, TypeVar

from minisegnet.worksheets.problem import Matrix, Mistake, Problem, Value, size_of, write

_START = re.compile(r"(\d{1,4})\s*[:.)](?=\s|$)(.*)")
_NUMBER = re.compile(r"[+-]?(\d{1,12}(/0*[1-9]\d{0,11})?|\d{0,12}\.\d{1,12}|\d{1,12}\.)")
_ENOUGH_PLACES = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Typed:
    """A number as somebody typed it, and by how much it may be off for being rounded."""

    value: Value
    rounding: Fraction = Fraction(0)
    text: str = ""

    def agrees(self, value: Value) -> bool:
        """Whether it is this value, or this value rounded.

        Examples
        --------
        >>> read_number("0.67").agrees(Fraction(2, 3)), read_number("0.7").agrees(Fraction(2, 3))
        (True, False)
        """
        if self.value is None or value is None:
            return self.value is value
        return abs(Fraction(self.value) - value) <= self.rounding


TypedMatrix: TypeAlias = tuple[tuple[Typed, ...], ...]


def read_number(word: str) -> Typed:
    """A number from an integer, a fraction, a decimal, or ``-``.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> read_number("-3").value, read_number("2/4").value, read_number("-").value
    (-3, Fraction(1, 2), None)
    """
    word = word.replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")
    if word == "-":
        return Typed(None, text=word)
    if not _NUMBER.fullmatch(word):
        raise ValueError(
            f"{word!r} is not a number: write 3, -3, 2/3, 0.67, or - for a score that is not "
            "defined"
        )
    places = word.partition(".")[2]
    rounding = Fraction(1, 2 * 10 ** len(places)) if len(places) >= _ENOUGH_PLACES else Fraction(0)
    value = Fraction(word + "0" if word.endswith(".") else word)
    return Typed(int(value) if value.denominator == 1 else value, rounding, word)


def read_answers(text: str, where: str = "the answers") -> dict[int, TypedMatrix]:
    r"""The matrices by the numbers of their problems; those left empty are left out.

    Parameters
    ----------
    text : str
        In the format of this module.
    where : str
        What errors call the text: the name of its file.

    Raises
    ------
    ValueError
        If something is not a number, rows differ in length, a problem comes twice, or rows stand
        before the first number; the message names the line.

    Examples
    --------
    >>> {n: size_of(rows) for n, rows in read_answers("1: 1 2; 3 4; 5 6\n2:\n3: 1/2").items()}
    {1: '3x2', 3: '1x1'}
    """
    found: dict[int, list[tuple[Typed, ...]]] = {}
    first_lines: dict[int, int] = {}
    current: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{where}, line {number}"
        rest = line.partition("#")[0].strip().lstrip("\ufeff")
        if start := _START.fullmatch(rest):
            current, rest = int(start[1]), start[2]
            if current in found:
                raise ValueError(
                    f"{place}: problem {current} is there already, on line "
                    f"{first_lines[current]}: keep one of the two"
                )
            found[current], first_lines[current] = [], number
        for row in _rows(rest):
            if current is None:
                raise ValueError(
                    f"{place}: {rest!r} belongs to no problem: begin with its number, as in 1:"
                )
            found[current].append(_read_row(row, found[current], current, place))
    return {number: tuple(rows) for number, rows in found.items() if rows}


def _rows(text: str) -> list[list[str]]:
    rows = [part.replace(",", " ").split() for part in text.split(";")]
    return [row for row in rows if row]


def _read_row(
    words: Sequence[str], before: Sequence[Sequence[Typed]], problem: int, place: str
) -> tuple[Typed, ...]:
    if before and len(words) != len(before[0]):
        raise ValueError(
            f"{place}: row {len(before)} of problem {problem} has {len(words)} numbers and row 0 "
            f"has {len(before[0])}: give all rows the same length"
        )
    try:
        return tuple(map(read_number, words))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


# ------------------------------------------------------------------ checking


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one answer.

    Attributes
    ----------
    number : int
        Of the problem.
    status : {"right", "wrong", "missing"}
    sentence : str
        What is wrong, and where first; empty if it is right.
    mistake : str
        The classic mistake that gives this very answer, if there is one.
    """

    number: int
    status: str
    sentence: str = ""
    mistake: str = ""

    def __str__(self) -> str:
        if self.status == "missing":
            return f"{self.number}: not answered"
        return f"{self.number}: {self.status}" + (f": {self.sentence}" if self.sentence else "")


def check(problem: Problem, typed: TypedMatrix | None, number: int = 1) -> Verdict:
    """Compare an answer with the right one, and with those of the classic mistakes."""
    if typed is None:
        return Verdict(number, "missing")
    if _same(typed, problem.answer):
        return Verdict(number, "right")
    mistake = _mistake(problem, typed)
    if _has_size(typed, problem.answer):
        where = _first_difference(problem, typed)
    else:
        where = _wrong_size(problem, typed)
    named = f"{mistake}. {where[0].upper()}{where[1:]}" if mistake else where
    return Verdict(number, "wrong", named, mistake)


def _mistake(problem: Problem, typed: TypedMatrix) -> str:
    named = [mistake for mistake in problem.mistakes if _same(typed, mistake.answer)]
    if named:
        return named[0].sentence
    if _same(tuple(zip(*typed, strict=True)), problem.answer):
        return "rows and columns are exchanged"
    if _is_upside_down(typed, problem.answer):
        return "the answer is turned: up-down, left-right, or both"
    partly = [
        m for m in problem.mistakes if _has_size(typed, m.answer) and _mixed(problem, typed, m)
    ]
    return f"in some cells {partly[0].sentence}" if partly else ""


def _mixed(problem: Problem, typed: TypedMatrix, mistake: Mistake) -> bool:
    """Whether two cells or more are as the mistake makes them, and the others right."""
    if not _has_size(typed, problem.answer):
        return False
    wrong = 0
    for own, right, other in zip(
        _flat(typed), _flat(problem.answer), _flat(mistake.answer), strict=True
    ):
        if own.agrees(right):
            continue
        if not own.agrees(other):
            return False
        wrong += 1
    return wrong > 1


def _flat(matrix: Sequence[Sequence[T]]) -> Iterator[T]:
    return (value for row in matrix for value in row)


def _is_upside_down(typed: TypedMatrix, answer: Matrix) -> bool:
    mirrored = tuple(row[::-1] for row in typed)
    return any(_same(turned, answer) for turned in (typed[::-1], mirrored, mirrored[::-1]))


def _has_size(typed: Sequence[Sequence[object]], answer: Sequence[Sequence[object]]) -> bool:
    return size_of(typed) == size_of(answer)


def _same(typed: TypedMatrix, answer: Matrix) -> bool:
    return _has_size(typed, answer) and all(
        own.agrees(right) for own, right in zip(_flat(typed), _flat(answer), strict=True)
    )


def _wrong_size(problem: Problem, typed: TypedMatrix) -> str:
    arithmetic = [line.removeprefix("size, ") for line in problem.working if line[:6] == "size, "]
    because = f" ({'; '.join(arithmetic)})" if arithmetic else ""
    right = size_of(problem.answer)
    return f"you wrote {size_of(typed)}, and the {problem.name} is {right}{because}."


def _first_difference(problem: Problem, typed: TypedMatrix) -> str:
    """Where the answer first differs, and what has to be summed there: not the sum itself."""
    row, column = next(
        (r, c)
        for r, values in enumerate(problem.answer)
        for c, right in enumerate(values)
        if not typed[r][c].agrees(right)
    )
    own = typed[row][column].text
    where = f"{problem.name}[{row}, {column}]"
    if problem.labels and len(problem.answer) == 1:
        where = problem.labels[column]
    left = problem.sum_of(row, column)
    due = f" is {left}, which is not {own}" if left else f" is not {own}"
    return f"first at {where}: it{due}."


def template(numbers: Mapping[int, Problem], heading: str) -> str:
    """The text to be filled in with answers.

    Parameters
    ----------
    numbers : mapping of int to Problem
    heading : str
        The command that makes the sheet.
    """
    lines = [
        f"# {heading}",
        "# Under each number, the matrix: one row a line, numbers apart by blanks.",
        "# Integers, fractions (2/3) or decimals (0.67); - for a score that is not defined.",
    ]
    for number, problem in numbers.items():
        lines += ["", f"# {problem.title}: {problem.name}", f"{number}:"]
        if problem.labels and len(problem.answer) == 1:
            lines.insert(-1, f"# one row: {', '.join(problem.labels)}")
    return "\n".join(lines) + "\n"


def written(matrix: Matrix) -> str:
    """A matrix in the format of this module.

    Examples
    --------
    >>> print(written(((1, Fraction(1, 2)), (None, -3))))
    1 1/2
    - -3
    """
    return "\n".join(" ".join(map(write, row)) for row in matrix)
