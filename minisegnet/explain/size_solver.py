"""Which transposed convolutions turn one size into another, and how evenly they spread."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, overload

import numpy as np

from minisegnet.checks import Pair, pair
from minisegnet.explain.numbers import show
from minisegnet.explain.tabular import aligned, html_table

_COLUMNS = ("kernel", "stride", "padding", "output_padding", "dilation")


@dataclass(frozen=True)
class Solution:
    """A transposed convolution that turns one size into another.

    Attributes
    ----------
    kernel, stride, padding, output_padding, dilation : int
        The same along the rows and along the columns.
    least_overlap, most_overlap : int
        How many input cells reach an output cell away from the border, in two dimensions.
    cost : float
        Multiply-adds for each output cell, input channel and output channel, on average. Inserted
        zeros are not multiplied.
    """

    kernel: int
    stride: int
    padding: int
    output_padding: int
    dilation: int
    least_overlap: int
    most_overlap: int
    cost: float

    @property
    def overlap_ratio(self) -> float:
        """``most_overlap / least_overlap``: 1 is even, more draws checkerboards, inf has holes."""
        return self.most_overlap / self.least_overlap if self.least_overlap else math.inf

    @property
    def options(self) -> dict[str, int]:
        """The options for ``conv_transpose2d`` (its weight has ``kernel`` rows and columns).

        Examples
        --------
        >>> sizes(from_=3, to=6, kernels=[4])[0].options
        {'stride': 2, 'padding': 1, 'output_padding': 0, 'dilation': 1}
        """
        return {name: getattr(self, name) for name in _COLUMNS[1:]}


class Sizes(Sequence[Solution]):
    """The solutions of :func:`sizes`, best first; prints as a table."""

    def __init__(self, from_: Pair, to: Pair, solutions: Iterable[Solution]) -> None:
        self.from_, self.to = from_, to
        self._solutions = tuple(solutions)

    @overload
    def __getitem__(self, index: int) -> Solution: ...

    @overload
    def __getitem__(self, index: slice) -> Sizes: ...

    def __getitem__(self, index: int | slice) -> Solution | Sizes:
        if isinstance(index, slice):
            return Sizes(self.from_, self.to, self._solutions[index])
        return self._solutions[index]

    def __len__(self) -> int:
        return len(self._solutions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sizes) and self._solutions == other._solutions

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self)

    def rows(self) -> list[list[str]]:
        """The cells of the table, the header first."""
        header = [*_COLUMNS, "overlap", "ratio", "multiply-adds", "remark"]
        return [header, *(_row(solution) for solution in self)]

    def __str__(self) -> str:
        title = f"From {_size(self.from_)} to {_size(self.to)} by a transposed convolution:"
        if not self:
            return f"{title} none of the kernels, strides and dilations tried does it."
        return "\n".join([title, *aligned(self.rows(), right=range(len(_COLUMNS) + 3))])

    def _repr_html_(self) -> str:
        title = html.escape(str(self).split("\n", 1)[0])
        return f"<div>{title}{html_table(self.rows(), right=range(len(_COLUMNS) + 3))}</div>"


def _size(size: Pair) -> str:
    return f"{size[0]}x{size[1]}"


def _row(s: Solution) -> list[str]:
    overlap = (
        f"{s.least_overlap}"
        if s.least_overlap == s.most_overlap
        else (f"{s.least_overlap} to {s.most_overlap}")
    )
    if s.least_overlap == 0:
        remark = "some cells stay empty"
    elif s.overlap_ratio > 1:
        remark = "uneven"
    else:
        remark = "even"
    numbers = [str(getattr(s, name)) for name in _COLUMNS]
    return [*numbers, overlap, show(s.overlap_ratio), show(round(s.cost, 2)), remark]


def sizes(
    from_: int | Pair,
    to: int | Pair,
    kernels: Iterable[int] = range(1, 9),
    strides: Iterable[int] | None = None,
    dilations: Iterable[int] = (1,),
) -> Sizes:
    """Every transposed convolution, within limits, that turns one size into another.

    ``to = (from_ - 1)*stride - 2*padding + dilation*(kernel - 1) + output_padding + 1``, with an
    output_padding below the stride or the dilation and a padding of at most ``dilation*(kernel-1)``
    (more would cut off cells that were computed from nothing else).

    Parameters
    ----------
    from_, to : int or (row, column)
        The sizes; with pairs, the options fit both axes.
    kernels, strides, dilations : iterables of int
        What to try; strides by default up to 8 and up to the ratio of the sizes, rounded up.

    Returns
    -------
    Sizes
        Sorted: even overlap first, then no output_padding, then no holes in the kernel, then the
        ratio of the overlap, then the cost.

    Raises
    ------
    ValueError
        If a size or something to try is not positive.

    References
    ----------
    .. [1] A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill,
       2016 (overlap).

    Examples
    --------
    >>> print(sizes(from_=29, to=57, kernels=[2, 3, 4], strides=[2]))
    From 29x29 to 57x57 by a transposed convolution:
    kernel  stride  padding  output_padding  dilation  overlap  ratio  multiply-adds  remark
         2       2        1               1         1        1      1              1  even
         4       2        2               1         1        4      1           3.93  even
         3       2        1               0         1   1 to 4      4           2.22  uneven
    """
    op = "sizes"
    before, after = pair(from_, "from_", op, 1), pair(to, "to", op, 1)
    tried = {
        "kernels": list(kernels),
        "strides": list(strides) if strides is not None else _strides(before, after),
        "dilations": list(dilations),
    }
    for name, values in tried.items():
        if not all(isinstance(v, (int, np.integer)) and v >= 1 for v in values):
            raise ValueError(f"{op}: {name} is {values}: give integers of at least 1")
    found = [
        _solution(int(k), int(s), padding, extra, int(d), before)
        for k in tried["kernels"]
        for s in tried["strides"]
        for d in tried["dilations"]
        if k > 1 or d == min(tried["dilations"])
        for padding, extra in _paddings(before, after, int(k), int(s), int(d))
    ]
    return Sizes(before, after, sorted(found, key=_preference))


def _strides(before: Pair, after: Pair) -> list[int]:
    return list(range(1, min(8, max(-(-b // a) for a, b in zip(before, after, strict=True))) + 1))


def _paddings(before: Pair, after: Pair, k: int, s: int, d: int) -> list[Pair]:
    """Every (padding, output_padding) that gives the size, along both axes."""
    return [
        (padding, extra)
        for padding in range(d * (k - 1) + 1)
        for extra in range(max(s, d))
        if all(
            (a - 1) * s - 2 * padding + d * (k - 1) + extra + 1 == b
            for a, b in zip(before, after, strict=True)
        )
    ]


def _solution(k: int, s: int, padding: int, extra: int, d: int, size: Pair) -> Solution:
    inside = overlap_counts(k, s, d)
    average = [covered(n, k, s, padding, extra, d).mean() for n in size]
    return Solution(
        k, s, padding, extra, d, int(inside.min()), int(inside.max()), float(np.prod(average))
    )


def _preference(s: Solution) -> tuple[Any, ...]:
    uneven = 0 if s.overlap_ratio == 1 else 1 if math.isfinite(s.overlap_ratio) else 2
    return (uneven, s.output_padding > 0, s.dilation, s.overlap_ratio, s.cost, s.kernel, s.padding)


def covered(
    size: int,
    kernel: int,
    stride: int,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> np.ndarray:
    """Along one axis: how many of ``size`` input cells reach each output cell.

    Examples
    --------
    >>> covered(4, kernel=3, stride=2)
    array([1, 1, 2, 1, 2, 1, 2, 1, 1])
    """
    length = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    cells, taps = np.arange(size)[:, None], np.arange(kernel)[None, :]
    reached = (cells * stride + taps * dilation - padding).ravel()
    return np.bincount(reached[(reached >= 0) & (reached < length)], minlength=length)


def overlap_counts(
    kernel: int | Sequence[int], stride: int | Sequence[int], dilation: int | Sequence[int] = 1
) -> np.ndarray:
    """How many input cells reach each output cell away from the border: one period of the pattern.

    Output cell (r, c) is reached from the taps i with ``i*dilation = r`` modulo the stride, and so
    for the columns, so that the pattern repeats every ``stride`` rows and columns.

    Parameters
    ----------
    kernel, stride, dilation : int or (row, column)

    Returns
    -------
    ndarray (stride of the rows, stride of the columns)

    Examples
    --------
    A kernel of 3 with stride 2 reaches one cell in four from four input cells:

    >>> overlap_counts(3, 2)
    array([[4, 2],
           [2, 1]])
    >>> overlap_counts(4, 2)
    array([[4, 4],
           [4, 4]])
    """
    op = "overlap_counts"
    pairs = [
        pair(tuple(value) if isinstance(value, Sequence) else value, name, op, 1)
        for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation))
    ]
    rows, columns = (
        np.bincount(np.arange(k) * d % s, minlength=s) for k, s, d in zip(*pairs, strict=True)
    )
    return np.outer(rows, columns)


def overlap_ratio(
    kernel: int | Sequence[int], stride: int | Sequence[int], dilation: int | Sequence[int] = 1
) -> float:
    """The largest of :func:`overlap_counts` over the smallest: 1 is even, inf leaves holes.

    Examples
    --------
    >>> overlap_ratio(2, 2), overlap_ratio(3, 2), overlap_ratio(4, 2), overlap_ratio(5, 2)
    (1.0, 4.0, 1.0, 2.25)
    >>> overlap_ratio(4, 3), overlap_ratio(1, 2)
    (4.0, inf)
    """
    counts = overlap_counts(kernel, stride, dilation)
    low, high = int(counts.min()), int(counts.max())
    return float(Fraction(high, low)) if low else math.inf
