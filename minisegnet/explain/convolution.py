"""Convolution, dilated or not, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from minisegnet.checks import Pair
from minisegnet.explain.arguments import (
    Operands,
    Padding,
    both,
    by_axis,
    dilated,
    operands,
    options_text,
    pairs,
    shape,
    slide_sentence,
)
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.matrix import matrix_view
from minisegnet.explain.numbers import exact
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Views, Walkthrough, bias_factor
from minisegnet.kernels import reference
from minisegnet.ops import conv


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Walkthrough:
    r"""Convolution: pad, spread the kernel if it is dilated, slide it, and sum the products.

    .. math:: y_{r,c} = \sum_{i,j} w_{i,j}\; x_{r s + i d - p,\; c s + j d - p}

    Parameters
    ----------
    input : matrix or (N, C, H, W)
    weight : matrix or (C_out, C / groups, kH, kW)
    bias : number or (C_out,), optional
    stride, padding, dilation, groups
        As for ``minisegnet.functional.conv2d``.

    Returns
    -------
    Walkthrough
        ``.views`` holds the sliding window itself and the convolution as one matrix.

    Raises
    ------
    ValueError
        If shapes, groups or sizes do not fit; the message has the numbers.

    Examples
    --------
    A dilation of 2 leaves a gap of one cell between the taps of the kernel:

    >>> walk = conv2d([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 0], [10, 100]], dilation=2)
    >>> walk.result
    array([[971]])
    >>> print(walk.at(0, 0))
    1*1 + 3*0 + 7*10 + 9*100 = 971
    """
    op = "conv2d"
    given = operands(input, weight, bias, op, ("output", "input"))
    x, w, b = given.tensors
    result = conv.conv2d(x, w, b, stride, padding, dilation, groups).numpy()
    stride, dilation = pairs(op, stride=stride, dilation=dilation)
    around = _frame(padding, given.w.shape[2:], dilation)
    geometry = _Geometry(given, stride, around, dilation, groups)
    sliding = Walkthrough(
        op,
        geometry.facts(result.shape[2:]),
        geometry.steps(result),
        given.layout.array(result),
        geometry.account,
        view="sliding window",
        stage=(geometry.slid_over, geometry.slid),
    )
    views = Views(
        {
            "sliding window": lambda: sliding,
            "matrix": lambda: matrix_view(op, given, stride, around, dilation, groups, result),
        }
    )
    return replace(sliding, view="", views=views)


def _frame(padding: Any, kernel: tuple[int, ...], dilation: Pair) -> Padding:
    """((top, bottom), (left, right)) of zeros; the convolution itself has checked it."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2)
    rows, columns = pairs("conv2d", padding=padding)[0]
    return (rows, rows), (columns, columns)


