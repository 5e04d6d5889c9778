"""Larger maps without learning: bed of nails, nearest neighbour and bilinear, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from minisegnet.autograd import tensor
from minisegnet.checks import Pair
from minisegnet.explain.arguments import Layout, both, by_axis, pairs, shape
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.numbers import as_maps, exact, show
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.kernels import resample
from minisegnet.ops import upsampling


def bed_of_nails(input: Any, scale: int | Pair) -> Walkthrough:
    """Bed of nails: each value at the top left of a block, zeros in the rest of it.

    Parameters
    ----------
    input : matrix or (N, C, H, W)
    scale : int or (row, column)

    Raises
    ------
    ValueError
        If the scale is less than 1.

    Examples
    --------
    >>> walk = bed_of_nails([[1, 4], [3, 2]], 2)
    >>> walk.result
    array([[1, 0, 4, 0],
           [0, 0, 0, 0],
           [3, 0, 2, 0],
           [0, 0, 0, 0]])
    >>> print(walk.at(0, 2))
    input[0, 1] = 4
    """
    op = "bed_of_nails"
    x, is_matrix = as_maps(input, "input", op)
    layout = Layout(is_matrix)
    result = upsampling.bed_of_nails(tensor(x), scale).numpy()
    rows, columns = pairs(op, scale=scale)[0]

    def account(cell: Cell) -> Ledger:
        name = layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        (row, down), (column, across) = divmod(cell.row, rows), divmod(cell.col, columns)
        if down or across:
            zero = Factor(0, Origin.INSERTED)
            return Ledger.of_sum(name, [Term.product(zero)], "inserted zero")
        index = layout.index(cell.n, cell.channel, row, column)
        value = exact(x[cell.n, cell.channel, row, column])
        factor = Factor(value, Origin.INPUT, index, {"input": index})
        return Ledger.of_sum(name, [Term.product(factor)], factor.source)

    inserted = np.ones(result.shape[2:], bool)
    inserted[::rows, ::columns] = False
    sentence = (
        f"Every value becomes a block of {rows}x{columns} cells: the value at its top left, zeros "
        "in the rest."
    )
    panel = Panel("result", layout.array(result), "result", {Mark.INSERTED: inserted})
    steps = (
        Step("Start", "The map.", (Panel("input", layout.array(x)),)),
        Step("Drive in the nails", sentence, (panel,)),
    )
    sizes = [f"{n}*{s} = {n * s}" for n, s in zip(x.shape[2:], (rows, columns), strict=True)]
    facts = (f"input {shape(layout.array(x))}, scale {both((rows, columns))}", *by_axis(sizes))
    return Walkthrough(op, facts, steps, layout.array(result), account, stage=("input",))


def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Walkthrough:
    """Resizing: which cells of the input each output cell reads, and with what weights.

    Parameters
    ----------
    input : matrix or (N, C, H, W)
    size, scale_factor, mode, align_corners
        As for ``minisegnet.functional.interpolate``.

    Returns
    -------
    Walkthrough
        The weights, and so the ledgers of integer inputs, are exact fractions; the result is their
        value in floating point (integers stay integers with "nearest").

    Raises
    ------
    ValueError
        If not exactly one of size and scale_factor is given, or the mode is unknown.

    Examples
    --------
    >>> walk = interpolate([[1, 5], [2, 0]], size=(2, 4), mode="bilinear")
    >>> walk.result
    array([[1. , 2. , 4. , 5. ],
           [2. , 1.5, 0.5, 0. ]])
    >>> print(walk.at(0, 1))
    1*(3/4) + 5*(1/4) = 2
    """
    op = "interpolate"
    x, is_matrix = as_maps(input, "input", op)
    exactly = x if mode == "nearest" or x.dtype.kind == "f" else x.astype(np.float64)
    result = upsampling.interpolate(tensor(exactly), size, scale_factor, mode, align_corners)
    scales = _scales(scale_factor)
    output_size = result.shape[2:]
    axes = tuple(
        _Axis(x.shape[2 + a], output_size[a], scales[a], mode, bool(align_corners)) for a in (0, 1)
    )
    return _Resizing(x, Layout(is_matrix), mode, axes, result.numpy()).walkthrough()


def _scales(scale_factor: Any) -> tuple[float | None, float | None]:
    two = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    down, across = (None if scale is None else float(scale) for scale in two)
    return down, across


class _Axis:
    """Along one axis: the coordinate that each output cell reads, and its exact weights."""

    def __init__(
        self, size: int, outputs: int, scale: float | None, mode: str, align_corners: bool
    ) -> None:
        self.size, self.outputs, self.mode = size, outputs, mode
        self.scale, self.align_corners = scale, align_corners
        # A factor that leaves the size as it is copies, as in PyTorch.
        self.copies = scale is not None and outputs == size
        exact_scale = None if scale is None else Fraction(str(scale))
        self.step = 1 / exact_scale if exact_scale else Fraction(size, outputs)

    @property
    def formula(self) -> str:
        """The coordinate of output cell o, with its numbers."""
        step = show(self.step)
        if self.copies:
            return "o"
        if self.mode == "nearest":
            return f"floor(o * {step})"
        if self.align_corners:
            return f"o * ({self.size} - 1) / ({self.outputs} - 1)" if self.outputs > 1 else "0"
        return f"(o + 1/2) * {step} - 1/2, at least 0"

    def coordinate(self, cell: int) -> Fraction:
        """Where output cell ``cell`` reads."""
        if self.copies:
            return Fraction(cell)
        if self.mode == "nearest":
            table = resample.nearest(self.size, self.outputs, self.scale)
            return Fraction(int(table.index[0, cell]))
        if self.align_corners:
            return Fraction(cell * (self.size - 1), max(self.outputs - 1, 1))
        return max((cell + Fraction(1, 2)) * self.step - Fraction(1, 2), Fraction(0))

    def weights(self, cell: int) -> list[tuple[int, Fraction]]:
        """The input cells that output cell ``cell`` reads, each with its weight."""
        coordinate = self.coordinate(cell)
        before = min(int(coordinate), self.size - 1)
        share = coordinate - before if before < self.size - 1 else Fraction(0)
        pairs = [(before, 1 - share), (before + 1, share)]
        return [(source, weight) for source, weight in pairs if weight]

    def coordinates(self) -> np.ndarray:
        """All the coordinates, as one row."""
        row = np.empty((1, self.outputs), object)
        row[0] = [self.coordinate(cell) for cell in range(self.outputs)]
        return row

    def matrix(self) -> np.ndarray:
        """A row of weights for each output cell."""
        weights = np.full((self.outputs, self.size), Fraction(0), object)
        for cell in range(self.outputs):
            for source, weight in self.weights(cell):
                weights[cell, source] = weight
        return weights


class _Resizing:
    """A resizing's arrays, from which its steps and ledgers are made."""

    def __init__(
        self, x: np.ndarray, layout: Layout, mode: str, axes: tuple[_Axis, ...], result: np.ndarray
    ) -> None:
        self.x, self.layout, self.mode, self.result = x, layout, mode, result
        self.rows, self.columns = axes

    def walkthrough(self) -> Walkthrough:
        """The steps: coordinates, weights, sums."""
        array = self.layout.array
        start = Step("Start", "The map to be resized.", (Panel("input", array(self.x)),))
        formulas = [axis.formula for axis in (self.rows, self.columns)]
        return Walkthrough(
            "interpolate",
            (self._first_fact(), *by_axis([f"o reads {formula}" for formula in formulas])),
            (start, self._coordinates_step(), *self._weights_step(), self._result_step()),
            array(self.result),
            self.account,
            stage=("input", *(() if self.mode == "nearest" else ("row weights", "column weights"))),
        )

    def _first_fact(self) -> str:
        x, y = self.layout.array(self.x), self.layout.array(self.result)
        corners = ", align_corners" if self.rows.align_corners else ""
        return f"input {shape(x)}, result {shape(y)}, {self.mode}{corners}"

    def _coordinates_step(self) -> Step:
        panels = tuple(
            Panel(
                f"{name} read",
                axis.coordinates(),
                "note",
                row_labels=("reads",),
                column_labels=tuple(f"o={o}" for o in range(axis.outputs)),
            )
            for name, axis in (("rows", self.rows), ("columns", self.columns))
        )
        if self.mode == "nearest":
            sentence = "Each output cell o reads the input cell that its top left corner falls in."
        elif self.rows.align_corners:
            sentence = "The corner cells lie on each other, and the others evenly between them."
        else:
            sentence = (
                "The centres of the cells are mapped to each other, half a cell from the border."
            )
        return Step("Find the coordinates", sentence, panels)

    def _weights_step(self) -> tuple[Step, ...]:
        if self.mode == "nearest":
            return ()
        panels = []
        for name, axis in (("row weights", self.rows), ("column weights", self.columns)):
            values = axis.matrix()
            panels.append(
                Panel(
                    name,
                    values,
                    "kernel",
                    {Mark.EMPTY: values == 0},
                    row_labels=tuple(f"o={o}" for o in range(axis.outputs)),
                    column_labels=tuple(map(str, range(axis.size))),
                )
            )
        sentence = "Between two cells, the nearer one counts more: their weights sum to 1."
        return (Step("Share the weight", sentence, tuple(panels)),)

    def _result_step(self) -> Step:
        values = self.layout.array(self._exact_result())
        panel = Panel("result", values, "result")
        if self.mode == "nearest":
            return Step("Copy", "Each output cell copies the cell it reads.", (panel,))
        sentence = "Each cell sums up to four neighbours, row weight times column weight."
        return Step("Sum", sentence, (panel,))

    def _exact_result(self) -> np.ndarray:
        if self.mode == "nearest" or self.x.dtype.kind == "f":
            return self.result
        rows, columns = self.rows.matrix(), self.columns.matrix()
        exact_values = np.empty(self.result.shape, object)
        for n, c in product(*map(range, self.x.shape[:2])):
            exact_values[n, c] = rows @ self.x[n, c].astype(object) @ columns.T
        return exact_values

    def account(self, cell: Cell) -> Ledger:
        """The ledger of one output cell."""
        name = self.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        terms = list(self._terms(cell))
        copies = len(terms) == 1 and len(terms[0].factors) == 1
        places = {"rows read": [(0, cell.row)], "columns read": [(0, cell.col)]}
        return Ledger.of_sum(
            name, terms, terms[0].factors[0].source if copies else "", places=places
        )

    def _terms(self, cell: Cell) -> Iterator[Term]:
        for row, down in self.rows.weights(cell.row):
            for column, across in self.columns.weights(cell.col):
                index = self.layout.index(cell.n, cell.channel, row, column)
                value = exact(self.x[cell.n, cell.channel, row, column])
                factors = [Factor(value, Origin.INPUT, index, {"input": index})]
                for weight, array, place in (
                    (down, "row weights", (cell.row, row)),
                    (across, "column weights", (cell.col, column)),
                ):
                    # A weight of 1 changes nothing, and a copy is shown as a copy.
                    if weight != 1:
                        places = {array: place}
                        factors.append(
                            Factor(weight, Origin.SHARE, place, places, array_name=array)
                        )
                yield Term.product(*factors)
