"""Worksheets on paper, and the command that writes and checks them."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minisegnet import worksheets
from minisegnet.cli import main
from minisegnet.worksheets.answers import written
from minisegnet.worksheets.pages import PAPERS, _AnswerBlock, _ProblemBlock
from tests.worksheet_text import filled_in


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
    for problem in (p for seed in range(6) for p in worksheets.make(topic, seed, 9).problems):
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
    (tmp_path / "right.txt").write_text("\ufeff" + filled_in(sheet), encoding="utf-8")
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
