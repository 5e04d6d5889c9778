"""``minisegnet models``: the table, one network in detail, and JSON."""

from __future__ import annotations

import json

import pytest

from minisegnet import models, nn
from minisegnet.cli import main
from minisegnet.models import TABLE


@pytest.fixture
def run_cli(capsys):
    """Run the command line here; gives (exit code, standard output, standard error)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_network_has_a_line(run_cli):
    code, out, err = run_cli("models")
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["name", "paper", "parameters", "multiply-adds", "at", "input", "sizes"]
    for entry, line in zip(TABLE.values(), lines, strict=False):
        assert line.split()[0] == entry.name
        assert entry.paper in line and line.endswith(entry.sizes)
        assert f" {entry.parameters:,} " in line
    assert lines[len(TABLE)] == ""


def test_columns_stand_under_each_other(run_cli):
    head, *lines = run_cli("models")[1].splitlines()
    ends = head.index("parameters") + len("parameters")
    for entry, line in zip(TABLE.values(), lines, strict=False):
        assert line[:ends].endswith(f"{entry.parameters:,}")
        assert line.index(entry.paper) == head.index("paper")


@pytest.mark.parametrize(
    ("typed", "size"), [("32x48", (32, 48)), ("48", (48, 48)), ("64 X 32", (64, 32))]
)
def test_multiply_adds_at_a_size(run_cli, typed, size):
    rows = {row["name"]: row for row in json.loads(run_cli("models", "--size", typed, "--json")[1])}
    assert list(rows) == models.names()
    assert rows["unet"]["size"] == list(size)
    with nn.init.skip():
        assert rows["unet"]["multiply_adds"] == models.multiply_adds(models.build("unet"), size)
    assert rows["unet"]["multiply_adds"] < rows["unet"]["size"][0] ** 2 * 2_000_000


def test_a_size_that_a_network_does_not_take_becomes_the_next_that_it_does(run_cli):
    rows = {r["name"]: r for r in json.loads(run_cli("models", "--size", "33x48", "--json")[1])}
    assert rows["unet"]["size"] == [48, 48]
    assert rows["unet-valid"]["size"] == [188, 188]
    assert rows["fcn8s"]["size"] == [33, 48]
    assert (rows["unet-valid"]["in_channels"], rows["unet-valid"]["num_classes"]) == (1, 2)
    assert "48x48" in run_cli("models", "--size", "33x48")[1].splitlines()[1]


@pytest.mark.parametrize("name", models.names())
def test_one_network_in_detail(run_cli, name):
    code, out, err = run_cli("models", name)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{name}: {TABLE[name].paper}"
    assert lines[3].split() == ["part", "kind", "output", "parameters", "multiply-adds"]
    total = next(line for line in lines if line.startswith("in all"))
    fixed = int(out.split("Of the parameters ")[1].split()[0].replace(",", "")) if (
        "not trained" in out) else 0  # fmt: skip
    assert f" {TABLE[name].parameters + fixed:,} " in total


def test_the_parts_of_a_unet(run_cli):
    out = run_cli("models", "U-Net", "--size", "32x48")[1]
    rows = [line.split() for line in out.splitlines()]
    # 32*48 cells times 9*3*64 + 9*64*64; then 16*24 cells times 4*128*64; then 64*2.
    assert ["down.0", "Sequential", "64x32x48", "38,848", "59.28", "M"] in rows
    assert ["pool", "MaxPool2d", "64x16x24"] in rows
    assert ["up.3", "ConvTranspose2d", "64x32x48", "32,832", "12.58", "M"] in rows
    assert ["classify", "Conv2d", "2x32x48", "130", "196.61", "k"] in rows
    assert "For one picture of 32x48; outputs are channels x rows x columns." in out


def test_parts_of_parts(run_cli):
    shallow, deep = (
        json.loads(run_cli("models", "pspnet", "--level", level, "--json")[1]) for level in (1, 2)
    )
    assert len(deep["blocks"]) > len(shallow["blocks"])
    for found in (shallow, deep):
        blocks = found.pop("blocks")
        assert sum(block["parameters"] for block in blocks) == found["parameters"]
        assert sum(block["multiply_adds"] for block in blocks) == found["multiply_adds"]
    assert shallow == deep
    assert "backbone" in {block["name"] for block in json.loads(
        run_cli("models", "pspnet", "--json")[1])["blocks"]}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unte"], "unknown model 'unte': did you mean 'unet'?"),
        (["--size", "22q"], "--size: '22q' is no size: give a side, 224, or rows and columns"),
        (["--size", "0"], "--size: '0' is no size"),
        (["--size", "64x"], "--size: '64x' is no size"),
        (["--size", "99999"], "up to 16384"),
        (["unet", "--level", "0"], "--level is '0': give a whole number from 1 to 9"),
        (["unet", "segnet"], "segnet"),
    ],
)
def test_mistakes_are_told(run_cli, arguments, message):
    code, out, err = run_cli("models", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
