"""Holding an answer to the definition, and naming the mistake when it is a known one."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.lessons.blanks import has_blank, is_about_a_blank, is_blank
from minisegnet.lessons.comparing import (
    NotComparableError,
    comparable,
    difference,
    differing_cells,
    number,
    same,
    written,
)
from minisegnet.lessons.exercise import Arguments, Exercise, Mistake, ValueExercise
from minisegnet.lessons.verdict import Status, Verdict


@dataclass(frozen=True)
class Outcome:
    """What an answer came to in one case: a value, or the exception that it raised."""

    value: Any = None
    error: Exception | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it only shows that something is left to write (None is a forgotten return)."""
        if self.error is not None:
            return is_about_a_blank(self.error)
        return self.value is not None and is_blank(self.value)


def outcomes(exercise: Exercise, answer: Any, cases: Sequence[Arguments]) -> list[Outcome]:
    """What an answer comes to in each case. Nothing that it raises gets out.

    NumPy's warnings (of 0/0, say) are off: the result tells.
    """
    return [_outcome(exercise, answer, case) for case in cases]


def _outcome(exercise: Exercise, answer: Any, case: Arguments) -> Outcome:
    try:
        with np.errstate(all="ignore"):
            return Outcome(exercise.outcome(answer, case))
    except Exception as error:
        return Outcome(error=error)


def equal(got: Outcome, expected: Outcome, tolerance: float) -> bool:
    """Whether two outcomes are the same: equal values, or exceptions of one type."""
    if got.error is not None or expected.error is not None:
        return type(got.error) is type(expected.error)
    return same(got.value, expected.value, tolerance)


def all_equal(got: Sequence[Outcome], expected: Sequence[Outcome], tolerance: float) -> bool:
    """Whether two answers come to the same in every case."""
    return all(equal(a, b, tolerance) for a, b in zip(got, expected, strict=True))


