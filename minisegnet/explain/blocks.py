"""The pieces of a picture that are words: texts, equations, and a step with its matrices.

Each knows its size before it is drawn. Lengths are in units of one cell; y grows downwards.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from minisegnet.explain.ledger import Ledger
from minisegnet.explain.numbers import show_total

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Inches a unit.
UNIT = 0.42
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
INK, FAINT, PALE, GREEN = "#222222", "#6b6b6b", "#a8a8a8", "#0a7048"
BETWEEN = 1.1


def mono_width(characters: int, size: float) -> float:
    """How wide so many characters are in DejaVu Sans Mono of ``size`` points."""
    return characters * 0.6021 * size / 72 / UNIT


@functools.lru_cache(maxsize=4096)
def text_width(words: str, size: float, weight: str = "normal") -> float:
    """How wide words are in DejaVu Sans of ``size`` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=SANS, size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return width / 72 / UNIT


def wrap(words: str, width: float, size: float) -> list[str]:
    """The words in lines that are no wider than ``width``."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _line(size: float) -> float:
    return size * 1.4 / 72 / UNIT


class Block(Protocol):
    """A rectangle of a figure."""

    width: float
    height: float

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw it with its top left corner at (x, y)."""


class TextBlock:
    """Lines of text."""

    def __init__(
        self,
        lines: list[str],
        size: float,
        weight: str = "normal",
        colour: str = INK,
        family: str = SANS,
    ) -> None:
        self.lines, self.size, self.weight = lines, size, weight
        self.colour, self.family = colour, family
        self.width = max((text_width(line, size, weight) for line in lines), default=0)
        self.height = len(lines) * _line(size)

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw the lines."""
        for number, line in enumerate(self.lines):
            axes.text(
                x,
                y + number * _line(self.size),
                line,
                fontsize=self.size,
                fontweight=self.weight,
                color=self.colour,
                family=self.family,
                va="top",
                parse_math=False,
            )


class Flow:
    """Blocks side by side, in as many rows as they need."""

    def __init__(self, blocks: Sequence[Block], room: float, below: float = 0.4) -> None:
        self.placed: list[tuple[Block, float, float]] = []
        x = y = tallest = self.width = 0.0
        for block in blocks:
            if x and x + block.width > room + 1e-6:
                y += tallest + below
                x = tallest = 0.0
            self.placed.append((block, x, y))
            self.width = max(self.width, x + block.width)
            x += block.width + BETWEEN
            tallest = max(tallest, block.height)
        self.height = y + tallest

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw every block in its place."""
        for block, right, down in self.placed:
            block.draw(axes, x + right, y + down)


class StepBlock:
    """A step: its number and title, its sentence, its matrices."""

    def __init__(
        self, number: int, title: str, sentence: str, blocks: Sequence[Block], room: float
    ) -> None:
        self.title = TextBlock([f"{number}  {title}"], size=11, weight="bold")
        self.body = Flow(blocks, room)
        # A sentence above a small matrix gets a few lines, not a column of single words.
        readable = min(max(text_width(sentence, 9.5) / 3.5, 5.0), 11.0)
        self.width = min(max(self.body.width, self.title.width, readable), room)
        self.width = max(self.width, self.body.width)
        self.sentence = TextBlock(wrap(sentence, self.width, 9.5), size=9.5)
        self.height = self.title.height + self.sentence.height + self.body.height + 0.35

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw the three, one below the other."""
        self.title.draw(axes, x, y)
        y += self.title.height + 0.05
        self.sentence.draw(axes, x, y)
        self.body.draw(axes, x, y + self.sentence.height + 0.15)


class EquationBlock:
    """A ledger's equation, term by term; products with made-up zeros are pale."""

    size = 11.0

    def __init__(self, ledger: Ledger, width: float) -> None:
        self.width = width
        room = int((width - 0.8) / mono_width(1, self.size))
        self.lines: list[list[tuple[str, str, str]]] = [[]]
        used = 0
        for words, colour, weight in _pieces(ledger):
            parts = [words] if len(words) <= room else _broken(words, room)
            for part in parts:
                if used and used + len(part.rstrip()) > room:
                    self.lines.append([])
                    used = 0
                self.lines[-1].append((part, colour, weight))
                used += len(part)
        self.note = wrap(ledger.note, width - 0.8, 9.5) if ledger.note else []
        self.equation_height = len(self.lines) * _line(self.size)
        self.height = self.equation_height + len(self.note) * _line(9.5) + 0.7

    def draw(self, axes: Axes, x: float, y: float) -> None:
        """Draw the equation on a pale ground."""
        from matplotlib.patches import FancyBboxPatch

        box = FancyBboxPatch(
            (x + 0.1, y + 0.1), self.width - 0.2, self.height - 0.2, facecolor="#f5f5f2",
            edgecolor="none", boxstyle="round,pad=0.1",
        )  # fmt: skip
        axes.add_patch(box)
        for number, line in enumerate(self.lines):
            at = x + 0.4
            for words, colour, weight in line:
                axes.text(
                    at, y + 0.35 + number * _line(self.size), words, fontsize=self.size,
                    family=MONO, color=colour, fontweight=weight, va="top", parse_math=False,
                )  # fmt: skip
                at += mono_width(len(words), self.size)
        note = TextBlock(self.note, size=9.5, colour=FAINT)
        note.draw(axes, x + 0.4, y + 0.35 + self.equation_height)


def _pieces(ledger: Ledger) -> list[tuple[str, str, str]]:
    """The words of the equation, each with its colour and weight."""
    pieces = [(f"{ledger.name} = ", FAINT, "normal")]
    if ledger.expression:
        pieces += [(f"{word} ", INK, "normal") for word in ledger.expression.split(" ")]
    for number, term in enumerate(() if ledger.expression else ledger.terms):
        plus = "+ " if number else ""
        pieces.append((f"{plus}{term} ", INK if term.is_real else PALE, "normal"))
    if not ledger.expression and not ledger.terms:
        pieces.append(("0 ", INK, "normal"))
    pieces.append((f"= {show_total(ledger.total)}", GREEN, "bold"))
    return pieces


def _broken(words: str, room: int) -> list[str]:
    return [words[i : i + room] for i in range(0, len(words), room)]
