"""What a step shows: named matrices, and what their cells are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from minisegnet.explain.ledger import Index
from minisegnet.explain.numbers import show_all

#: For each array by name, the cells that are lit.
Lit = Mapping[str, frozenset[Index]]

Kind = Literal["map", "kernel", "result", "note"]


class Mark(StrEnum):
    """What a cell is, where it is not a plain number."""

    INSERTED = "inserted zero"
    PADDING = "padding"
    EXTRA = "output padding"
    GAP = "gap of the dilation"
    EMPTY = "not connected"
    OUTSIDE = "outside the stamp"
    CROPPED = "cut off"
    UNCOVERED = "uncovered by output padding"
    CHOSEN = "chosen"
    HIT = "true positive"
    FALSE_ALARM = "false positive"
    MISS = "false negative"
    VOID = "void, not counted"
    TO_COME = "to come"


#: How a mark is written where there are only letters; the others keep their number.
SYMBOLS = {
    Mark.INSERTED: "·",
    Mark.PADDING: "°",
    Mark.EXTRA: "o",
    Mark.GAP: "·",
    Mark.EMPTY: "·",
    Mark.OUTSIDE: "·",
    Mark.VOID: "-",
    Mark.TO_COME: " ",
}


class Frame(NamedTuple):
    """A rectangle of cells: rows ``top`` up to ``bottom``, columns ``left`` up to ``right``."""

    top: int
    left: int
    bottom: int
    right: int


#: Marks of cells that hold no number.
BLANK = frozenset({Mark.GAP, Mark.EMPTY, Mark.OUTSIDE, Mark.TO_COME})


@dataclass(frozen=True, eq=False)
class Plane:
    """One matrix of a panel."""

    name: str
    title: str
    kind: Kind
    lead: Index
    values: np.ndarray
    marks: Mapping[Mark, np.ndarray]
    frame: Frame | None
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]

    def mark(self, row: int, column: int) -> Mark | None:
        """What the cell is; None for a plain number."""
        return next((mark for mark, where in self.marks.items() if where[row, column]), None)

    def texts(self) -> list[list[str]]:
        """The numbers, written alike."""
        rows, columns = self.values.shape
        flat = show_all(self.values.ravel())
        return [flat[r * columns : (r + 1) * columns] for r in range(rows)]

    @property
    def size(self) -> str:
        """``2x3``."""
        return "x".join(map(str, self.values.shape))


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """A named array of a step, to be shown as one matrix or as a few.

    Attributes
    ----------
    name : str
        The array's name; ledgers refer to it.
    values : ndarray (rows, columns) or (a, b, rows, columns)
        Numbers; objects of type Fraction where they are exact fractions.
    kind : "map", "kernel", "result" or "note"
        Decides the colour.
    marks : mapping of Mark to boolean array
        Which cells are inserted zeros, padding, ...; arrays that broadcast to ``values``.
    frame : Frame, optional
        A rectangle to draw: what the crop leaves.
    row_labels, column_labels : tuple of str
        Names of the rows and columns.
    lead : tuple of str
        What the first two of four dimensions count.
    """

    name: str
    values: np.ndarray
    kind: Kind = "map"
    marks: Mapping[Mark, np.ndarray] = field(default_factory=dict)
    frame: Frame | None = None
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    lead: tuple[str, str] = ("image", "channel")

    def __repr__(self) -> str:
        size = "x".join(map(str, self.values.shape))
        return f"<panel {self.name!r}, {size}>"

    def planes(self) -> Iterator[Plane]:
        """Every matrix of the array."""
        marks = {
            mark: np.broadcast_to(where, self.values.shape)
            for mark, where in self.marks.items()
            if where.any()
        }
        lengths = self.values.shape[:-2]
        for lead in product(*map(range, lengths)):
            where = ", ".join(
                f"{what} {i}" for what, i, n in zip(self.lead, lead, lengths, strict=False) if n > 1
            )
            yield Plane(
                self.name,
                f"{self.name}, {where}" if where else self.name,
                self.kind,
                lead,
                self.values[lead],
                {mark: cells[lead] for mark, cells in marks.items()},
                self.frame,
                self.row_labels,
                self.column_labels,
            )

    def relevant_planes(self, lit: Lit, most: int) -> tuple[list[Plane], int]:
        """The planes to show (those with lit cells, if not all fit), and how many are left out."""
        planes = list(self.planes())
        cells = lit.get(self.name, frozenset())
        wanted = {index[:-2] for index in cells}
        if wanted and len(planes) > most:
            chosen = [plane for plane in planes if plane.lead in wanted][:most]
        else:
            chosen = planes[:most]
        return chosen, len(planes) - len(chosen)


@dataclass(frozen=True, eq=False, repr=False)
class Step:
    """One step of a walkthrough: what is done, in a sentence, and the arrays it ends with."""

    title: str
    sentence: str
    panels: tuple[Panel, ...]

    def __repr__(self) -> str:
        return f"<step {self.title!r}: {', '.join(self.arrays)}>"

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The step's arrays by name."""
        return {panel.name: panel.values for panel in self.panels}

    @property
    def marks(self) -> dict[str, dict[str, np.ndarray]]:
        """For each array by name, the boolean arrays that tell inserted zeros, padding, ..."""
        return {
            panel.name: {
                str(mark): np.broadcast_to(where, panel.values.shape)
                for mark, where in panel.marks.items()
            }
            for panel in self.panels
        }


def visible(length: int, most: int, wanted: list[int]) -> range:
    """Which of ``length`` rows to show if at most ``most`` fit: those around the wanted ones.

    Examples
    --------
    >>> visible(5, 8, []), visible(50, 8, [30, 32])
    (range(0, 5), range(27, 35))
    """
    if length <= most:
        return range(length)
    middle = (min(wanted) + max(wanted)) // 2 if wanted else most // 2
    start = min(max(middle - most // 2, 0), length - most)
    return range(start, start + most)
