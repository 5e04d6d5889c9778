"""Numbers as a reader wants them: integers exact, fractions as fractions, no false digits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import is_array, to_numpy

#: Python integers and fractions are exact; floats are float64.
Number: TypeAlias = int | float | Fraction

_LARGEST_DENOMINATOR = 999


def exact(value: Any) -> Number:
    """A NumPy number as the Python number of the same value.

    Examples
    --------
    >>> exact(np.int64(7)), exact(np.float32(0.5)), exact(Fraction(1, 3))
    (7, 0.5, Fraction(1, 3))
    """
    if isinstance(value, Fraction):
        return value
    plain = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    return int(plain) if isinstance(plain, bool) else plain


def show(value: Any) -> str:
    """A number for the reader: at most four decimals, or four digits if very small or large.

    Examples
    --------
    >>> show(7), show(-2.50), show(2 / 3), show(6.914400106935423e-13), show(Fraction(7, 4))
    ('7', '-2.5', '0.6667', '6.914e-13', '7/4')
    """
    number = exact(value)
    if isinstance(number, int):
        return str(number)
    if isinstance(number, Fraction):
        return str(number) if number.denominator <= _LARGEST_DENOMINATOR else show(float(number))
    if not math.isfinite(number):
        return str(number)
    if number and not 1e-3 <= abs(number) < 1e6:
        return f"{number:.4g}"
    text = f"{number:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def show_total(value: Any) -> str:
    """A sum: a fraction and its decimals, unless these are exact and short.

    Examples
    --------
    >>> show_total(7), show_total(Fraction(3, 2)), show_total(Fraction(7, 3))
    ('7', '1.5', '7/3 = 2.3333')
    """
    number = exact(value)
    if not isinstance(number, Fraction) or number.denominator == 1:
        return show(number)
    decimals = show(float(number))
    return decimals if 10_000 % number.denominator == 0 else f"{show(number)} = {decimals}"


def show_factor(value: Any) -> str:
    """A number inside a product: negative ones and fractions in brackets.

    Examples
    --------
    >>> show_factor(3), show_factor(-3), show_factor(Fraction(3, 4))
    ('3', '(-3)', '(3/4)')
    """
    text = show(value)
    return f"({text})" if text.startswith("-") or "/" in text else text


def show_all(values: Iterable[Any]) -> list[str]:
    """The numbers of one matrix, alike: fractions become decimals where all of them are short.

    Words stay words.

    Examples
    --------
    >>> show_all([Fraction(1, 4), Fraction(2)]), show_all([Fraction(1, 3), Fraction(1, 4)])
    (['0.25', '2'], ['1/3', '1/4'])
    """
    values = list(values)
    if any(isinstance(value, str) for value in values):
        return [str(value) for value in values]
    numbers = [exact(value) for value in values]
    fractions = [number for number in numbers if isinstance(number, Fraction)]
    if all(10_000 % fraction.denominator == 0 for fraction in fractions):
        return [show(float(n) if isinstance(n, Fraction) else n) for n in numbers]
    return [show(number) for number in numbers]


def as_numbers(value: Any, name: str, op: str) -> np.ndarray:
    """A list, tensor or array as a NumPy array: integers as int64, floats as they are.

    Raises
    ------
    ValueError
        If the rows differ in length, or there are no values.
    TypeError
        If the values are not real numbers.

    Examples
    --------
    >>> as_numbers([[1, 2, 3]], "input", "conv2d").dtype
    dtype('int64')
    """
    value = value.data if isinstance(value, Tensor) else value
    try:
        array = to_numpy(value) if is_array(value) else np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{op}: the rows of {name} differ in length: give a matrix, or (N, C, H, W)"
        ) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{op}: {name} holds values of dtype {array.dtype}: give integers or floats"
        )
    if array.size == 0:
        raise ValueError(f"{op}: {name} has shape {array.shape}, which holds no values")
    return array if array.dtype.kind == "f" else array.astype(np.int64)


def as_maps(value: Any, name: str, op: str) -> tuple[np.ndarray, bool]:
    """A matrix or (N, C, H, W) as (N, C, H, W), and whether it was a matrix.

    Raises
    ------
    ValueError
        If it has another number of dimensions.

    Examples
    --------
    >>> maps, is_matrix = as_maps([[1, 2, 3]], "input", "conv2d")
    >>> maps.shape, is_matrix
    ((1, 1, 1, 3), True)
    """
    array = as_numbers(value, name, op)
    if array.ndim not in (2, 4):
        raise ValueError(
            f"{op}: {name} has shape {array.shape}, of {array.ndim} dimensions: give one matrix "
            "(rows, columns), or all four dimensions"
        )
    return (array[None, None], True) if array.ndim == 2 else (array, False)


def parse_matrix(text: str) -> np.ndarray:
    """A matrix from ``"1 2; 3 4"``: rows end with a semicolon, values with a blank or a comma.

    Whole numbers become int64; if there is a decimal point or an exponent anywhere, all become
    float64.

    Raises
    ------
    ValueError
        If a value is not a number, the rows differ in length, or there are none.

    Examples
    --------
    >>> parse_matrix("1 2; 3 4").tolist(), parse_matrix("0.5, -2").tolist()
    ([[1, 2], [3, 4]], [[0.5, -2.0]])
    """
    rows = [row.replace(",", " ").split() for row in text.strip().strip(";").split(";")]
    values: list[list[Number]] = []
    for number, row in enumerate(rows, 1):
        if not row:
            raise ValueError(f'row {number} of "{text}" is empty: write a matrix as "1 2; 3 4"')
        if len(row) != len(rows[0]):
            raise ValueError(
                f'row {number} of "{text}" has {len(row)} values and row 1 has {len(rows[0])}: '
                "give all rows the same length"
            )
        values.append([_parse_number(word, text) for word in row])
    matrix = np.asarray(values)
    return matrix if matrix.dtype.kind == "f" else matrix.astype(np.int64)


def _parse_number(word: str, text: str) -> Number:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    raise ValueError(f'{word!r} in "{text}" is not a number: write a matrix as "1 2; 3 4"')
