"""A walkthrough for the terminal: aligned matrices, side by side where they fit."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from minisegnet.explain.ledger import Cell, Ledger
from minisegnet.explain.panels import SYMBOLS, Lit, Mark, Plane, Step, visible

if TYPE_CHECKING:
    from minisegnet.explain.walkthrough import Walkthrough

_MOST_PLANES = 4
_MOST_ROWS = 24
_MOST_COLUMNS = 24
_GAP = "    "
_DIM, _YELLOW, _BOLD, _PLAIN = "\x1b[2m", "\x1b[43m\x1b[30m", "\x1b[1m", "\x1b[0m"


def render(
    walk: Walkthrough, cell: Cell | None = None, width: int = 96, colour: bool = False
) -> str:
    """The whole walkthrough; with a cell, its window is lit and its ledger stands at the end."""
    lit = walk.lit(cell) if cell is not None else {}
    paint = _Paint(colour)
    title = walk.op + (f", {walk.view}" if walk.view else "")
    blocks = [paint.bold(title) + "\n" + "\n".join(_wrapped(walk.facts, width))]
    used: set[Mark] = set()
    for number, step in enumerate(walk.steps, 1):
        blocks.append(_step(step, number, lit, width, paint, used))
    if symbols := legend(used):
        blocks.append(symbols)
    if cell is not None:
        blocks.append(account(walk.at(cell.row, cell.col, cell.channel, cell.n), width))
    if walk.remarks:
        blocks.append("\n".join(_wrapped(walk.remarks, width)))
    return "\n\n".join(block for block in blocks if block)


def account(ledger: Ledger, width: int = 96) -> str:
    """A ledger's equation, and its table."""
    equation = textwrap.fill(
        f"{ledger.name} = {ledger}", width, subsequent_indent="    ", break_long_words=False
    )
    table = ledger.table().split("\n")[1:]
    lines = [equation, *([ledger.note] if ledger.note else []), *table]
    return "\n".join(lines)


def legend(marks: Iterable[Mark]) -> str:
    """What the symbols mean."""
    symbols = {**SYMBOLS, Mark.CHOSEN: "*", Mark.CROPPED: "( )"}
    return "   ".join(
        f"{symbols[mark]} {mark}" for mark in Mark if mark in set(marks) & set(symbols)
    )


def _step(step: Step, number: int, lit: Lit, width: int, paint: _Paint, used: set[Mark]) -> str:
    lines = [paint.bold(f"{number}. {step.title}")]
    lines += _wrapped([step.sentence], width, indent="   ")
    blocks = []
    for panel in step.panels:
        planes, left_out = panel.relevant_planes(lit, _MOST_PLANES)
        for plane in planes:
            used.update(plane.marks)
            blocks.append(_Block(plane, lit, paint))
        if left_out:
            blocks.append(_Block.of_text(f"(and {left_out} more of {panel.name})"))
    return "\n".join([*lines, "", *_side_by_side(blocks, width)])


def _wrapped(sentences: Iterable[str], width: int, indent: str = "") -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence, width, initial_indent=indent, subsequent_indent=indent or "  "
        )
    ]


