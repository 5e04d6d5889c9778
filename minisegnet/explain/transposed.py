"""Transposed convolution, step by step, and in three views that agree.

- zero insertion: the recipe. Insert zeros, pad, flip the kernel, slide it: every cell *gathers*.
- scatter: every input cell *stamps* a scaled copy of the kernel on the output; copies add up.
- matrix: the matrix of the convolution with the same weights, transposed, times the input.
"""

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
    count,
    dilated,
    marks_of,
    operands,
    options_text,
    pairs,
    shape,
    slide_sentence,
)
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.matrix import transposed_matrix_view
from minisegnet.explain.numbers import exact, show
from minisegnet.explain.panels import Frame, Mark, Panel, Step
from minisegnet.explain.size_solver import covered, overlap_counts, overlap_ratio
from minisegnet.explain.stamps import scatter_view
from minisegnet.explain.walkthrough import Views, Walkthrough, bias_factor
from minisegnet.kernels import correlate as kernels
from minisegnet.kernels import reference
from minisegnet.ops import conv

_REAL, _INSERTED, _PADDING, _EXTRA = 1, 0, 2, 3
_MARKS = {_INSERTED: Mark.INSERTED, _PADDING: Mark.PADDING, _EXTRA: Mark.EXTRA}
_ORIGINS = {
    _INSERTED: Origin.INSERTED,
    _PADDING: Origin.PADDING,
    _EXTRA: Origin.EXTRA,
}


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> Walkthrough:
    """Transposed convolution: insert zeros, pad, flip the kernel, slide it and sum the products.

    Each side becomes ``(H - 1)*stride - 2*padding + dilation*(k - 1) + output_padding + 1`` long.

    Parameters
    ----------
    input : matrix or (N, C, H, W)
    weight : matrix or (C, C_out / groups, kH, kW)
    bias : number or (C_out,), optional
    stride, padding, output_padding, groups, dilation
        As for ``minisegnet.functional.conv_transpose2d``.

    Returns
    -------
    Walkthrough
        ``.views`` holds "zero insertion", "scatter" and "matrix"; ``.outputs["overlap counts"]``
        how many input cells of one channel reach each output cell.

    Raises
    ------
    ValueError
        If shapes, groups or sizes do not fit; the message has the numbers.

    References
    ----------
    .. [1] V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
       arXiv:1603.07285, section 4.

    Examples
    --------
    >>> walk = conv_transpose2d([[0, 2], [3, 1]], [[0, 1], [2, 3]])
    >>> walk.result
    array([[ 0,  0,  2],
           [ 0,  7,  7],
           [ 6, 11,  3]])
    >>> print(walk.at(2, 1))
    3*3 + 1*2 + 0*1 + 0*0 = 11
    >>> print(walk.views["scatter"].at(2, 1))
    3*3 + 1*2 = 11
    """
    op = "conv_transpose2d"
    given = operands(input, weight, bias, op, ("input", "output"))
    x, w, b = given.tensors
    result = conv.conv_transpose2d(
        x, w, b, stride, padding, output_padding, groups, dilation
    ).numpy()
    stride, padding, output_padding, dilation = pairs(
        op, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    recipe = Recipe(given, stride, padding, output_padding, dilation, groups)
    walk = Walkthrough(
        op,
        recipe.facts(),
        recipe.steps(),
        given.layout.array(result),
        recipe.account,
        {"overlap counts": recipe.overlap},
        remarks=('The same result in other ways: .views["scatter"] and .views["matrix"].',),
        stage=("padded input", recipe.slid),
    )
    zero_insertion = replace(
        walk, view="zero insertion", remarks=(), result=walk.panel("result").values
    )
    views = {
        "zero insertion": lambda: zero_insertion,
        "scatter": lambda: scatter_view(recipe),
        "matrix": lambda: transposed_matrix_view(recipe),
    }
    return replace(walk, views=Views(views))


class Recipe:
    """A transposed convolution's arrays and options, and the three steps of its recipe."""

    def __init__(
        self,
        given: Operands,
        stride: Pair,
        padding: Pair,
        output_padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> None:
        self.given, self.layout, self.groups = given, given.layout, groups
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.output_padding = output_padding
        around = [d * (k - 1) - p for d, k, p in zip(dilation, self.kernel, padding, strict=True)]
        self.around: Pair = (around[0], around[1])
        self.amounts: Padding = (
            (around[0], around[0] + output_padding[0]),
            (around[1], around[1] + output_padding[1]),
        )
        self.outputs = given.w.shape[1] * groups
        self.size = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + e + 1
            for n, s, p, d, k, e in zip(
                given.x.shape[2:],
                stride,
                padding,
                dilation,
                self.kernel,
                output_padding,
                strict=True,
            )
        )
        self.slid = "dilated flipped kernel" if dilation != (1, 1) else "flipped kernel"
        spread = reference.insert_zeros(np.full((1, 1, *given.x.shape[2:]), _REAL), stride)
        self.spread_codes = spread[0, 0]
        self.codes = self._codes(spread)

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's rows and columns."""
        return self.given.w.shape[2:]

    def _codes(self, spread: np.ndarray) -> np.ndarray:
        """What every cell of the padded input is."""
        codes = reference.pad_or_crop(spread, self.amounts, _PADDING)[0, 0]
        for axis, extra in enumerate(self.output_padding):
            tail = (
                codes[codes.shape[0] - extra :]
                if axis == 0
                else (codes[:, codes.shape[1] - extra :])
            )
            tail[tail == _PADDING] = _EXTRA
        return codes

    @property
    def overlap(self) -> np.ndarray:
        """How many cells of one input channel reach each output cell."""
        rows, columns = (
            covered(
                self.given.x.shape[2 + a],
                self.kernel[a],
                self.stride[a],
                self.padding[a],
                self.output_padding[a],
                self.dilation[a],
            )
            for a in (0, 1)
        )
        return np.outer(rows, columns)

    # ------------------------------------------------------------------ the steps

    def facts(self) -> tuple[str, ...]:
        """Shapes, options, and the size formula with its numbers."""
        x, w = self.layout.array(self.given.x), self.layout.array(self.given.w)
        options = options_text(
            stride=(self.stride, None),
            padding=(self.padding, None),
            output_padding=(self.output_padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
            groups=(self.groups, 1),
        )
        formulas = [
            f"({n} - 1)*{s} - 2*{p} + {d}*({k} - 1) + {extra} + 1 = {out}"
            for n, s, p, d, k, extra, out in zip(
                self.given.x.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel,
                self.output_padding,
                self.size,
                strict=True,
            )
        ]
        return (f"input {shape(x)}, kernel {shape(w)}{options}", *by_axis(formulas))

    def steps(self) -> tuple[Step, ...]:
        """Start, insert zeros, pad, flip, see what reaches where, slide."""
        given = self.given
        steps = [Step("Start", "The map, and the kernel that it will be spread by.", given.panels)]
        spread = reference.insert_zeros(given.x, self.stride)
        if self.stride != (1, 1):
            steps.append(self._insertion_step(spread))
        padded = reference.pad_or_crop(spread, self.amounts)
        steps.append(self._padding_step(spread, padded))
        flipped = reference.flip(reference.exchange_channels(given.w, self.groups))
        steps.append(self._flip_step(flipped))
        result = self.slide(padded, flipped)
        marks = {Mark.UNCOVERED: self.uncovered()}
        panel = Panel("result", self.layout.array(result), "result", marks)
        inputs = given.x.shape[1] // self.groups
        sentence = slide_sentence((1, 1), self.groups, inputs, given.bias is not None)
        return (*steps, self._overlap_step(), Step("Slide and sum", sentence, (panel,)))

    def slide(self, padded: np.ndarray, flipped: np.ndarray) -> np.ndarray:
        """The last step of the recipe, on the zeros as they stand there."""
        y = kernels.correlate(padded, flipped, kernel_dilation=self.dilation, groups=self.groups)
        return y if self.given.bias is None else y + self.given.bias[:, None, None]

    def uncovered(self) -> np.ndarray:
        """The cells that are there thanks to output_padding."""
        where = np.zeros(self.size, bool)
        where[self.size[0] - self.output_padding[0] :] = True
        where[:, self.size[1] - self.output_padding[1] :] = True
        return where

    def _insertion_step(self, spread: np.ndarray) -> Step:
        rows, columns = self.stride
        sentence = (
            f"Insert stride - 1 zeros: {count(rows - 1, 'row')} of zeros between neighbouring rows "
            f"and {count(columns - 1, 'column')} between neighbouring columns."
        )
        marks = marks_of(self.spread_codes, _MARKS)
        panel = Panel("spread input", self.layout.array(spread), marks=marks)
        return Step("Insert zeros", sentence, (panel,))

    def _padding_step(self, spread: np.ndarray, padded: np.ndarray) -> Step:
        panel = Panel("padded input", self.layout.array(padded), marks=marks_of(self.codes, _MARKS))
        amounts = [
            f"{d}*({k} - 1) - {p} = {a}"
            for d, k, p, a in zip(
                self.dilation, self.kernel, self.padding, self.around, strict=True
            )
        ]
        sentence = f"Pad every side by dilation*(k - 1) - padding = {amounts[0]}"
        if amounts[0] != amounts[1]:
            sentence += f" (columns: {amounts[1]})"
        if max(self.output_padding):
            sentence += (
                f"; output_padding adds {both(self.output_padding)} more at the bottom and right"
            )
        crops = min(min(pair) for pair in self.amounts) < 0
        if not crops:
            title = "Pad" if any(map(any, self.amounts)) else "Pad (by nothing)"
            return Step(title, f"{sentence}.", (panel,))
        sentence += "; less than zero means to cut off."
        return Step("Pad and cut", sentence, (self._cut_panel(spread), panel))

    def _cut_panel(self, spread: np.ndarray) -> Panel:
        """Everything that was or will be there, with a frame around what stays."""
        (above, below), (left, right) = self.amounts
        grow = (max(above, 0), max(below, 0)), (max(left, 0), max(right, 0))
        whole = reference.pad_or_crop(spread, grow)
        codes = reference.pad_or_crop(self.spread_codes[None, None], grow, _PADDING)[0, 0]
        (top, bottom), (left, right) = (
            (max(-before, 0), size - max(-after, 0))
            for (before, after), size in zip(self.amounts, codes.shape, strict=True)
        )
        inside = np.zeros(codes.shape, bool)
        inside[top:bottom, left:right] = True
        marks = {Mark.CROPPED: ~inside, **marks_of(np.where(inside, codes, _REAL), _MARKS)}
        frame = Frame(top, left, bottom, right)
        return Panel("what is cut off", self.layout.array(whole), marks=marks, frame=frame)

    def _flip_step(self, flipped: np.ndarray) -> Step:
        panels = [
            Panel("flipped kernel", self.layout.array(flipped), "kernel", lead=("output", "input"))
        ]
        sentence = "Turn the kernel upside down and left to right"
        if self.given.w.shape[1] > 1 or self.given.w.shape[0] > self.groups:
            sentence += (
                ", and read its channels the other way round: (out, in) instead of (in, out)"
            )
        if self.dilation != (1, 1):
            spread, gaps = dilated(flipped, self.dilation)
            panels.append(
                Panel(
                    "dilated flipped kernel",
                    self.layout.array(spread),
                    "kernel",
                    {Mark.GAP: gaps},
                    lead=("output", "input"),
                )
            )
            gap = both((self.dilation[0] - 1, self.dilation[1] - 1))
            sentence += f"; a dilation of {both(self.dilation)} leaves gaps of {gap} in it"
        return Step("Flip the kernel", f"{sentence}.", tuple(panels))

    def _overlap_step(self) -> Step:
        kernel, stride = self.kernel, self.stride
        inside = overlap_counts(kernel, stride, self.dilation)
        low, high = int(inside.min()), int(inside.max())
        if low == high:
            verdict = f"{low} everywhere, which is even"
        elif low == 0:
            verdict = f"{low} to {high}, so that some are reached by none"
        else:
            ratio = show(overlap_ratio(kernel, stride, self.dilation))
            verdict = (
                f"{low} to {high}, a ratio of {ratio}: the kernel is not divisible by the stride, "
                "and such uneven overlap draws checkerboards"
            )
        sentence = f"How many input cells reach each output cell; away from the border {verdict}."
        return Step("Count the overlap", sentence, (Panel("overlap counts", self.overlap, "note"),))

    # ------------------------------------------------------------------ the account of one cell

    def account(self, cell: Cell) -> Ledger:
        """The ledger of one output cell: the flipped kernel on its window."""
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        return Ledger.of_sum(name, self._terms(cell))

    def _terms(self, cell: Cell) -> Iterator[Term]:
        w, bias = self.given.w, self.given.bias
        group, o = divmod(cell.channel, w.shape[1])
        inputs = w.shape[0] // self.groups
        for k, i, j in product(range(inputs), *map(range, self.kernel)):
            row, column = cell.row + i * self.dilation[0], cell.col + j * self.dilation[1]
            yield Term.product(
                self._cell_factor(cell.n, group * inputs + k, row, column),
                self._weight_factor(group * inputs + k, o, (cell.channel, k, i, j)),
            )
        if bias is not None:
            yield Term.product(bias_factor(exact(bias[cell.channel]), cell.channel))

    def _cell_factor(self, n: int, channel: int, row: int, column: int) -> Factor:
        """What lies at (row, column) of the padded input, and what it was before."""
        places = {"padded input": self.layout.index(n, channel, row, column)}
        code = int(self.codes[row, column])
        row, column = row - self.around[0], column - self.around[1]
        is_spread = code in (_REAL, _INSERTED)
        if is_spread and self.stride != (1, 1):
            places["spread input"] = self.layout.index(n, channel, row, column)
        if code != _REAL:
            return Factor(0, _ORIGINS[code], None, places)
        row, column = row // self.stride[0], column // self.stride[1]
        index = self.layout.index(n, channel, row, column)
        value = exact(self.given.x[n, channel, row, column])
        return Factor(value, Origin.INPUT, index, {"input": index, **places})

    def _weight_factor(self, k: int, o: int, flipped: tuple[int, int, int, int]) -> Factor:
        """A tap of the flipped kernel, and where it is in the reader's."""
        out, inside, i, j = flipped
        row, column = self.kernel[0] - 1 - i, self.kernel[1] - 1 - j
        index = self.layout.index(k, o, row, column)
        places = {"kernel": index, "flipped kernel": self.layout.index(out, inside, i, j)}
        if self.dilation != (1, 1):
            spread = (i * self.dilation[0], j * self.dilation[1])
            places[self.slid] = self.layout.index(out, inside, *spread)
        return Factor(exact(self.given.w[k, o, row, column]), Origin.KERNEL, index, places)