def judge(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer. Whatever the answer is or does, this does not raise."""
    if is_blank(answer):
        return _not_attempted(exercise, _invitation(exercise))
    if refusal := _refusal(exercise, answer):
        return Verdict.of(exercise.name, Status.WRONG, refusal)
    cases = exercise.cases()
    got = outcomes(exercise, answer, cases)
    expected = outcomes(exercise, exercise.right_answer(), cases)
    if all_equal(got, expected, exercise.tolerance):
        return _right(exercise, cases)
    if blank := _blank_left(exercise, answer, got):
        return _not_attempted(exercise, blank)
    mistake = _known_mistake(exercise, got, cases)
    return _wrong(exercise, answer, got, expected, cases, mistake)


def _right(exercise: Exercise, cases: Sequence[Arguments]) -> Verdict:
    sentence = exercise.explanation or "It agrees with the definition."
    if exercise.asks_for_a_function:
        sentence = f"It agrees with the definition in all {len(cases)} cases. {sentence}"
    return Verdict.of(exercise.name, Status.RIGHT, sentence)


def _not_attempted(exercise: Exercise, sentence: str) -> Verdict:
    return Verdict.of(exercise.name, Status.NOT_ATTEMPTED, sentence)


def _invitation(exercise: Exercise) -> str:
    return f"{exercise.question} Fill in the blank, or ask lessons.hint({exercise.name!r})."


def _refusal(exercise: Exercise, answer: Any) -> str | None:
    """Why this cannot be an answer at all; None if it can."""
    if not exercise.asks_for_a_function:
        if callable(answer):
            return f"You gave a function: give what it returns. {exercise.question}"
        return _refusal_of_word(exercise, answer)
    if not callable(answer):
        return (
            f"You gave {_named_kind(answer)}: give the function itself, without calling it, as in "
            f"lessons.check({exercise.name!r}, your_function)."
        )
    if getattr(exercise, "apply", None) is not None:
        return None
    names = list(exercise.cases()[0])
    try:
        inspect.signature(answer).bind(*names)
    except TypeError:
        takes = f"{', '.join(names)} ({len(names)} in this order)"
        return f"Your function is called with {takes}, and does not take that: fit its parameters."
    except ValueError:  # builtins without a signature: the call itself will tell
        return None
    return None


def _refusal_of_word(exercise: Exercise, answer: Any) -> str | None:
    options = exercise.options if isinstance(exercise, ValueExercise) else ()
    if not options or any(same(answer, option, 0) for option in options):
        return None
    return f"{answer!r} is not one of the answers: choose {_either(options)}."


def _either(words: Sequence[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _named_kind(answer: Any) -> str:
    return f"a value of type {type(answer).__name__}"


def _blank_left(exercise: Exercise, answer: Any, got: Sequence[Outcome]) -> str | None:
    """What to say if the answer is unfinished rather than wrong; None if it is finished."""
    if not exercise.asks_for_a_function:
        return None
    if has_blank(answer):
        return (
            f"There is still a ... in it. {exercise.question} Write what belongs there, or ask "
            f"lessons.hint({exercise.name!r})."
        )
    if any(outcome.is_blank for outcome in got):
        return _invitation(exercise)
    return None


def _known_mistake(
    exercise: Exercise, got: Sequence[Outcome], cases: Sequence[Arguments]
) -> Mistake | None:
    for mistake in exercise.mistakes:
        theirs = outcomes(exercise, mistake.answer, cases)
        if all_equal(got, theirs, exercise.tolerance):
            return mistake
    return None


def _wrong(
    exercise: Exercise,
    answer: Any,
    got: Sequence[Outcome],
    expected: Sequence[Outcome],
    cases: Sequence[Arguments],
    mistake: Mistake | None,
) -> Verdict:
    failing = [i for i in range(len(cases)) if not equal(got[i], expected[i], exercise.tolerance)]
    i = min(failing, key=lambda i: sum(_cells(value) for value in cases[i].values()))
    sentence, details = _description(exercise, answer, got[i], expected[i], cases[i])
    if mistake is None:
        return Verdict.of(exercise.name, Status.WRONG, sentence, details)
    if exercise.asks_for_a_function and got[i].error is None:
        details = (("For example:", sentence), *details)
    return Verdict.of(exercise.name, Status.WRONG, mistake.sentence, details, mistake.sentence)


def _description(
    exercise: Exercise, answer: Any, got: Outcome, expected: Outcome, case: Arguments
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """One sentence on what differs in this case, and the case itself."""
    given = _given(case)
    if got.error is not None:
        return _raised(got.error, answer), given
    if got.value is None:
        return "Your function returned None: end it with return and the result.", given
    try:
        found = difference(got.value, expected.value, exercise.tolerance)
    except NotComparableError as error:
        return f"Your answer is {error}: give numbers (a tensor, an array or a list).", given
    if found is None:
        return "It differs from the definition.", given
    if not exercise.asks_for_a_function:
        return _without_the_answer(exercise, got.value, expected.value, found.sentence), ()
    if _is_one_number(expected.value) and _is_one_number(got.value):
        return found.sentence, given
    results = (("yours:", written(got.value)), ("expected:", written(expected.value)))
    return found.sentence, (*given, *results)


def _is_one_number(value: Any) -> bool:
    return not isinstance(value, (tuple, list)) and np.ndim(value) == 0


def _cells(value: Any) -> int:
    """How much there is to read of an argument."""
    return sum(_cells(part) for part in value) if isinstance(value, tuple) else np.size(value)


def _given(case: Arguments) -> tuple[tuple[str, str], ...]:
    """The arguments: each array by itself, the options together."""
    case = {name: _short(value) for name, value in case.items()}
    options = [f"{name} = {written(value)}" for name, value in case.items() if not _is_long(value)]
    arrays = tuple((f"{name} =", written(value)) for name, value in case.items() if _is_long(value))
    return (*arrays, ("with", ", ".join(options))) if options else arrays


def _short(value: Any) -> Any:
    """A tuple of tensors by their shapes: too many numbers to read."""
    if isinstance(value, tuple) and any(isinstance(part, Tensor) for part in value):
        return "tensors of shapes " + ", ".join(str(part.shape) for part in value)
    return value


def _is_long(value: Any) -> bool:
    return not isinstance(value, (int, float, str, tuple, bool, type(None)))


def _without_the_answer(exercise: Exercise, got: Any, expected: Any, sentence: str) -> str:
    """What may be said about a wrong value without giving the right one away."""
    help_ = f"Look again, or ask lessons.hint({exercise.name!r})."
    mine, right = comparable(got), comparable(expected)
    if isinstance(mine, np.ndarray) and isinstance(right, np.ndarray) and mine.shape == right.shape:
        if not mine.shape:
            return f"{number(mine)} is not it. {help_}"
        wrong = differing_cells(mine, right, exercise.tolerance)
        cell = tuple(int(i) for i in np.argwhere(wrong)[0])
        off = int(wrong.sum())
        count = f"{off} of {wrong.size} {'is' if off == 1 else 'are'} wrong"
        return f"{count}, the first at {list(cell)}: {number(mine[cell])}. {help_}"
    if isinstance(mine, str) and isinstance(right, str):
        return f"{mine!r} is not it. {help_}"
    return sentence


def _raised(error: Exception, answer: Callable[..., Any]) -> str:
    """What the reader's function raised, and in which of its lines."""
    message = " ".join(str(error).split())
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    text = linecache.getline(file, line).strip() if file and line else ""
    where = f' In the line "{text}".' if text else ""
    return f"Your function raised {said}.{where}"
