"""Max-pooling, and unpooling at the remembered places, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from minisegnet.autograd import tensor
from minisegnet.checks import Pair
from minisegnet.explain.arguments import Layout, by_axis, options_text, pairs, shape
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.numbers import as_maps, exact, show
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.ops import pooling


def max_pool2d(
    input: Any,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> Walkthrough:
    """Max-pooling: the largest value under each window, and where it stood.

    Parameters
    ----------
    input : matrix or (N, C, H, W)
    kernel_size, stride, padding, dilation, ceil_mode
        As for ``minisegnet.functional.max_pool2d``.

    Returns
    -------
    Walkthrough
        ``.outputs["indices"]`` are the places, ``row * W + column``. In the ledger of a cell the
        largest value is kept (times 1) and the others are not (times 0): by the same factors the
        gradient goes back.

    Raises
    ------
    ValueError
        If the sizes do not fit; the message has the numbers.

    Examples
    --------
    >>> walk = max_pool2d([[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]], 2)
    >>> walk.result
    array([[7, 8],
           [3, 5]])
    >>> walk.outputs["indices"]
    array([[ 4,  3],
           [ 8, 15]])
    >>> print(walk.at(0, 0))
    max(1, 4, 7, 0) = 7
    """
    op = "max_pool2d"
    x, is_matrix = as_maps(input, "input", op)
    steps = kernel_size if stride is None else stride
    result, indices = (
        t.numpy()
        for t in pooling.max_pool2d(
            tensor(x), kernel_size, stride, padding, dilation, ceil_mode, return_indices=True
        )
    )
    kernel, by, around, spread = pairs(
        op, kernel_size=kernel_size, stride=steps, padding=padding, dilation=dilation
    )
    layout = Layout(is_matrix)
    pool = _Pool(x, layout, kernel, by, around, spread, ceil_mode, result, indices)
    return Walkthrough(
        op,
        pool.facts(),
        pool.steps(),
        pool.layout.array(result),
        pool.account,
        {"indices": pool.layout.array(indices)},
        stage=("padded input" if any(pool.padding) else "input",),
    )


class _Pool:
    """A pooling's arrays and options, from which its steps and ledgers are made."""

    def __init__(
        self,
        x: np.ndarray,
        layout: Layout,
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        ceil_mode: bool,
        result: np.ndarray,
        indices: np.ndarray,
    ) -> None:
        self.x, self.layout, self.result, self.indices = x, layout, result, indices
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode
        # How far the windows reach: with ceil_mode, beyond the padding at the bottom and right.
        self.reach = tuple(
            max((n - 1) * s + (k - 1) * d + 1, size + 2 * p)
            for n, s, k, d, size, p in zip(
                result.shape[2:], stride, kernel, dilation, x.shape[2:], padding, strict=True
            )
        )
        self.is_padded = self.reach != x.shape[2:]

    def facts(self) -> tuple[str, ...]:
        """Shapes, options, and the size formula with its numbers."""
        options = options_text(
            stride=(self.stride, None),
            padding=(self.padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
        )
        window = shape(np.empty(self.kernel))
        rounding = "ceil" if self.ceil_mode else "floor"
        formulas = [
            f"{rounding}(({n} + 2*{p} - {d}*({k} - 1) - 1) / {s}) + 1 = {out}"
            for n, p, d, k, s, out in zip(
                self.x.shape[2:],
                self.padding,
                self.dilation,
                self.kernel,
                self.stride,
                self.result.shape[2:],
                strict=True,
            )
        ]
        if self.ceil_mode:
            formulas = [f"{f} (one less where a window would start past the end)" for f in formulas]
        first = f"input {shape(self.layout.array(self.x))}, window {window}{options}"
        return (first, *by_axis(formulas))

    def steps(self) -> tuple[Step, ...]:
        array = self.layout.array
        steps = [Step("Start", "The map to be pooled.", (Panel("input", array(self.x)),))]
        if self.is_padded:
            steps.append(self._padding_step())
        winners = np.zeros(self.x.shape, bool)
        for n, c in product(*map(range, self.x.shape[:2])):
            winners[n, c].reshape(-1)[self.indices[n, c].ravel()] = True
        found = Panel("input", array(self.x), marks={Mark.CHOSEN: array(winners)})
        where = Panel("indices", array(self.indices), "note")
        width = self.x.shape[3]
        place = int(self.indices[0, 0, 0, 0])
        return (
            *steps,
            Step(
                "Find the largest",
                "In every window the largest value wins; of equal ones the first, row by row.",
                (found,),
            ),
            Step(
                "Remember where it stood",
                f"An index counts the cells row by row: {place} = {place // width}*{width} + "
                f"{place % width} is row {place // width}, column {place % width}.",
                (where,),
            ),
            Step(
                "Keep it", "The rest is dropped.", (Panel("result", array(self.result), "result"),)
            ),
        )

    def _padding_step(self) -> Step:
        padded = np.full((*self.x.shape[:2], *self.reach), float("-inf"), object)
        inside = np.zeros(self.reach, bool)
        (top, left), (height, width) = self.padding, self.x.shape[2:]
        window = (slice(top, top + height), slice(left, left + width))
        padded[(..., *window)] = self.x
        inside[window] = True
        panel = Panel("padded input", self.layout.array(padded), marks={Mark.PADDING: ~inside})
        sentence = "Beyond the border stands minus infinity: padding never wins."
        return Step("Pad", sentence, (panel,))

    def account(self, cell: Cell) -> Ledger:
        """The ledger of one output cell: one value kept, the others not."""
        terms = tuple(self._terms(cell))
        values = [show(term.factors[0].value) for term in terms if term.is_real]
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        index = self.layout.index(cell.n, cell.channel, cell.row, cell.col)
        total = exact(self.result[cell.n, cell.channel, cell.row, cell.col])
        return Ledger(name, terms, total, f"max({', '.join(values)})", places={"indices": [index]})

    def _terms(self, cell: Cell) -> Iterator[Term]:
        n, c, (height, width) = cell.n, cell.channel, self.x.shape[2:]
        winner = int(self.indices[n, c, cell.row, cell.col])
        for i, j in product(*map(range, self.kernel)):
            row = cell.row * self.stride[0] + i * self.dilation[0] - self.padding[0]
            column = cell.col * self.stride[1] + j * self.dilation[1] - self.padding[1]
            places = {}
            if self.is_padded:
                around = (row + self.padding[0], column + self.padding[1])
                places["padded input"] = self.layout.index(n, c, *around)
            if not (0 <= row < height and 0 <= column < width):
                infinite = Factor(float("-inf"), Origin.PADDING, None, places)
                yield Term((infinite, Factor(0, Origin.DROPPED)), 0, "never wins")
                continue
            index, value = self.layout.index(n, c, row, column), exact(self.x[n, c, row, column])
            factor = Factor(value, Origin.INPUT, index, {"input": index, **places})
            if row * width + column == winner:
                yield Term((factor, Factor(1, Origin.KEPT)), value, "the largest")
            else:
                yield Term((factor, Factor(0, Origin.DROPPED)), 0)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    output_size: Sequence[int] | None = None,
) -> Walkthrough:
    """Max-unpooling: each value goes where its index says, zeros everywhere else.

    Parameters
    ----------
    input, indices : matrices or (N, C, H, W)
    kernel_size, stride, padding, output_size
        As for ``minisegnet.functional.max_unpool2d``.

    Raises
    ------
    ValueError
        If the shapes differ or the output size is out of reach.
    IndexError
        If an index lies outside the output.

    Examples
    --------
    >>> walk = max_unpool2d([[1, 3], [2, 4]], [[4, 3], [8, 15]], 2)
    >>> walk.result
    array([[0, 0, 0, 3],
           [1, 0, 0, 0],
           [2, 0, 0, 0],
           [0, 0, 0, 4]])
    >>> print(walk.at(1, 0))
    input[0, 0] = 1
    """
    op = "max_unpool2d"
    x, is_matrix = as_maps(input, "input", op)
    places, _ = as_maps(indices, "indices", op)
    result = pooling.max_unpool2d(
        tensor(x), tensor(places), kernel_size, stride, padding, output_size
    ).numpy()
    kernel, around = pairs(op, kernel_size=kernel_size, padding=padding)
    between = kernel if stride is None else pairs(op, stride=stride)[0]
    unpool = _Unpool(x, places, Layout(is_matrix), result)
    return Walkthrough(
        op,
        unpool.facts(kernel, between, around),
        unpool.steps(),
        unpool.layout.array(result),
        unpool.account,
        stage=("input", "indices"),
    )


