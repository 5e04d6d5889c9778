"""Finding lessons and what they ask: every module ``lesson_NN`` of this package is a lesson."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path

from minisegnet.checks import did_you_mean
from minisegnet.lessons.exercise import Exercise, Lesson, Prediction

_MODULE = re.compile(r"lesson_(\d\d)")


@cache
def numbers() -> tuple[int, ...]:
    """The numbers of the lessons that are there; none of them is imported for that.

    Examples
    --------
    >>> 4 in numbers()
    True
    """
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    found = (_MODULE.fullmatch(module.name) for module in modules)
    return tuple(sorted(int(match[1]) for match in found if match))


def lesson(number: int | str) -> Lesson:
    """The lesson of that number, imported when it is first asked for.

    Raises
    ------
    ValueError
        If there is no such lesson.

    Examples
    --------
    >>> lesson("04").title
    'Transposed convolution'
    """
    wanted = _number(str(number))
    if wanted is None or wanted not in numbers():
        there = ", ".join(f"{n:02d}" for n in numbers())
        raise ValueError(f"there is no lesson {number!r}: choose one of {there}")
    return importlib.import_module(f"{__package__}.lesson_{wanted:02d}").LESSON


def all_lessons() -> tuple[Lesson, ...]:
    """Every lesson, in order."""
    return tuple(lesson(number) for number in numbers())


def find_exercise(name: str) -> Exercise:
    """The exercise of that name.

    Raises
    ------
    ValueError
        If there is none; the nearest name is suggested.

    Examples
    --------
    >>> find_exercise("04/scater")
    Traceback (most recent call last):
    ValueError: there is no exercise '04/scater': did you mean '04/scatter'?
    """
    full, chosen = _resolve(name)
    for exercise in chosen.exercises if chosen else ():
        if exercise.name == full:
            return exercise
    known = [exercise.name for each in _candidates(chosen) for exercise in each.exercises]
    raise ValueError(f"there is no exercise {name!r}: {did_you_mean(full, known)}")


def find_prediction(name: str) -> Prediction:
    """The prediction of that name.

    Raises
    ------
    ValueError
        If there is none; the nearest name is suggested.
    """
    full, chosen = _resolve(name)
    for prediction in chosen.predictions if chosen else ():
        if prediction.name == full:
            return prediction
    known = [prediction.name for each in _candidates(chosen) for prediction in each.predictions]
    raise ValueError(f"there is no prediction {name!r}: {did_you_mean(full, known)}")


def _resolve(name: str) -> tuple[str, Lesson | None]:
    """The name with two digits (``"4/size"`` is ``"04/size"``), and its lesson if it exists."""
    prefix, _, word = str(name).strip().partition("/")
    number = _number(prefix)
    if number is None or number not in numbers():
        return str(name), None
    return f"{number:02d}/{word}", lesson(number)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _candidates(chosen: Lesson | None) -> tuple[Lesson, ...]:
    return (chosen,) if chosen else all_lessons()
