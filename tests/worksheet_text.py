"""What the tests of worksheets share."""

from __future__ import annotations

from minisegnet.worksheets.answers import written
from minisegnet.worksheets.sheet import Worksheet


def filled_in(sheet: Worksheet) -> str:
    """The template with the right answers written under the numbers."""
    text = sheet.template()
    for number, problem in enumerate(sheet.problems, 1):
        text = text.replace(f"\n{number}:\n", f"\n{number}:\n{written(problem.answer)}\n")
    return text
