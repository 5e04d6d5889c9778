"""Answers to worksheets: read, checked, and wrong ones named."""

from __future__ import annotations

import functools
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import worksheets
from minisegnet.worksheets.answers import check, read_answers, read_number, written
from minisegnet.worksheets.sheet import Worksheet
from tests.worksheet_text import filled_in

SEEDS = range(6)


@functools.cache
def _sheets(topic: str) -> list[Worksheet]:
    return [worksheets.make(topic, seed, 9) for seed in SEEDS]


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_the_template_filled_in_is_right_and_empty_is_not_answered(topic: str):
    for sheet in _sheets(topic):
        assert [v.status for v in sheet.check(filled_in(sheet))] == ["right"] * 9
        assert [v.status for v in sheet.check(sheet.template())] == ["missing"] * 9
        assert [v.status for v in sheet.check("")] == ["missing"] * 9


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_one_wrong_cell_is_found(topic: str):
    random = Random(topic)
    for problem in (problem for sheet in _sheets(topic) for problem in sheet.problems):
        row, column = (
            random.randrange(len(problem.answer)),
            random.randrange(len(problem.answer[0])),
        )
        wrong = [list(line) for line in problem.answer]
        wrong[row][column] = 77
        typed = read_answers("1:\n" + written(tuple(map(tuple, wrong))))[1]
        verdict = check(problem, typed)
        assert verdict.status == "wrong"
        assert verdict.sentence.endswith("not 77.")
        where = f"[{row}, {column}]"
        if problem.labels and len(problem.answer) == 1:
            where = problem.labels[column]
        assert f"irst at {problem.name if where[0] == '[' else ''}{where}:" in verdict.sentence
        assert not verdict.mistake


def test_sizes_and_turned_answers_are_named():
    problem = worksheets.make("convolution", seed=5, problems=2).problems[1]
    rows = [list(map(str, row)) for row in problem.answer]

    def verdict(table: list[list[str]]) -> worksheets.Verdict:
        return check(problem, read_answers("1: " + "; ".join(map(" ".join, table)))[1])

    assert verdict(rows).status == "right"
    assert verdict([list(row) for row in zip(*rows, strict=True)]).mistake == (
        "rows and columns are exchanged"
    )
    assert "turned" in verdict(rows[::-1]).mistake
    short = verdict([row[:-1] for row in rows])
    right = f"{len(rows)}x{len(rows[0])}"
    assert (
        f"you wrote {len(rows)}x{len(rows[0]) - 1}, and the result is {right} (" in short.sentence
    )
    assert "floor((" in short.sentence


def test_a_mistake_made_in_a_few_cells_is_named():
    problem = worksheets.make("transposed-convolution", seed=6, problems=1).problems[0]
    overwritten = next(m for m in problem.mistakes if "overwritten" in m.sentence)
    mixed = [list(row) for row in problem.answer]
    mixed[1][1:3] = overwritten.answer[1][1:3]
    verdict = check(problem, read_answers("1:\n" + written(tuple(map(tuple, mixed))))[1])
    assert verdict.mistake == f"in some cells {overwritten.sentence}"
    assert "First at result[1, 1]: it is " in verdict.sentence
    mixed[1][2] = problem.answer[1][2]
    once = check(problem, read_answers("1:\n" + written(tuple(map(tuple, mixed))))[1])
    assert (once.status, once.mistake) == ("wrong", ""), "once may be a slip"


@given(st.lists(st.lists(st.integers(-99, 99), min_size=3, max_size=3), min_size=1, max_size=4))
def test_answers_are_read_as_they_are_written(rows: list[list[int]]):
    matrix = tuple(map(tuple, rows))
    typed = read_answers(f"7:\n{written(matrix)}\n8: 1")
    assert tuple(tuple(number.value for number in row) for row in typed[7]) == matrix
    commas = "; ".join(", ".join(map(str, row)) for row in rows)
    assert read_answers(f"# a remark\n 7) {commas} # and more")[7] == typed[7]


@given(st.fractions(min_value=0, max_value=1, max_denominator=40))
def test_fractions_and_rounded_decimals_are_right(value: Fraction):
    assert read_number(str(value)).agrees(value)
    for places in (2, 3, 6):
        assert read_number(f"{float(value):.{places}f}").agrees(value)
    assert not read_number(f"{float(value) + 0.02:.4f}").agrees(value)


def test_numbers():
    assert read_number("-.5").value == Fraction(-1, 2)
    assert read_number("3.").value == 3
    assert read_number("\N{MINUS SIGN}3").value == -3
    assert not read_number("0.3").agrees(Fraction(1, 3))
    assert not read_number("-").agrees(0)
    assert not read_number("0").agrees(None)
    assert read_number("6.00").agrees(6)
    for word in ("x", "1/0", "1/", "--3", "1e5", "nan", "", "."):
        with pytest.raises(ValueError, match="is not a number"):
            read_number(word)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2", "line 1: '1 2' belongs to no problem"),
        ("\n1: 1 2\n3", "line 3: row 1 of problem 1 has 1 numbers and row 0 has 2"),
        ("1: 1 two", "line 1: 'two' is not a number"),
        ("1: 1\n2: 3\n1: 4", "line 3: problem 1 is there already, on line 1"),
        ("7: 1", "there is no problem 7 on this sheet of 6"),
        ("0: 1", "there is no problem 0"),
        ("# minisegnet worksheet pooling --seed 2", "written for '.*seed 2'.*'.*seed 1'"),
        ("# minisegnet worksheet pooling --seed 1 --problems 7\n", "problems 7'.* the same topic"),
    ],
)
def test_answers_that_cannot_be_read(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        worksheets.make("pooling", 1).check(text)
