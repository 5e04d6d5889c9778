"""Tables of words, for the terminal and for a page."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

_CELL = "text-align:{side};white-space:nowrap;padding:.2em .8em .2em 0;border:0;background:none"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The rows as lines, their columns aligned: to the right those that are named.

    Examples
    --------
    >>> aligned([["a", "count"], ["long", "7"]], right=[1])
    ['a     count', 'long      7']
    """
    columns = range(len(rows[0]))
    widths = [max(len(row[i]) for row in rows) for i in columns]
    return [
        "  ".join(
            row[i].rjust(widths[i]) if i in right else row[i].ljust(widths[i]) for i in columns
        ).rstrip()
        for row in rows
    ]


def html_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """The same as an HTML table that scrolls where it is too wide; the first row is the header.

    Examples
    --------
    >>> html_table([["a"], ["1 < 2"]]).count("&lt;")
    1
    """

    def line(row: Sequence[str], tag: str) -> str:
        cells = (
            f'<{tag} style="{_CELL.format(side="right" if i in right else "left")}">'
            f"{html.escape(word)}</{tag}>"
            for i, word in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"

    head, body = line(rows[0], "th"), "".join(line(row, "td") for row in rows[1:])
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto;font-size:.9em">{table}</div>'
