"""Predictions: written down before the reveal, and brought back two lessons later.

They are kept in a small JSON file beside the notebook, ``my_predictions.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet.checkpoint import atomic_write
from minisegnet.lessons import registry
from minisegnet.lessons.blanks import is_blank
from minisegnet.lessons.comparing import NotComparableError, comparable, same, written
from minisegnet.lessons.exercise import Prediction
from minisegnet.lessons.verdict import Note, Notes

FILE = "my_predictions.json"

PathLike = str | os.PathLike[str]


def predict(name: str, value: Any, folder: PathLike = ".") -> Note:
    """Write down what you expect, before you look.

    The first prediction can be changed until :func:`reveal` has shown the outcome; after that it
    stands.

    Parameters
    ----------
    name : str
        The prediction's name, as ``"04/corner"``.
    value : number, list, array, tensor or str
        What you expect. ``...`` writes nothing down.
    folder : path
        Where the file ``my_predictions.json`` is kept; by default beside the notebook.

    Raises
    ------
    ValueError
        If there is no prediction of that name, or the file cannot be read as one of predictions.
    TypeError
        If the value is neither numbers nor words.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> predict("04/corner", 0, folder)
    → 04/corner: you predict 0. Now look: lessons.reveal('04/corner').
    """
    prediction = registry.find_prediction(name)
    name = prediction.name
    if is_blank(value):
        return Note(
            name, f"{prediction.question} Write down what you expect.", tone="not attempted"
        )
    records = _read(folder)
    if records.get(name, {}).get("revealed"):
        shown = written(_value(records[name]))
        return Note(name, f"you have seen the outcome, so your first prediction stands: {shown}.")
    records[name] = {"value": _storable(name, value), "revealed": False}
    _write(folder, records)
    return Note(name, f"you predict {written(value)}. Now look: lessons.reveal({name!r}).")


def reveal(name: str, folder: PathLike = ".") -> Note:
    """Show what turns out, beside what you predicted; without a prediction, it stays hidden.

    Parameters
    ----------
    name : str
        The prediction's name.
    folder : path
        Where ``my_predictions.json`` is kept.

    Raises
    ------
    ValueError
        If there is no prediction of that name, or the file cannot be read as one of predictions.

    Examples
    --------
    >>> import tempfile
    >>> reveal("04/corner", tempfile.mkdtemp()).sentence
    "first write down what you expect: lessons.predict('04/corner', ...)."
    """
    prediction = registry.find_prediction(name)
    name = prediction.name
    records = _read(folder)
    if name not in records:
        return Note(
            name,
            f"first write down what you expect: lessons.predict({name!r}, ...).",
            tone="not attempted",
        )
    if not records[name].get("revealed"):
        records[name]["revealed"] = True
        _write(folder, records)
    return _turned_out(prediction, _value(records[name]))


def look_back(lesson: int | str, folder: PathLike = ".") -> Notes:
    """What you predicted in an earlier lesson, and how it turned out.

    Parameters
    ----------
    lesson : int or str
        The earlier lesson's number.
    folder : path
        Where ``my_predictions.json`` is kept.

    Raises
    ------
    ValueError
        If the file cannot be read as one of predictions.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> look_back(4, folder)
    … lesson 04: no predictions are written down here.
    """
    prefix = f"{int(lesson):02d}/"
    records = _read(folder)
    known = registry.lesson(lesson).predictions if int(lesson) in registry.numbers() else ()
    notes = [
        _turned_out(prediction, _value(records[prediction.name]))
        for prediction in known
        if prediction.name in records
    ]
    if not notes:
        sentence = "no predictions are written down here."
        notes = [Note(f"lesson {prefix[:2]}", sentence, tone="not attempted")]
    return Notes(notes)


def _turned_out(prediction: Prediction, value: Any) -> Note:
    outcome = prediction.outcome()
    is_right = same(value, outcome, prediction.tolerance)
    trap = "" if is_right else _trap(prediction, value)
    said = f"it is {written(outcome)}" if np.ndim(outcome) == 0 else "look below"
    sentence = " ".join(
        part
        for part in (
            f"you predicted {written(value)}, and {'so it is' if is_right else said}.",
            trap,
            prediction.because,
        )
        if part
    )
    details = [("asked:", prediction.question)]
    if np.ndim(outcome):
        details.append(("outcome:", written(outcome)))
    return Note(prediction.name, sentence, tuple(details), "right" if is_right else "wrong")


def _trap(prediction: Prediction, value: Any) -> str:
    for trap in prediction.traps:
        wrong = trap.answer() if callable(trap.answer) else trap.answer
        if same(value, wrong, prediction.tolerance):
            return trap.sentence
    return ""


def _storable(name: str, value: Any) -> Any:
    try:
        plain = comparable(value)
    except NotComparableError as error:
        raise TypeError(
            f"predict: {name} was given {error}: give a number, an array or a word"
        ) from None
    if isinstance(plain, tuple):
        return [_storable(name, part) for part in plain]
    return plain if isinstance(plain, str) else plain.tolist()


def _value(record: dict[str, Any]) -> Any:
    value = record["value"]
    return np.asarray(value) if isinstance(value, list) else value


def _read(folder: PathLike) -> dict[str, dict[str, Any]]:
    path = Path(folder) / FILE
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        records = None
    readable = isinstance(records, dict) and all(
        isinstance(record, dict) and "value" in record for record in records.values()
    )
    if not readable:
        raise ValueError(f"{path} does not hold predictions any more: repair it, or delete it")
    return records


def _write(folder: PathLike, records: dict[str, dict[str, Any]]) -> None:
    with atomic_write(Path(folder) / FILE) as file:
        json.dump(dict(sorted(records.items())), file, indent=1, ensure_ascii=False)
        file.write("\n")
