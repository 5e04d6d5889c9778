"""What the explanations of convolutions share: their arguments, made ready, and their wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor, tensor
from minisegnet.checks import Pair, pair
from minisegnet.explain.ledger import Index
from minisegnet.explain.numbers import as_maps, as_numbers
from minisegnet.explain.panels import Mark, Panel

Padding = tuple[Pair, Pair]


@dataclass(frozen=True, eq=False)
class Layout:
    """Whether the reader gave matrices: then everything is shown as matrices too."""

    is_matrix: bool

    def array(self, maps: np.ndarray) -> np.ndarray:
        """(N, C, H, W), or its one matrix."""
        return maps[0, 0] if self.is_matrix else maps

    def index(self, *index: int) -> Index:
        """The index of a cell of (N, C, H, W) in what :meth:`array` returns."""
        return index[-2:] if self.is_matrix else index

    def name(self, array: str, *index: int) -> str:
        """``result[0, 1]``."""
        return f"{array}{list(self.index(*index))}"


@dataclass(frozen=True, eq=False)
class Operands:
    """Maps, kernels and perhaps a bias, of one dtype."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray | None
    layout: Layout
    #: What the first two dimensions of the weight count.
    kernel_axes: tuple[str, str] = ("output", "input")

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Input, weight and bias as the operations take them."""
        bias = None if self.bias is None else tensor(self.bias)
        return tensor(self.x), tensor(self.w), bias

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The reader's own arrays."""
        array = self.layout.array
        panels = (
            Panel("input", array(self.x)),
            Panel("kernel", array(self.w), "kernel", lead=self.kernel_axes),
        )
        if self.bias is None:
            return panels
        return (*panels, Panel("bias", self.bias[None, :], "kernel"))


def operands(input: Any, weight: Any, bias: Any, op: str, kernel_axes: tuple[str, str]) -> Operands:
    """The arguments as arrays of four dimensions and of one dtype.

    Raises
    ------
    ValueError
        If one is a matrix and the other has four dimensions.
    """
    x, is_matrix = as_maps(input, "input", op)
    w, kernel_is_matrix = as_maps(weight, "weight", op)
    if is_matrix != kernel_is_matrix:
        raise ValueError(
            f"{op}: input has shape {np.shape(input)} and weight {np.shape(weight)}: give two "
            "matrices, or four dimensions to both"
        )
    b = None if bias is None else as_numbers(bias, "bias", op).reshape(-1)
    dtype = np.result_type(*(a for a in (x, w, b) if a is not None))
    b = b if b is None else b.astype(dtype)
    return Operands(x.astype(dtype), w.astype(dtype), b, Layout(is_matrix), kernel_axes)


def pairs(op: str, **options: Any) -> list[Pair]:
    """Each option as (row, column)."""
    return [pair(value, name, op) for name, value in options.items()]


def marks_of(codes: np.ndarray, names: dict[int, Mark]) -> dict[Mark, np.ndarray]:
    """Boolean arrays from an array of codes."""
    return {mark: codes == code for code, mark in names.items() if (codes == code).any()}


def by_axis(texts: Sequence[str]) -> list[str]:
    """What is said of the rows and of the columns, in one sentence if it is the same."""
    rows, columns = texts
    if rows == columns:
        return [f"rows and columns: {rows}"]
    return [f"rows: {rows}", f"columns: {columns}"]


def count(number: int, one: str, many: str = "") -> str:
    """``1 row``, ``2 rows``, ``no rows``.

    Examples
    --------
    >>> count(1, "row"), count(3, "row"), count(0, "row")
    ('1 row', '3 rows', 'no rows')
    """
    many = many or f"{one}s"
    return f"{number or 'no'} {one if number == 1 else many}"


def both(numbers: Pair) -> str:
    """``2`` for (2, 2), else ``(2, 3)``."""
    return str(numbers[0]) if numbers[0] == numbers[1] else str(tuple(numbers))


def options_text(**options: tuple[Any, Any]) -> str:
    """The options that are not at their default, each given as (value, default)."""
    parts = [
        f"{name} {both(value) if isinstance(value, tuple) else value}"
        for name, (value, default) in options.items()
        if value != default
    ]
    return "".join(f", {part}" for part in parts)


def shape(array: np.ndarray) -> str:
    """``2x3``."""
    return "x".join(map(str, array.shape))


def dilated(w: np.ndarray, dilation: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The kernel with ``dilation - 1`` gaps between its taps, and where the gaps are."""
    (rows, columns), (down, across) = w.shape[2:], dilation
    spread = np.zeros((*w.shape[:2], (rows - 1) * down + 1, (columns - 1) * across + 1), w.dtype)
    gaps = np.ones(spread.shape[2:], bool)
    spread[:, :, ::down, ::across] = w
    gaps[::down, ::across] = False
    return spread, gaps


def slide_sentence(stride: Pair, groups: int, channels: int, bias: bool) -> str:
    """How the windows are summed."""
    steps = "one cell at a time" if stride == (1, 1) else f"in steps of {both(stride)} cells"
    text = f"Lay the kernel on every window, {steps}; multiply cell by cell and sum the products"
    if channels > 1:
        inside = " of the group" if groups > 1 else ""
        text += f" over the {channels} channels{inside}"
    return text + (", and add the bias." if bias else ".")
