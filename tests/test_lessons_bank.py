"""Every exercise of every lesson: its data tell each classic mistake from the right answer.

The tests run over whatever lessons are found, so a new lesson is tested as soon as it is there.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from minisegnet.autograd import Tensor
from minisegnet.lessons import Exercise, FunctionExercise, Status, ValueExercise, registry
from minisegnet.lessons.checking import all_equal, judge, outcomes
from minisegnet.lessons.comparing import same

LESSONS = registry.all_lessons()
EXERCISES = [exercise for lesson in LESSONS for exercise in lesson.exercises]
PREDICTIONS = [prediction for lesson in LESSONS for prediction in lesson.predictions]
MISTAKES = [
    pytest.param(exercise, number, id=f"{exercise.name}-{number}")
    for exercise in EXERCISES
    for number in range(len(exercise.mistakes))
]


def by_name(items):
    return [pytest.param(item, id=item.name) for item in items]


def functions(exercises):
    return [each for each in exercises if isinstance(each, FunctionExercise)]


@cache
def runs_of_mistakes(exercise: Exercise):
    cases = exercise.cases()
    return [outcomes(exercise, mistake.answer, cases) for mistake in exercise.mistakes]


@pytest.mark.parametrize("exercise", by_name(EXERCISES))
def test_the_right_answer_passes(exercise):
    verdict = judge(exercise, exercise.right_answer())
    assert verdict, str(verdict)
    assert verdict.status is Status.RIGHT
    outcome = outcomes(exercise, exercise.right_answer(), exercise.cases())
    assert all(each.error is None and each.value is not None for each in outcome), outcome


@pytest.mark.parametrize("exercise", by_name(functions(EXERCISES)))
def test_the_definition_agrees_with_the_engine(exercise):
    if exercise.engine is None:
        pytest.skip("the engine has no such function")
    cases = exercise.cases()
    got = [exercise.engine(*case.values()) for case in cases]
    right = outcomes(exercise, exercise.definition, cases)
    for case, engine, definition in zip(cases, got, right, strict=True):
        assert same(engine, definition.value, exercise.tolerance), (case, engine, definition.value)


@pytest.mark.parametrize(("exercise", "number"), MISTAKES)
def test_every_mistake_is_told_and_named(exercise, number):
    mistake = exercise.mistakes[number]
    answer = mistake.answer
    if not exercise.asks_for_a_function and callable(answer):
        answer = answer()
    verdict = judge(exercise, answer)
    assert verdict.status is Status.WRONG, f"passes: {mistake.sentence}"
    assert verdict.mistake == mistake.sentence
    assert mistake.sentence in str(verdict)


@pytest.mark.parametrize("exercise", by_name(EXERCISES))
def test_mistakes_are_told_from_each_other(exercise):
    runs = runs_of_mistakes(exercise)
    for (i, one), (j, other) in combinations(enumerate(runs), 2):
        assert not all_equal(one, other, exercise.tolerance), (
            exercise.mistakes[i].sentence,
            exercise.mistakes[j].sentence,
        )
    sentences = [mistake.sentence for mistake in exercise.mistakes]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("exercise", by_name(EXERCISES))
def test_a_blank_is_not_attempted(exercise):
    def untouched(*_):
        """What it is to do."""
        ...  # noqa: PIE790

    def to_do(*_):
        raise NotImplementedError

    def half_done(*_):
        total = 1 + ...
        return total

    blanks = [..., None]
    if exercise.asks_for_a_function:
        blanks += [untouched, to_do, half_done]
    for blank in blanks:
        verdict = judge(exercise, blank)
        assert verdict.status is Status.NOT_ATTEMPTED, str(verdict)
        assert not verdict


@pytest.mark.parametrize("exercise", by_name(EXERCISES))
def test_an_exercise_is_complete(exercise):
    assert exercise.question.endswith(("?", ".")), exercise.question
    assert len(exercise.hints) >= 2
    assert len(exercise.mistakes) >= 2
    assert exercise.explanation
    sentences = (*exercise.hints, *(m.sentence for m in exercise.mistakes), exercise.explanation)
    for sentence in sentences:
        assert sentence.rstrip("'\"`)").endswith((".", "?", "!")), sentence
    if isinstance(exercise, ValueExercise) and exercise.options:
        assert exercise.right_answer() in exercise.options


@pytest.mark.parametrize("exercise", by_name(functions(EXERCISES)))
def test_data_hide_nothing(exercise):
    cases = exercise.cases()
    assert len(cases) >= 3
    names = list(cases[0])
    assert all(list(case) == names for case in cases), "all cases have the same arguments"
    for name in names:
        values = [part for case in cases for part in _parts(case[name])]
        arrays = [np.asarray(v.numpy() if isinstance(v, Tensor) else v) for v in values]
        if arrays[0].dtype.kind not in "biuf":
            continue
        if all(array.ndim < 2 for array in arrays):
            assert any(not np.array_equal(arrays[0], array) for array in arrays[1:]), name
            continue
        assert any(a.ndim >= 2 and a.shape[-1] != a.shape[-2] for a in arrays), f"{name} is square"
        assert any(_is_asymmetric(array) for array in arrays), f"{name} is symmetric"


def _parts(value):
    return value if isinstance(value, tuple) and isinstance(value[0], Tensor) else (value,)


def _is_asymmetric(array: np.ndarray) -> bool:
    flips = [array[..., ::-1, :], array[..., ::-1], array[..., ::-1, ::-1]]
    return not any(np.array_equal(array, flipped) for flipped in flips)


@pytest.mark.parametrize("exercise", by_name(EXERCISES))
def test_cases_are_the_same_each_time_and_stay_untouched(exercise):
    before, again = exercise.cases(), exercise.cases()

    def spoils(*arguments):
        for argument in (part for each in arguments for part in _parts(each)):
            data = argument.data if isinstance(argument, Tensor) else argument
            if isinstance(data, np.ndarray):
                data[...] = 0
        return 0

    outcomes(exercise, spoils if exercise.asks_for_a_function else 0, again)
    assert len(before) == len(again)
    for one, other in zip(before, again, strict=True):
        assert list(one) == list(other)
        for name in one:
            assert same(one[name], other[name], 0.0) or one[name] == other[name], name


@pytest.mark.parametrize("prediction", by_name(PREDICTIONS))
def test_predictions_turn_out_the_same_each_time(prediction):
    outcome = prediction.outcome()
    assert same(prediction.outcome(), outcome, 0.0)
    assert prediction.question.endswith(("?", ".")) and prediction.because.endswith(".")
    if prediction.options:
        assert outcome in prediction.options
    for trap in prediction.traps:
        wrong = trap.answer() if callable(trap.answer) else trap.answer
        assert not same(wrong, outcome, prediction.tolerance), trap.sentence


def test_lessons_are_numbered_as_their_modules():
    assert [lesson.number for lesson in LESSONS] == list(registry.numbers())
