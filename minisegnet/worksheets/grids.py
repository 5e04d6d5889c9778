"""Matrices on paper: with their numbers, empty, or as squared paper."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from minisegnet.worksheets.drawing import FAINT, INK, LIGHT, PALE, SHADE, Pen, width_of
from minisegnet.worksheets.problem import Given, size_of, write

_INDEX = 6.5
_MARGIN = 11.0


class Grid:
    """A matrix as a table, rows and columns counted along its edges.

    Parameters
    ----------
    name : str
    matrix : rows of values
    cell : float
        The least side of a cell.
    size : float
        Of the numbers.
    labels : sequence of str
        Names of the columns instead of their numbers.
    is_shaded : bool
    lit : collection of (row, column)
        Cells to be marked.
    remark : str
        Behind the name.
    wide : float
        The least width of a cell, if more than its height.
    """

    def __init__(
        self,
        name: str,
        matrix: Sequence[Sequence[Any]],
        cell: float = 19,
        size: float = 10,
        labels: Sequence[str] = (),
        is_shaded: bool = False,
        lit: Collection[tuple[int, int]] = (),
        remark: str = "",
        wide: float = 0,
    ) -> None:
        self.name, self.remark, self.size = name, remark, size
        self.texts = [[write(value) for value in row] for row in matrix]
        self.labels, self.is_shaded, self.lit = labels, is_shaded, lit
        longest = max(width_of(words, size) for row in self.texts for words in row)
        widest = max((width_of(label, _label_size(labels)) for label in labels), default=0)
        self.cell = (max(cell, wide, longest + 7, widest + 10 if labels else 0), cell)
        self.title_width = width_of(name, 8, "bold")
        title = self.title_width + width_of(remark, 8) + 6
        self.width = max(_MARGIN + self.cell[0] * len(self.texts[0]), title)
        self.height = 23 + cell * len(self.texts)

    def draw(self, pen: Pen, x: float, y: float) -> None:
        """Draw it with its top left corner at (x, y)."""
        pen.text(x, y, self.name, 8, weight="bold")
        if self.remark:
            pen.text(x + self.title_width + 4, y, self.remark, 8, FAINT)
        rows, columns = len(self.texts), len(self.texts[0])
        left, top, (wide, high) = x + _MARGIN, y + 23, self.cell
        if self.is_shaded:
            pen.shade(left, top, columns * wide, rows * high, SHADE)
        for row, column in self.lit:
            pen.shade(left + column * wide, top + row * high, wide, high, LIGHT)
        pen.lattice(left, top, rows, columns, self.cell, INK, 0.7)
        self._draw_edges(pen, left, top)
        for r, words in enumerate(self.texts):
            for c, word in enumerate(words):
                middle = left + (c + 0.5) * wide, top + (r + 0.5) * high
                pen.text(*middle, word, self.size, align="center", is_centred=True)

    def _draw_edges(self, pen: Pen, left: float, top: float) -> None:
        """The numbers of the rows and columns, or their names."""
        wide, high = self.cell
        names = self.labels or [str(c) for c in range(len(self.texts[0]))]
        size = _label_size(self.labels)
        for c, name in enumerate(names):
            pen.text(left + (c + 0.5) * wide, top - size - 3, name, size, FAINT, align="center")
        if len(self.texts) == 1 and self.labels:
            return
        for r in range(len(self.texts)):
            middle = top + (r + 0.5) * high
            pen.text(left - 3, middle, str(r), _INDEX, FAINT, align="right", is_centred=True)


def _label_size(labels: Sequence[str]) -> float:
    return 8.0 if labels else _INDEX


class SquaredPaper:
    """Squares to write a matrix into whose size the reader has to find."""

    _cell = (20.0, 20.0)

    def __init__(self, name: str, rows: int, columns: int) -> None:
        self.name, self.rows, self.columns = name, rows, columns
        self.width = columns * self._cell[0]
        self.height = 23 + rows * self._cell[1]

    def draw(self, pen: Pen, x: float, y: float) -> None:
        """Draw it with its top left corner at (x, y)."""
        pen.text(x, y, self.name, 8, weight="bold")
        left = x + width_of(self.name, 8, "bold") + 6
        for words in ("rows", "columns"):
            pen.rule(left, y + 9, left + 22)
            pen.text(left + 25, y, words, 8, FAINT)
            left += 25 + width_of(words, 8) + 8
        pen.lattice(x, y + 17, self.rows, self.columns, self._cell, PALE, 0.5)


def given_grid(given: Given) -> Grid:
    """What a problem gives; kernels are shaded."""
    if len(given.matrix) == 1 == len(given.matrix[0]):
        return Grid(given.name, given.matrix, labels=("",))
    return Grid(
        given.name, given.matrix, is_shaded=given.kind == "kernel", remark=size_of(given.matrix)
    )


def beside(
    blocks: Sequence[Grid | SquaredPaper], width: float, gap: float = 22
) -> list[tuple[Grid | SquaredPaper, float, float]]:
    """Blocks side by side, each with its place; where the line is full, a new one begins.

    The last block, the room to write in, stands at the right end of its line.
    """
    lines: list[list[Grid | SquaredPaper]] = [[]]
    for block in blocks:
        used = sum(other.width + gap for other in lines[-1])
        if lines[-1] and used + block.width > width:
            lines.append([])
        lines[-1].append(block)
    placed: list[tuple[Grid | SquaredPaper, float, float]] = []
    y = 0.0
    for line in lines:
        x = 0.0
        for block in line:
            is_last = block is blocks[-1]
            placed.append((block, max(x, width - block.width) if is_last else x, y))
            x += block.width + gap
        y += max(block.height for block in line) + 10
    return placed