class _Geometry:
    """A convolution's arrays and options, from which its steps and ledgers are made."""

    def __init__(
        self, given: Operands, stride: Pair, around: Padding, dilation: Pair, groups: int
    ) -> None:
        self.given, self.layout = given, given.layout
        self.stride, self.around, self.dilation, self.groups = stride, around, dilation, groups
        self.is_padded, self.is_dilated = around != ((0, 0), (0, 0)), dilation != (1, 1)
        self.slid_over = "padded input" if self.is_padded else "input"
        self.slid = "dilated kernel" if self.is_dilated else "kernel"

    def facts(self, size: tuple[int, ...]) -> tuple[str, ...]:
        """Shapes, options, and the size formula with its numbers."""
        x, w, around = self.given.x, self.given.w, self.around
        symmetric = all(before == after for before, after in around)
        padding = (around[0][0], around[1][0]) if symmetric else around
        options = options_text(
            stride=(self.stride, None),
            padding=(padding, None),
            dilation=(self.dilation, None),
            groups=(self.groups, 1),
        )
        arrays = f"input {shape(self.layout.array(x))}, kernel {shape(self.layout.array(w))}"
        formulas = [
            size_formula(x.shape[2 + a], w.shape[2 + a], self.stride[a], around[a], d, size[a])
            for a, d in enumerate(self.dilation)
        ]
        return (arrays + options, *by_axis(formulas))

    def steps(self, result: np.ndarray) -> tuple[Step, ...]:
        given = self.given
        steps = [Step("Start", "The map, and the kernel to be laid on it.", given.panels)]
        if self.is_padded:
            steps.append(self._padding_step())
        if self.is_dilated:
            spread, gaps = dilated(given.w, self.dilation)
            panel = Panel(
                "dilated kernel",
                self.layout.array(spread),
                "kernel",
                {Mark.GAP: gaps},
                lead=("output", "input"),
            )
            gap = both((self.dilation[0] - 1, self.dilation[1] - 1))
            sentence = f"A dilation of {both(self.dilation)} leaves gaps of {gap} between its taps."
            steps.append(Step("Spread the kernel", sentence, (panel,)))
        channels = given.w.shape[1]
        sentence = slide_sentence(self.stride, self.groups, channels, given.bias is not None)
        panel = Panel("result", self.layout.array(result), "result")
        return (*steps, Step("Slide and sum", sentence, (panel,)))

    def _padding_step(self) -> Step:
        x = self.given.x
        (top, bottom), (left, right) = self.around
        inside = np.zeros((x.shape[2] + top + bottom, x.shape[3] + left + right), bool)
        inside[top : top + x.shape[2], left : left + x.shape[3]] = True
        padded = self.layout.array(reference.pad_or_crop(x, self.around))
        sentence = (
            f"Put zeros around the map: {top} above, {bottom} below, {left} left and {right} right."
        )
        return Step(
            "Pad", sentence, (Panel("padded input", padded, marks={Mark.PADDING: ~inside}),)
        )

    # ------------------------------------------------------------------ the account of one cell

    def account(self, cell: Cell) -> Ledger:
        """The ledger of one output cell."""
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        return Ledger.of_sum(name, self._terms(cell))

    def _terms(self, cell: Cell) -> Iterator[Term]:
        w, bias = self.given.w, self.given.bias
        group = cell.channel // (w.shape[0] // self.groups)
        for k, i, j in product(*map(range, w.shape[1:])):
            row = cell.row * self.stride[0] + i * self.dilation[0]
            column = cell.col * self.stride[1] + j * self.dilation[1]
            yield Term.product(
                self._cell_factor(cell.n, group * w.shape[1] + k, row, column),
                self._weight_factor(cell.channel, k, i, j),
            )
        if bias is not None:
            yield Term.product(bias_factor(exact(bias[cell.channel]), cell.channel))

    def _cell_factor(self, n: int, channel: int, row: int, column: int) -> Factor:
        """What lies at (row, column) of the padded map."""
        x = self.given.x
        places = {}
        if self.is_padded:
            places["padded input"] = self.layout.index(n, channel, row, column)
        row, column = row - self.around[0][0], column - self.around[1][0]
        if not (0 <= row < x.shape[2] and 0 <= column < x.shape[3]):
            return Factor(0, Origin.PADDING, None, places)
        index = self.layout.index(n, channel, row, column)
        value = exact(x[n, channel, row, column])
        return Factor(value, Origin.INPUT, index, {"input": index, **places})

    def _weight_factor(self, o: int, k: int, i: int, j: int) -> Factor:
        index = self.layout.index(o, k, i, j)
        places = {"kernel": index}
        if self.is_dilated:
            down, across = self.dilation
            places["dilated kernel"] = self.layout.index(o, k, i * down, j * across)
        return Factor(exact(self.given.w[o, k, i, j]), Origin.KERNEL, index, places)


def size_formula(
    size: int, kernel: int, stride: int, around: Pair, dilation: int, output: int
) -> str:
    """The size of a convolution's output, with its numbers.

    Examples
    --------
    >>> size_formula(7, kernel=3, stride=2, around=(1, 1), dilation=1, output=4)
    'floor((7 + 2*1 - 1*(3 - 1) - 1) / 2) + 1 = 4'
    """
    before, after = around
    padding = f"2*{before}" if before == after else f"{before} + {after}"
    inside = f"{size} + {padding} - {dilation}*({kernel} - 1) - 1"
    return f"floor(({inside}) / {stride}) + 1 = {output}"
