"""The checks that public functions share, so that one mistake reads the same everywhere.

Each takes the name of the function that was called, and raises an error that names it.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

Pair = tuple[int, int]


def pair(value: Any, name: str, op: str, minimum: int | None = None) -> Pair:
    """``(row, column)`` from one integer for both, or from two.

    Raises
    ------
    TypeError
        If the value is not an integer or two integers.
    ValueError
        If one of them is smaller than ``minimum``.

    Examples
    --------
    >>> pair(2, "stride", "conv2d"), pair((3, 1), "stride", "conv2d")
    ((2, 2), (3, 1))
    """
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(parts) != 2 or any(isinstance(part, bool) for part in parts):
        raise TypeError(f"{op}: {name} is {value!r}: give an integer or a pair (row, column)")
    try:
        row, column = (operator.index(part) for part in parts)
    except TypeError:
        raise TypeError(
            f"{op}: {name} is {value!r}: give an integer or a pair (row, column) of integers"
        ) from None
    if minimum is not None and min(row, column) < minimum:
        raise ValueError(f"{op}: {name} is {value!r}: it must be at least {minimum}")
    return row, column


def require_ndim(x: Any, ndim: int | tuple[int, ...], layout: str, name: str, op: str) -> None:
    """Refuse an array with another number of dimensions than its layout has.

    Raises
    ------
    ValueError
        If the number of dimensions is not (one of) ``ndim``.
    TypeError
        If ``x`` is a list, say, instead of a tensor or an array.
    """
    if not hasattr(x, "shape"):
        raise TypeError(
            f"{op}: {name} is a {type(x).__name__}, not a tensor: make one with "
            "minisegnet.tensor(...)"
        )
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if len(x.shape) not in allowed:
        hint = ""
        if layout == "(N, C, H, W)":
            hint = {
                3: "; a single image becomes a batch of one with x[None]",
                2: "; a single map becomes a batch of one with x[None, None]",
            }.get(len(x.shape), "")
        raise ValueError(
            f"{op}: {name} has shape {tuple(x.shape)}, of {len(x.shape)} dimensions: "
            f"it must be {layout}{hint}"
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known names.

    Examples
    --------
    >>> did_you_mean("unte", ["unet", "segnet"])
    "did you mean 'unet'?"
    """
    known = list(known)
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "choose one of " + ", ".join(known)
