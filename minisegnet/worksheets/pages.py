"""The worksheet on paper: problems on the first pages, answers on the last ones.

Lengths are in points, 72 to an inch; y grows downwards. Matplotlib is imported when a sheet is
written.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from minisegnet.explain.blocks import SANS
from minisegnet.worksheets.drawing import FAINT, INK, Pen, lines_of
from minisegnet.worksheets.grids import Grid, SquaredPaper, beside, given_grid
from minisegnet.worksheets.problem import Problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Width and height.
PAPERS = {"a4": (595.28, 841.89), "letter": (612.0, 792.0)}

_MARGIN = 42.0
_FOOT = 24.0
_GAP = 20.0
_MOST_APART = 110.0
# What Matplotlib would write beside the pages, its version and the date, differs between runs.
_NO_METADATA = {"CreationDate": None, "Creator": None, "Producer": None}


class _Block(Protocol):
    """A part of a page that cannot be torn apart."""

    height: float

    def draw(self, pen: Pen, x: float, y: float) -> None: ...


@dataclass
class _Page:
    heading: str
    is_first: bool
    blocks: list[tuple[_Block, float]] = field(default_factory=list)


def write_pdf(
    file: IO[bytes], title: str, command: str, problems: Sequence[Problem], paper: str
) -> int:
    """Write the pages into a file; the number of pages."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    width, height = PAPERS[paper]
    room = width - 2 * _MARGIN
    numbered = list(enumerate(problems, 1))
    pages = list(_pages(title, [_ProblemBlock(n, p, room) for n, p in numbered], height))
    for page in pages:
        _spread(page, height)
    answers = [_AnswerBlock(n, p, room) for n, p in numbered]
    pages += _pages(f"{title}: answers", answers, height, with_name=False)
    content = io.BytesIO()
    with (
        mpl.rc_context({"pdf.fonttype": 42, "font.family": SANS}),
        PdfPages(content, metadata=_NO_METADATA) as pdf,
    ):
        for number, page in enumerate(pages, 1):
            foot = (command, f"page {number} of {len(pages)}")
            pdf.savefig(_figure(page, foot, (width, height)))
    file.write(content.getvalue())
    return len(pages)


def _pages(
    title: str, blocks: Sequence[_Block], height: float, with_name: bool = True
) -> Iterator[_Page]:
    """The blocks on as many pages as they need."""
    page = _Page(title, with_name)
    y = _top(page)
    for block in blocks:
        if page.blocks and y + block.height > height - _MARGIN - _FOOT:
            yield page
            page = _Page(f"{title}, continued", False)
            y = _top(page)
        page.blocks.append((block, y))
        y += block.height + _GAP
    yield page


def _spread(page: _Page, height: float) -> None:
    """Move the problems apart, so that the room left on their page is room to write."""
    last, y = page.blocks[-1]
    left = height - _MARGIN - _FOOT - y - last.height
    more = min(left / len(page.blocks), _MOST_APART)
    page.blocks = [(block, y + i * more) for i, (block, y) in enumerate(page.blocks)]


def _top(page: _Page) -> float:
    """Where the first block begins."""
    return _MARGIN + (58 if page.is_first else 36)


