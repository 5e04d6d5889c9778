"""A convolution as one matrix, and the transposed convolution as that matrix transposed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from minisegnet.checks import Pair
from minisegnet.explain.arguments import Operands, Padding
from minisegnet.explain.ledger import Cell, Factor, Ledger, Origin, Term
from minisegnet.explain.numbers import exact
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough, bias_factor

if TYPE_CHECKING:
    from minisegnet.explain.transposed import Recipe

#: Matrices of more entries are not built.
MOST_ENTRIES = 4_000_000


class ConvolutionMatrix:
    """The matrix C of a convolution of (C, H, W) with (O, C / groups, kH, kW): y = C x.

    Rows count the output's cells and columns the input's, channel by channel and row by row.

    Attributes
    ----------
    values : ndarray (O * H_out * W_out, C * H * W)
    weight_at : ndarray of the same shape
        Which weight stands there, as its number in the flattened kernel; -1 for none.

    Examples
    --------
    >>> kernel = np.array([[[[1, 0], [2, -1]]]])
    >>> ConvolutionMatrix(kernel, (2, 3), (1, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1).values
    array([[ 1,  0,  0,  2, -1,  0],
           [ 0,  1,  0,  0,  2, -1]])
    """

    def __init__(
        self,
        w: np.ndarray,
        size: tuple[int, ...],
        output_size: tuple[int, ...],
        stride: Pair,
        around: Padding,
        dilation: Pair,
        groups: int,
    ) -> None:
        outputs, inputs = w.shape[0], w.shape[1] * groups
        shape = (outputs, *output_size, inputs, *size)
        weight_at = np.full(shape, -1, np.int64)
        rows, columns = (np.arange(length) for length in output_size)
        for number, (o, k, i, j) in enumerate(product(*map(range, w.shape))):
            channel = o // (outputs // groups) * w.shape[1] + k
            row = rows * stride[0] + i * dilation[0] - around[0][0]
            column = columns * stride[1] + j * dilation[1] - around[1][0]
            r, c = ((p >= 0) & (p < n) for p, n in zip((row, column), size, strict=True))
            block = weight_at[o, :, :, channel]
            block[rows[r][:, None], columns[c][None, :], row[r][:, None], column[c][None, :]] = (
                number
            )
        self.weight_at = weight_at.reshape(outputs * len(rows) * len(columns), -1)
        weights = np.append(w.ravel(), w.dtype.type(0))
        self.values = weights[self.weight_at]


def entries(x: np.ndarray, result: np.ndarray) -> int:
    """How many entries the matrix between the two would have."""
    return int(np.prod(x.shape[1:]) * np.prod(result.shape[1:]))


def refuse_if_large(op: str, x: np.ndarray, result: np.ndarray) -> None:
    """Raise if the matrix would be too large to be built.

    Raises
    ------
    ValueError
        If it has more than ``MOST_ENTRIES`` entries.
    """
    if entries(x, result) > MOST_ENTRIES:
        raise ValueError(
            f"{op}: the matrix view would have {entries(x, result):,} entries "
            f"({np.prod(result.shape[1:])} output cells times {np.prod(x.shape[1:])} input "
            "cells): explain a smaller input"
        )


def cell_labels(array: np.ndarray, is_matrix: bool) -> tuple[str, ...]:
    """A name for each cell of (N, C, H, W), without the N: ``0,1`` or ``c,0,1``."""
    ranges = [range(n) for n in array.shape[2 if is_matrix else 1 :]]
    return tuple(",".join(map(str, index)) for index in product(*ranges))


def as_columns(maps: np.ndarray) -> np.ndarray:
    """(N, C, H, W) with one column for each image: (C * H * W, N)."""
    return maps.reshape(len(maps), -1).T


def matrix_account(
    given: Operands,
    matrix: np.ndarray,
    weight_at: np.ndarray,
    result: np.ndarray,
    name: str,
) -> Any:
    """The function that gives the ledger of a cell: one row of the matrix times the input."""

    def terms(cell: Cell) -> Iterator[Term]:
        row = np.ravel_multi_index((cell.channel, cell.row, cell.col), result.shape[1:])
        for column in np.flatnonzero(weight_at[row] >= 0):
            k, r, c = np.unravel_index(column, given.x.shape[1:])
            index = given.layout.index(cell.n, int(k), int(r), int(c))
            weight = np.unravel_index(weight_at[row, column], given.w.shape)
            places = {"input": index, "input as a column": (int(column), cell.n)}
            kernel = given.layout.index(*map(int, weight))
            yield Term.product(
                Factor(exact(given.x[cell.n, k, r, c]), Origin.INPUT, index, places),
                Factor(
                    exact(matrix[row, column]),
                    Origin.KERNEL,
                    kernel,
                    {"kernel": kernel, name: (int(row), int(column))},
                ),
            )
        if given.bias is not None:
            yield Term.product(bias_factor(exact(given.bias[cell.channel]), cell.channel))

    def account(cell: Cell) -> Ledger:
        place = given.layout.name("result", cell.n, cell.channel, cell.row, cell.col)
        row = int(np.ravel_multi_index((cell.channel, cell.row, cell.col), result.shape[1:]))
        return Ledger.of_sum(
            place, terms(cell), places={f"{name} times the column": [(row, cell.n)]}
        )

    return account


def matrix_panels(
    given: Operands, matrix: np.ndarray, weight_at: np.ndarray, result: np.ndarray, name: str
) -> tuple[Panel, ...]:
    """The matrix, with its rows and columns named after cells, and the input beside it."""
    rows, columns = (cell_labels(a, given.layout.is_matrix) for a in (result, given.x))
    return (
        Panel(
            name,
            matrix,
            "kernel",
            {Mark.EMPTY: weight_at < 0},
            row_labels=rows,
            column_labels=columns,
        ),
        Panel("input as a column", as_columns(given.x), row_labels=columns),
    )


def matrix_view(
    op: str,
    given: Operands,
    stride: Pair,
    around: Padding,
    dilation: Pair,
    groups: int,
    result: np.ndarray,
) -> Walkthrough:
    """A convolution as the matrix that it is."""
    refuse_if_large(op, given.x, result)
    size, output_size = given.x.shape[2:], result.shape[2:]
    C = ConvolutionMatrix(given.w, size, output_size, stride, around, dilation, groups)
    y = C.values @ as_columns(given.x)
    shift = 0 if given.bias is None else given.bias[:, None, None]
    maps = y.T.reshape(result.shape) + shift
    panels = matrix_panels(given, C.values, C.weight_at, result, "C")
    column = Panel("C times the column", y, "result", row_labels=panels[0].row_labels)
    steps = (
        Step("Start", "The map, and the kernel.", given.panels),
        Step(
            "Write it as a matrix",
            "One row for each output cell and one column for each input cell: every row holds the "
            "same weights, moved on by one window.",
            panels,
        ),
        Step("Multiply", "The matrix times the input, read row by row into one column.", (column,)),
        Step(
            "Fold",
            f"The column, read back into a map{_plus_bias(given)}.",
            (Panel("result", given.layout.array(maps), "result"),),
        ),
    )
    used = float((C.weight_at >= 0).mean())
    return Walkthrough(
        op,
        (f"C is {C.values.shape[0]}x{C.values.shape[1]}, and {used:.0%} of it is used",),
        steps,
        given.layout.array(maps),
        matrix_account(given, C.values, C.weight_at, result, "C"),
        view="matrix",
        stage=("C", "input as a column"),
    )


def _plus_bias(given: Operands) -> str:
    return "" if given.bias is None else ", plus the bias"


def transposed_matrix_view(recipe: Recipe) -> Walkthrough:
    """A transposed convolution as the convolution's matrix, transposed."""
    given, op = recipe.given, "conv_transpose2d"
    refuse_if_large(op, given.x, np.empty((1, recipe.outputs, *recipe.size)))
    around = tuple((p, p) for p in recipe.padding)
    # The convolution with this very weight: it takes (out, H_out, W_out) to (in, H, W).
    C = ConvolutionMatrix(
        given.w,
        recipe.size,
        given.x.shape[2:],
        recipe.stride,
        around,  # type: ignore[arg-type]
        recipe.dilation,
        recipe.groups,
    )
    y = C.values.T @ as_columns(given.x)
    shift = 0 if given.bias is None else given.bias[:, None, None]
    maps = y.T.reshape(len(given.x), recipe.outputs, *recipe.size) + shift
    steps = (
        Step("Start", "The map, and the kernel.", given.panels),
        *_transposition_steps(given, C, y, maps),
        _not_inverted(given, C, y),
        Step(
            "Fold",
            f"The column of the result, read back into a map{_plus_bias(given)}.",
            (Panel("result", given.layout.array(maps), "result"),),
        ),
    )
    transposed = (C.values.T, C.weight_at.T)
    return Walkthrough(
        op,
        recipe.facts(),
        steps,
        given.layout.array(maps),
        matrix_account(given, *transposed, maps, "C transposed"),
        view="matrix",
        stage=("C transposed", "input as a column"),
    )


def _transposition_steps(
    given: Operands, C: ConvolutionMatrix, y: np.ndarray, maps: np.ndarray
) -> tuple[Step, ...]:
    large, small = (cell_labels(a, given.layout.is_matrix) for a in (maps, given.x))
    empty = {Mark.EMPTY: C.weight_at < 0}
    forward = Panel("C", C.values, "kernel", empty, row_labels=small, column_labels=large)
    panels = matrix_panels(given, C.values.T, C.weight_at.T, maps, "C transposed")
    column = Panel("C transposed times the column", y, "result", row_labels=large)
    return (
        Step(
            "Write the convolution as a matrix",
            f"The convolution with this kernel takes {C.values.shape[1]} cells, the size of the "
            f"result, to {C.values.shape[0]}, the size of the input: a row for each window.",
            (forward,),
        ),
        Step("Transpose it", "Rows become columns: the same weights lead back.", panels),
        Step("Multiply", "The transposed matrix times the input as a column.", (column,)),
    )


def _not_inverted(given: Operands, C: ConvolutionMatrix, y: np.ndarray) -> Step:
    back, labels = C.values @ y, cell_labels(given.x, given.layout.is_matrix)
    panels = (
        Panel("input as a column", as_columns(given.x), row_labels=labels),
        Panel("C times the result", back, "note", row_labels=labels),
    )
    sentence = "The convolution of this has the size of the input again"
    if not np.array_equal(back, as_columns(given.x)):
        sentence += ", but other values: the transpose restores the size and undoes nothing"
    return Step("Transposed, not inverted", f"{sentence}.", panels)
