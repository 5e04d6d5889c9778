"""The table of networks, asked from the package itself.

``{networks}`` lists every network that ``minisegnet.models`` can build: its name and class, its
paper, its parameters, and what a pass forward costs.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minisegnet.models import TABLE, Entry, multiply_adds
from minisegnet.nn import init

SIDE = 224
HEAD = ("Name and class", "Paper", "Parameters", "Multiply-adds", "Input sizes")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{5}|\d{4}\.\d{4})")


class Networks(SphinxDirective):
    """A table with a row for every network."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        group = nodes.tgroup("", cols=len(HEAD))
        group += [nodes.colspec("", colwidth=width) for width in (16, 28, 14, 16, 26)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row([[nodes.Text(text)] for text in HEAD])
        body += [_row(_cells(entry)) for entry in TABLE.values()]
        group += [head, body]
        table = nodes.table("", group)
        return [table]


def _cells(entry: Entry) -> list[list[nodes.Node]]:
    with init.skip():
        model = entry.make()
    side = SIDE if model.accepts(SIDE) else model.next_size(SIDE)
    cost = f"{multiply_adds(model, side) / 1e9:.2f} G" + (f" at {side}" if side != SIDE else "")
    return [
        [nodes.literal("", entry.name), nodes.Text(" "), nodes.literal("", type(model).__name__)],
        _paper(entry.paper),
        [nodes.Text(f"{entry.parameters:,}")],
        [nodes.Text(cost)],
        [nodes.Text(entry.sizes)],
    ]


def _paper(paper: str) -> list[nodes.Node]:
    """The paper, with a link where there is one."""
    found = _ARXIV.search(paper)
    if found is None:
        return [nodes.Text(paper)]
    before, after = paper[: found.start()], paper[found.end() :]
    link = nodes.reference("", found[0], refuri=f"https://arxiv.org/abs/{found[1]}")
    return [nodes.Text(before), link, nodes.Text(after)]


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("networks", Networks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
