"""What a check comes to, for a terminal and for a notebook."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from enum import StrEnum

# Blanks and line ends count; a line that is too long breaks between words.
_PRE = "margin:0;background:none;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word"
_COLOURS = {"right": "#009E73", "wrong": "#D55E00", "not attempted": "#888888", "note": "#0072B2"}
_SIGNS = {"right": "✓", "wrong": "✗", "not attempted": "…", "note": "→"}


class Status(StrEnum):
    """Where an exercise stands."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_ATTEMPTED = "not attempted"


@dataclass(frozen=True)
class Note:
    """A title, a sentence and details, which print themselves and show themselves in a notebook.

    Attributes
    ----------
    title, sentence : str
    details : tuple of (str, str)
        Labels and the text under them, in which blanks and line ends count.
    tone : str
        "right", "wrong", "not attempted" or "note": decides the sign and the colour.
    """

    title: str
    sentence: str
    details: tuple[tuple[str, str], ...] = ()
    tone: str = "note"

    def __str__(self) -> str:
        lines = [f"{_SIGNS[self.tone]} {self.title}: {self.sentence}"]
        for label, text in self.details:
            if "\n" in text:
                lines += [f"  {label}", *("    " + line for line in text.split("\n"))]
            else:
                lines.append(f"  {label} {text}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = f"<b>{_SIGNS[self.tone]} {html.escape(self.title)}</b>: {_with_code(self.sentence)}"
        rows = "".join(
            "<tr><td style='text-align:left;vertical-align:top;padding-right:1em'>"
            f"{html.escape(label)}</td><td style='text-align:left'>"
            f"<pre style='{_PRE}'>{html.escape(text)}</pre></td></tr>"
            for label, text in self.details
        )
        table = f"<table style='margin:.4em 0 0 0'>{rows}</table>" if rows else ""
        colour = _COLOURS[self.tone]
        return f"<div style='border-left:4px solid {colour};padding:.2em .8em'>{head}{table}</div>"


def _with_code(sentence: str) -> str:
    """The sentence as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sentence))


@dataclass(frozen=True, repr=False)
class Verdict(Note):
    """What :func:`minisegnet.lessons.check` found. It is true if the answer is right.

    Attributes
    ----------
    exercise : str
        The exercise's name.
    status : Status
        Right, wrong or not attempted.
    mistake : str or None
        The sentence of the classic mistake that it is, if it is one of those known.

    Examples
    --------
    >>> from minisegnet import lessons
    >>> verdict = lessons.check("04/inverse", ...)
    >>> bool(verdict), str(verdict.status)
    (False, 'not attempted')
    """

    exercise: str = ""
    status: Status = Status.NOT_ATTEMPTED
    mistake: str | None = None

    def __bool__(self) -> bool:
        return self.status is Status.RIGHT

    @classmethod
    def of(
        cls,
        exercise: str,
        status: Status,
        sentence: str,
        details: tuple[tuple[str, str], ...] = (),
        mistake: str | None = None,
    ) -> Verdict:
        """The verdict on that exercise."""
        title = f"{exercise} is {status}" if status is not Status.WRONG else f"{exercise}, not yet"
        return cls(title, sentence, details, str(status), exercise, status, mistake)


class Notes(tuple[Note, ...]):
    """Several notes, shown one below another; true if all of them are.

    Examples
    --------
    >>> from minisegnet import lessons
    >>> len(lessons.check_all({"04/inverse": "no inverse", "04/chooser": ...}))
    2
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return all(bool(note) for note in self)

    def __str__(self) -> str:
        return "\n".join(str(note) for note in self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "<br>".join(note._repr_html_() for note in self)
