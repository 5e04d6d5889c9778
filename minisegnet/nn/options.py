"""Checks of the options of layers, at construction."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any


def require_positive(layer: str, **options: Any) -> None:
    """Refuse options that are not whole numbers of at least 1.

    Raises
    ------
    TypeError
        If one is not an integer.
    ValueError
        If one is smaller than 1.
    """
    for name, value in options.items():
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{layer}: {name} is {value!r}: give an integer") from None
        if number < 1:
            raise ValueError(f"{layer}: {name} is {value}: it must be at least 1")


def require_fraction(layer: str, **options: float) -> None:
    """Refuse options that are not between 0 and 1.

    Raises
    ------
    ValueError
        If one is outside.
    """
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{layer}: {name} is {value}: it must lie between 0 and 1")


def require_choice(layer: str, name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse an option that is none of the choices.

    Raises
    ------
    ValueError
        If it is not.
    """
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{layer}: {name} is {value!r}: choose one of {known}")
