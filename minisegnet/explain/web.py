"""A walkthrough for notebooks and pages: HTML and CSS alone, for light and dark backgrounds.

Colours are translucent, so that they stand on any background, and texts take the page's own colour.
Each cell of the result carries a number; the cells of its window carry the same. One CSS rule a
cell then lights the window and shows the ledger while somebody points at it: no JavaScript, which
notebooks refuse to run before they are trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from html import escape
from itertools import product
from typing import TYPE_CHECKING

from minisegnet.explain.ledger import Cell, Index, Ledger
from minisegnet.explain.numbers import show_total
from minisegnet.explain.panels import BLANK, SYMBOLS, Lit, Mark, Panel, Plane, Step, visible

if TYPE_CHECKING:
    from minisegnet.explain.walkthrough import Walkthrough

_MOST_CELLS_TO_POINT_AT = 150
_MOST_PLANES = 4
_MOST_ROWS = 24

#: The class of a cell, and whether a legend explains it.
_CLASSES = {
    Mark.INSERTED: "ins",
    Mark.PADDING: "pad",
    Mark.EXTRA: "pad xtr",
    Mark.GAP: "gap",
    Mark.EMPTY: "gap",
    Mark.OUTSIDE: "gap",
    Mark.CROPPED: "cut",
    Mark.UNCOVERED: "unc",
    Mark.CHOSEN: "cho",
    Mark.HIT: "hit",
    Mark.FALSE_ALARM: "fal",
    Mark.MISS: "mis",
    Mark.VOID: "pad",
    Mark.TO_COME: "gap",
}

_STYLE = """
.msn{font-size:14px;line-height:1.45;max-width:72em}
.msn .hd{font-size:1.15em;font-weight:600}
.msn .fc{opacity:.75;font-variant-numeric:tabular-nums}
.msn .ss{display:flex;flex-wrap:wrap;gap:1.1em 2.6em;margin-top:.9em;align-items:flex-start}
.msn .st{padding-left:2.1em;position:relative;max-width:100%;box-sizing:border-box}
.msn .no{position:absolute;left:0;top:.05em;width:1.5em;height:1.5em;border-radius:50%;
 text-align:center;font-size:.9em;line-height:1.5em;font-weight:600;
 background:rgba(127,127,127,.22)}
