"""``minisegnet explain``: what is typed, what is printed, what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minisegnet as ms
from minisegnet import explain
from minisegnet.cli import main
from minisegnet.cli.explain_sizes import read_range
from minisegnet.cli.matrices import read_matrix

F = ms.functional
POOLED = "1 4 4 8; 7 0 3 2; 3 1 2 1; 2 0 3 5"
SQUARE = ["conv-transpose", "--input", "1 2; 3 4", "--kernel", "1 0; 1 1"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Runs ``minisegnet explain`` and returns its exit code and what it printed."""

    def explain_command(*arguments: str) -> tuple[int, str, str]:
        code = main(["explain", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return explain_command


def _numbers(text: str) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in text.splitlines() if line]


def _as_numbers(matrix: object) -> list[list[float]]:
    return np.asarray(matrix, float).tolist()


# ------------------------------------------------------------------ the worked numbers

WORKED = [
    (SQUARE, [[1, 2, 0], [4, 7, 2], [3, 7, 4]]),
    (
        ["conv-transpose", "--input", "0 2; 3 1", "--kernel", "0 1; 2 3", "--view", "scatter"],
        [[0, 0, 2], [0, 7, 7], [6, 11, 3]],
    ),
    (
        ["nearest", "--input", "1 3; 2 0", "--scale", "2"],
        [[1, 1, 3, 3], [1, 1, 3, 3], [2, 2, 0, 0], [2, 2, 0, 0]],
    ),
    (
        ["bed-of-nails", "--input", "1 4; 3 2", "--scale", "2"],
        [[1, 0, 4, 0], [0, 0, 0, 0], [3, 0, 2, 0], [0, 0, 0, 0]],
    ),
    (["max-pool", "--input", POOLED, "--kernel-size", "2"], [[7, 8], [3, 5]]),
    (
        ["max-unpool", "--input", "1 3; 2 4", "--indices", "4 3; 8 15", "--kernel-size", "2"],
        [[0, 0, 0, 3], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4]],
    ),
    (
        # Output padding uncovers K[1:, 1:] times the input: no zeros are appended.
        ["conv-transpose", "--input", "10", "--kernel", "1 2 3; 4 5 6; 7 8 9", "--stride", "2",
         "--padding", "1", "--output-padding", "1"],
        [[50, 60], [80, 90]],
    ),
    (["softmax", "--input", "2 30"], [[6.914400106935423e-13, 1]]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "rows"), WORKED, ids=lambda v: str(v[0]))
def test_the_worked_numbers_come_out(run, arguments: list[str], rows: list[list[float]]):
    code, out, err = run(*arguments, "--result")
    assert (code, err) == (0, "")
    np.testing.assert_allclose(_numbers(out), rows, rtol=1e-9)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    # The whole text shows the same rows, one a line, zeros as zeros.
    size = "x".join(map(str, np.shape(rows)))
    shown = out.split(f"\nresult ({size})\n")[1].split("\n\n")[0]
    np.testing.assert_allclose(_numbers(shown), rows, rtol=1e-3, atol=1e-12)


def test_a_cell_is_a_sum_with_the_sources_of_its_factors(run):
    code, out, _ = run(*SQUARE, "--at", "1,1")
    assert code == 0
    assert "result[1, 1] = 1*1 + 2*1 + 3*0 + 4*1 = 7\n" in out
    assert re.search(r"3\*0 = 0 +input\[1, 0\] +kernel\[0, 1\]", out)
    assert "4 [7] 2" in out, "the window is marked"
    assert "\n4 7 2\n" in out, "the result itself is not"
    assert run(*SQUARE, "--at", "1,1", "--result")[1] == "1*1 + 2*1 + 3*0 + 4*1 = 7\n"
    assert run(*SQUARE, "--at", "-2 -2", "--result")[1] == "1*1 + 2*1 + 3*0 + 4*1 = 7\n"


def test_a_long_sum_stays_on_one_line_in_a_file(run):
    big = "; ".join(" ".join(str(r * 6 + c) for c in range(6)) for r in range(6))
    _, out, _ = run("conv", "--input", big, "--kernel", big, "--at", "0,0")
    line = next(line for line in out.splitlines() if line.startswith("result[0, 0] = "))
    assert line.count("*") == 36
    assert line.endswith(f"= {sum(n * n for n in range(36))}")