class _Paint:
    """ANSI colours, or none."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def bold(self, words: str) -> str:
        return f"{_BOLD}{words}{_PLAIN}" if self.colour else words

    def cell(self, words: str, is_lit: bool, is_faint: bool) -> str:
        if not self.colour or not (is_lit or is_faint):
            return words
        return f"{_YELLOW if is_lit else _DIM}{words}{_PLAIN}"


class _Block:
    """A matrix with its title, as lines that are ``width`` characters wide on the screen."""

    def __init__(self, plane: Plane, lit: Lit, paint: _Paint) -> None:
        self.plane, self.paint = plane, paint
        lit_here = {index[-2:] for index in lit.get(plane.name, ()) if index[:-2] == plane.lead}
        # Brackets around every cell of a kernel would say nothing.
        self.lit = lit_here if len(lit_here) < plane.values.size else set()
        shape = plane.values.shape
        self.rows = visible(shape[0], _MOST_ROWS, [r for r, _ in self.lit])
        self.columns = visible(shape[1], _MOST_COLUMNS, [c for _, c in self.lit])
        self.texts = plane.texts()
        self.in_brackets = Mark.CROPPED in plane.marks or bool(self.lit and not paint.colour)
        labelled = bool(plane.row_labels or plane.column_labels)
        self.blank = "" if self.in_brackets and not labelled else " "
        body, width = self._body()
        title = f"{plane.title} ({plane.size})"
        self.width = max(width, len(title))
        self.lines = [title.ljust(self.width), *(self._padded(line, n) for line, n in body)]

    @classmethod
    def of_text(cls, words: str) -> _Block:
        block = cls.__new__(cls)
        block.width, block.lines = len(words), [words]
        return block

    def _padded(self, line: str, on_screen: int) -> str:
        return line + " " * (self.width - on_screen)

    def _body(self) -> tuple[list[tuple[str, int]], int]:
        """The lines of the matrix, each with its length on the screen."""
        shown = [[self._word(r, c) for c in self.columns] for r in self.rows]
        size = max(len(word) for row in shown for word in row)
        names = self.plane.column_labels
        size = max([size, *(len(names[c]) for c in self.columns if names)])
        margin = (
            max((len(self.plane.row_labels[r]) for r in self.rows), default=0)
            if (self.plane.row_labels)
            else 0
        )
        lines: list[tuple[str, int]] = []
        if names:
            head = "".join(self._edge(c) + names[c].rjust(size) for c in self.columns)
            lines.append(self._line(" " * margin, head))
        for r, words in zip(self.rows, shown, strict=True):
            lines += self._rule(r, size, margin)
            cells = "".join(
                self._edge(c, r) + self._painted(word.rjust(size), r, c)
                for c, word in zip(self.columns, words, strict=True)
            )
            label = self.plane.row_labels[r].rjust(margin) if margin else ""
            length = margin + sum(len(self._edge(c, r)) + size for c in self.columns)
            end = self._edge(self.columns.stop, r) if self._has_edge(self.columns.stop) else ""
            lines.append((label + cells + end, length + len(end)))
        lines += self._rule(self.rows.stop, size, margin)
        if len(self.rows) < self.plane.values.shape[0]:
            note = f" rows {self.rows.start} to {self.rows.stop - 1} of {len(self.texts)}"
            lines.append((note, len(note)))
        if len(self.columns) < self.plane.values.shape[1]:
            note = f" columns {self.columns.start} to {self.columns.stop - 1}"
            lines.append((note, len(note)))
        return lines, max(length for _, length in lines)

    @staticmethod
    def _line(label: str, words: str) -> tuple[str, int]:
        return label + words, len(label) + len(words)

    def _word(self, row: int, column: int) -> str:
        mark = self.plane.mark(row, column)
        word = SYMBOLS.get(mark, self.texts[row][column]) if mark else self.texts[row][column]
        word += "*" if mark is Mark.CHOSEN else ""
        if (row, column) in self.lit and not self.paint.colour:
            return f"[{word}]"
        if mark is Mark.CROPPED:
            return f"({word})"
        if Mark.CHOSEN in self.plane.marks and mark is not Mark.CHOSEN:
            word += " "
        return f" {word} " if self.in_brackets else word

    def _painted(self, word: str, row: int, column: int) -> str:
        mark = self.plane.mark(row, column)
        faint = mark in SYMBOLS or mark is Mark.CROPPED
        return self.paint.cell(word, (row, column) in self.lit, faint)

    def _has_edge(self, column: int) -> bool:
        frame = self.plane.frame
        return frame is not None and column in (frame.left, frame.right)

    def _edge(self, column: int, row: int | None = None) -> str:
        """What separates a column from the one before: a blank, or the frame's upright."""
        frame = self.plane.frame
        if not self._has_edge(column):
            return self.blank
        inside = frame is not None and row is not None and frame.top <= row < frame.bottom
        return " | " if inside else "   "

    def _rule(self, row: int, size: int, margin: int) -> list[tuple[str, int]]:
        """The frame's horizontal line, where it runs before this row."""
        frame = self.plane.frame
        if frame is None or row not in (frame.top, frame.bottom):
            return []
        line = " " * margin
        for c in [*self.columns, self.columns.stop]:
            inside = frame.left < c <= frame.right
            edge = self._edge(c)
            if self._has_edge(c):
                line += f"{'-' if inside else ' '}+{'-' if c < frame.right else ' '}"
            elif c < self.columns.stop:
                line += "-" * len(edge) if inside else " " * len(edge)
            if c < self.columns.stop:
                line += ("-" if frame.left <= c < frame.right else " ") * size
        return [(line, len(line))]


def _side_by_side(blocks: list[_Block], width: int) -> list[str]:
    """The blocks in rows, each row as long as ``width`` allows."""
    rows: list[list[_Block]] = []
    room = 0
    for block in blocks:
        needs = block.width + len(_GAP)
        if rows and needs <= room:
            rows[-1].append(block)
            room -= needs
        else:
            rows.append([block])
            room = width - 3 - block.width
    lines: list[str] = []
    for number, row in enumerate(rows):
        if number:
            lines.append("")
        for i in range(max(len(block.lines) for block in row)):
            parts = [b.lines[i] if i < len(b.lines) else " " * b.width for b in row]
            lines.append(("   " + _GAP.join(parts)).rstrip())
    return lines