.msn .ti{font-weight:600}
.msn .st .se{opacity:.85;width:0;min-width:100%}
.msn .rw{display:flex;flex-wrap:wrap;gap:.7em 1.8em;margin-top:.35em;align-items:flex-start}
.msn .pn{max-width:100%;overflow-x:auto}
.msn .ca{font-size:.86em;font-weight:600;margin-bottom:.15em}
.msn .ca span{font-weight:400;opacity:.6}
.msn .map .ca{color:#2f86d1}.msn .kernel .ca{color:#d9722e}
.msn .result .ca{color:#1f9e6b}.msn .note .ca{color:#8a8a8a}
.msn table.mx{border-collapse:separate!important;border-spacing:2px!important;margin:0!important;
 border:0!important;width:auto!important;table-layout:auto;font-size:1em}
.msn table.mx tr,.msn table.mx tr:hover{background:none!important;border:0!important}
.msn table.mx td,.msn table.mx th{box-sizing:border-box;min-width:2.05em;height:2.05em;
 padding:0 .35em!important;border:0!important;text-align:center!important;
 vertical-align:middle!important;
 white-space:nowrap;font-variant-numeric:tabular-nums;border-radius:3px;max-width:none!important}
.msn table.mx th{font-weight:400;font-size:.78em;opacity:.6;background:none!important}
.msn .map td{background:rgba(47,134,209,.14)}.msn .kernel td{background:rgba(217,114,46,.17)}
.msn .result td{background:rgba(31,158,107,.16)}.msn .note td{background:rgba(127,127,127,.12)}
.msn td.ins,.msn i.ins,.msn td.gap,.msn i.gap{background:rgba(127,127,127,.10)}
.msn td.ins,.msn td.pad{color:rgba(127,127,127,.95);
 color:color-mix(in srgb,currentcolor 58%,transparent)}.msn td.gap{color:rgba(127,127,127,.6)}
.msn td.pad,.msn i.pad{background:repeating-linear-gradient(135deg,
 rgba(127,127,127,.30) 0 1.5px,rgba(127,127,127,.06) 1.5px 6px)}
.msn td.xtr,.msn i.xtr{background:repeating-linear-gradient(45deg,
 rgba(160,90,200,.45) 0 1.5px,rgba(160,90,200,.10) 1.5px 6px)}
.msn td.cut,.msn i.cut{background:rgba(127,127,127,.10);opacity:.5;text-decoration:line-through}
.msn td.unc,.msn i.unc{box-shadow:inset 0 0 0 2px rgba(160,90,200,.75)}
.msn td.cho,.msn i.cho,.msn td.hit,.msn i.hit{background:rgba(31,158,107,.45)}
.msn td.cho{font-weight:700}
.msn td.fal,.msn i.fal{background:rgba(220,60,60,.40)}
.msn td.mis,.msn i.mis{background:rgba(60,110,220,.40)}
.msn table.mx td.ft{border-top:2px solid currentColor!important}
.msn table.mx td.fb{border-bottom:2px solid currentColor!important}
.msn table.mx td.fl{border-left:2px solid currentColor!important}
.msn table.mx td.fr{border-right:2px solid currentColor!important}
.msn td.o{cursor:pointer;outline:none}
.msn .ld{display:grid;margin-top:.9em;padding:.55em .8em;border-radius:5px;
 background:rgba(127,127,127,.10);font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
 font-size:.93em}
.msn .ld div{grid-area:1/1;visibility:hidden}
.msn .ld .z{opacity:.45}
.msn .ld b{color:#1f9e6b}
.msn .lg{margin-top:.7em;font-size:.85em;opacity:.9}
.msn .lg i{display:inline-block;width:1.1em;height:1.1em;border-radius:3px;vertical-align:-.2em;
 margin:0 .35em 0 1em}
.msn .lg i:first-child{margin-left:0}
.msn .lg i.on{background:rgba(255,176,0,.62)}
"""
_LIT = "{background:rgba(255,176,0,.62)!important;opacity:1}"
_SHOWN = "{visibility:visible!important}"


def render(walk: Walkthrough) -> str:
    """The walkthrough as one ``div``, style included."""
    first = walk.telling_cell()
    windows = _Windows(walk, first)
    marks: set[Mark] = set()
    steps = "".join(
        _step(walk, number, step, windows, marks) for number, step in enumerate(walk.steps, 1)
    )
    title = escape(walk.op + (f", {walk.view}" if walk.view else ""))
    facts = "".join(f'<div class="fc">{escape(fact)}</div>' for fact in walk.facts)
    remarks = "".join(f'<div class="lg">{escape(remark)}</div>' for remark in walk.remarks)
    body = (
        f'<div class="hd">{title}</div>{facts}<div class="ss">{steps}</div>{windows.ledgers()}'
        f"{_legend(marks, len(windows.cells) > 1)}{remarks}"
    )
    name = "msn-" + hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()[:8]
    return f'<div class="msn {name}"><style>{_STYLE}{windows.rules(name)}</style>{body}</div>'


class _Windows:
    """For every cell that can be pointed at: its number, its window, its ledger."""

    def __init__(self, walk: Walkthrough, first: Cell) -> None:
        self.walk = walk
        rows, columns = walk.cells.shape[-2:]
        cells = [
            Cell(r, c, first.channel, first.n) for r, c in product(range(rows), range(columns))
        ]
        if len(cells) > _MOST_CELLS_TO_POINT_AT:
            cells = [first]
        self.cells = cells
        self.default = cells.index(first)
        self.number = {walk.index(cell): i for i, cell in enumerate(cells)}
        self.lit: Lit = walk.lit(first)
        self._of: dict[str, dict[Index, list[int]]] = {}
        for i, cell in enumerate(cells):
            for name, places in walk.lit(cell).items():
                for place in places:
                    self._of.setdefault(name, {}).setdefault(place, []).append(i)

    def classes(self, array: str, index: Index) -> list[str]:
        """The classes that tie a cell of an array to the windows it is in."""
        numbers = self._of.get(array, {}).get(index, [])
        names = [f"w{i}" for i in numbers]
        if self.default in numbers:
            names.append("on")
        if array == self.walk.accounted and index in self.number:
            names += ["o", f"o{self.number[index]}"]
        return names

    def ledgers(self) -> str:
        """Every ledger, one upon the other; the rules show one of them."""
        lines = [
            f'<div class="l{i}{" on" if i == self.default else ""}">{_equation(ledger)}</div>'
            for i, ledger in enumerate(map(self.walk.account, self.cells))
        ]
        return f'<div class="ld">{"".join(lines)}</div>'

    def rules(self, name: str) -> str:
        """What is lit and shown when."""
        pointed = ":is(:hover,:focus)"
        rules = [
            f".{name}:not(:has(td.o{pointed})) td.on{_LIT}",
            f".{name}:not(:has(td.o{pointed})) .ld .on{_SHOWN}",
            f"@supports not selector(:has(*)){{.{name} td.on{_LIT}.{name} .ld .on{_SHOWN}}}",
        ]
        if len(self.cells) > 1:
            for i in range(len(self.cells)):
                rules.append(f".{name}:has(td.o{i}{pointed}) td.w{i}{_LIT}")
                rules.append(f".{name}:has(td.o{i}{pointed}) .ld .l{i}{_SHOWN}")
        return "\n".join(rules)


def _equation(ledger: Ledger) -> str:
    total = f"<b>{escape(show_total(ledger.total))}</b>"
    if ledger.expression:
        left = escape(ledger.expression)
    else:
        left = " + ".join(
            escape(str(term)) if term.is_real else f'<span class="z">{escape(str(term))}</span>'
            for term in ledger.terms
        )
    note = f"<br>{escape(ledger.note)}" if ledger.note else ""
    return f"{escape(ledger.name)} = {left or '0'} = {total}{note}"


def _step(walk: Walkthrough, number: int, step: Step, windows: _Windows, marks: set[Mark]) -> str:
    panels = "".join(_panel(panel, windows, marks) for panel in step.panels)
    # A sentence above a small matrix gets a few lines, not a column of single words.
    width = min(max(len(step.sentence) / 7, 11), 23) + 2.1
    return (
        f'<div class="st" style="min-width:{width:.1f}em"><div class="no">{number}</div>'
        f'<div class="ti">{escape(step.title)}</div>'
        f'<div class="se">{escape(step.sentence)}</div><div class="rw">{panels}</div></div>'
    )


def _panel(panel: Panel, windows: _Windows, marks: set[Mark]) -> str:
    planes, left_out = panel.relevant_planes(windows.lit, _MOST_PLANES)
    for plane in planes:
        marks.update(plane.marks)
    more = f'<div class="pn">and {left_out} more</div>' if left_out else ""
    return "".join(_plane(plane, windows) for plane in planes) + more


def _plane(plane: Plane, windows: _Windows) -> str:
    lit = [i[-2:] for i in windows.lit.get(plane.name, ()) if i[:-2] == plane.lead]
    shape = plane.values.shape
    rows = visible(shape[0], _MOST_ROWS, [r for r, _ in lit])
    columns = visible(shape[1], _MOST_ROWS, [c for _, c in lit])
    texts = plane.texts()
    lines = []
    if plane.column_labels:
        corner = "<th></th>" if plane.row_labels else ""
        names = "".join(f"<th>{escape(plane.column_labels[c])}</th>" for c in columns)
        lines.append(f"<tr>{corner}{names}</tr>")
    for r in rows:
        label = f"<th>{escape(plane.row_labels[r])}</th>" if plane.row_labels else ""
        cells = "".join(_cell(plane, r, c, texts[r][c], windows) for c in columns)
        lines.append(f"<tr>{label}{cells}</tr>")
    cut = (
        ""
        if (len(rows), len(columns)) == shape
        else (
            f", here rows {rows.start}-{rows.stop - 1}, columns {columns.start}-{columns.stop - 1}"
        )
    )
    return (
        f'<div class="pn {plane.kind}"><div class="ca">{escape(plane.title)} '
        f'<span>{plane.size}{cut}</span></div><table class="mx"><tbody>{"".join(lines)}'
        "</tbody></table></div>"
    )


def _cell(plane: Plane, row: int, column: int, words: str, windows: _Windows) -> str:
    mark = plane.mark(row, column)
    names = _CLASSES[mark].split() if mark else []
    names += _frame_classes(plane, row, column)
    names += windows.classes(plane.name, (*plane.lead, row, column))
    focus = ' tabindex="0"' if "o" in names else ""
    text = SYMBOLS[mark] if mark in BLANK else escape(words)
    attribute = f' class="{" ".join(names)}"' if names else ""
    return f"<td{attribute}{focus}>{text}</td>"


def _frame_classes(plane: Plane, row: int, column: int) -> list[str]:
    """Which sides of the frame run along this cell, inside it."""
    frame = plane.frame
    if frame is None:
        return []
    beside: Mapping[str, bool] = {
        "ft": row == frame.top and frame.left <= column < frame.right,
        "fb": row == frame.bottom - 1 and frame.left <= column < frame.right,
        "fl": column == frame.left and frame.top <= row < frame.bottom,
        "fr": column == frame.right - 1 and frame.top <= row < frame.bottom,
    }
    return [name for name, there in beside.items() if there]


def _legend(marks: set[Mark], can_point: bool) -> str:
    swatches = "".join(
        f'<i class="{_CLASSES[mark]}"></i>{escape(str(mark))}' for mark in Mark if mark in marks
    )
    window = '<i class="on"></i>what one cell of the result is made of'
    window += ": point at another" if can_point else ""
    return f'<div class="lg">{swatches}{window}</div>'
