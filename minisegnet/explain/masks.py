"""Two masks to be compared: what the explanations of scores share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.explain.ledger import Cell, Index
from minisegnet.explain.numbers import as_numbers
from minisegnet.explain.panels import Mark, Panel


@dataclass(frozen=True, eq=False)
class Masks:
    """A prediction and the truth as (rows, columns) or (N, 1, rows, columns)."""

    prediction: np.ndarray
    truth: np.ndarray
    valid: np.ndarray
    ndim: int

    def index(self, cell: Cell) -> Index:
        """The cell's index."""
        return (cell.n, cell.channel, cell.row, cell.col)[-self.truth.ndim :]

    def own_index(self, index: Index) -> Index:
        """The same pixel as an index in what the reader gave."""
        return {1: index[1:], 2: index, 3: (index[0], *index[2:])}[self.ndim]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """The reader's own masks."""
        void = {Mark.VOID: ~self.valid}
        return (
            Panel("prediction", self.prediction, marks=void),
            Panel("truth", self.truth, marks=void),
        )


def read_masks(prediction: Any, target: Any, ignore_index: int | None, op: str) -> Masks:
    """The masks, checked.

    Raises
    ------
    ValueError
        If the shapes differ or are no masks'.
    TypeError
        If the target is not of integers.
    """
    first, second = as_numbers(prediction, "prediction", op), as_numbers(target, "target", op)
    if first.shape != second.shape:
        raise ValueError(
            f"{op}: prediction has shape {first.shape} and target {second.shape}: give two masks "
            "of one shape"
        )
    if first.ndim not in (1, 2, 3):
        raise ValueError(
            f"{op}: the masks have shape {first.shape}: give (rows, columns), or (N, rows, columns)"
        )
    if second.dtype.kind == "f":
        raise TypeError(f"{op}: target holds {second.dtype}: give the true classes as integers")
    ndim = first.ndim
    shown = (len(first), 1, *first.shape[1:]) if ndim == 3 else ((1, *first.shape)[-2:])
    first, second = first.reshape(shown), second.reshape(shown)
    valid = np.ones(shown, bool) if ignore_index is None else second != ignore_index
    return Masks(first, second, valid, ndim)