def _figure(page: _Page, foot: tuple[str, str], paper: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    width, height = paper
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    pen = Pen(axes)
    right = width - _MARGIN
    pen.text(_MARGIN, _MARGIN, page.heading, 17 if page.is_first else 13, weight="bold")
    if page.is_first:
        _name_and_date(pen, right)
    for block, y in page.blocks:
        block.draw(pen, _MARGIN, y)
    pen.text(_MARGIN, height - _MARGIN, foot[0], 7.5, FAINT)
    pen.text(right, height - _MARGIN, foot[1], 7.5, FAINT, align="right")
    return figure


def _name_and_date(pen: Pen, right: float) -> None:
    y = _MARGIN + 32
    pen.text(_MARGIN, y, "Name", 9, FAINT)
    pen.rule(_MARGIN + 32, y + 10, right - 150)
    pen.text(right - 138, y, "Date", 9, FAINT)
    pen.rule(right - 110, y + 10, right)


class _ProblemBlock:
    """A problem: what is given, and room to write."""

    def __init__(self, number: int, problem: Problem, width: float) -> None:
        self.number, self.problem, self.width = number, problem, width
        self.task = lines_of(problem.task, width - 20, 9.5)
        self.given = [given_grid(given) for given in problem.given]
        self.answer = _room_to_answer(problem)
        self.sum_lines = _lines_for_the_sum(problem)
        self.body = beside([*self.given, self.answer], width - 20)
        below = max(y + grid.height for grid, _, y in self.body)
        self.head = 18 + 13 * len(self.task) + 6
        self.height = self.head + below + (14 + 22 * self.sum_lines if self.sum_lines else 0)

    def draw(self, pen: Pen, x: float, y: float) -> None:
        """Draw it."""
        pen.text(x, y, f"{self.number}", 11, weight="bold")
        pen.text(x + 20, y, self.problem.title, 11, weight="bold")
        for i, line in enumerate(self.task):
            pen.text(x + 20, y + 18 + 13 * i, line, 9.5)
        for grid, left, top in self.body:
            grid.draw(pen, x + 20 + left, y + self.head + top)
        if self.sum_lines and self.problem.cell:
            self._draw_sum(pen, x + 20, y + self.height - 22 * self.sum_lines)

    def _draw_sum(self, pen: Pen, x: float, y: float) -> None:
        row, column = self.problem.cell or (0, 0)
        begin = f"{self.problem.name}[{row}, {column}] ="
        pen.text(x, y, begin, 9.5)
        left = x + pen.width(begin, 9.5) + 6
        for line in range(self.sum_lines):
            pen.rule(left, y + 11 + 22 * line, x + self.width - 20)


def _room_to_answer(problem: Problem) -> Grid | SquaredPaper:
    """The answer's own frame, or squared paper where its size is a part of the problem."""
    if problem.is_framed:
        blank = tuple(("",) * len(row) for row in problem.answer)
        # Fractions need room.
        wide = 46 if problem.labels and len(problem.answer) == 1 else 0
        return Grid(problem.name, blank, cell=24, labels=problem.labels, wide=wide)
    rows, columns = len(problem.answer), len(problem.answer[0])
    return SquaredPaper(problem.name, max(6, rows + 1), max(9, columns + 1))


def _lines_for_the_sum(problem: Problem) -> int:
    """How many lines the whole sum of the cell needs, written by hand; 0 if none is asked for."""
    if problem.cell is None or not problem.sum_of(*problem.cell):
        return 0
    return 1 + problem.sum_of(*problem.cell).count(" + ") // 8


class _AnswerBlock:
    """The answer to a problem, and how to get there."""

    def __init__(self, number: int, problem: Problem, width: float) -> None:
        self.number, self.problem = number, problem
        lit = {problem.cell} if problem.cell else set()
        self.grid = Grid(
            problem.name, problem.answer, cell=16, size=8.5, labels=problem.labels, lit=lit
        )
        self.left = max(self.grid.width + 22, 130.0)
        room = width - 20 - self.left
        if room < 200:
            self.left, room = 0.0, width - 20
        self.lines = [
            (line, i > 0)
            for text in problem.working
            for i, line in enumerate(lines_of(text, room - 12, 8.5))
        ]
        self.below = 0.0 if self.left else self.grid.height + 6
        self.height = 17 + max(self.grid.height, self.below + 12 * len(self.lines))

    def draw(self, pen: Pen, x: float, y: float) -> None:
        """Draw it."""
        pen.text(x, y, f"{self.number}", 10, weight="bold")
        pen.text(x + 20, y, self.problem.title, 10, weight="bold")
        self.grid.draw(pen, x + 20, y + 17)
        for i, (line, goes_on) in enumerate(self.lines):
            left = x + 20 + self.left + (12 if goes_on else 0)
            pen.text(left, y + 17 + self.below + 12 * i, line, 8.5, INK)
