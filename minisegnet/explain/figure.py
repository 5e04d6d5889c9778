"""A walkthrough as a picture: its matrices as tables, drawn with Matplotlib.

Everything is laid out here in units of one cell, on one pair of axes that fills the figure, so that
nothing overlaps and nothing is cut off. Matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from minisegnet.checkpoint import atomic_write
from minisegnet.explain.blocks import (
    FAINT,
    UNIT,
    Block,
    EquationBlock,
    Flow,
    StepBlock,
    TextBlock,
    wrap,
)
from minisegnet.explain.ledger import Cell
from minisegnet.explain.panels import Lit, Mark, Panel, Plane, Step
from minisegnet.explain.tables import LegendBlock, PlaneBlock

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minisegnet.explain.walkthrough import Walkthrough

_MARGIN = 0.6
_WIDEST = 24.0
_NARROWEST = 13.0
_MOST_PLANES = 4
_DPI = 144
# What Matplotlib writes beside the picture, its version and the date, would differ between runs.
_NO_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}


def draw(walk: Walkthrough, cell: Cell) -> Figure:
    """All the steps, with the window of one cell lit and its ledger beneath."""
    lit = walk.lit(cell)
    groups = [_blocks_of(step, lit) for step in walk.steps]
    room = max([_WIDEST, *(block.width for blocks in groups for block in blocks)])
    steps = [
        StepBlock(number, step.title, step.sentence, blocks, room)
        for number, (step, blocks) in enumerate(zip(walk.steps, groups, strict=True), 1)
    ]
    body = Flow(steps, room, below=0.7)
    width = max(body.width, _NARROWEST)
    sheet = Sheet(width)
    sheet.add(TextBlock([heading(walk)], size=14, weight="bold"))
    for fact in walk.facts:
        sheet.add(TextBlock(wrap(fact, width, 9.5), size=9.5, colour=FAINT))
    sheet.space(0.5)
    sheet.add(body)
    sheet.space(0.5)
    sheet.add(EquationBlock(walk.account(cell), width))
    marks = {mark for blocks in groups for block in blocks for mark in block.marks}
    if marks:
        sheet.space(0.35)
        sheet.add(Flow([LegendBlock(mark) for mark in Mark if mark in marks], width))
    return sheet.figure()


def _blocks_of(step: Step, lit: Lit) -> list[PlaneBlock]:
    """The matrices of a step; those alike in kind and size get cells alike."""
    longest: dict[tuple[str, tuple[int, ...]], int] = {}
    for panel in step.panels:
        alike = (panel.kind, panel.values.shape)
        words = (len(w) for plane in panel.planes() for row in plane.texts() for w in row)
        longest[alike] = max(longest.get(alike, 0), *words)
    return [
        block
        for panel in step.panels
        for block in panel_blocks(panel, lit, longest[panel.kind, panel.values.shape])
    ]


def heading(walk: Walkthrough) -> str:
    """The operation, and which view of it this is."""
    return walk.op + (f", {walk.view}" if walk.view else "")


def panel_blocks(
    panel: Panel, lit: Lit, characters: int = 0, most: int = _MOST_PLANES
) -> list[PlaneBlock]:
    """The matrices of a panel as blocks; ``characters`` is the least that a cell shall hold."""
    planes, left_out = panel.relevant_planes(lit, most)
    remarks = [""] * (len(planes) - 1) + [f"and {left_out} more" if left_out else ""]
    return [
        PlaneBlock(plane, lit_in(plane, lit), characters, remark)
        for plane, remark in zip(planes, remarks, strict=True)
    ]


def lit_in(plane: Plane, lit: Lit) -> set[tuple[int, int]]:
    """The rows and columns of a matrix that are lit."""
    there = (i for i in lit.get(plane.name, ()) if i[:-2] == plane.lead)
    return {(int(index[-2]), int(index[-1])) for index in there}


class Sheet:
    """Blocks one below the other, on a figure that is just as large."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.height = _MARGIN
        self._placed: list[tuple[Block, float]] = []

    def space(self, height: float) -> None:
        """Leave some room."""
        self.height += height

    def add(self, block: Block) -> None:
        """Put a block below everything there is."""
        self._placed.append((block, self.height))
        self.height += block.height

    def figure(self, height: float | None = None) -> Figure:
        """The figure, as tall as its blocks, or as tall as told."""
        wide, tall = self.width + 2 * _MARGIN, (height or self.height) + _MARGIN
        figure = _figure_class()(figsize=(wide * UNIT, tall * UNIT), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, wide)
        axes.set_ylim(tall, 0)
        axes.set_axis_off()
        for block, y in self._placed:
            block.draw(axes, _MARGIN, y)
        return figure


@functools.cache
def _figure_class() -> type[Figure]:
    """A figure that a notebook shows, though pyplot does not know of it."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            picture = io.BytesIO()
            _save(self, picture, ".png", dpi=100)
            return picture.getvalue()

    return NotebookFigure


def _save(figure: Figure, file: IO[bytes], ending: str, dpi: int) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "minisegnet"}):
        figure.savefig(file, format=ending[1:], dpi=dpi, metadata=_NO_METADATA[ending])


def write(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the path's ending.

    Raises
    ------
    ValueError
        If the ending is unknown.
    """
    ending = Path(path).suffix.lower()
    if ending not in _NO_METADATA:
        known = ", ".join(_NO_METADATA)
        raise ValueError(f"plot: {os.fspath(path)!r} must end in one of {known}")
    with atomic_write(path, "wb") as file:
        _save(figure, file, ending, _DPI)


def pixels(figure: Figure, dpi: int) -> np.ndarray:
    """The figure as (rows, columns, 3) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
