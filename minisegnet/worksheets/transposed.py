"""Problems on transposed convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random

import numpy as np

from minisegnet import explain
from minisegnet.checks import Pair
from minisegnet.kernels import reference
from minisegnet.worksheets.convolution import EXCHANGED, Level
from minisegnet.worksheets.problem import (
    Draw,
    Given,
    Mistake,
    Problem,
    busy_cell,
    integers,
    matrix_of,
)


@dataclass(frozen=True)
class Step(Level):
    """A level with an output padding."""

    output_padding: Pair = (0, 0)

    @property
    def options(self) -> str:
        """The options in words."""
        if self.output_padding == (0, 0):
            return super().options
        text = super().options
        extra = self.output_padding
        return f"{text}, output_padding {extra[0] if extra[0] == extra[1] else extra}"


@dataclass(frozen=True, eq=False)
class _Case:
    """A transposed convolution of a matrix with a matrix, to be done rightly and wrongly."""

    x: np.ndarray
    w: np.ndarray
    stride: Pair
    padding: Pair
    output_padding: Pair
    dilation: Pair

    def by_loops(self) -> np.ndarray:
        """The definition as loops."""
        return reference.conv_transpose2d(
            self.x[None, None],
            self.w[None, None],
            self.stride,
            self.padding,
            self.output_padding,
            dilation=self.dilation,
        )[0, 0]

    def but(self, **changes: object) -> np.ndarray:
        """The right result of other options."""
        return replace(self, **changes).by_loops()  # type: ignore[arg-type]

    def mistakes(self) -> Iterator[tuple[str, np.ndarray]]:
        """What people get wrong, of what these options let them get wrong."""
        yield (
            "the kernel is not flipped: on the padded input lay it turned up-down and left-right "
            "(or stamp it as it is)",
            self.but(w=self.w[::-1, ::-1]),
        )
        yield EXCHANGED, self.but(w=self.w.T)
        if self._overlaps():
            yield (
                "the stamps are overwritten where they overlap: add them up",
                self._overwritten(),
            )
        yield (
            "that is the convolution, which gathers: here every input cell stamps a whole kernel",
            self._convolved(),
        )
        if self.stride != (1, 1):
            yield from self._wrong_stride()
        if self.padding != (0, 0):
            yield from self._wrong_padding()
        if self.output_padding != (0, 0):
            yield from self._wrong_output_padding()
        if self.dilation != (1, 1):
            yield "the dilation is ignored: spread the kernel's taps", self.but(dilation=(1, 1))
            wider = (self.dilation[0] + 1, self.dilation[1] + 1)
            yield (
                "the gaps are too wide: a dilation of d leaves d - 1 cells between two taps, not d",
                self.but(dilation=wider),
            )

    def _wrong_stride(self) -> Iterator[tuple[str, np.ndarray]]:
        yield (
            "the stride is ignored: a step on the input is a stride on the result",
            self.but(stride=(1, 1)),
        )
        yield (
            "too many zeros are inserted: a stride of s puts s - 1 between two cells, not s",
            self.but(stride=tuple(s + (s > 1) for s in self.stride)),
        )
        rows, columns = self.stride
        extra = zip(self.output_padding, self.stride, strict=True)
        # Cutting the padding off one side only can leave as many cells too many.
        too = ", or the padding is cut off one side only" if self._is_alike else ""
        yield (
            "zeros are inserted behind the last row or column too (they go between two cells "
            f"only){too}",
            self.but(output_padding=tuple(a + s - 1 for a, s in extra)),
        )
        if rows != columns:
            yield (
                "the strides of rows and columns are exchanged",
                self.but(stride=(columns, rows)),
            )

    def _wrong_padding(self) -> Iterator[tuple[str, np.ndarray]]:
        rows, columns = self.padding
        yield (
            "the padding is forgotten: it cuts rows and columns off every side",
            self.but(padding=(0, 0)),
        )
        yield (
            "the padding is added: in a transposed convolution it cuts off",
            self.but(padding=(-rows, -columns)),
        )
        if not self._is_alike:
            whole = self.but(padding=(0, 0))
            yield (
                "the padding is cut off one side only: it is cut off every side",
                whole[rows:, columns:],
            )

    @property
    def _is_alike(self) -> bool:
        """Whether the padding is as large as the zeros that a stride inserts."""
        return all(p == s - 1 > 0 for p, s in zip(self.padding, self.stride, strict=True))

    def _wrong_output_padding(self) -> Iterator[tuple[str, np.ndarray]]:
        rows, columns = self.output_padding
        without = self.but(output_padding=(0, 0))
        yield "the output padding is forgotten: it uncovers cells at the bottom and right", without
        yield (
            "the output padding is appended as zeros: it uncovers cells, which have their own sums",
            np.pad(without, ((0, rows), (0, columns))),
        )
        yield (
            "the output padding is at the top and left: it goes to the bottom and right",
            self._uncovered_before(),
        )

    def _uncovered_before(self) -> np.ndarray:
        """The result with the output padding at the wrong end."""
        (top, left), (rows, columns) = self.padding, self.output_padding
        whole = self.but(padding=(0, 0), output_padding=(0, 0))[None, None]
        frame = ((rows - top, -top), (columns - left, -left))
        return reference.pad_or_crop(whole, frame)[0, 0]

    def _overlaps(self) -> bool:
        """Whether any cell of the result is stamped twice."""
        ones = replace(self, x=np.ones_like(self.x), w=np.ones_like(self.w))
        return bool(ones.by_loops().max() > 1)

    def _overwritten(self) -> np.ndarray:
        """The stamps laid over each other, the last one on top."""
        (s, t), (d, e) = self.stride, self.dilation
        (height, width), (kh, kw) = self.x.shape, self.w.shape
        rows = (height - 1) * s + d * (kh - 1) + 1 + self.output_padding[0]
        columns = (width - 1) * t + e * (kw - 1) + 1 + self.output_padding[1]
        canvas = np.zeros((rows, columns), self.x.dtype)
        for r, c, i, j in product(range(height), range(width), range(kh), range(kw)):
            canvas[r * s + i * d, c * t + j * e] = self.x[r, c] * self.w[i, j]
        top, left = self.padding
        return canvas[top : rows - top, left : columns - left]

    def _convolved(self) -> np.ndarray:
        """The convolution with the same options, if there is any window."""
        (rows, columns) = self.padding
        return reference.correlate(
            self.x[None, None],
            self.w[None, None],
            self.stride,
            ((rows, rows), (columns, columns)),
            kernel_dilation=self.dilation,
        )[0, 0]


def draw(level: Step) -> Draw:
    """The function that draws a problem of this level."""

    def problem(random: Random) -> Problem:
        x = integers(random, *random.choice(level.sizes), 0, 5)
        w = integers(random, *random.choice(level.kernels), level.lowest_weight, 3)
        options = (level.stride, level.padding, level.output_padding, level.dilation)
        return _problem(level, _Case(x, w, *options), random)

    return problem


def _problem(level: Step, case: _Case, random: Random) -> Problem:
    walk = explain.conv_transpose2d(
        case.x,
        case.w,
        None,
        case.stride,
        case.padding,
        case.output_padding,
        dilation=case.dilation,
    )
    answer = matrix_of(walk.result)
    cell = busy_cell(walk, random)
    ledger = walk.at(*cell)
    lines = [f"size, {fact}" for fact in walk.facts[1:]]
    lines.append(f"result[{cell[0]}, {cell[1]}] = {ledger}")
    if len(ledger.real_terms) < len(ledger.terms):
        lines.append(f"without the zeros put in: {ledger.short}")
    return Problem(
        level.title,
        f"Compute the transposed convolution: {level.options}.",
        (Given("input", matrix_of(case.x)), Given("kernel", matrix_of(case.w), "kernel")),
        answer,
        working=tuple(lines),
        cell=cell,
        sum_of=lambda row, column: walk.at(row, column).short.rpartition(" = ")[0],
        mistakes=_written(case),
        is_framed=level.is_framed,
    )


def _written(case: _Case) -> tuple[Mistake, ...]:
    """The mistakes that leave anything at all to write down."""
    return tuple(Mistake(words, matrix_of(wrong)) for words, wrong in case.mistakes() if wrong.size)


LADDER = tuple(
    draw(level)
    for level in (
        Step("First stamps", ((2, 3), (3, 2)), ((2, 2),), is_framed=True),
        Step("A stride", ((2, 3), (3, 2)), ((2, 3), (3, 2)), stride=(2, 2)),
        Step(
            "Padding cuts off",
            ((2, 3), (3, 2)),
            ((3, 2), (2, 3), (3, 3)),
            padding=(1, 1),
            lowest_weight=-1,
        ),
        Step(
            "Stride and padding",
            ((2, 3), (3, 2)),
            ((3, 3),),
            stride=(2, 2),
            padding=(1, 1),
            lowest_weight=-2,
        ),
        Step(
            "Output padding uncovers",
            ((2, 3), (3, 2)),
            ((3, 3), (3, 4), (4, 3)),
            stride=(2, 2),
            padding=(1, 1),
            output_padding=(1, 1),
            lowest_weight=-1,
        ),
        Step(
            "Rows and columns apart",
            ((2, 3), (3, 2)),
            ((2, 3), (3, 3)),
            stride=(1, 3),
            padding=(0, 1),
            output_padding=(0, 1),
            lowest_weight=-2,
        ),
        Step(
            "Dilation",
            ((2, 3), (3, 2)),
            ((2, 3), (3, 2)),
            padding=(1, 1),
            dilation=(2, 2),
            lowest_weight=-1,
        ),
    )
)
