"""Checks of options: from what was typed, or stands in TOML or JSON, to the value to use.

Each check raises :class:`RefusedError` with what to give instead; the table of options adds the
name of the option and the value that was refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from minisegnet.checks import did_you_mean
from minisegnet.models import find, names

Check = Callable[[Any], Any]


class RefusedError(Exception):
    """Raised by a check: what to give instead."""


def whole(low: int, high: int | None = None) -> Check:
    """A whole number from ``low`` to ``high``."""
    wanted = f"give a whole number of at least {low}"
    if high is not None:
        wanted = f"give a whole number from {low} to {high}"

    def check(value: Any) -> int:
        try:
            if isinstance(value, (bool, float)):
                raise ValueError
            number = int(value)
        except (TypeError, ValueError):
            raise RefusedError(wanted) from None
        if number < low or (high is not None and number > high):
            raise RefusedError(wanted)
        return number

    return check


def real(wanted: str, fits: Callable[[float], bool]) -> Check:
    """A finite number for which ``fits`` holds."""

    def check(value: Any) -> float:
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise RefusedError(wanted) from None
        if not math.isfinite(number) or not fits(number):
            raise RefusedError(wanted)
        return number

    return check


def one_of(known: Callable[[], tuple[str, ...]]) -> Check:
    """One of a set of names, in any case, with - or _ between its words."""

    def check(value: Any) -> str:
        names = known()
        if not isinstance(value, str):
            raise RefusedError("choose one of " + ", ".join(names))
        by_key = {name.replace("-", "_").lower(): name for name in names}
        key = value.strip().replace("-", "_").lower()
        if key not in by_key:
            raise RefusedError(did_you_mean(value, names))
        return by_key[key]

    return check


def model_name(value: Any) -> str:
    """The name of a network, however it is written."""
    known = names()
    if not isinstance(value, str):
        raise RefusedError("choose one of " + ", ".join(known))
    try:
        return find(value).name
    except ValueError:
        raise RefusedError(did_you_mean(value, known)) from None


def path_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise RefusedError("give a path")
    return value


def switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RefusedError("give true or false")
    return value


def _pair_of(check: Check, between: str, wanted: str) -> Check:
    """Two values that each pass ``check``, as a list or as text with ``between`` between them."""

    def check_pair(value: Any) -> list[Any]:
        parts = value.split(between) if isinstance(value, str) else value
        if not isinstance(parts, list) or len(parts) != 2:
            raise RefusedError(wanted)
        try:
            return [check(part) for part in parts]
        except RefusedError:
            raise RefusedError(wanted) from None

    return check_pair


def crop(value: Any) -> int | list[int]:
    """One side, or rows and columns."""
    side = whole(4, 8192)
    if isinstance(value, list) or (isinstance(value, str) and "x" in value.lower()):
        text = value.lower() if isinstance(value, str) else value
        wanted = "give one side, or rows and columns as 160x240, each from 4 to 8192"
        rows, columns = _pair_of(side, "x", wanted)(text)
        return rows if rows == columns else [rows, columns]
    return int(side(value))


def scales(value: Any) -> list[float]:
    wanted = "give the smallest and the largest factor, above 0, as 0.5:2"
    low, high = _pair_of(real(wanted, lambda x: x > 0), ":", wanted)(value)
    if low > high:
        raise RefusedError(wanted)
    return [low, high]


def model_options(value: Any) -> dict[str, Any]:
    """Options of a network: a table, or text such as ``padding=valid,norm=false``."""
    wanted = "write NAME=VALUE, several with commas between them, as norm=false,up=nearest"
    if isinstance(value, Mapping):
        return {str(name).replace("-", "_"): each for name, each in value.items()}
    if not isinstance(value, str):
        raise RefusedError(wanted)
    found: dict[str, Any] = {}
    # A comma inside brackets separates the members of a list.
    for part in filter(str.strip, re.split(r",(?![^\[]*\])", value)):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not text:
            raise RefusedError(wanted)
        try:
            found[name.replace("-", "_")] = json.loads(text)
        except ValueError:
            found[name.replace("-", "_")] = text
    return found
