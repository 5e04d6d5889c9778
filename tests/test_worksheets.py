"""Worksheets: the answers are the engine's, mistakes are named, the paper is always the same."""

from __future__ import annotations

import ast
import functools
import re
from fractions import Fraction
from random import Random

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import worksheets
from minisegnet.worksheets.answers import check, read_answers, written
from minisegnet.worksheets.problem import Problem, are_apart, telling
from minisegnet.worksheets.sheet import LADDERS, Worksheet

F = ms.functional
SEEDS = range(6)
MOST = worksheets.MOST_PROBLEMS


@functools.cache
def _sheets(topic: str) -> list[Worksheet]:
    return [worksheets.make(topic, seed, 9) for seed in SEEDS]


def _problems(topic: str) -> list[Problem]:
    return [problem for sheet in _sheets(topic) for problem in sheet.problems]


def _given(problem: Problem, name: str) -> np.ndarray:
    """The given matrices whose names begin so, as (C, H, W)."""
    found = [given.matrix for given in problem.given if given.name.startswith(name)]
    return np.array(found)


def _options(problem: Problem) -> dict[str, tuple[int, int]]:
    """The options that the task speaks of, as pairs."""
    found = re.findall(r"(stride|output_padding|padding|dilation) (\d+|\(\d+, \d+\))", problem.task)
    pairs = {name: ast.literal_eval(value) for name, value in found}
    return {name: v if isinstance(v, tuple) else (v, v) for name, v in pairs.items()}


def _tensor(array: np.ndarray) -> ms.Tensor:
    return ms.tensor(array[None])


# ------------------------------------------------------------------ the answers are right


@pytest.mark.parametrize("topic", ["convolution", "dilated-convolution"])
def test_convolutions_are_the_engines(topic: str):
    """From what is printed alone: the matrices, and the options in the task's own words."""
    for problem in _problems(topic):
        bias = re.search(r"bias of (\d+)", problem.task)
        y = F.conv2d(
            _tensor(_given(problem, "input")),
            _tensor(_given(problem, "kernel")),
            ms.tensor([int(bias[1])]) if bias else None,
            **_options(problem),
        )
        np.testing.assert_array_equal(y.numpy()[0, 0], problem.answer, err_msg=problem.task)


def test_transposed_convolutions_are_the_engines():
    seen = set()
    for problem in _problems("transposed-convolution"):
        options = _options(problem)
        seen |= {name for name, pair in options.items() if pair not in ((0, 0), (1, 1))}
        y = F.conv_transpose2d(
            _tensor(_given(problem, "input")), _tensor(_given(problem, "kernel")), **options
        )
        np.testing.assert_array_equal(y.numpy()[0, 0], problem.answer, err_msg=problem.task)
    assert seen == {"stride", "padding", "output_padding", "dilation"}


