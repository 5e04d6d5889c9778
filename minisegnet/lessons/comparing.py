"""Comparing what a reader computed with the definition: values, shapes and kinds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import is_array, to_numpy

#: What answers are compared as: an array of numbers, words, or several of them.
Comparable: TypeAlias = "np.ndarray | str | tuple[Comparable, ...]"


class NotComparableError(TypeError):
    """The value is neither numbers nor words; the message says what it is."""


@dataclass(frozen=True)
class Difference:
    """How a result differs, in one sentence."""

    sentence: str


def comparable(value: Any, in_parts: bool | None = None) -> Comparable:
    """Tensors, arrays, lists and numbers as a NumPy array; words as they are; tuples in parts.

    A tuple of numbers or of lists is an array as well: only one that holds an array or a tensor
    of its own is in parts, unless ``in_parts`` says otherwise.

    Raises
    ------
    NotComparableError
        If it is anything else.

    Examples
    --------
    >>> comparable([[1, 2, 3], [4, 5, 6]]).shape, comparable((5, 7)).tolist()
    ((2, 3), [5, 7])
    >>> comparable({"a": 1})
    Traceback (most recent call last):
    minisegnet.lessons.comparing.NotComparableError: a dict
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        return value.numpy()
    if is_array(value):
        return _numbers(to_numpy(value))
    if isinstance(value, (tuple, list)):
        if in_parts is None:
            in_parts = isinstance(value, tuple) and any(_is_whole_array(part) for part in value)
        if in_parts:
            return tuple(comparable(part) for part in value)
    return _numbers(_plain(value))


def _is_whole_array(part: Any) -> bool:
    return (isinstance(part, Tensor) or is_array(part)) and len(part.shape) > 0


def _plain(value: Any) -> Any:
    """Lists of tensors as lists of arrays, which NumPy can stack; NumPy's numbers as Python's."""
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.numpy() if isinstance(value, Tensor) else value


def _numbers(value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise NotComparableError("a list whose rows differ in length") from None
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            raise NotComparableError(_with_article(type(value).__name__)) from None
    if array.dtype.kind not in "biuf":
        raise NotComparableError(f"values of dtype {array.dtype}")
    return array


def difference(got: Any, expected: Any, tolerance: float) -> Difference | None:
    """How the two differ, or None if they are the same.

    Integers, floats and booleans of equal value are equal; words are compared without regard to
    case, blanks and hyphens; nan equals nan.

    Raises
    ------
    NotComparableError
        If one of them is neither numbers nor words.

    Examples
    --------
    >>> difference([[1, 2, 3]], np.array([[1.0, 2.0, 3.0]]), 1e-5)
    >>> difference([[1, 2, 3]], [[1, 5, 4]], 1e-5).sentence
    'First difference at [0, 1]: 2, where 5 is expected (2 of 3 cells differ).'
    >>> difference([1, 2, 3], [[1, 2, 3]], 1e-5).sentence
    'The numbers are right, but in shape (3,): the answer has shape (1, 3).'
    """
    right = comparable(expected)
    return _difference(comparable(got, isinstance(right, tuple)), right, tolerance)


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether the two are equal as answers; nothing equals what is neither numbers nor words."""
    try:
        return difference(got, expected, tolerance) is None
    except NotComparableError:
        return False


def _difference(got: Comparable, expected: Comparable, tolerance: float) -> Difference | None:
    if isinstance(expected, tuple):
        return _difference_of_parts(got, expected, tolerance)
    if isinstance(expected, str):
        if not isinstance(got, str):
            return Difference(f"Your answer is {_kind(got)}: the answer is a word.")
        return None if _bare(got) == _bare(expected) else Difference("Another word.")
    if not isinstance(got, np.ndarray):
        return Difference(f"Your answer is {_kind(got)}: the answer is {_kind(expected)}.")
    if got.shape != expected.shape:
        return _difference_of_shape(got, expected, tolerance)
    return _difference_of_cells(got, expected, tolerance)


def _difference_of_parts(
    got: Comparable, expected: tuple[Comparable, ...], tolerance: float
) -> Difference | None:
    if not isinstance(got, tuple) or len(got) != len(expected):
        return Difference(
            f"Your answer is {_kind(got)}: the answer has {len(expected)} parts, in a tuple."
        )
    for number, (part, right) in enumerate(zip(got, expected, strict=True)):
        if found := _difference(part, right, tolerance):
            return Difference(f"Part {number}: {found.sentence}")
    return None


def _difference_of_shape(got: np.ndarray, expected: np.ndarray, tolerance: float) -> Difference:
    if got.ndim != expected.ndim and got.size == expected.size > 0:
        reshaped = got.reshape(expected.shape)
        if not differing_cells(reshaped, expected, tolerance).any():
            return Difference(
                f"The numbers are right, but in shape {got.shape}: the answer has shape "
                f"{expected.shape}."
            )
    return Difference(f"Your result has shape {got.shape}: the answer has shape {expected.shape}.")


def _difference_of_cells(
    got: np.ndarray, expected: np.ndarray, tolerance: float
) -> Difference | None:
    wrong = differing_cells(got, expected, tolerance)
    if not wrong.any():
        return None
    if not got.shape:
        return Difference(f"Got {number(got)}, where {number(expected)} is expected.")
    cell = tuple(int(i) for i in np.argwhere(wrong)[0])
    return Difference(
        f"First difference at {list(cell)}: {number(got[cell])}, where {number(expected[cell])} "
        f"is expected ({int(wrong.sum())} of {wrong.size} cells differ).",
    )


def differing_cells(got: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Where two arrays of one shape differ by more than the tolerance times the largest number.

    Examples
    --------
    >>> differing_cells(np.array([1, 2, 3]), np.array([1.0, 2.5, 3.0]), 1e-5)
    array([False,  True, False])
    """
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    margin = tolerance * max(1.0, float(finite.max(initial=0.0)))
    left, right = got.astype(np.float64), expected.astype(np.float64)
    return ~np.isclose(left, right, rtol=0.0, atol=margin, equal_nan=True)


def _kind(value: Comparable) -> str:
    if isinstance(value, str):
        return f"the word {value!r}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"an array of shape {value.shape}" if value.shape else "a number"


def _bare(word: str) -> str:
    return re.sub(r"[\s_.-]+", " ", word).strip().casefold()


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def number(value: Any) -> str:
    """A number of an array as it is written by hand.

    Examples
    --------
    >>> number(np.float32(7.0)), number(np.float32(0.1)), number(np.int64(-3))
    ('7', '0.1', '-3')
    """
    plain = value.item() if hasattr(value, "item") else value
    return f"{plain:.6g}" if isinstance(plain, float) else str(plain)


def written(value: Any, indent: str = "") -> str:
    """A value for the reader: matrices as rows of numbers, long ones cut short.

    Examples
    --------
    >>> print(written(np.array([[1.0, 2.0, 3.0], [40.0, 5.0, 6.0]]), indent="  "))
      [[ 1.  2.  3.]
       [40.  5.  6.]]
    """
    plain = _plain(value)
    if isinstance(value, (list, tuple)) and np.size(np.asarray(plain, dtype=object)) == 0:
        return indent + repr(value)
    if is_array(plain) and np.ndim(plain):
        text = np.array2string(to_numpy(plain), precision=4, suppress_small=True, threshold=200)
    elif isinstance(value, (np.generic, np.ndarray, float)):
        text = number(value)
    else:
        text = repr(plain if isinstance(value, list) else value)
    return "\n".join(indent + line for line in text.split("\n"))
