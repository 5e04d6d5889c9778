"""Worksheets: the answers are the engine's, mistakes are named, the paper is always the same."""

from __future__ import annotations

import ast
import functools
import io
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet import worksheets
from minisegnet.cli import main
from minisegnet.worksheets.answers import check, read_answers, read_number, written
from minisegnet.worksheets.pages import PAPERS, _AnswerBlock, _ProblemBlock
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


# ------------------------------------------------------------------ checking answers


def _filled_in(sheet: Worksheet) -> str:
    """The template with the right answers written under the numbers."""
    text = sheet.template()
    for number, problem in enumerate(sheet.problems, 1):
        text = text.replace(f"\n{number}:\n", f"\n{number}:\n{written(problem.answer)}\n")
    return text


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_the_template_filled_in_is_right_and_empty_is_not_answered(topic: str):
    for sheet in _sheets(topic):
        assert [v.status for v in sheet.check(_filled_in(sheet))] == ["right"] * 9
        assert [v.status for v in sheet.check(sheet.template())] == ["missing"] * 9
        assert [v.status for v in sheet.check("")] == ["missing"] * 9


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_one_wrong_cell_is_found(topic: str):
    random = Random(topic)
    for problem in _problems(topic):
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


# ------------------------------------------------------------------ the paper


def _pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_the_pdf_is_the_same_every_time(topic: str, tmp_path: Path):
    sheet = worksheets.make(topic, 4, 3)
    number = sheet.save(tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert _pages(pdf) == number >= 2
    sheet.save(tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").read_bytes() == pdf
    assert b"/CreationDate" not in pdf
    assert b"/MediaBox [ 0 0 595.28 841.89 ]" in pdf
    worksheets.make(topic, 5, 3).save(tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").read_bytes() != pdf


def test_the_pdf_is_the_same_in_another_process(tmp_path: Path):
    for name, hash_seed in (("a.pdf", "1"), ("b.pdf", "2")):
        subprocess.run(
            [sys.executable, "-m", "minisegnet", "worksheet", "iou-dice", "--seed", "3", "--out",
             str(tmp_path / name)],
            check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_letter_paper(tmp_path: Path):
    worksheets.make("pooling", 1, 2).save(tmp_path / "a.pdf", "letter")
    assert b"/MediaBox [ 0 0 612 792 ]" in (tmp_path / "a.pdf").read_bytes()
    with pytest.raises(ValueError, match="no paper 'lettre': did you mean 'letter'"):
        worksheets.make("pooling", 1).save(tmp_path / "a.pdf", "lettre")


@pytest.mark.parametrize("topic", worksheets.TOPICS)
def test_everything_fits_on_the_page(topic: str):
    width, height = min(w for w, _ in PAPERS.values()) - 84, min(h for _, h in PAPERS.values())
    for problem in _problems(topic):
        block, answer = _ProblemBlock(1, problem, width), _AnswerBlock(1, problem, width)
        assert max(block.height, answer.height) < height - 84 - 24 - 58
        for grid, left, top in block.body:
            assert 0 <= left <= width - 20 - grid.width
            for other, x, y in block.body:
                apart = left + grid.width < x or x + other.width < left
                assert grid is other or apart or top != y
        assert answer.grid.width <= width - 20
        rows, columns = len(problem.answer), len(problem.answer[0])
        room = block.answer
        assert getattr(room, "rows", rows) >= rows
        assert getattr(room, "columns", columns) >= columns


# ------------------------------------------------------------------ the command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs ``minisegnet worksheet`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def worksheet(*arguments: str) -> tuple[int, str, str]:
        code = main(["worksheet", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return worksheet


def test_a_sheet_is_written(run, tmp_path: Path):
    code, out, err = run("pooling", "--seed", "7", "--out", "sheet.pdf", "--problems", "3")
    assert (code, err) == (0, "")
    pages = _pages((tmp_path / "sheet.pdf").read_bytes())
    assert out == (
        f"sheet.pdf: 3 problems on pooling and unpooling, {pages} pages, the answers last\n"
    )
    want = tmp_path / "want.pdf"
    worksheets.make("pooling", 7, 3).save(want)
    assert want.read_bytes() == (tmp_path / "sheet.pdf").read_bytes()
    assert run("Transposed_Convolution", "--problems", "1")[0] == 0
    assert (tmp_path / "transposed-convolution-0.pdf").exists()


def test_answers_are_checked(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, template, _ = run("convolution", "--seed", "9", "--template")
    sheet = worksheets.make("convolution", 9)
    assert template == sheet.template()
    (tmp_path / "right.txt").write_text("\ufeff" + _filled_in(sheet), encoding="utf-8")
    code, out, err = run("convolution", "--seed", "9", "--answers", "right.txt")
    assert (code, err) == (0, "")
    assert out.splitlines() == [*(f"{n}: right" for n in range(1, 7)), "6 of 6 right"]
    flipped = sheet.problems[1].mistakes[0]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"2:\n{written(flipped.answer)}\n"))
    code, out, err = run("convolution", "--seed", "9", "--answers", "-")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "1: not answered"
    assert lines[1].startswith(f"2: wrong: {flipped.sentence}. First at result[")
    assert lines[-1] == "0 of 6 right"
    assert list(tmp_path.glob("*.pdf")) == [], "checking writes no sheet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "TOPIC"),
        (("poling",), "no topic 'poling': did you mean 'pooling'"),
        (("transpose-convolution",), "did you mean 'transposed-convolution'"),
        (("pooling", "--seed", "-1"), "--seed is '-1': give a whole number from 0"),
        (("pooling", "--seed", "x"), "--seed is 'x'"),
        (("pooling", "--problems", "0"), "--problems is '0': give a whole number from 1 to 20"),
        (("pooling", "--paper", "a5"), "--paper is 'a5': did you mean 'a4'"),
        (("pooling", "--out", "a.png"), "'a.png' must end in .pdf"),
        (("pooling", "--out", "nowhere/a.pdf"), "nowhere/a.pdf"),
        (("pooling", "--answers", "none.txt"), "none.txt"),
        (("pooling", "--answers", "bytes.txt"), "bytes.txt is not a text file"),
        (("pooling", "--template", "--out", "a.pdf"), "--template prints a text"),
        (("pooling", "--sede", "1"), "no option --sede .*did you mean '--seed'"),
    ],
)
def test_one_line_says_what_is_wrong(run, tmp_path: Path, arguments: tuple, message: str):
    (tmp_path / "bytes.txt").write_bytes(b"1: \xff\xfe")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert list(tmp_path.glob("*.pdf")) == []


def test_make_refuses_what_is_out_of_range():
    with pytest.raises(ValueError, match="seed is -1"):
        worksheets.make("pooling", -1)
    with pytest.raises(ValueError, match="21 problems: give 1 to 20"):
        worksheets.make("pooling", 1, 21)
    with pytest.raises(ValueError, match=r"must end in \.pdf"):
        worksheets.make("pooling", 1).save("sheet.png")
