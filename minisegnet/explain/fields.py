"""Receptive fields: how much of the network's input one cell of a map has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from minisegnet.checks import Pair

Sides = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Field:
    """What the cells of a map see of the input, along the path that sees most.

    Attributes
    ----------
    sides : (row, column)
        Rows and columns of the input that one cell depends on.
    step : (row, column)
        How far apart, in cells of the input, neighbouring cells of the map look.
    map_size : (row, column)
        Of the map that this is true of.
    """

    sides: Sides
    step: Sides
    map_size: Pair

    @property
    def size(self) -> Pair:
        """Whole rows and columns."""
        return math.ceil(self.sides[0]), math.ceil(self.sides[1])

    def after(self, reach: Sequence[Any], pace: Sequence[Any], map_size: Pair) -> Field:
        """The field behind an op whose window reaches over ``reach`` more cells of its input.

        ``pace`` is how many cells of its input the window moves for each cell of its output.
        """
        rows, columns = (
            side + step * Fraction(r)
            for side, step, r in zip(self.sides, self.step, reach, strict=True)
        )
        down, across = (step * Fraction(p) for step, p in zip(self.step, pace, strict=True))
        return Field((rows, columns), (down, across), map_size)


def field_of_input(size: Pair) -> Field:
    """The input sees itself."""
    one = (Fraction(1), Fraction(1))
    return Field(one, one, size)


def field_after(
    op: str, fields: Sequence[Field], shapes: Sequence[tuple[int, ...]], options: Mapping[str, Any]
) -> Field | None:
    """The field of what an op returns; None where its cells are no places of a map.

    Parameters
    ----------
    op : str
    fields : the fields of its inputs that have one
    shapes : the shapes of its first input, of its weight (or the input's again), of its output
    options : of the op

    Examples
    --------
    Two 3x3 convolutions see 5x5, and the second pooling window after them 6x6:

    >>> field = field_of_input((16, 16))
    >>> options = {"stride": (1, 1), "dilation": (1, 1)}
    >>> for _ in range(2):
    ...     shapes = [(1, 2, 16, 16), (2, 2, 3, 3), (1, 2, 16, 16)]
    ...     field = field_after("conv2d", [field], shapes, options)
    >>> field.size
    (5, 5)
    """
    if not fields:
        return None
    before, kernel, after = shapes
    size = (after[-2], after[-1]) if len(after) == 4 else (0, 0)
    window = _window(op, before, kernel, after, options)
    if window is not None:
        first = fields[0]
        return first.after(*window, size) if len(before) == 4 else None
    fitting = [field for field in fields if field.map_size == size] or list(fields)
    rows, columns = (max(field.sides[a] for field in fitting) for a in (0, 1))
    return Field((rows, columns), fitting[0].step, fitting[0].map_size)


def _window(
    op: str,
    before: tuple[int, ...],
    kernel: tuple[int, ...],
    after: tuple[int, ...],
    options: Mapping[str, Any],
) -> tuple[list[Any], list[Any]] | None:
    """How far the op's window reaches and moves, in cells of its input; None if it has none."""
    axes = (0, 1)
    ratio = [Fraction(before[a - 2], after[a - 2]) for a in axes] if len(after) == 4 else [1, 1]
    if op in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"):
        taps = kernel[-2:] if op.startswith("conv") else options["kernel_size"]
        stride, dilation = options["stride"], options.get("dilation", (1, 1))
        span = [(taps[a] - 1) * dilation[a] for a in axes]
        if op == "conv_transpose2d":
            return [span[a] // stride[a] for a in axes], [Fraction(1, stride[a]) for a in axes]
        return span, list(stride)
    if op in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        # A bin that does not divide reaches into both its neighbours.
        bins = [math.ceil(r) + (0 if r.denominator == 1 else 1) for r in map(Fraction, ratio)]
        return [b - 1 for b in bins], ratio
    if op == "interpolate":
        reach = 1 if options.get("mode") == "bilinear" else 0
        return [reach, reach], ratio
    if op in ("max_unpool2d", "bed_of_nails", "pixel_shuffle"):
        return [0, 0], ratio
    return None
