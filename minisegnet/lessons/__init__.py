"""Exercises that say what went wrong, hints, solutions, and predictions that come back.

The notebooks call these functions; :mod:`minisegnet.lessons.exercise` says how an exercise is
written down, and every module ``lesson_NN`` holds those of one lesson.

>>> from minisegnet import lessons
>>> lessons.check("04/inverse", "same thing")
✗ 04/inverse, not yet: The two are ...
"""

from __future__ import annotations

from minisegnet.lessons.desk import (
    Report,
    check,
    check_all,
    exercises,
    forget,
    hint,
    report,
    solution,
)
from minisegnet.lessons.exercise import (
    Exercise,
    FunctionExercise,
    Lesson,
    Mistake,
    Prediction,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.predictions import look_back, predict, reveal
from minisegnet.lessons.verdict import Note, Notes, Status, Verdict

__all__ = [
    "Exercise",
    "FunctionExercise",
    "Lesson",
    "Mistake",
    "Note",
    "Notes",
    "Prediction",
    "Report",
    "Status",
    "ValueExercise",
    "Verdict",
    "check",
    "check_all",
    "distinct",
    "exercises",
    "forget",
    "hint",
    "look_back",
    "predict",
    "report",
    "reveal",
    "solution",
]
