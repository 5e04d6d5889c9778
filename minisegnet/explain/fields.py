"""Receptive fields: how much of the network's input one cell of a map depends on.

An op makes ``n`` neighbouring cells of its output from a run of cells of its input. How long that
run is at most, follows from the op's window; walking back from one cell, op by op, gives the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from minisegnet.checks import Pair


class Reach(NamedTuple):
    """Along one axis: which run of its input an op makes a run of its output from.

    Of a run whose ends are ``span`` cells apart, the ends of the input's run are
    ``span * pace + more`` cells apart, rounded up or down.
    """

    pace: Fraction
    more: Fraction
    rounds_up: bool = False

    def before(self, span: int) -> int:
        """How far apart the ends are in the input."""
        apart = span * self.pace + self.more
        return math.ceil(apart) if self.rounds_up else math.floor(apart)


class Spread(NamedTuple):
    """Along one axis: the same for a transposed convolution.

    Input cell a reaches the outputs ``a * stride + tap * dilation``, so an output is made from the
    cells ``(output - tap * dilation) / stride``, where that is a whole number.
    """

    stride: int
    taps: tuple[int, ...]

    def before(self, span: int) -> int:
        """How far apart the ends are in the input, wherever the run begins."""
        return max(self._from(start, start + span) for start in range(self.stride))

    def _from(self, first: int, last: int) -> int:
        # Within a stride of an end of the run, every remainder has come up.
        lowest = self._cells(range(first, min(first + self.stride, last + 1)))
        highest = self._cells(range(max(last - self.stride + 1, first), last + 1))
        return max(highest) - min(lowest) if lowest and highest else 0

    def _cells(self, outputs: range) -> list[int]:
        apart = (output - tap for output in outputs for tap in self.taps)
        return [distance // self.stride for distance in apart if distance % self.stride == 0]


@dataclass(frozen=True)
class Field:
    """What the cells of a map depend on, along the path that sees most.

    Attributes
    ----------
    path : tuple of (Reach or Spread, the same)
        Rows and columns of each op with a window, from the network's input on.
    map_size : (row, column)
        Of the map that this is true of.
    """

    path: tuple[tuple[Reach | Spread, Reach | Spread], ...]
    map_size: Pair

    @property
    def size(self) -> Pair:
        """Rows and columns of the input that one cell depends on."""
        spans = [0, 0]
        for reaches in reversed(self.path):
            spans = [reach.before(span) for reach, span in zip(reaches, spans, strict=True)]
        return spans[0] + 1, spans[1] + 1


def field_after(
    op: str, fields: Sequence[Field], shapes: Sequence[tuple[int, ...]], options: Mapping[str, Any]
) -> Field | None:
    """The field of what an op returns; None where nothing is known of its inputs.

    Parameters
    ----------
    op : str
    fields : the fields of its inputs that have one
    shapes : the shapes of its first input, of its weight (or the input's again), of its output
    options : of the op

    Examples
    --------
    Two 3x3 convolutions see 5x5:

    >>> field = Field((), (16, 16))
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
    if len(before) == len(after) == 4:
        reaches = [_reach(op, a, before, kernel, after, options) for a in (0, 1)]
        if reaches[0] is not None and reaches[1] is not None:
            return Field((*fields[0].path, (reaches[0], reaches[1])), size)
    fitting = [field for field in fields if field.map_size == size] or list(fields)
    return max(fitting, key=lambda field: field.size)


def _reach(
    op: str,
    axis: int,
    before: tuple[int, ...],
    kernel: tuple[int, ...],
    after: tuple[int, ...],
    options: Mapping[str, Any],
) -> Reach | Spread | None:
    """How far the op's window reaches along an axis; None if it has none."""
    ratio = Fraction(before[axis - 2], after[axis - 2])
    if op in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"):
        taps = (kernel[-2:] if op.startswith("conv") else options["kernel_size"])[axis]
        stride, dilation = options["stride"][axis], options.get("dilation", (1, 1))[axis]
        if op == "conv_transpose2d":
            return Spread(stride, tuple(tap * dilation for tap in range(taps)))
        return Reach(Fraction(stride), Fraction((taps - 1) * dilation))
    if op in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        # A bin that does not divide shares a cell with its neighbour.
        whole = ratio.denominator == 1
        return Reach(ratio, ratio - 1 if whole else ratio, rounds_up=True)
    if op == "interpolate":
        neighbour = 1 if options.get("mode") == "bilinear" and before[axis - 2] > 1 else 0
        return Reach(ratio, Fraction(neighbour), rounds_up=True)
    if op in ("max_unpool2d", "bed_of_nails", "pixel_shuffle"):
        return Reach(ratio, Fraction(0), rounds_up=True)
    return None
