"""What ``config.json`` says was found in the data, and whether it has the form that is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minisegnet.train.options import OptionError

FOUND = "found"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(fits: Callable[[Any], bool], length: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == length and all(map(fits, value))


def check_found(found: Any, classes: int, path: Path, has_split: bool = False) -> None:
    """Refuse facts about the data that no run has written.

    Parameters
    ----------
    found : Any
        What the file holds under "found".
    classes : int
        How many classes the run has.
    path : Path
        The file, for the message.
    has_split : bool
        Whether the names of the training and validation pictures must be there.

    Raises
    ------
    OptionError
        Which fact is damaged.

    Examples
    --------
    >>> check_found({"channels": 7}, 3, Path("run/config.json"))
    Traceback (most recent call last):
        ...
    minisegnet.train.options.OptionError: run/config.json is damaged: found.channels is 7; restore
    the file
    """
    if not isinstance(found, dict):
        raise OptionError(f"{path} is damaged: {FOUND!r} is missing; restore the file")
    channels = found.get("channels")
    channels = channels if channels in (1, 3) else 0
    facts: dict[str, Callable[[Any], bool]] = {
        "channels": lambda value: _is_whole(value) and value in (1, 3),
        "class_names": _list_of(lambda name: isinstance(name, str), classes),
        "palette": _list_of(_is_colour, classes),
        "mean": _list_of(_is_number, channels),
        "std": _list_of(lambda spread: _is_number(spread) and spread > 0, channels),
        "resize": lambda value: isinstance(value, bool),
        "values": _list_of(_is_whole, classes),
        "void_value": lambda value: value is None or _is_whole(value),
        "class_weights": lambda value: value is None or _list_of(_is_number, classes)(value),
        "split": lambda value: _is_split(value) or (value is None and not has_split),
    }
    for name, fits in facts.items():
        if not fits(found.get(name)):
            shown = repr(found.get(name))
            shown = shown if len(shown) < 80 else shown[:77] + "..."
            raise OptionError(f"{path} is damaged: {FOUND}.{name} is {shown}; restore the file")


def _is_split(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(names := value.get(part), list) and all(isinstance(n, str) for n in names)
        for part in ("train", "val")
    )


def _is_colour(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("#[0-9a-f]{6}", value) is not None
