"""Matrices as they are typed and printed, ``"1 2; 3 4"``, and as JSON."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet.explain.numbers import exact, show_all

#: Larger ones could not be multiplied and added up exactly.
LARGEST = 10**8
MOST_CELLS = 40_000

_HOW = 'write a matrix as "1 2; 3 4"'
_INTEGER = re.compile(r"[+-]?[0-9]+")


def read_matrix(text: str) -> np.ndarray:
    """One matrix, several, or several of several.

    Numbers are apart by blanks or commas, rows by ``;`` or new lines, matrices by ``|``, and groups
    of matrices by ``||``. ``@FILE`` reads a file that is written so (a CSV file is), ``@-`` the
    standard input. Whole numbers become int64; if one has a decimal point or an exponent, all
    become float64.

    Returns
    -------
    ndarray (H, W), or (C, H, W) with ``|``, or (N, C, H, W) with ``||``

    Raises
    ------
    ValueError
        If a value is no number, lengths differ, or there are no or too many values.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> read_matrix("1 2 3; -4 5 6").tolist()
    [[1, 2, 3], [-4, 5, 6]]
    >>> read_matrix("1 2 | 3 4.5").shape, read_matrix("1 | 2 || 3 | 4 || 5 | 6").shape
    ((2, 1, 2), (3, 2, 1, 1))
    """
    text = _content(text)
    groups = [[_rows(matrix) for matrix in group.split("|")] for group in text.split("||")]
    first = groups[0][0]
    for n, group in enumerate(groups, 1):
        if len(group) != len(groups[0]):
            raise ValueError(
                f"group {n} has {len(group)} matrices and group 1 has {len(groups[0])}: give all "
                "groups the same number"
            )
        for c, rows in enumerate(group, 1):
            if (len(rows), len(rows[0])) != (len(first), len(first[0])):
                raise ValueError(
                    f"matrix {c} is {len(rows)}x{len(rows[0])} and matrix 1 is "
                    f"{len(first)}x{len(first[0])}: give all matrices the same size"
                )
    array = np.array(groups)
    if array.size > MOST_CELLS:
        raise ValueError(f"{array.size} values are too many to explain: give {MOST_CELLS} at most")
    if len(groups) > 1:
        return array
    return array[0] if len(groups[0]) > 1 else array[0, 0]


def _content(text: str) -> str:
    """The text itself, or that of the file it names."""
    if not text.strip().startswith("@"):
        return text
    path = text.strip()[1:]
    try:
        content = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file: {_HOW} in it") from None
    lines = (line.partition("#")[0].strip() for line in content.splitlines())
    return "\n".join(line for line in lines if line)


def _rows(text: str) -> list[list[int | float]]:
    """The rows of one matrix."""
    lines = re.split(r"[;\n]", text.strip().strip(";").replace(";\n", "\n"))
    rows = [[_number(word) for word in line.replace(",", " ").split()] for line in lines]
    for number, row in enumerate(rows, 1):
        if not row:
            raise ValueError(f'row {number} of "{_short(text)}" is empty: {_HOW}')
        if len(row) != len(rows[0]):
            raise ValueError(
                f'row {number} of "{_short(text)}" has {_count(row)} and row 1 has '
                f"{_count(rows[0])}: give all rows the same length"
            )
    return rows


def _count(row: list[int | float]) -> str:
    return "1 value" if len(row) == 1 else f"{len(row)} values"


def _number(word: str) -> int | float:
    word = word.replace("\N{MINUS SIGN}", "-")
    try:
        value = int(word) if _INTEGER.fullmatch(word) else float(word)
    except ValueError:
        raise ValueError(f"{_short(word)!r} is not a number: {_HOW}") from None
    if math.isnan(value):
        raise ValueError(f"{_short(word)!r} is not a number: {_HOW}")
    if abs(value) > LARGEST:
        raise ValueError(f"{_short(word)} is too large: give numbers up to {LARGEST:,}")
    return value


def _short(text: str) -> str:
    text = "; ".join(text.split("\n")).strip()
    return text if len(text) <= 40 else f"{text[:37]}..."


def written(matrix: np.ndarray) -> str:
    """A matrix in the form that :func:`read_matrix` reads.

    Examples
    --------
    >>> written(np.array([[1, 2], [-3, 4]])), written(np.array([[[0.5]], [[2.0]]]))
    ('1 2; -3 4', '0.5 | 2.0')
    """
    if matrix.ndim > 2:
        separator = " || " if matrix.ndim == 4 else " | "
        return separator.join(map(written, matrix))
    return "; ".join(" ".join(map(repr, row)) for row in matrix.tolist())


def planes(values: Any) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """The matrices of a result, each with its index.

    Examples
    --------
    >>> planes(0.5)
    [((), array([[0.5]]))]
    """
    array = np.atleast_2d(np.asarray(values))
    return [(lead, array[lead]) for lead in np.ndindex(array.shape[:-2])]


def aligned_rows(matrix: np.ndarray) -> list[str]:
    """The rows of a matrix for the reader, right-aligned.

    Examples
    --------
    >>> aligned_rows(np.array([[6, 11, 3], [0.5, -2, 0]]))
    ['  6 11 3', '0.5 -2 0']
    """
    words = show_all(matrix.ravel())
    columns = matrix.shape[1]
    rows = [words[i : i + columns] for i in range(0, len(words), columns)]
    widths = [max(len(row[c]) for row in rows) for c in range(columns)]
    return [" ".join(w.rjust(n) for w, n in zip(row, widths, strict=True)) for row in rows]


def plain_rows(matrix: np.ndarray) -> list[str]:
    """The rows of a matrix for a program: one blank between numbers, none of their digits lost.

    Examples
    --------
    >>> plain_rows(np.array([[1, 10], [3, 4]])), plain_rows(np.array([[1 / 3, 2.0]]))
    (['1 10', '3 4'], ['0.3333333333333333 2'])
    """
    return [" ".join(_plain(value) for value in row) for row in matrix]


def _plain(value: Any) -> str:
    number = exact(value)
    if isinstance(number, float) and number.is_integer() and abs(number) < LARGEST:
        return str(int(number))
    return str(number)


def as_json(value: Any) -> str:
    """JSON with one row of a matrix a line; null for what JSON cannot hold, nan and infinity.

    Examples
    --------
    >>> print(as_json({"result": [[1, 2], [3, float("nan")]]}))
    {
      "result": [
        [1, 2],
        [3, null]
      ]
    }
    """
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    # Lists of numbers: of JSON's own characters only they have neither quotes nor brackets inside.
    return re.sub(r"\[\n\s+([^\[\]{}\"]*?)\n\s+\]", _on_one_line, text)


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + re.sub(r",\n\s+", ", ", found[1]) + "]"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