# ------------------------------------------------------------------ every operation

EVERY = {
    "conv": ["--input", "1 2 3; 4 5 6", "--kernel", "1 0; 2 -1", "--bias", "5"],
    "conv-transpose": ["--input", "1 2; 3 4", "--kernel", "1 0 2", "--stride", "2,1"],
    "max-pool": ["--input", "1 2 3; 4 5 6", "--kernel-size", "2", "--stride", "1"],
    "max-unpool": ["--input", "1 3", "--indices", "1 6", "--kernel-size", "2"],
    "bed-of-nails": ["--input", "1 4; 3 2", "--scale", "2,3"],
    "interpolate": ["--input", "1 3; 2 0", "--size", "3,5", "--mode", "bilinear"],
    "nearest": ["--input", "1 3; 2 0", "--size", "3,5"],
    "bilinear": ["--input", "1 3; 2 0", "--scale-factor", "2", "--align-corners"],
    "softmax": ["--input", "2 30", "--names", "cat,background"],
    "cross-entropy": ["--input", "2 30; 1 1", "--target", "0 1"],
    "dice": ["--prediction", "1 0; 1 1", "--target", "1 1; 0 1"],
    "iou": ["--prediction", "1 0; 1 1", "--truth", "1 1; 0 1"],
    "confusion-matrix": ["--prediction", "1 0; 2 1", "--target", "1 1; 0 1"],
}


@pytest.mark.parametrize("name", EVERY)
def test_every_operation_prints_accounts_and_is_json(run, name: str):
    code, out, err = run(name, *EVERY[name])
    assert (code, err) == (0, "")
    assert out.startswith(f"{explain.operation(name).name}\n")
    code, out, err = run(name, *EVERY[name], "--at", "0,1" if name == "conv" else "0,0")
    assert (code, err) == (0, "")
    assert re.search(r"^\w+\[[\d, ]+\] = .+ = ", out, re.MULTILINE), out
    code, out, err = run(name, *EVERY[name], "--json", "--at", "0,0")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["operation"] == name
    _, plain, _ = run(name, *EVERY[name], "--result")
    np.testing.assert_allclose(
        np.atleast_2d(found["result"]), _numbers(plain), rtol=1e-9, err_msg=name
    )
    assert found["steps"][0]["title"] == "Start"
    _, equation, _ = run(name, *EVERY[name], "--result", "--at", "0,0")
    assert equation == found["at"]["equation"] + "\n"
    code, out, _ = run(name, "--help")
    assert code == 0
    assert "--at R,C" in out


def test_every_operation_of_the_library_is_there(run):
    assert set(explain.OPERATIONS) <= set(EVERY)
    _, out, _ = run()
    for name in (*EVERY, "sizes"):
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("conv2d", "conv"),
        ("conv_transpose2d", "conv-transpose"),
        ("conv-transpose2d", "conv-transpose"),
        ("deconv", "conv-transpose"),
        ("max_pool2d", "max-pool"),
        ("bed_of_nails", "bed-of-nails"),
        ("jaccard", "iou"),
    ],
)
def test_other_names(run, spelling: str, name: str):
    assert run(spelling, *EVERY[name], "--result") == run(name, *EVERY[name], "--result")


def test_options_arrive(run):
    x, w = [[1, 2, 3], [4, 5, 7]], [[2, 0], [1, -3]]
    options = {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "dilation": (1, 2)}
    flags = [
        text
        for name, pair in options.items()
        for text in (f"--{name.replace('_', '-')}", f"{pair[0]},{pair[1]}")
    ]
    given_ = ["--input", "1 2 3;4 5 7", "--kernel", "2,0;1,-3", "--bias", "4"]
    _, out, _ = run("conv-transpose", *given_, *flags, "--result")
    want = F.conv_transpose2d(
        ms.tensor([[x]]), ms.tensor([[w]]), ms.tensor([4]), **options
    ).numpy()[0, 0]
    assert _numbers(out) == _as_numbers(want)


