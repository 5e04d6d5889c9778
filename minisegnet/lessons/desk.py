"""The reader's desk: checking answers, hints, solutions, and how far the reader has come."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minisegnet.lessons import registry
from minisegnet.lessons.checking import judge
from minisegnet.lessons.verdict import Note, Notes, Status, Verdict

_standing: dict[str, Status] = {}
_hints_given: dict[str, int] = {}


def check(name: str, answer: Any) -> Verdict:
    """Hold an answer to the definition; a wrong one is named, if it is a classic mistake.

    A function is run on several cases of random data and compared with the definition in each. If
    it goes wrong in the way of a known mistake, the verdict says which; otherwise it shows the
    smallest case that differs, with the first cell that does.

    Parameters
    ----------
    name : str
        The exercise, as ``"04/scatter"``.
    answer : callable, number, array, tensor, list or str
        What the exercise asks for. ``...`` and None, and functions in which a ``...`` is left, are
        blanks: not attempted, which is not wrong.

    Returns
    -------
    Verdict
        True if the answer is right. It prints itself, and shows itself in a notebook.

    Raises
    ------
    ValueError
        If there is no exercise of that name. An answer never makes it raise.

    Examples
    --------
    >>> check("04/size", lambda h, k, s, p, a, d: (h - 1) * s - p + d * (k - 1) + a + 1).mistake
    'Padding is cut off at both sides: take 2 * padding away, not one.'
    """
    exercise = registry.find_exercise(name)
    verdict = judge(exercise, answer)
    _standing[exercise.name] = verdict.status
    return verdict


def check_all(answers: Mapping[str, Any]) -> Notes:
    """Check several answers at once: a questionnaire.

    Parameters
    ----------
    answers : mapping of str to answer
        The answers by the names of the exercises.

    Raises
    ------
    ValueError
        If there is no exercise of one of the names.

    Examples
    --------
    >>> verdicts = check_all({"04/inverse": "no inverse", "04/chooser": ...})
    >>> [str(verdict.status) for verdict in verdicts]
    ['right', 'not attempted']
    """
    return Notes(check(name, answer) for name, answer in answers.items())


def hint(name: str, level: int | None = None) -> Note:
    """The next hint on an exercise, from vague to concrete.

    Parameters
    ----------
    name : str
        The exercise.
    level : int, optional
        Which hint, from 1; by default the one after the last that was given.

    Raises
    ------
    ValueError
        If there is no such exercise, or no such hint.

    Examples
    --------
    >>> hint("04/inverse", level=1).title
    '04/inverse, hint 1 of 2'
    """
    exercise = registry.find_exercise(name)
    count = len(exercise.hints)
    if level is None:
        level = min(_hints_given.get(exercise.name, 0) + 1, count)
    if not 1 <= level <= count:
        raise ValueError(f"{exercise.name} has hints 1 to {count}: there is no hint {level}")
    _hints_given[exercise.name] = level
    after = f" (After this, only lessons.solution({exercise.name!r}).)" if level == count else ""
    return Note(f"{exercise.name}, hint {level} of {count}", exercise.hints[level - 1] + after)


def solution(name: str) -> Note:
    """The right answer, and why it is right.

    Parameters
    ----------
    name : str
        The exercise.

    Raises
    ------
    ValueError
        If there is no such exercise.

    Examples
    --------
    >>> print(solution("04/inverse"))
    → 04/inverse, solution: ...
      answer: 'no inverse'
    """
    exercise = registry.find_exercise(name)
    sentence = exercise.explanation or exercise.question
    return Note(
        f"{exercise.name}, solution", sentence, (("answer:", exercise.solution()),), tone="note"
    )


def exercises(lesson: int | str | None = None) -> list[str]:
    """The names of a lesson's exercises, or of all.

    Parameters
    ----------
    lesson : int or str, optional
        The lesson's number.

    Raises
    ------
    ValueError
        If there is no such lesson.

    Examples
    --------
    >>> "04/scatter" in exercises(4)
    True
    """
    chosen = registry.all_lessons() if lesson is None else (registry.lesson(lesson),)
    return [exercise.name for each in chosen for exercise in each.exercises]


@dataclass(frozen=True, repr=False)
class Report:
    """Where each exercise of a lesson stands, by the last check in this session.

    Attributes
    ----------
    title : str
        The lesson.
    standing : mapping of str to Status
        For each exercise, right, wrong or not attempted.
    questions : mapping of str to str
        For each exercise, what it asks.
    """

    title: str
    standing: Mapping[str, Status]
    questions: Mapping[str, str]

    def _with(self, status: Status) -> list[str]:
        return [name for name, where in self.standing.items() if where is status]

    @property
    def done(self) -> list[str]:
        """The exercises with a right answer."""
        return self._with(Status.RIGHT)

    @property
    def wrong(self) -> list[str]:
        """The exercises with a wrong answer."""
        return self._with(Status.WRONG)

    @property
    def not_attempted(self) -> list[str]:
        """The exercises without an answer."""
        return self._with(Status.NOT_ATTEMPTED)

    def __bool__(self) -> bool:
        return len(self.done) == len(self.standing)

    def _groups(self) -> list[tuple[str, list[str]]]:
        return [
            ("done", self.done),
            ("wrong so far", self.wrong),
            ("not attempted", self.not_attempted),
        ]

    def __str__(self) -> str:
        lines = [f"{self.title}: {len(self.done)} of {len(self.standing)} exercises done"]
        for label, names in self._groups():
            if names:
                lines.append(f"  {label}: {', '.join(names)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left;white-space:nowrap'>{html.escape(name)}</td>"
            f"<td style='text-align:left;white-space:nowrap'>{html.escape(label)}</td>"
            f"<td style='text-align:left'>{html.escape(self.questions[name])}</td></tr>"
            for label, names in self._groups()
            for name in names
        )
        head = html.escape(str(self).split("\n")[0])
        return f"<div><b>{head}</b><table>{rows}</table></div>"


def report(lesson: int | str) -> Report:
    """Which exercises of a lesson are done, wrong, or not attempted in this session.

    Parameters
    ----------
    lesson : int or str
        The lesson's number.

    Raises
    ------
    ValueError
        If there is no such lesson.

    Examples
    --------
    >>> forget()
    >>> _ = check("04/inverse", "no inverse"), check("04/chooser", "the kernel")
    >>> so_far = report(4)
    >>> so_far.done, so_far.wrong, "04/scatter" in so_far.not_attempted
    (['04/inverse'], ['04/chooser'], True)
    """
    chosen = registry.lesson(lesson)
    names = [exercise.name for exercise in chosen.exercises]
    return Report(
        f"Lesson {chosen.number:02d}, {chosen.title}",
        {name: _standing.get(name, Status.NOT_ATTEMPTED) for name in names},
        {exercise.name: exercise.question for exercise in chosen.exercises},
    )


def forget() -> None:
    """Begin anew: no exercise attempted, no hint given. Predictions stay written down.

    Examples
    --------
    >>> forget()
    >>> report(4).done
    []
    """
    _standing.clear()
    _hints_given.clear()
