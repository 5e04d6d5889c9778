"""Matrices as they are typed on the command line, and as they are printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet.cli import main
from minisegnet.cli.matrices import aligned_rows, read_matrix, written


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Runs ``minisegnet explain`` and returns its exit code and what it printed."""

    def explain_command(*arguments: str) -> tuple[int, str, str]:
        code = main(["explain", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return explain_command


def _numbers(text: str) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in text.splitlines()]


_SHAPES = hnp.array_shapes(min_dims=2, max_dims=4, max_side=4).filter(
    lambda shape: len(shape) < 3 or shape[-3] > 1
).filter(lambda shape: len(shape) < 4 or shape[0] > 1)  # fmt: skip


@given(hnp.arrays(np.int64, _SHAPES, elements=st.integers(-(10**8), 10**8)))
def test_integers_come_back_as_they_were_written(matrix: np.ndarray):
    found = read_matrix(written(matrix))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, matrix)


@given(hnp.arrays(np.float64, _SHAPES, elements=st.floats(-1e8, 1e8)))
def test_floats_come_back_bit_by_bit(matrix: np.ndarray):
    found = read_matrix(written(matrix))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, matrix)


@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(-99, 99)),
    st.lists(st.sampled_from([" ", ", ", ",", "\t", "   "]), min_size=1),
    st.sampled_from([";", " ; ", "\n", ";\n", "\n\t"]),
    st.sampled_from(["", ";", " ", "\n"]),
)
def test_blanks_commas_and_lines_are_alike(
    matrix: np.ndarray, separators: list[str], between: str, end: str
):
    rows = []
    for r, row in enumerate(matrix):
        row_text = str(row[0])
        for c, value in enumerate(row[1:]):
            row_text += separators[(r + c) % len(separators)] + str(value)
        rows.append(row_text)
    np.testing.assert_array_equal(read_matrix(between.join(rows) + end), matrix)


def test_the_minus_of_typesetters():
    assert read_matrix("1 \N{MINUS SIGN}2; +3 4").tolist() == [[1, -2], [3, 4]]


def test_rows_are_aligned():
    assert aligned_rows(np.array([[100, 2], [-3, 44]])) == ["100  2", " -3 44"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2; 3", 'row 2 of "1 2; 3" has 1 value and row 1 has 2 values'),
        ("1 2;; 3 4", "row 2 of .* is empty"),
        ("", "row 1 of .* is empty"),
        ("1 2 | ", "row 1 of .* is empty"),
        ("1 x", "'x' is not a number"),
        ("nan 1", "'nan' is not a number"),
        ("inf", "inf is too large"),
        ("1e9", "1e9 is too large: give numbers up to 100,000,000"),
        ("9" * 5000, "too large|not a number"),
        ("1 2 | 3", "matrix 2 is 1x1 and matrix 1 is 1x2"),
        ("1 | 2 || 3", "group 2 has 1 matrices and group 1 has 2"),
        ("0x10", "'0x10' is not a number"),
        ("0 " * 40_001, "40001 values are too many"),
    ],
)
def test_what_is_no_matrix(run, text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_matrix(text)
    code, out, err = run("conv", "--input", text, "--kernel", "1")
    assert (code, out) == (2, "")
    assert err.startswith("error: --input: ")


def test_a_file_holds_a_matrix(run, tmp_path: Path):
    table = tmp_path / "kernel.csv"
    table.write_text("\ufeff1,0\r\n# a remark\r\n\r\n1,1  # another\r\n", encoding="utf-8")
    code, out, _ = run("conv-transpose", "--input", "1 2; 3 4", "--kernel", f"@{table}", "--result")
    assert code == 0
    assert _numbers(out) == [[1, 2, 0], [4, 7, 2], [3, 7, 4]]


def test_the_standard_input_holds_a_matrix(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("1 2\n3 4\n"))
    _, out, _ = run("conv-transpose", "--input", "@-", "--kernel", "1 0; 1 1", "--result")
    assert _numbers(out) == [[1, 2, 0], [4, 7, 2], [3, 7, 4]]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x01", "folder"])
def test_a_file_that_is_none(run, tmp_path: Path, content: bytes | str | None):
    path = tmp_path / "a.txt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
    code, out, err = run("conv", "--input", f"@{path}", "--kernel", "1")
    assert (code, out) == (2, "")
    assert err.startswith("error: --input")
    assert str(path) in err