class _Unpool:
    """An unpooling's arrays, from which its steps and ledgers are made."""

    def __init__(
        self, x: np.ndarray, places: np.ndarray, layout: Layout, result: np.ndarray
    ) -> None:
        self.x, self.places, self.layout, self.result = x, places, layout, result
        self.width = result.shape[3]

    def facts(self, kernel: Pair, stride: Pair, padding: Pair) -> tuple[str, ...]:
        """Shapes, and the size formula with its numbers."""
        formulas = []
        for a, n in enumerate(self.x.shape[2:]):
            size, out = (n - 1) * stride[a] - 2 * padding[a] + kernel[a], self.result.shape[2 + a]
            formula = f"({n} - 1)*{stride[a]} - 2*{padding[a]} + {kernel[a]} = {size}"
            formulas.append(formula + (f", and output_size says {out}" if size != out else ""))
        window = shape(np.empty(kernel))
        return f"input {shape(self.layout.array(self.x))}, window {window}", *by_axis(formulas)

    def steps(self) -> tuple[Step, ...]:
        """The values with their indices, and the values in their places."""
        array, width = self.layout.array, self.width
        named = np.zeros(self.result.shape, bool)
        for n, c in product(*map(range, self.x.shape[:2])):
            named[n, c].reshape(-1)[self.places[n, c].ravel()] = True
        first = int(self.places[0, 0, 0, 0])
        marks = {Mark.INSERTED: array(~named)}
        return (
            Step(
                "Start",
                "The values, and the index of the cell that each of them came from.",
                (Panel("input", array(self.x)), Panel("indices", array(self.places), "note")),
            ),
            Step(
                "Put each value back",
                f"An index counts the cells of the result row by row, {width} to a row: {first} = "
                f"{first // width}*{width} + {first % width} is row {first // width}, column "
                f"{first % width}.",
                (Panel("result", array(self.result), "result", marks),),
            ),
        )

    def account(self, cell: Cell) -> Ledger:
        """The value whose index names the cell, the last if several do, or a zero."""
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        there = cell.row * self.width + cell.col
        sources = np.argwhere(self.places[cell.n, cell.channel] == there).tolist()
        terms = []
        for number, (row, column) in enumerate(sources, 1):
            index = self.layout.index(cell.n, cell.channel, row, column)
            value = exact(self.x[cell.n, cell.channel, row, column])
            factor = Factor(value, Origin.INPUT, index, {"input": index, "indices": index})
            stays = number == len(sources)
            kept = Factor(int(stays), Origin.KEPT if stays else Origin.DROPPED)
            remark = "" if stays else "overwritten"
            terms.append(Term((factor, kept), value if stays else 0, remark))
        if not terms:
            zero = Factor(0, Origin.INSERTED)
            return Ledger.of_sum(name, [Term.product(zero)], "zero: no index names this cell")
        return Ledger.of_sum(name, terms, terms[-1].factors[0].source)
