"""``lessons.check``: what it says to every kind of right, wrong, blank and broken answer."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from minisegnet import functional as F
from minisegnet import lessons
from minisegnet.autograd import tensor
from minisegnet.lessons import FunctionExercise, Lesson, Mistake, Status, ValueExercise
from minisegnet.lessons.blanks import has_blank, is_blank
from minisegnet.lessons.checking import judge
from minisegnet.lessons.comparing import NotComparableError, comparable, difference, same, written
from minisegnet.lessons.lesson_04 import scatter


@pytest.fixture(autouse=True)
def _fresh_desk():
    lessons.forget()
    yield
    lessons.forget()


def weighted_sum(x, w, factor):
    """A definition that is asymmetric in everything."""
    return x * factor + w


def cases_of_sum(rng):
    for shape, factor in [((2, 3), 2), ((1, 2), 3), ((3, 4), 5)]:
        yield {
            "x": lessons.distinct(rng, shape),
            "w": lessons.distinct(rng, shape),
            "factor": factor,
        }


SUM = FunctionExercise(
    name="00/sum",
    question="Write weighted_sum(x, w, factor).",
    definition=weighted_sum,
    data=cases_of_sum,
    mistakes=(
        Mistake("You forgot the factor.", lambda x, w, factor: x + w),
        Mistake("Factor and w changed places.", lambda x, w, factor: x * w + factor),
        Mistake("That divides by zero.", lambda x, w, factor: 1 / 0),
    ),
    hints=("Think.", "Multiply, then add."),
    explanation="A sum.",
)
TABLE = ValueExercise(
    name="00/table",
    question="Fill in the table.",
    definition=lambda: tensor([[1, 2, 3], [4, 5, 6]]),
    mistakes=(Mistake("Rows and columns changed places.", lambda: [[1, 4], [2, 5], [3, 6]]),),
    hints=("One.", "Two."),
)
NUMBER = ValueExercise(
    name="00/number", question="What is 2/3?", definition=lambda: 2 / 3, mistakes=(), hints=()
)


# ------------------------------------------------------------------ right


@pytest.mark.parametrize(
    "as_their_own",
    [
        lambda y: y,
        lambda y: y.tolist(),
        lambda y: y.astype(np.float32),
        lambda y: tensor(y),
        lambda y: [tensor(row) for row in y],
        lambda y: tuple(map(tuple, y)),
        lambda y: [[Fraction(int(v)) for v in row] for row in y],
    ],
    ids=["array", "lists", "float32", "tensor", "list of tensors", "tuples", "fractions"],
)
def test_right_answers_of_every_kind(as_their_own):
    verdict = judge(SUM, lambda x, w, factor: as_their_own(x * factor + w))
    assert verdict
    assert str(verdict) == (
        "✓ 00/sum is right: It agrees with the definition in all 3 cases. A sum."
    )


def test_parameters_may_have_other_names_and_defaults():
    assert judge(SUM, lambda a, b, c=1, *more, flag=False: a * c + b)


def test_callable_objects_and_partials_are_functions_too():
    from functools import partial

    class Summer:
        def __call__(self, x, w, factor):
            return x * factor + w

    assert judge(SUM, Summer())
    assert judge(SUM, partial(weighted_sum))


def test_values():
    assert judge(TABLE, [[1, 2, 3], [4, 5, 6]])
    assert judge(TABLE, np.array([[1.0, 2, 3], [4, 5, 6]]))
    assert judge(NUMBER, 0.6666667)
    assert judge(NUMBER, Fraction(2, 3))
    assert judge(NUMBER, np.float32(2 / 3))
    assert not judge(NUMBER, 0.667)


# ------------------------------------------------------------------ wrong, and named


def test_a_known_mistake_is_named_with_an_example():
    verdict = judge(SUM, lambda x, w, factor: w + x)
    assert verdict.status is Status.WRONG
    assert verdict.mistake == "You forgot the factor."
    lines = str(verdict).split("\n")
    assert lines[0] == "✗ 00/sum, not yet: You forgot the factor."
    x, w = (np.asarray(v) for v in list(SUM.cases()[1].values())[:2])
    assert lines[1] == (
        f"  For example: First difference at [0, 0]: {x[0, 0] + w[0, 0]}, where "
        f"{3 * x[0, 0] + w[0, 0]} is expected (2 of 2 cells differ)."
    )


def test_a_mistake_that_raises_is_known_by_its_exception():
    verdict = judge(SUM, lambda x, w, factor: [][0] if x is None else 1 / 0)
    assert verdict.mistake == "That divides by zero."
    assert judge(SUM, lambda x, w, factor: int("one")).mistake is None


def test_a_mistake_must_be_the_same_in_all_cases():
    verdict = judge(SUM, lambda x, w, factor: x + w if x.size > 2 else x * 7 + w)
    assert verdict.mistake is None


def test_an_unknown_mistake_shows_the_smallest_case_that_differs():
    verdict = judge(SUM, lambda x, w, factor: x * factor + w + (x.shape[0] > 1) * (x == x.max()))
    shown = dict(verdict.details)
    case = SUM.cases()[0]
    assert case["x"].shape == (2, 3), "the case of 1x2 is right, and the one of 3x4 is larger"
    right = weighted_sum(**case)
    place = list(np.unravel_index(case["x"].argmax(), (2, 3)))
    assert verdict.sentence == (
        f"First difference at {[int(i) for i in place]}: {right[tuple(place)] + 1}, where "
        f"{right[tuple(place)]} is expected (1 of 6 cells differ)."
    )
    assert shown["x ="] == str(case["x"])
    assert shown["with"] == "factor = 2"
    assert shown["expected:"] == str(right)
    assert list(shown) == ["x =", "w =", "with", "yours:", "expected:"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x, w, factor: (x * factor + w).T, "Your result has shape (2, 1): the answer has"),
        (
            lambda x, w, factor: (x * factor + w)[None, None],
            "The numbers are right, but in shape (1, 1, 1, 2): the answer has shape (1, 2).",
        ),
        (lambda x, w, factor: {"sum": x}, "Your answer is a dict: give numbers"),
        (lambda x, w, factor: "seven", "Your answer is the word 'seven': the answer is an array"),
        (lambda x, w, factor: [[1, 2], [3]], "Your answer is a list whose rows differ in length"),
        (lambda x, w, factor: x + 1j, "Your answer is values of dtype complex128"),
        (lambda x, w, factor: print(end=""), "Your function returned None: end it with return"),
    ],
)
def test_wrong_shapes_and_kinds_have_their_own_sentences(answer, sentence):
    verdict = judge(SUM, answer)
    assert verdict.status is Status.WRONG
    assert verdict.sentence.startswith(sentence)


def test_exceptions_are_reported_with_the_line_and_the_case():
    def broken(x, w, factor):
        y = x * factor
        return y + w[:, 5]

    verdict = judge(SUM, broken)
    assert verdict.sentence == (
        "Your function raised IndexError: index 5 is out of bounds for axis 1 with size 2. In the "
        'line "return y + w[:, 5]".'
    )
    assert [label for label, _ in verdict.details] == ["x =", "w =", "with"]


def test_the_line_is_the_readers_own_even_if_numpy_raises():
    def inverts(x, w, factor):
        return np.linalg.inv(x) * factor + w

    sentence = judge(SUM, inverts).sentence
    assert sentence.startswith("Your function raised LinAlgError:")
    assert sentence.endswith('In the line "return np.linalg.inv(x) * factor + w".')


def test_interrupting_is_not_swallowed():
    def interrupted(x, w, factor):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(SUM, interrupted)


@pytest.mark.parametrize(
    ("exercise", "answer", "sentence"),
    [
        (SUM, np.ones((2, 3)), "You gave a value of type ndarray: give the function itself"),
        (SUM, lambda x: x, "Your function is called with x, w, factor (3 in this order)"),
        (TABLE, lambda: [[1]], "You gave a function: give what it returns."),
        (TABLE, [[1, 2, 3]], "Your result has shape (1, 3): the answer has shape (2, 3)."),
        (TABLE, [1, 2, 3, 4, 5, 6], "The numbers are right, but in shape (6,)"),
        (TABLE, [[1, 2, 3], [4, 9, 9]], "2 of 6 are wrong, the first at [1, 1]: 9."),
        (TABLE, tensor([[1, 2, 3], [4, 5, 7.5]]), "1 of 6 is wrong, the first at [1, 2]: 7.5."),
        (TABLE, "six", "Your answer is the word 'six'"),
        (TABLE, object(), "Your answer is an object: give numbers"),
        (NUMBER, 0.5, "0.5 is not it."),
        (NUMBER, [0.5, 1], "Your result has shape (2,)"),
    ],
)
def test_what_cannot_be_right_is_said_without_giving_the_answer_away(exercise, answer, sentence):
    verdict = judge(exercise, answer)
    assert verdict.status is Status.WRONG
    assert verdict.sentence.startswith(sentence)
    if not exercise.asks_for_a_function:
        assert "expected" not in str(verdict) and "0.666" not in str(verdict)


def test_a_word_that_is_no_option_is_met_with_the_options():
    verdict = lessons.check("04/chooser", "me")
    assert verdict.sentence == (
        '\'me\' is not one of the answers: choose "output padding", "padding", "the input" or '
        '"the kernel".'
    )
    assert lessons.check("04/chooser", "Output-Padding")
    assert not lessons.check("04/chooser", 5)


def test_results_in_parts():
    exercise = FunctionExercise(
        name="00/parts",
        question="Sum and shape.",
        definition=lambda x: (x + 1, x * 2),
        data=lambda rng: [{"x": lessons.distinct(rng, (2, 3))}],
        mistakes=(),
        hints=(),
    )
    assert judge(exercise, lambda x: (x + 1, x * 2))
    assert judge(exercise, lambda x: [tensor(x + 1), (x * 2).tolist()])
    assert judge(exercise, lambda x: (x + 1, x * 3)).sentence.startswith("Part 1: First diff")
    assert "has 2 parts" in judge(exercise, lambda x: x + 1).sentence


def test_apply_lets_an_exercise_ask_for_a_class():
    exercise = FunctionExercise(
        name="00/class",
        question="Write a class with a method twice.",
        definition=type("Doubler", (), {"twice": lambda self, x: 2 * x}),
        data=lambda rng: [{"x": 3}, {"x": 5}],
        apply=lambda answer, x: answer().twice(x),
        mistakes=(),
        hints=(),
    )
    assert judge(exercise, type("Mine", (), {"twice": lambda self, x: x + x}))
    assert "AttributeError" in judge(exercise, type("Mine", (), {})).sentence


def test_warnings_of_numpy_do_not_disturb():
    exercise = FunctionExercise(
        name="00/ratio",
        question="Divide.",
        definition=lambda a, b: a / b,
        data=lambda rng: [{"a": np.array([0.0, 1.0]), "b": np.array([0.0, 2.0])}],
        mistakes=(Mistake("0/0 is not 0.", lambda a, b: np.nan_to_num(a / b)),),
        hints=(),
    )
    assert judge(exercise, lambda a, b: np.divide(a, b))
    assert judge(exercise, lambda a, b: np.nan_to_num(a / b)).mistake == "0/0 is not 0."


# ------------------------------------------------------------------ blanks


def test_a_function_with_a_blank_in_it_is_not_attempted():
    def with_frame(x, w, factor):
        y = np.zeros_like(x)
        ...  # noqa: PIE790
        return y

    def with_hole(x, w, factor):
        y = x * factor
        y += ...
        return y

    def returns_it(x, w, factor):
        return ...

    for blank in (with_frame, with_hole, returns_it):
        verdict = judge(SUM, blank)
        assert verdict.status is Status.NOT_ATTEMPTED, str(verdict)
    assert "There is still a ... in it." in judge(SUM, with_frame).sentence


def test_a_right_answer_above_a_forgotten_blank_is_right():
    def answered(x, w, factor):
        ...  # noqa: PIE790
        return x * factor + w

    assert judge(SUM, answered)


def test_an_ellipsis_in_an_index_is_no_blank():
    def wrong(x, w, factor):
        return x[..., :] + w + 1

    assert not has_blank(wrong)
    assert judge(SUM, wrong).status is Status.WRONG


def test_a_class_with_a_blank_in_a_method_is_not_attempted():
    exercise = FunctionExercise(
        name="00/class",
        question="Write a class with a method twice.",
        definition=type("Doubler", (), {"twice": lambda self, x: 2 * x}),
        data=lambda rng: [{"x": 3}, {"x": 5}],
        apply=lambda answer, x: answer().twice(x) + 0,
        mistakes=(),
        hints=(),
    )

    class Untouched:
        def twice(self, x): ...

    class Tried:
        def twice(self, x):
            return x

    assert judge(exercise, Untouched).status is Status.NOT_ATTEMPTED
    assert judge(exercise, Tried).status is Status.WRONG


def test_blanks_are_seen_without_source():
    space: dict = {}
    exec(
        "def empty(x, w, factor):\n    ...\n"
        "def documented(x, w, factor):\n    'What to do.'\n"
        "def forgot_return(x, w, factor):\n    y = x * factor + w\n"
        "def constant(x, w, factor):\n    return 7\n"
        "def raises(x, w, factor):\n    raise NotImplementedError\n"
        "def zero(x, w, factor):\n    return 0\n"
        "def adds(x, w, factor):\n    return x + w\n"
        "def hole(x, w, factor):\n    return x * factor + ...\n",
        space,
    )
    for name in ("empty", "documented", "raises", "hole"):
        assert judge(SUM, space[name]).status is Status.NOT_ATTEMPTED, name
    for name in ("forgot_return", "constant", "zero", "adds"):
        assert judge(SUM, space[name]).status is Status.WRONG, name


@pytest.mark.parametrize(
    "blank", [..., None, [1, ...], [[1, 2], [None, 3]], (..., 2), np.array([1, ...])]
)
def test_values_with_blanks(blank):
    assert is_blank(blank)
    assert judge(TABLE, blank).status is Status.NOT_ATTEMPTED


# ------------------------------------------------------------------ comparing


def test_scatter_of_the_source_text():
    np.testing.assert_array_equal(
        scatter(np.array([[0, 2], [3, 1]]), np.array([[0, 1], [2, 3]]), 1),
        [[0, 0, 2], [0, 7, 7], [6, 11, 3]],
    )
    by_hand = lessons.registry.find_exercise("04/by-hand").right_answer()
    assert by_hand.tolist() == [[1, 2, 0], [4, 7, 2], [3, 7, 4]]


def test_nan_and_inf_are_values():
    assert same([np.nan, np.inf], [np.nan, np.inf], 1e-5)
    assert not same([np.nan, 1.0], [0.0, 1.0], 1e-5)
    assert not same([np.inf], [-np.inf], 1e-5)


def test_tolerance_grows_with_the_numbers_and_integers_are_exact():
    assert same([1e6 + 1.0, 0.0], [1e6, 0.0], 1e-5)
    assert not same([1.00002], [1.0], 1e-5)
    assert same([1e-9], [0.0], 1e-5) and same([0.0], [1e-9], 1e-5)
    assert not same([10_001], [10_000], 1e-5)


def test_booleans_and_empty_arrays_compare():
    assert same([True, False], np.array([1, 0]), 1e-5)
    assert same(np.zeros((0, 3)), np.zeros((0, 3)), 1e-5)
    assert not same(np.zeros((0, 3)), np.zeros((3, 0)), 1e-5)


def test_what_cannot_be_compared():
    for value in ({1, 2}, object(), [object()], b"bytes", ["a", "b"], [[1], [2, 3]]):
        with pytest.raises(NotComparableError):
            comparable(value)
    assert not same({1}, {1}, 1e-5)


def test_differences_count_cells():
    found = difference([[1, 2, 3], [4, 0, 0]], [[1, 2, 3], [4, 5, 6]], 1e-5)
    assert found.sentence == (
        "First difference at [1, 1]: 0, where 5 is expected (2 of 6 cells differ)."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((2, 3), "(2, 3)"),
        ([], "[]"),
        (True, "True"),
        (np.float32(0.1), "0.1"),
        ("word", "'word'"),
        (None, "None"),
        (tensor([[1, 2]]), "[[1 2]]"),
    ],
)
def test_written(value, text):
    assert written(value) == text


# ------------------------------------------------------------------ names, hints, reports


@pytest.mark.parametrize(
    "function", [lessons.hint, lessons.solution, lambda n: lessons.check(n, 1)]
)
def test_unknown_names_get_a_suggestion(function):
    with pytest.raises(ValueError, match=re.escape("did you mean '04/scatter'?")):
        function("04/scater")
    with pytest.raises(ValueError, match=re.escape("did you mean '04/scatter'?")):
        function("4/scattr")
    with pytest.raises(ValueError, match="there is no exercise 'scatter'"):
        function("scatter")


def test_short_numbers_will_do():
    assert lessons.check("4/inverse", "no inverse")
    assert lessons.report(4).done == lessons.report("04").done == ["04/inverse"]
    with pytest.raises(ValueError, match="there is no lesson 99: choose one of"):
        lessons.report(99)
    with pytest.raises(ValueError, match="there is no lesson 'x'"):
        lessons.exercises("x")


def test_hints_go_from_vague_to_concrete_and_stay_at_the_last():
    exercise = lessons.registry.find_exercise("04/scatter")
    given = [lessons.hint("04/scatter") for _ in range(4)]
    count = len(exercise.hints)
    assert [note.title for note in given] == [
        f"04/scatter, hint {min(n, count)} of {count}" for n in (1, 2, 3, 4)
    ]
    assert given[0].sentence == exercise.hints[0]
    assert given[-1].sentence.startswith(exercise.hints[-1])
    assert "lessons.solution('04/scatter')" in given[-1].sentence
    with pytest.raises(ValueError, match=f"hints 1 to {count}: there is no hint 9"):
        lessons.hint("04/scatter", level=9)


def test_the_solution_of_a_function_is_source_that_passes():
    (label, source), *_ = lessons.solution("04/scatter").details
    assert label == "answer:" and source.startswith("def scatter(x, kernel, stride):")
    space = {"np": np, "F": F}
    exec(source, space)
    assert lessons.check("04/scatter", space["scatter"])


def test_a_report_sorts_by_the_last_verdict():
    lessons.check("04/inverse", "too slow")
    lessons.check("04/chooser", "the input")
    lessons.check("04/inverse", "no inverse")
    lessons.check("04/zeros", ...)
    report = lessons.report(4)
    assert (report.done, report.wrong) == (["04/inverse"], ["04/chooser"])
    assert set(report.not_attempted) == set(lessons.exercises(4)) - {"04/inverse", "04/chooser"}
    assert not report
    head, *rest = str(report).split("\n")
    assert head == f"Lesson 04, Transposed convolution: 1 of {len(report.standing)} exercises done"
    assert rest[:2] == ["  done: 04/inverse", "  wrong so far: 04/chooser"]
    assert "04/scatter" in rest[2] and rest[2].startswith("  not attempted: ")
    assert report.questions["04/inverse"] in report._repr_html_()


def test_a_questionnaire_is_right_if_all_of_it_is():
    right = {"04/inverse": "no inverse", "04/chooser": "output padding"}
    assert lessons.check_all(right)
    some = lessons.check_all({**right, "04/zeros": "bias"})
    assert not some and [bool(verdict) for verdict in some] == [True, True, False]
    assert str(some).count("\n") == 2


def test_html_shows_everything_and_lets_nothing_through():
    verdict = judge(SUM, lambda x, w, factor: "<script>")
    html = verdict._repr_html_()
    assert "&lt;script&gt;" in html and "<script>" not in html
    assert "factor =" in html and "not yet" in html
    notes = lessons.check_all({"04/inverse": "too slow", "04/zeros": ...})
    assert all(note._repr_html_() in notes._repr_html_() for note in notes)


def test_a_lesson_refuses_names_of_another_and_twice_the_same():
    with pytest.raises(ValueError, match=r"'00/sum' must be '07/\.\.\.'"):
        Lesson(7, "Losses", (SUM,))
    with pytest.raises(ValueError, match="'00/sum' is used twice"):
        Lesson(0, "Sums", (SUM, SUM))


def test_distinct_integers_differ_and_are_not_zero():
    rng = np.random.default_rng(3)
    for shape in [(2, 3), (1, 2, 3, 4), (5,)]:
        for signed in (False, True):
            values = lessons.distinct(rng, shape, signed)
            assert values.shape == shape and values.dtype == np.int64
            assert len(np.unique(np.abs(values))) == values.size and (values != 0).all()
    assert (lessons.distinct(rng, (3, 4), signed=True) < 0).any()
    assert (lessons.distinct(rng, (3, 4)) > 0).all()
