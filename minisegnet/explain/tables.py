"""A matrix of a picture: a table of numbers that knows its size and draws itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from minisegnet.explain.blocks import FAINT, INK, MONO, PALE, SANS, mono_width, text_width
from minisegnet.explain.panels import BLANK, SYMBOLS, Mark, Plane, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LIT, _LIT_EDGE, _LIT_ZERO = "#ffc83d", "#c27c00", "#a87a1c"
_ZEROS = (Mark.INSERTED, Mark.PADDING, Mark.EXTRA)
_PURPLE = "#8a4fb0"
_MOST = 16
_TITLE, _NUMBER, _LABEL = 9.0, 11.0, 7.5


class _Tint(NamedTuple):
    face: str
    title: str


_TINTS = {
    "map": _Tint("#dfecf7", "#0f5fa8"),
    "kernel": _Tint("#fae3d3", "#b3470a"),
    "result": _Tint("#d6efe3", "#0a7048"),
    "note": _Tint("#eeeeee", "#555555"),
}


class _Look(NamedTuple):
    face: str
    text: str
    stripes: str = ""


_LOOKS = {
    Mark.INSERTED: _Look("#f0f0f0", PALE),
    Mark.PADDING: _Look("#f7f7f7", PALE, "#cccccc"),
    Mark.EXTRA: _Look("#f6effa", PALE, "#c9a6de"),
    Mark.GAP: _Look("#f4f4f4", "#c4c4c4"),
    Mark.EMPTY: _Look("#f7f7f7", "#d0d0d0"),
    Mark.OUTSIDE: _Look("#f7f7f7", "#d0d0d0"),
    Mark.CROPPED: _Look("#f4f4f4", PALE),
    Mark.CHOSEN: _Look("#7fd0aa", INK),
    Mark.HIT: _Look("#7fd0aa", INK),
    Mark.FALSE_ALARM: _Look("#f2a29b", INK),
    Mark.MISS: _Look("#9db9f0", INK),
    Mark.VOID: _Look("#f7f7f7", PALE, "#cccccc"),
    Mark.TO_COME: _Look("#fafafa", PALE),
}


class PlaneBlock:
    """A matrix as a table of numbers, with its name above."""

    def __init__(
        self, plane: Plane, lit: set[tuple[int, int]], characters: int = 0, remark: str = ""
    ) -> None:
        self.plane, self.lit, self.remark = plane, lit, remark
        shape = plane.values.shape
        self.rows = visible(shape[0], _MOST, [r for r, _ in lit])
        self.columns = visible(shape[1], _MOST, [c for _, c in lit])
        self.texts = plane.texts()
        longest = max(len(self.texts[r][c]) for r in self.rows for c in self.columns)
        self.characters = max(longest, characters)
        across = [plane.column_labels[c] for c in self.columns] if plane.column_labels else []
        down = [plane.row_labels[r] for r in self.rows] if plane.row_labels else []
        label_width = max((text_width(words, _LABEL) for words in across), default=0) + 0.2
        self.cell = max(1.0, mono_width(self.characters, _NUMBER) + 0.35, label_width)
        self.margin = max((text_width(words, _LABEL) + 0.25 for words in down), default=0)
        self.head = 0.75 + (0.55 if across else 0)
        self.title_width = 1.04 * text_width(plane.title, _TITLE, "bold") + 0.2
        title = self.title_width + text_width(f"{plane.size}  {self.remark}", _TITLE)
        self.width = max(self.margin + self.cell * len(self.columns), title)
        cut = len(self.rows) < shape[0] or len(self.columns) < shape[1]
        self.height = self.head + len(self.rows) + (0.6 if cut else 0.1) + 0.1

    @property
    def marks(self) -> list[Mark]:
        """The marks that a legend has to explain."""
        return list(self.plane.marks)

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw the name, the cells, and the frame."""
        title = _TINTS[self.plane.kind].title
        axes.text(
            x, y + 0.15, self.plane.title, fontsize=_TITLE, fontweight="bold", color=title,
            family=SANS, va="top", parse_math=False,
        )  # fmt: skip
        note = self.plane.size + (f"  {self.remark}" if self.remark else "")
        axes.text(
            x + self.title_width, y + 0.15, note, fontsize=_TITLE, color=PALE,
            family=SANS, va="top", parse_math=False,
        )  # fmt: skip
        top, left = y + self.head, x + self.margin
        self._labels(axes, left, top)
        for r, row in enumerate(self.rows):
            for c, column in enumerate(self.columns):
                self._cell(axes, left + c * self.cell, top + r, row, column)
        self._frame(axes, left, top)
        self._what_is_cut(axes, x, top + len(self.rows) + 0.12)

    def _labels(self, axes: Axes, left: float, top: float) -> None:
        style = {"fontsize": _LABEL, "color": FAINT, "family": SANS, "va": "center"}
        if self.plane.column_labels:
            for c, column in enumerate(self.columns):
                words = self.plane.column_labels[column]
                axes.text(left + (c + 0.5) * self.cell, top - 0.3, words, ha="center", **style)  # type: ignore[arg-type]
        if self.plane.row_labels:
            for r, row in enumerate(self.rows):
                words = self.plane.row_labels[row]
                axes.text(left - 0.15, top + r + 0.5, words, ha="right", **style)  # type: ignore[arg-type]

    def _cell(self, axes: Axes, x: float, y: float, row: int, column: int) -> None:
        from matplotlib.patches import Rectangle

        mark, is_lit = self.plane.mark(row, column), (row, column) in self.lit
        look = _LOOKS.get(mark) if mark else None
        look = look or _Look(_TINTS[self.plane.kind].face, INK)
        face = _LIT if is_lit else look.face
        axes.add_patch(
            Rectangle((x, y), self.cell, 1, facecolor=face, edgecolor="white", linewidth=1.6)
        )
        if look.stripes:
            _stripes(axes, x, y, self.cell, _LIT_EDGE if is_lit else look.stripes)
        words = self.texts[row][column]
        if mark in BLANK:
            words = SYMBOLS[mark].strip()
        weight = "bold" if mark is Mark.CHOSEN else "normal"
        colour = look.text
        if is_lit and mark not in BLANK:
            colour = _LIT_ZERO if mark in _ZEROS else INK
        axes.text(
            x + self.cell / 2, y + 0.52, words, fontsize=_NUMBER, family=MONO, ha="center",
            va="center", color=colour, fontweight=weight, parse_math=False,
        )  # fmt: skip
        if mark is Mark.CROPPED:
            axes.plot([x + 0.2, x + self.cell - 0.2], [y + 0.52] * 2, color=PALE, linewidth=0.8)
        edge = _LIT_EDGE if is_lit else _PURPLE if mark is Mark.UNCOVERED else ""
        if edge:
            inner = Rectangle(
                (x + 0.06, y + 0.06), self.cell - 0.12, 0.88, fill=False, edgecolor=edge,
                linewidth=1.2,
            )  # fmt: skip
            axes.add_patch(inner)

    def _frame(self, axes: Axes, left: float, top: float) -> None:
        """The frame, as far as it runs through the rows and columns that are shown."""
        from matplotlib.patches import Rectangle

        frame = self.plane.frame
        if frame is None:
            return
        first = max(frame.left, self.columns.start) - self.columns.start
        last = min(frame.right, self.columns.stop) - self.columns.start
        upper = max(frame.top, self.rows.start) - self.rows.start
        lower = min(frame.bottom, self.rows.stop) - self.rows.start
        corner = (left + first * self.cell, top + upper)
        axes.add_patch(
            Rectangle(
                corner,
                (last - first) * self.cell,
                lower - upper,
                fill=False,
                edgecolor=INK,
                linewidth=2,
            )
        )

    def _what_is_cut(self, axes: Axes, x: float, y: float) -> None:
        rows, columns = self.plane.values.shape
        parts = []
        if len(self.rows) < rows:
            parts.append(f"rows {self.rows.start}-{self.rows.stop - 1} of {rows}")
        if len(self.columns) < columns:
            parts.append(f"columns {self.columns.start}-{self.columns.stop - 1} of {columns}")
        if parts:
            words = "shown: " + ", ".join(parts)
            axes.text(x, y, words, fontsize=_LABEL, color=FAINT, family=SANS, va="top")


