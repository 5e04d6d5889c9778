"""Text and lines on a page, in points from its top left corner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from minisegnet.explain.blocks import SANS, UNIT, text_width, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, PALE = "#1a1a1a", "#6b6b6b", "#b8b8b8"
SHADE, LIGHT = "#e9e9e9", "#fff0b8"

Align = Literal["left", "center", "right"]
Weight = Literal["normal", "bold"]


def width_of(words: str, size: float, weight: Weight = "normal") -> float:
    """How wide words are."""
    return text_width(words, size, weight) * UNIT * 72


def lines_of(words: str, width: float, size: float) -> list[str]:
    """The words in lines no wider than ``width``."""
    return wrap(words, width / UNIT / 72, size)


class Pen:
    """Draws on one page."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        colour: str = INK,
        weight: Weight = "normal",
        align: Align = "left",
        is_centred: bool = False,
    ) -> None:
        """Write words whose top, or middle, is at y."""
        self.axes.text(
            x,
            y if is_centred else y + size,
            words,
            fontsize=size,
            color=colour,
            fontweight=weight,
            family=SANS,
            ha=align,
            va="center_baseline" if is_centred else "baseline",
            parse_math=False,
        )

    @staticmethod
    def width(words: str, size: float) -> float:
        """How wide words are."""
        return width_of(words, size)

    def rule(self, x: float, y: float, end: float, colour: str = FAINT) -> None:
        """A line to write on."""
        self.axes.plot([x, end], [y, y], color=colour, linewidth=0.6, solid_capstyle="butt")

    def shade(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A rectangle without a border."""
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, linewidth=0))

    def lattice(
        self,
        x: float,
        y: float,
        rows: int,
        columns: int,
        size: tuple[float, float],
        colour: str,
        width: float,
    ) -> None:
        """The lines of a table whose cells are ``size`` = (wide, high)."""
        from matplotlib.collections import LineCollection

        wide, high = size
        right, bottom = x + columns * wide, y + rows * high
        lines = [[(x, y + r * high), (right, y + r * high)] for r in range(rows + 1)]
        lines += [[(x + c * wide, y), (x + c * wide, bottom)] for c in range(columns + 1)]
        self.axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, capstyle="projecting"),
            autolim=False,
        )
