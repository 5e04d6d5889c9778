"""Problems on convolution, dilated and not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from minisegnet import explain
from minisegnet.checks import Pair
from minisegnet.explain.arguments import both
from minisegnet.kernels import reference
from minisegnet.worksheets.problem import (
    Draw,
    Given,
    Matrix,
    Mistake,
    Problem,
    busy_cell,
    integers,
    matrix_of,
)

Padding = tuple[Pair, Pair]

FLIPPED = (
    "the kernel is turned: lay it on the window as it stands, upside up (networks do not flip)"
)
EXCHANGED = "the kernel's rows and columns are exchanged"


@dataclass(frozen=True)
class Level:
    """A step of the ladder: options, and sizes to choose from."""

    title: str
    sizes: tuple[Pair, ...]
    kernels: tuple[Pair, ...]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    lowest_weight: int = 0
    channels: int = 1
    has_bias: bool = False
    is_framed: bool = False

    @property
    def options(self) -> str:
        """The options in words: ``stride 2, padding 1``."""
        parts = [f"stride {both(self.stride)}", f"padding {both(self.padding)}"]
        if self.dilation != (1, 1):
            parts.append(f"dilation {both(self.dilation)}")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class _Case:
    """A convolution of (C, H, W) with (C, kH, kW), to be done rightly and wrongly."""

    x: np.ndarray
    w: np.ndarray
    bias: int
    level: Level

    def wrongly(
        self,
        x: np.ndarray | None = None,
        w: np.ndarray | None = None,
        stride: Pair | None = None,
        padding: Padding | None = None,
        dilation: Pair | None = None,
        gap: Pair = (1, 1),
        bias: int | None = None,
    ) -> Matrix:
        """The definition as loops, with something changed."""
        rows, columns = self.level.padding
        result = reference.correlate(
            (self.x if x is None else x)[None],
            (self.w if w is None else w)[None],
            stride or self.level.stride,
            padding or ((rows, rows), (columns, columns)),
            gap,
            dilation or self.level.dilation,
        )
        return matrix_of(result[0, 0] + (self.bias if bias is None else bias))

    def mistakes(self) -> Iterator[tuple[str, Matrix]]:
        """What people get wrong, of what these options let them get wrong."""
        yield FLIPPED, self.wrongly(w=self.w[:, ::-1, ::-1])
        yield EXCHANGED, self.wrongly(w=self.w.swapaxes(1, 2))
        yield from self._wrong_steps()
        yield from self._wrong_padding()
        if self.level.dilation != (1, 1):
            yield from self._wrong_dilation()
        if len(self.x) > 1:
            first = self.wrongly(x=self.x[:1], w=self.w[:1])
            yield "only the first channel is counted: sum over all of them", first
        if self.bias:
            yield "the bias is forgotten: add it to every sum", self.wrongly(bias=0)
            every = self.bias * self.w[0].size
            yield (
                "the bias is added to every product: add it once to every sum",
                self.wrongly(bias=every),
            )

    def _wrong_steps(self) -> Iterator[tuple[str, Matrix]]:
        stride, kernel = self.level.stride, (self.w.shape[1], self.w.shape[2])
        if stride != (1, 1):
            yield (
                "the stride is ignored: the window moves on by the stride",
                self.wrongly(stride=(1, 1)),
            )
        if stride != kernel:
            yield (
                "the window moved on by its own size: it moves by the stride, so windows overlap",
                self.wrongly(stride=kernel),
            )
        if stride[0] != stride[1]:
            yield "the strides of rows and columns are exchanged", self.wrongly(stride=stride[::-1])

    def _wrong_padding(self) -> Iterator[tuple[str, Matrix]]:
        rows, columns = self.level.padding
        if (rows, columns) == (0, 0):
            return
        yield (
            "the padding is forgotten: put zeros around the input first",
            self.wrongly(padding=((0, 0), (0, 0))),
        )
        yield (
            "the padding is on one side only: it goes on every side",
            self.wrongly(padding=((0, rows), (0, columns))),
        )
        if rows != columns:
            yield (
                "the paddings of rows and columns are exchanged",
                self.wrongly(padding=((columns, columns), (rows, rows))),
            )

    def _wrong_dilation(self) -> Iterator[tuple[str, Matrix]]:
        down, across = self.level.dilation
        yield "the dilation is ignored: spread the kernel's taps", self.wrongly(dilation=(1, 1))
        yield (
            "the gaps are too wide: a dilation of d leaves d - 1 cells between two taps, not d",
            self.wrongly(dilation=(down + (down > 1), across + (across > 1))),
        )
        if self.level.stride != self.level.dilation:
            yield (
                "the dilation is taken for a stride: it spreads the taps and moves no window",
                self.wrongly(stride=self.level.dilation, dilation=(1, 1)),
            )
        yield (
            "zeros are put into the input: a dilation spreads the kernel",
            self.wrongly(gap=self.level.dilation, dilation=(1, 1)),
        )


def draw(level: Level) -> Draw:
    """The function that draws a problem of this level."""

    def problem(random: Random) -> Problem:
        size, kernel = random.choice(level.sizes), random.choice(level.kernels)
        x = [integers(random, *size, 0, 5) for _ in range(level.channels)]
        w = [integers(random, *kernel, level.lowest_weight, 3) for _ in range(level.channels)]
        bias = random.randint(1, 4) if level.has_bias else 0
        return _problem(_Case(np.stack(x), np.stack(w), bias, level), random)

    return problem


def _problem(case: _Case, random: Random) -> Problem:
    level = case.level
    walk = explain.conv2d(
        case.x[None],
        case.w[None],
        [case.bias] if case.bias else None,
        level.stride,
        level.padding,
        level.dilation,
    )
    answer = matrix_of(walk.result[0, 0])
    cell = busy_cell(walk, random)
    sizes = tuple(f"size, {fact}" for fact in walk.facts[1:])
    return Problem(
        level.title,
        _task(case),
        _given(case),
        answer,
        working=(*sizes, f"result[{cell[0]}, {cell[1]}] = {walk.at(*cell)}"),
        cell=cell,
        sum_of=lambda row, column: walk.at(row, column).equation,
        mistakes=_written(case.mistakes()),
        is_framed=level.is_framed,
    )


def _written(mistakes: Iterator[tuple[str, Matrix]]) -> tuple[Mistake, ...]:
    """The mistakes that leave anything at all to write down."""
    return tuple(Mistake(sentence, wrong) for sentence, wrong in mistakes if wrong and wrong[0])


def _task(case: _Case) -> str:
    channels = len(case.x)
    text = f"Slide the kernel over the input: {case.level.options}."
    if channels > 1:
        text += f" Sum over the {channels} channels."
    if case.bias:
        text += f" Add the bias of {case.bias} to every sum."
    return text


def _given(case: _Case) -> tuple[Given, ...]:
    if len(case.x) == 1:
        return (
            Given("input", matrix_of(case.x[0])),
            Given("kernel", matrix_of(case.w[0]), "kernel"),
        )
    return tuple(
        given
        for c in range(len(case.x))
        for given in (
            Given(f"input, channel {c}", matrix_of(case.x[c])),
            Given(f"kernel, channel {c}", matrix_of(case.w[c]), "kernel"),
        )
    )


PLAIN: tuple[Callable[[Random], Problem], ...] = tuple(
    draw(level)
    for level in (
        Level("First steps", ((3, 4), (4, 3)), ((2, 2),), is_framed=True),
        Level("Negative weights", ((3, 5), (4, 3)), ((2, 3), (3, 2)), lowest_weight=-2),
        Level("A stride", ((5, 4), (4, 5), (5, 6)), ((2, 3), (3, 2)), stride=(2, 2)),
        Level("Padding", ((2, 3), (3, 2)), ((2, 3), (3, 2)), padding=(1, 1), lowest_weight=-1),
        Level(
            "Stride and padding",
            ((4, 5), (5, 4)),
            ((3, 2), (2, 3), (3, 3)),
            stride=(2, 2),
            padding=(1, 1),
            lowest_weight=-2,
        ),
        Level("Two channels", ((3, 4), (4, 3)), ((2, 2),), lowest_weight=-1, channels=2),
        Level(
            "Rows and columns apart, and a bias",
            ((3, 5), (4, 5)),
            ((3, 2), (2, 3)),
            stride=(1, 2),
            padding=(1, 0),
            lowest_weight=-2,
            has_bias=True,
        ),
        Level(
            "Two channels, stride and padding",
            ((3, 4), (4, 3)),
            ((2, 3), (3, 2)),
            stride=(2, 2),
            padding=(1, 1),
            lowest_weight=-1,
            channels=2,
        ),
    )
)

DILATED: tuple[Callable[[Random], Problem], ...] = tuple(
    draw(level)
    for level in (
        Level("First gaps", ((4, 5), (5, 4)), ((2, 2),), dilation=(2, 2), is_framed=True),
        Level("A longer kernel", ((6, 4), (6, 5)), ((3, 2),), dilation=(2, 2), lowest_weight=-1),
        Level("Padding", ((3, 4), (4, 3)), ((2, 3), (3, 2)), padding=(1, 1), dilation=(2, 2)),
        Level(
            "Rows and columns apart",
            ((5, 4), (6, 4)),
            ((2, 3), (2, 2)),
            dilation=(3, 1),
            padding=(1, 0),
            lowest_weight=-2,
        ),
        Level(
            "Dilation 3", ((5, 6), (6, 5)), ((2, 2),), padding=(1, 1), dilation=(3, 3),
            lowest_weight=-2,
        ),
        Level(
            "With a stride",
            ((5, 6), (6, 5)),
            ((2, 3), (3, 2)),
            stride=(2, 2),
            padding=(1, 1),
            dilation=(2, 2),
            lowest_weight=-2,
        ),
        Level(
            "As large as before",
            ((3, 4), (4, 3)),
            ((3, 3),),
            padding=(2, 2),
            dilation=(2, 2),
            lowest_weight=-1,
        ),
    )
)  # fmt: skip
