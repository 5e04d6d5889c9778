"""Padding: more rows and columns around a map, or fewer."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.checks import did_you_mean

MODES = ("constant", "reflect", "replicate")


@op
def _pad_axis(x: Array, axis: int, before: int, after: int, mode: str, value: float) -> Rule:
    """Along one axis: the cells that stay, and where each new cell takes its value from."""
    xp = array_module(x)
    n = x.shape[axis]
    sources = [_source(i, n, mode) for i in range(-before, n + after)]
    stays = _part(axis, slice(max(before, 0), max(before, 0) + n + min(before, 0) + min(after, 0)))
    core = _part(axis, slice(max(-before, 0), n - max(-after, 0)))

    shape = (*x.shape[:axis], len(sources), *x.shape[axis + 1 :])
    out = xp.full(shape, value, dtype=x.dtype)
    out[stays] = x[core]
    border = [
        (_part(axis, place), _part(axis, source))
        for place, source in enumerate(sources)
        if source is not None and place - before != source
    ]
    for place, source in border:
        out[place] = x[source]

    def backward(grad):
        spread = xp.zeros(x.shape, dtype=grad.dtype)
        spread[core] = grad[stays]
        for place, source in border:
            spread[source] += grad[place]
        return (spread,)

    return out, backward


def _source(i: int, n: int, mode: str) -> int | None:
    """The cell that position ``i`` of an axis of length ``n`` copies, None for a constant."""
    if mode == "replicate":
        return min(max(i, 0), n - 1)
    if mode == "reflect":
        i = abs(i)
        return i if i < n else 2 * (n - 1) - i
    return i if 0 <= i < n else None


def _part(axis: int, where: int | slice) -> tuple[Any, ...]:
    return (*(slice(None) for _ in range(axis)), where)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Add cells around the last dimensions, or cut them off where the amount is negative.

    Parameters
    ----------
    input : Tensor
    pad : sequence of ints
        Amounts from the last dimension backwards: ``(left, right)``, ``(left, right, top,
        bottom)``, and so on.
    mode : "constant", "reflect" or "replicate"
        New cells hold ``value``, mirror the map without repeating its edge, or repeat the edge.
    value : float
        For "constant"; may be ``-inf``.

    Raises
    ------
    ValueError
        If the amounts are not pairs, are more than there are dimensions, leave nothing, or
        reflect more cells than there are; or if the mode is unknown.

    Examples
    --------
    >>> import minisegnet as ms
    >>> pad(ms.tensor([[1, 2, 3], [4, 5, 6]]), (2, -1), mode="reflect").tolist()
    [[3, 2, 1, 2], [6, 5, 4, 5]]
    """
    x = input if isinstance(input, Tensor) else Tensor(input)
    pairs = _pairs(pad, x.shape)
    if mode not in MODES:
        raise ValueError(f"pad: unknown mode {mode!r}: {did_you_mean(str(mode), MODES)}")
    if x.dtype.kind != "f" and not math.isfinite(value):
        raise ValueError(f"pad: {value} has no place in a tensor of {x.dtype}: convert it to float")
    for axis, (before, after) in pairs.items():
        n = x.shape[axis]
        if n + before + after < 1 or min(before, after) <= -n:
            raise ValueError(
                f"pad: nothing is left of dimension {axis} of shape {x.shape}: {before} + {n} + "
                f"{after} = {before + n + after}: crop less"
            )
        if mode == "reflect" and max(before, after) >= n:
            raise ValueError(
                f"pad: cannot reflect {max(before, after)} cells of dimension {axis}, which has "
                f"{n} (shape {x.shape}): reflect at most {n - 1}, or use mode 'replicate'"
            )
        if mode == "replicate" and n == 0:
            raise ValueError(f"pad: dimension {axis} of shape {x.shape} has no edge to repeat")
        if before or after:
            x = _pad_axis(x, axis, before, after, mode, value)
    return x


def _pairs(amounts: Sequence[int], shape: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """{axis: (before, after)} from the amounts, which start at the last dimension."""
    try:
        flat = [operator.index(amount) for amount in amounts]
    except TypeError:
        raise TypeError(
            f"pad: amounts are {amounts!r}: give integers (left, right, top, bottom)"
        ) from None
    if len(flat) % 2 or len(flat) > 2 * len(shape):
        raise ValueError(
            f"pad: {len(flat)} amounts for shape {shape}: give a pair for each of the last "
            "dimensions: (left, right) or (left, right, top, bottom)"
        )
    return {len(shape) - 1 - i: (flat[2 * i], flat[2 * i + 1]) for i in range(len(flat) // 2)}