def test_views_agree_and_all_shows_each(run):
    results = {
        view: run(*SQUARE, "--stride", "2", "--view", view, "--result")[1]
        for view in ("zero-insertion", "scatter", "matrix", "Zero_Insertion".replace("_", " "))
    }
    assert len(set(results.values())) == 1
    _, out, _ = run(*SQUARE, "--view", "all")
    for view in ("zero insertion", "scatter", "matrix"):
        assert f"conv_transpose2d, {view}\n" in out
    found = json.loads(run(*SQUARE, "--view", "all", "--json")[1])
    assert [walk["view"] for walk in found] == ["zero insertion", "scatter", "matrix"]
    assert run("conv", "--input", "1 2; 3 4", "--kernel", "5", "--view", "matrix")[0] == 0


def test_json_has_no_nan(run):
    masks = ["--prediction", "0 0", "--target", "0 0"]
    assert run("dice", *masks, "--result")[1] == "nan\n"
    _, out, _ = run("dice", *masks, "--json")
    assert json.loads(out)["result"] is None
    assert "NaN" not in out


def test_colours_only_on_a_terminal(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" not in run(*SQUARE, "--at", "1,1")[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    coloured = run(*SQUARE, "--at", "1,1")[1]
    assert "\x1b[" in coloured
    assert "[7]" not in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run(*SQUARE, "--at", "1,1")[1]


# ------------------------------------------------------------------ channels

TWO = "1 2 0; 3 4 5 | 5 6 1; 7 8 2"
KERNELS = "1 0; 1 1 | 2 1; 0 3"


def _maps(text: str) -> ms.Tensor:
    return ms.tensor(read_matrix(text)[None])


@pytest.mark.parametrize(
    ("name", "input_", "kernel", "groups", "shape"),
    [
        ("conv", TWO, KERNELS, 1, (1, 2, 2, 2)),
        ("conv", TWO, KERNELS, 2, (2, 1, 2, 2)),
        ("conv", "1 2 0; 3 4 5", KERNELS, 1, (2, 1, 2, 2)),
        ("conv", TWO, f"{KERNELS} || 1 1; 0 1 | 0 2; 5 0", 1, (2, 2, 2, 2)),
        ("conv-transpose", TWO, KERNELS, 1, (2, 1, 2, 2)),
        ("conv-transpose", TWO, KERNELS, 2, (2, 1, 2, 2)),
        ("conv-transpose", "1 2 0; 3 4 5", KERNELS, 1, (1, 2, 2, 2)),
        ("conv-transpose", TWO, f"{KERNELS} || 1 1; 0 1 | 0 2; 5 0", 1, (2, 2, 2, 2)),
    ],
)
def test_channels(run, name: str, input_: str, kernel: str, groups: int, shape: tuple):
    code, out, err = run(
        name, "--input", input_, "--kernel", kernel, "--groups", str(groups), "--result"
    )
    assert (code, err) == (0, "")
    x = read_matrix(input_)
    x = x[None] if x.ndim == 3 else x[None, None]
    op = F.conv2d if name == "conv" else F.conv_transpose2d
    want = op(ms.tensor(x), ms.tensor(read_matrix(kernel).reshape(shape)), groups=groups).numpy()
    assert [_numbers(part) for part in out.split("\n\n")] == [_as_numbers(m) for m in want[0]]


def test_the_cell_of_a_channel(run):
    arguments = ["conv-transpose", "--input", "1 2", "--kernel", "1 0 | 2 5", "--at", "0,1"]
    assert run(*arguments, "--result")[1] == "1*0 + 2*1 = 2\n"
    assert run(*arguments, "--channel", "1", "--result")[1] == "1*5 + 2*2 = 9\n"
    _, out, _ = run(*arguments)
    assert "result, channel 1 (1x3)\n2 9 10\n" in out


def test_maps_of_classes(run):
    """Softmax and cross-entropy take a map for each class, and a mask."""
    logits = "2 1; 3 1 | 1 2; 0 2"
    _, out, _ = run("softmax", "--input", logits, "--result")
    z = read_matrix(logits).astype(float)
    want = np.exp(z) / np.exp(z).sum(0)
    np.testing.assert_allclose([_numbers(part) for part in out.split("\n\n")], want, rtol=1e-12)
    _, out, _ = run("cross-entropy", "--input", logits, "--target", "0 1; 1 0", "--result")
    costs = -np.log([want[0, 0, 0], want[1, 0, 1], want[1, 1, 0], want[0, 1, 1]])
    assert float(out) == pytest.approx(costs.mean(), rel=1e-12)


# ------------------------------------------------------------------ what is refused

REFUSED = [
    (["conv-tranpose"], "no operation 'conv-tranpose': did you mean 'conv-transpose'"),
    (["sofmax"], "did you mean 'softmax'"),
    (["conv", "--input", "1 2"], "--kernel is missing: give the kernel, such as"),
    (["conv", "--input", "1 2", "--kernal", "1"], "no option --kernal .* did you mean '--kernel'"),
    (["conv", "--input", "1 2", "--kernel", "1; 1"], "kernel spans 2 rows .* has 1 "),
    ([*SQUARE, "--at", "3,1"], "no row 3 in the 3x3 result: choose 0 to 2"),
    ([*SQUARE, "--at", "1,-4"], "no column -4 in the 3x3 result"),
    ([*SQUARE, "--at", "1"], "--at is '1': give a row and a column"),
    ([*SQUARE, "--at", "1,1", "--channel", "1"], "no channel 1"),
    ([*SQUARE, "--at", "1,1", "--channel", "a"], "--channel is 'a': give a whole number"),
    ([*SQUARE, "--stride", "2,"], None),
    ([*SQUARE, "--stride", "x"], '--stride: "x" is neither'),
    ([*SQUARE, "--stride", "0"], "stride is 0: it must be at least 1"),
    ([*SQUARE, "--output-padding", "1"], "--output-padding 1 .* must be smaller than the stride"),
    ([*SQUARE, "--stride", "500"], "1002x1002 cells: give a smaller input or smaller options"),
    ([*SQUARE, "--dilation", "90000"], "cells: give a smaller input"),
    ([*SQUARE, "--padding", "90000"], "cells: give a smaller input"),
    (["nearest", "--input", "1", "--size", "9999"], "9999x9999 cells"),
    (["bilinear", "--input", "1", "--scale", "1e9"], "cells: give a smaller input"),
    (["bed-of-nails", "--input", "1", "--scale", "9999"], "cells: give a smaller input"),
    ([*SQUARE, "--view", "scater"], "--view is 'scater': did you mean 'scatter'"),
    ([*SQUARE, "--save", "a.bmp"], "--save a.bmp: .* .png, .pdf, .svg, .gif"),
    ([*SQUARE, "--save", "nowhere/a.png"], "nowhere/a.png.*create the folder"),
    ([*SQUARE, "--view", "all", "--save", "a.png"], "one picture shows one view"),
    (["max-pool", "--input", "1 2", "--kernel-size", "2"], "kernel reaches over .* 2 rows"),
    (
        ["max-unpool", "--input", "1", "--indices", "9", "--kernel-size", "2"],
        "index 9 .* 0 to 3.* --output-size",
    ),
    (["nearest", "--input", "1 2"], "neither of size and --scale-factor given"),
    (["interpolate", "--input", "1", "--size", "2", "--mode", "linear"], "did you mean 'bilinear'"),
    (["iou", "--prediction", "0 255", "--target", "0 255"], "or pass --positive 255"),
    (["iou", "--prediction", "0 1", "--target", "0; 1"], "give two masks of one shape"),
    (["cross-entropy", "--input", "1 2", "--target", "2"], "go from 0 to 1"),
    (["cross-entropy", "--input", "1 2", "--target", "0.5"], "target holds float64"),
    (["softmax", "--input", "1 2", "--names", "a"], "1 names for 2 classes"),
    (
        ["confusion-matrix", "--prediction", "2", "--target", "0", "--num-classes", "2"],
        "holds the label 2 .* check --num-classes",
    ),
    (["sizes", "--from", "0", "--to", "4"], "--from is '0': give sizes from 1 to 10000"),
    (["sizes", "--from", "a", "--to", "4"], "--from is 'a': give a size such as"),
    (["sizes", "--from", "2", "--to", "4", "--kernels", "3-2"], "--kernels is '3-2'"),
    (["sizes", "--from", "2", "--to", "4", "--strides", "0"], "--strides is '0'"),
    (["sizes", "--from", "2", "--to", "4", "--dilations", ","], "--dilations is empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), REFUSED, ids=lambda v: " ".join(v or ["-"])[-40:]
)
def test_one_line_says_what_is_wrong(
    run, arguments: list[str], message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    if message is None:
        assert code == 0
        return
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ pictures


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_save_draws_the_steps(run, tmp_path: Path, ending: str):
    path = tmp_path / f"steps.{ending}"
    code, out, _ = run(*SQUARE, "--at", "1,1", "--save", str(path))
    assert code == 0
    assert out.endswith(f"\nsaved {path}\n")
    begin = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert path.read_bytes().startswith(begin)


def test_save_draws_the_cell(run, tmp_path: Path):
    for cell in ("0,0", "1,1"):
        _, out, _ = run(*SQUARE, "--at", cell, "--save", str(tmp_path / f"{cell}.png"), "--result")
        assert "saved" not in out
    first, second = (np.asarray(Image.open(tmp_path / f"{c}.png")) for c in ("0,0", "1,1"))
    assert first.shape != second.shape or (first != second).any()


def test_a_gif_moves(run, tmp_path: Path):
    path = tmp_path / "slide.gif"
    code, out, _ = run("conv", "--input", "1 2 3", "--kernel", "1 2", "--save", str(path), "--json")
    assert code == 0
    json.loads(out)
    with Image.open(path) as film:
        assert film.n_frames == 2


# ------------------------------------------------------------------ sizes


def _brute_force(before: int, after: int, kernels: range, strides: range, dilations: range) -> set:
    return {
        (k, s, p, a, d)
        for k in kernels
        for s in strides
        for d in dilations
        for p in range(d * (k - 1) + 1)
        for a in range(max(s, d))
        if (before - 1) * s - 2 * p + d * (k - 1) + a + 1 == after and (k > 1 or d == dilations[0])
    }


@pytest.mark.parametrize(("before", "after"), [(29, 57), (4, 9), (7, 7), (3, 16)])
def test_sizes_finds_all_that_there_are(run, before: int, after: int):
    code, out, _ = run(
        "sizes", "--from", str(before), "--to", str(after), "--kernels", "1-5", "--strides", "1-4",
        "--dilations", "1,2", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    names = ("kernel", "stride", "padding", "output_padding", "dilation")
    got = [tuple(solution[name] for name in names) for solution in found["solutions"]]
    assert len(set(got)) == len(got)
    assert set(got) == _brute_force(before, after, range(1, 6), range(1, 5), range(1, 3))
    for solution, (k, s, p, a, d) in zip(found["solutions"], got, strict=True):
        y = F.conv_transpose2d(
            ms.tensor(np.ones((1, 1, before, before))), ms.tensor(np.ones((1, 1, k, k))),
            stride=s, padding=p, output_padding=a, dilation=d,
        )  # fmt: skip
        assert y.shape == (1, 1, after, after)
        # Of ones, the result counts the multiply-adds of each cell.
        assert solution["multiply_adds"] == pytest.approx(y.numpy().mean())


def test_sizes_prints_a_table(run):
    code, out, _ = run("sizes", "--from", "29", "--to", "57", "--kernels", "2-4", "--strides", "2")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "From 29x29 to 57x57 by a transposed convolution:"
    assert [line.split()[:7] for line in lines[2:]] == [
        ["2", "2", "1", "1", "1", "1", "1"],
        ["4", "2", "2", "1", "1", "4", "1"],
        ["3", "2", "1", "0", "1", "1", "to"],
    ]
    _, even, _ = run(
        "sizes", "--from", "29", "--to", "57", "--kernels", "2-4", "--strides", "2", "--even"
    )
    assert len(even.splitlines()) == 4
    assert run("sizes", "--from", "4,5", "--to", "8x10", "--even")[1].startswith(
        "From 4x5 to 8x10 by"
    )


def test_sizes_says_when_there_is_none(run):
    code, out, _ = run("sizes", "--from", "9", "--to", "2", "--kernels", "1")
    assert code == 0
    assert "none of the kernels" in out


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6))
def test_ranges_are_sorted_sets(numbers: list[int]):
    assert read_range("--kernels", ",".join(map(str, numbers))) == sorted(set(numbers))
    low, high = min(numbers), max(numbers)
    assert read_range("--kernels", f"{low}-{high}") == list(range(low, high + 1))