def _pooled(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    window = re.search(r"windows of (\d+)x(\d+)", problem.task)
    assert window
    values, indices = F.max_pool2d(
        _tensor(x), (int(window[1]), int(window[2])), **_options(problem), return_indices=True
    )
    return values.numpy()[0, 0], indices.numpy()[0, 0]


def test_poolings_are_the_engines():
    seen = set()
    for problem in _problems("pooling"):
        names = {given.name for given in problem.given}
        if "values" in names:
            size = (len(problem.answer), len(problem.answer[0]))
            indices = (
                _given(problem, "indices")[0]
                if "indices" in names
                else _pooled(problem, _given(problem, "input"))[1]
            )
            y = F.max_unpool2d(
                _tensor(_given(problem, "values")), _tensor(indices[None]), 2, output_size=size
            ).numpy()[0, 0]
            seen.add("unpool")
        elif "nails" in problem.task:
            scale = [int(n) for n in re.findall(r"(\d) times", problem.task)]
            y = F.bed_of_nails(_tensor(_given(problem, "input")), tuple(scale)).numpy()[0, 0]
            seen.add("nails")
        else:
            both = _pooled(problem, _given(problem, "input"))
            y = both[problem.name == "indices"]
            seen.add(problem.name)
        np.testing.assert_array_equal(y, problem.answer, err_msg=problem.task)
    assert seen == {"unpool", "nails", "result", "indices"}


def _ratio(above: int, below: int) -> Fraction | None:
    return Fraction(int(above), int(below)) if below else None


def _iou(p: np.ndarray, t: np.ndarray, k: int) -> Fraction | None:
    return _ratio(((p == k) & (t == k)).sum(), ((p == k) | (t == k)).sum())


def _expected_scores(problem: Problem) -> dict[str, Fraction | int | None]:
    """All that a problem may ask for, counted pixel by pixel from the masks as printed."""
    truth, p = (
        np.array(
            [[-1 if v == "v" else v for v in row] for row in _given(problem, name)[0].tolist()]
        )
        for name in ("truth", "prediction")
    )
    truth, p = truth.astype(int), p.astype(int)
    p = np.where(truth < 0, -1, p)
    tp, fp, fn = (
        int(m.sum()) for m in (p * truth == 1, (p == 1) & (truth == 0), (p == 0) & (truth == 1))
    )
    ious = [_iou(p, truth, k) for k in range(4)]
    there = [iou for iou in ious if iou is not None]
    if "class 0" in problem.labels:
        return {f"class {k}": ious[k] for k in range(4)}
    return {
        "TP": tp, "FP": fp, "FN": fn, "IoU": ious[1], "IoU of class 1": ious[1],
        "Dice": _ratio(2 * tp, 2 * tp + fp + fn), "mean IoU": sum(there) / len(there),
        "pixel accuracy": _ratio(((p == truth) & (truth >= 0)).sum(), (truth >= 0).sum()),
    }  # fmt: skip


def test_scores_are_those_of_the_masks_as_printed():
    for problem in _problems("iou-dice"):
        if problem.name == "matrix":
            p, t = _given(problem, "prediction")[0], _given(problem, "truth")[0]
            want = [[((t == i) & (p == j)).sum() for j in range(3)] for i in range(3)]
            np.testing.assert_array_equal(problem.answer, want)
        elif problem.title == "One from the other":
            iou, dice = (given.matrix[0][0] for given in problem.given)
            assert str(iou) in problem.task and str(dice) in problem.task
            assert problem.answer == ((2 * iou / (1 + iou), dice / (2 - dice)),)
        else:
            expected = _expected_scores(problem)
            assert problem.answer == (tuple(expected[label] for label in problem.labels),)


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_the_whole_sum_of_a_cell_comes_to_its_value(topic: str):
    sums = 0
    for problem in _problems(topic):
        for line in problem.working:
            assert line.isascii()
            found = re.fullmatch(
                r"(?:result|indices)\[(\d+), (\d+)\] = ([\d*+() ,max-]+) = (-?\d+)", line
            )
            if found:
                row, column, total = int(found[1]), int(found[2]), int(found[4])
                assert (row, column) == problem.cell
                assert eval(found[3], {"max": max}) == total == problem.answer[row][column]
                sums += 1
            elif line.startswith("size"):
                left, right = line.rpartition(": ")[2].split(" = ")
                size = eval(left.replace("/", "//"), {"floor": lambda n: n})
                assert size == int(right)
                sides = (len(problem.answer), len(problem.answer[0]))
                wanted = {"rows and columns": sides, "rows": sides[:1], "columns": sides[1:]}
                name = line.removeprefix("size, ").partition(":")[0]
                assert all(size == side for side in wanted[name])
    assert sums > 0 or topic == "iou-dice"


# ------------------------------------------------------------------ the problems


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_a_seed_is_a_sheet_and_no_problem_comes_twice(topic: str):
    for seed in (0, 2**32 - 1):
        sheet = worksheets.make(topic, seed, MOST)
        assert worksheets.make(topic, seed, 4).problems == sheet.problems[:4]
        assert len({problem.given for problem in sheet.problems}) == MOST
    first = {worksheets.make(topic, seed, 1).problems[0].given for seed in range(20)}
    assert len(first) == 20


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_the_ladder_has_many_rungs_and_no_square_input(topic: str):
    assert len(LADDERS[topic]) >= 7
    for sheet in _sheets(topic):
        titles = [problem.title for problem in sheet.problems]
        assert len(set(titles[: len(LADDERS[topic])])) == len(LADDERS[topic])
        assert sheet.problems[0].is_framed
        for problem in sheet.problems:
            first = problem.given[0].matrix
            assert len(first) != len(first[0]) or len(first) == 1
            for given_ in problem.given:
                rows = given_.matrix
                if given_.kind == "kernel":
                    turned = tuple(row[::-1] for row in rows[::-1])
                    assert rows not in (turned, tuple(zip(*rows, strict=True)))


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_every_mistake_is_told_from_the_right_answer_and_from_the_others(topic: str):
    for problem in _problems(topic):
        assert len(problem.mistakes) >= 2
        assert len({mistake.sentence for mistake in problem.mistakes}) == len(problem.mistakes)
        assert problem.is_telling
        for number, mistake in enumerate(problem.mistakes):
            typed = read_answers(f"{number}: {'; '.join(written(mistake.answer).splitlines())}")
            verdict = check(problem, typed[number], number)
            assert (verdict.status, verdict.mistake) == ("wrong", mistake.sentence)
            assert mistake.sentence in str(verdict)


def test_a_problem_that_tells_nothing_is_drawn_again():
    blank = Problem("", "", (), ((0, 0),), mistakes=(worksheets.Mistake("alike", ((0, 0),)),))
    good = Problem("", "", (worksheets.Given("a", ((1,),)),), ((0, 1),))
    drawn = iter([blank, good, good])
    assert telling(lambda random: next(drawn), Random(0)) is good
    with pytest.raises(RuntimeError, match="no telling problem"):
        telling(lambda random: good, Random(0), [good])


def test_answers_that_round_alike_are_not_apart():
    third = Fraction(1, 3)
    assert not are_apart(((third, None),), ((Fraction(33, 100), None),))
    assert are_apart(((third, None),), ((third, 0),))
    assert are_apart(((third,),), ((third, third),))


def test_the_very_mistakes_of_a_small_transposed_convolution():
    """Worked out on paper: 2x3 input, 2x2 kernel, stride 1."""
    problem = worksheets.make("transposed-convolution", seed=6, problems=1).problems[0]
    assert [given_.matrix for given_ in problem.given] == [
        ((4, 0, 1), (2, 5, 3)),
        ((1, 3), (0, 2)),
    ]
    assert problem.answer == ((4, 12, 1, 3), (2, 19, 18, 11), (0, 4, 10, 6))

    def of(words: str) -> tuple:
        return next(m.answer for m in problem.mistakes if words in m.sentence)

    assert of("overwritten") == ((4, 0, 1, 3), (2, 5, 3, 9), (0, 0, 0, 6))
    assert of("not flipped") == ((8, 0, 2, 0), (16, 14, 9, 1), (6, 17, 14, 3))
    assert of("exchanged") == ((4, 0, 1, 0), (14, 13, 6, 2), (6, 19, 19, 6))
    assert of("gathers") == ((4 + 0 + 0 + 10, 0 + 3 + 0 + 6),)
