"""A worksheet: seeded problems on one topic, growing more difficult, and their answers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from random import Random

from minisegnet.checkpoint import atomic_write
from minisegnet.checks import did_you_mean
from minisegnet.worksheets import convolution, pooling, scores, transposed
from minisegnet.worksheets.answers import Verdict, check, read_answers, template
from minisegnet.worksheets.pages import PAPERS, write_pdf
from minisegnet.worksheets.problem import Draw, Problem, telling

#: The topics, each with its ladder: one way of drawing a problem after another, easy ones first.
LADDERS: dict[str, tuple[Draw, ...]] = {
    "convolution": convolution.PLAIN,
    "transposed-convolution": transposed.LADDER,
    "dilated-convolution": convolution.DILATED,
    "pooling": pooling.LADDER,
    "iou-dice": scores.LADDER,
}
TITLES = {
    "convolution": "Convolution",
    "transposed-convolution": "Transposed convolution",
    "dilated-convolution": "Dilated convolution",
    "pooling": "Pooling and unpooling",
    "iou-dice": "IoU, Dice and the confusion matrix",
}
#: How many problems a sheet has at most; six unless more or fewer are asked for.
USUAL, MOST_PROBLEMS = 6, 20
_HARD = 3
_HEADING = re.compile(r"#\s*(minisegnet worksheet \S+ --seed \d+( --problems \d+)?)")


@dataclass(frozen=True)
class Worksheet:
    """A sheet of problems.

    Attributes
    ----------
    topic : str
    seed : int
    problems : tuple of Problem
    """

    topic: str
    seed: int
    problems: tuple[Problem, ...]

    @property
    def title(self) -> str:
        """The topic as a heading."""
        return TITLES[self.topic]

    @property
    def command(self) -> str:
        """The command that makes this sheet."""
        number = len(self.problems)
        return f"minisegnet worksheet {self.topic} --seed {self.seed}" + (
            f" --problems {number}" if number != USUAL else ""
        )

    def save(self, path: str | os.PathLike[str], paper: str = "a4") -> int:
        """Write the problems, and on pages of their own the answers, as a PDF.

        The same topic, seed and number of problems give the same bytes.

        Parameters
        ----------
        path : str or path
            The file, ending in ``.pdf``.
        paper : {"a4", "letter"}

        Returns
        -------
        int
            The number of pages.

        Raises
        ------
        ValueError
            If the ending or the paper is unknown.
        minisegnet.checkpoint.WriteError
            If the file cannot be written.
        """
        if not os.fspath(path).lower().endswith(".pdf"):
            raise ValueError(f"worksheet: {os.fspath(path)!r} must end in .pdf")
        if paper not in PAPERS:
            raise ValueError(f"worksheet: no paper {paper!r}: {did_you_mean(paper, PAPERS)}")
        with atomic_write(path, "wb") as file:
            return write_pdf(file, self.title, self.command, self.problems, paper)

    def template(self) -> str:
        """A text to be filled in, in the format that :meth:`check` reads.

        Examples
        --------
        >>> print(make("pooling", seed=3, problems=1).template())
        # minisegnet worksheet pooling --seed 3 --problems 1
        # Under each number, the matrix: one row a line, numbers apart by blanks.
        # Integers, fractions (2/3) or decimals (0.67); - for a score that is not defined.
        <BLANKLINE>
        # The largest of each window: result
        1:
        <BLANKLINE>
        """
        return template(dict(enumerate(self.problems, 1)), self.command)

    def check(self, text: str, where: str = "the answers") -> list[Verdict]:
        """Whether typed answers are right, and if not, what went wrong and where first.

        Parameters
        ----------
        text : str
            Answers, as in :mod:`minisegnet.worksheets.answers`.
        where : str
            What errors call the text: the name of its file.

        Returns
        -------
        list of Verdict
            One for each problem.

        Raises
        ------
        ValueError
            If the text cannot be read, or belongs to another sheet.

        Examples
        --------
        >>> sheet = make("transposed-convolution", seed=6, problems=1)
        >>> [given.matrix for given in sheet.problems[0].given]
        [((4, 0, 1), (2, 5, 3)), ((1, 3), (0, 2))]
        >>> print(sheet.check("1: 4 12 1 3; 2 19 18 11; 0 4 10 6")[0])
        1: right
        >>> print(sheet.check("1: 4 12 1 3; 2 19 18 11; 0 4 10 60")[0])
        1: wrong: first at result[2, 3]: it is 3*2, which is not 60.
        """
        self._require_own(text, where)
        typed = read_answers(text, where)
        for number in typed:
            if not 1 <= number <= len(self.problems):
                raise ValueError(
                    f"{where}: there is no problem {number} on this sheet of {len(self.problems)}"
                )
        return [check(p, typed.get(n), n) for n, p in enumerate(self.problems, 1)]

    def _require_own(self, text: str, where: str) -> None:
        """Refuse answers whose heading names another sheet."""
        heading = _HEADING.search(text)
        if heading and heading[1] != self.command:
            raise ValueError(
                f"{where}: written for '{heading[1]}', and this is the sheet of "
                f"'{self.command}': give the same topic and options"
            )


def make(topic: str, seed: int = 0, problems: int = USUAL) -> Worksheet:
    """A worksheet: the same topic and seed give the same problems.

    Parameters
    ----------
    topic : str
        One of :data:`LADDERS`.
    seed : int
        At least 0.
    problems : int
        1 to 20. More problems leave the first ones as they are.

    Raises
    ------
    ValueError
        If the topic is unknown, or a number out of range.

    Examples
    --------
    >>> sheet = make("convolution", seed=7)
    >>> len(sheet.problems), sheet.problems[0].title, sheet.problems[5].title
    (6, 'First steps', 'Two channels')
    """
    if topic not in LADDERS:
        raise ValueError(f"worksheet: no topic {topic!r}: {did_you_mean(topic, LADDERS)}")
    if seed < 0:
        raise ValueError(f"worksheet: the seed is {seed}: give a whole number of at least 0")
    if not 1 <= problems <= MOST_PROBLEMS:
        raise ValueError(f"worksheet: {problems} problems: give 1 to {MOST_PROBLEMS}")
    ladder, drawn = LADDERS[topic], list[Problem]()
    for number in range(problems):
        # A generator for each problem, so that a change to one leaves the others as they were.
        random = Random(f"{topic} {seed} {number}")
        draw = ladder[number] if number < len(ladder) else random.choice(ladder[-_HARD:])
        drawn.append(telling(draw, random, drawn))
    return Worksheet(topic, seed, tuple(drawn))