def _stripes(axes: Axes, x: float, y: float, width: float, colour: str) -> None:
    """Diagonals across a cell, from the bottom left upwards."""
    step = 0.34
    start = -1.0 + step / 2
    while start < width:
        begin, end = max(start, 0.05), min(start + 1, width - 0.05)
        if end > begin:
            axes.plot(
                [x + begin, x + end],
                [y + 1 - (begin - start), y + 1 - (end - start)],
                color=colour,
                linewidth=0.8,
                solid_capstyle="butt",
                alpha=0.7,
            )
        start += step


class LegendBlock:
    """A cell as it looks with a mark, and what that means."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.width = 0.85 + text_width(str(mark), 8.5)
        self.height = 0.7

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw the cell and the words."""
        from matplotlib.patches import Rectangle

        look = _LOOKS.get(self.mark, _Look("#d6efe3", INK))
        edge = _PURPLE if self.mark is Mark.UNCOVERED else "#dddddd"
        side = 0.55
        axes.add_patch(
            Rectangle((x, y), side, side, facecolor=look.face, edgecolor=edge, linewidth=1)
        )
        if look.stripes:
            for start in (0.0, side / 2):
                axes.plot(
                    [x + start, x + side], [y + side, y + start], color=look.stripes, linewidth=0.8
                )
        axes.text(
            x + 0.75, y + side / 2, str(self.mark), fontsize=8.5, color=FAINT, family=SANS,
            va="center",
        )  # fmt: skip
