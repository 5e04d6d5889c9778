"""A correlation with zeros inserted in its input, as several without.

Along one axis, with stride ``s``, input dilation ``u``, kernel dilation ``d`` and ``start`` zeros
in front, output ``o`` meets tap ``t`` where ``(o*s + t*d - start) / u`` leaves no rest. Outputs
that meet the same taps make a phase, and within a phase the inserted zeros are never met.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

from minisegnet.backend import Array

Pair = tuple[int, int]


class Axis(NamedTuple):
    """Along one axis: outputs that meet the same taps, as a correlation without input dilation."""

    out: slice
    length: int
    taps: slice
    tap_count: int
    stride: int
    dilation: int
    start: int  # zeros in front; negative: input skipped

    def span(self, first: int, behind: int) -> Pair:
        """The inputs that the outputs ``first .. behind - 1`` of the phase look at: from, up to.

        Examples
        --------
        >>> Axis(slice(0, 4), 4, slice(0, 3), 3, stride=2, dilation=1, start=1).span(1, 3)
        (1, 6)
        """
        reach = (self.tap_count - 1) * self.dilation
        return first * self.stride - self.start, (behind - 1) * self.stride - self.start + reach + 1


class Phase(NamedTuple):
    """The outputs, down and across, that meet the same taps of the kernel."""

    rows: Axis
    columns: Axis

    @property
    def is_empty(self) -> bool:
        """Whether there is no such output, or no tap for them."""
        return any(axis.tap_count == 0 or axis.length == 0 for axis in self)

    def outputs_of(self, maps: Array) -> Array:
        """The phase's part of maps (N, H, W, C), a view."""
        return maps[:, self.rows.out, self.columns.out]

    def taps_of(self, kernels: Array) -> Array:
        """The phase's part of kernels (..., kH, kW), a view."""
        return kernels[..., self.rows.taps, self.columns.taps]


@functools.lru_cache(maxsize=1024)
def _axis_phases(size: int, k: int, start: int, s: int, u: int, d: int) -> tuple[Axis, ...]:
    """Solve ``(o*s + t*d - start) % u == 0`` for the taps t that each output o meets.

    Outputs ``period`` apart meet the same taps; those taps lie ``step`` apart.
    """
    period, step = u // math.gcd(s, u), u // math.gcd(d, u)
    found = []
    for first in range(min(period, size)):
        offset = first * s - start
        tap = next((t for t in range(min(step, k)) if (offset + t * d) % u == 0), k)
        axis = Axis(
            out=slice(first, size, period),
            length=len(range(first, size, period)),
            taps=slice(tap, k, step),
            tap_count=len(range(tap, k, step)),
            stride=s * period // u,
            dilation=d * step // u,
            start=-((offset + tap * d) // u),
        )
        found.append(axis)
    return tuple(found)


def phases(
    size: Pair, kernel: Pair, starts: Pair, stride: Pair, u: Pair, d: Pair
) -> Iterator[Phase]:
    """The phases of a correlation with outputs of ``size``, without those that have no tap.

    Examples
    --------
    A stride-2 transposed convolution with 3 taps: even outputs meet taps 1, odd ones 0 and 2.

    >>> found = phases((1, 4), (1, 3), (0, 1), (1, 1), (1, 2), (1, 1))
    >>> [(list(range(4))[p.columns.out], list(range(3))[p.columns.taps]) for p in found]
    [([0, 2], [1]), ([1, 3], [0, 2])]
    """
    along_rows, along_columns = (
        _axis_phases(size[a], kernel[a], starts[a], stride[a], u[a], d[a]) for a in (0, 1)
    )
    for rows in along_rows:
        for columns in along_columns:
            phase = Phase(rows, columns)
            if not phase.is_empty:
                yield phase
