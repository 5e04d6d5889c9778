"""Networks under one budget: their size, their rows, and what happens when something goes wrong."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minisegnet import checkpoint, models
from minisegnet.cli import main
from minisegnet.models import UNet
from minisegnet.train import OptionError, Run
from minisegnet.train.compare import (
    Comparison,
    Result,
    peak_memory,
    saved_result,
    seconds_of_epoch,
)
from minisegnet.train.compare_files import table_rows, write_csv, write_markdown
from minisegnet.train.sizing import common_crop, described, sized

ROOT = Path(__file__).parent.parent
TINY = {"train_size": 8, "val_size": 3, "size": 32, "batch_size": 4}


# ---------------------------------------------------------------------------- one size for all


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("wanted", [60_000, 250_000])
def test_no_other_width_is_nearer(name, wanted):
    found = sized(name, wanted, channels=1, classes=3)
    base = found.options["base"]

    def count(width):
        entry = models.TABLE[name]
        options = {**entry.toy, "base": width, "in_channels": 1, "num_classes": 3}
        return sum(parameter.size for parameter in entry.make(**options).parameters())

    assert found.parameters == count(base)
    for width in {max(1, base - 1), base + 1} - {base}:
        assert abs(count(width) - wanted) >= abs(found.parameters - wanted)


def test_fewer_parameters_than_any_give_the_smallest():
    assert sized("unet", 1, 3, 2).options["base"] == 1


def test_the_crop_suits_most_networks():
    networks = [UNet(3, 2, base=1, depth=depth) for depth in (1, 3, 3)]
    assert common_crop(networks, 47) == 40
    assert common_crop(networks[:1], 47) == 46
    assert common_crop(networks, 1000) == 256


# ---------------------------------------------------------------------------- tables


ROWS = [
    Result("fcn", "base=2", 1234, 5_600_000, 3, 9, 0.25, 0.5, 0.125, 12.3, 4.56, 99.9),
    Result("torn", error="no room, or | so"),
    Result("unet", "base=3 depth=2", 1300, 7_890_000, 2, 6, 0.75, 0.875, 0.5, 11.9, 7.0, None),
]


def test_the_csv_has_every_figure_as_it_is(tmp_path):
    write_csv(ROWS, tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["fcn", "torn", "unet"]
    assert (rows[0]["mean_iou"], rows[0]["parameters"], rows[0]["memory"]) == (
        *("0.25", "1234", "99.9"),
    )
    assert rows[1]["error"] == "no room, or | so"
    assert rows[2]["memory"] == ""


def test_the_table_for_people_has_the_best_first(tmp_path):
    write_markdown(ROWS, tmp_path / "c.md", "How it was done.")
    lines = (tmp_path / "c.md").read_text().splitlines()
    assert lines[0] == "How it was done."
    assert lines[4] == ("| unet | 3 | 1,300 | 7.9M | 2 | 0.7500 | 0.8750 | 0.5000 | 12 | 7.0 | - |")
    assert [line.split()[1] for line in lines[4:7]] == ["unet", "fcn", "torn"]
    assert lines[-1] == "- torn: no room, or | so"
    widths = {len(row) for row in table_rows(ROWS)}
    assert widths == {11}


def test_options_are_described_in_a_line():
    options = {"base": 4, "depth": None, "model_options": {"rates": [1, 2]}}
    assert described(options) == "base=4 rates=[1, 2]"


# ---------------------------------------------------------------------------- the process


def test_the_time_of_an_epoch_is_foretold(tmp_path):
    run = Run.start({**TINY, "train_size": 32, "base": 4, "depth": 2, "out": str(tmp_path / "r")})
    trainer = run.trainer()
    before = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    guess = min(seconds_of_epoch(run) for _ in range(3))
    again = run.trainer()
    for name, array in again.model.state_dict().items():  # the trial left no trace
        np.testing.assert_array_equal(array, before[name])
    assert not again.history
    trainer.fit(run._train_loader(), run.batches(run.data("val")), epochs=3)
    taken = min(row.seconds for row in trainer.history)
    assert taken / 8 < guess < 8 * taken


def test_the_peak_of_memory_is_that_of_this_process():
    before = peak_memory()
    if before is None:
        pytest.skip("it cannot be told here")
    room = np.ones(2**23, np.float64)  # 64 MiB
    assert peak_memory() >= before
    assert peak_memory() > room.nbytes / 2**20


# ---------------------------------------------------------------------------- all of it


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{name} = {value}" for name, value in TINY.items()]
    (tmp_path / "tiny.toml").write_text("\n".join(lines) + "\n")
    return tmp_path / "tiny.toml"


def compare(capsys, *arguments):
    code = main(["compare", "--parameters", "9000", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_comparison_from_end_to_end(config, capsys):
    common = ("--config", config, "--epochs", 1, "--out", "c", "--seed", 3)
    # unet-valid takes no picture of 32x32.
    names = "unet,unet-valid,segnetbasic"
    code, out, err = compare(capsys, *common, "--models", names)
    assert (code, err) == (0, "")
    assert "unet-valid: failed: --crop is 32" in out
    folder = Path("c")
    for name in ("comparison.png", "predictions.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200
    with open(folder / "comparison.csv", newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["unet", "unet-valid", "segnetbasic"]
    for name in ("unet", "segnetbasic"):
        row, run = rows[name], Run.open(folder / name)
        model = run.best_model()
        count = sum(parameter.size for parameter in model.parameters())
        assert int(row["parameters"]) == count
        assert 0.5 < count / 9000 < 1.5
        assert int(row["multiply_adds"]) == models.multiply_adds(model, 32)
        assert (row["epochs"], row["steps"]) == ("1", "2")
        scores = run.evaluate()
        assert float(row["mean_iou"]) == pytest.approx(scores.matrix.mean_iou())
        assert float(row["pixel_accuracy"]) == pytest.approx(scores.matrix.pixel_accuracy())
        assert float(row["boundary_f1"]) == pytest.approx(scores.boundary.mean())
        assert min(float(row[n]) for n in ("seconds", "milliseconds")) > 0
        assert run.options["seed"] == 3
    shared = [
        {k: v for k, v in Run.open(folder / name).options.items() if k not in SHAPING}
        for name in ("unet", "segnetbasic")
    ]
    assert shared[0] == shared[1]
    assert "unet-valid" in (folder / "comparison.md").read_text().split("Failed:")[1]

    # Again: what is done is taken as it is, what failed is tried again, and a third joins.
    before = (folder / "unet" / "last.safetensors").read_bytes()
    (folder / "unet" / "result.json").write_text(
        json.dumps({**vars(saved_result(folder / "unet")), "mean_iou": 0.4321})
    )
    code, out, _ = compare(capsys, *common, "--models", "unet,unet-valid,tutorialfcn")
    assert code == 0
    assert "unet: mean IoU 0.4321" in out
    assert "done before" in out
    assert (folder / "unet" / "last.safetensors").read_bytes() == before
    assert "tutorialfcn: mean IoU" in out

    code, _, err = compare(capsys, "--config", config, "--epochs", 2, "--out", "c")
    assert code == 2
    assert "holds a comparison with other settings" in err


SHAPING = ("model", "base", "depth", "model_options", "out")


def test_a_budget_of_seconds_sets_the_epochs(config, capsys):
    code, out, err = compare(
        capsys, "--config", config, "--seconds", 1.5, "--models", "tutorialfcn", "--out", "c"
    )
    assert (code, err) == (0, ""), out
    options = Run.open("c/tutorialfcn").options
    result = saved_result(Path("c/tutorialfcn"))
    assert options["epochs"] == options["schedule_epochs"] == result.epochs >= 1
    assert result.seconds < 20
    assert "about 1.5 s each" in out
    schedule = checkpoint.load("c/tutorialfcn/last.safetensors")["schedule"]
    assert schedule["schedule"]["total_steps"] == result.steps == schedule["taken"] + 1


def test_when_every_network_fails_the_exit_code_says_so(config, capsys):
    code, out, err = compare(
        capsys, "--config", config, "--epochs", 1, "--models", "unet-valid", "--out", "c"
    )
    assert (code, err) == (1, "")
    assert "every network failed: c/comparison.md says why" in out
    assert "--crop is 32" in Path("c/comparison.md").read_text()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--models", "unte"], "--models is 'unte': did you mean 'unet'"),
        (["--models", "unet,unet"], "names a network twice"),
        (["--seconds", "0"], "--seconds is '0'"),
        (["--seconds", "3", "--epochs", "2"], "--seconds or --epochs, one of the two"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--config", "tony.toml"], "tony.toml"),
    ],
)
def test_wrong_usage_is_one_line(config, capsys, arguments, words):
    code, out, err = compare(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_process_that_dies_is_a_failure_of_that_network_alone(config, monkeypatch):
    comparison = Comparison(Path("c"), {**TINY}, ["unet", "tutorialfcn"], 9000, epochs=1)
    monkeypatch.setattr("minisegnet.train.compare.work", die)
    result = comparison.train("unet")
    assert "signal 9" in result.error
    assert comparison.finished("unet") is None
    monkeypatch.undo()
    os.chdir(config.parent)
    assert comparison.train("tutorialfcn").error == ""
    assert [row.model for row in comparison.results()] == ["unet", "tutorialfcn"]
    assert comparison.train("unet").error == ""


def die(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_other_settings_need_another_folder(config):
    first = Comparison(Path("c"), {**TINY}, ["unet"], 9000, epochs=1)
    first._write_settings()
    Comparison(Path("c"), {**TINY}, ["tutorialfcn"], 9000, epochs=1)
    for other in ({"parameters": 8000, "epochs": 1}, {"parameters": 9000, "epochs": 2}):
        with pytest.raises(OptionError, match="with other settings"):
            Comparison(Path("c"), {**TINY}, ["unet"], **other)
    with pytest.raises(OptionError, match="train_size is 8 there and 16 here"):
        Comparison(Path("c"), {**TINY, "train_size": 16}, ["unet"], 9000, epochs=1)


def test_a_network_that_joins_gets_the_crop_of_the_others(config):
    options = {**TINY, "size": 40}
    first = Comparison(Path("c"), options, ["segnetbasic"], 9000, epochs=1)
    assert first.options["crop"] == 40
    first._write_settings()
    assert Comparison(Path("d"), options, ["tutorialfcn"], 9000, epochs=1).options["crop"] == 32
    joining = Comparison(Path("c"), options, ["tutorialfcn"], 9000, epochs=1)
    assert joining.options["crop"] == 40
    with pytest.raises(OptionError, match="crop is 40 there and 32 here"):
        Comparison(Path("c"), {**options, "crop": 32}, ["tutorialfcn"], 9000, epochs=1)


def test_a_damaged_result_is_none(tmp_path):
    (tmp_path / "result.json").write_text('{"model": "unet"')
    assert saved_result(tmp_path) is None
    (tmp_path / "result.json").write_text('{"modle": "unet"}')
    assert saved_result(tmp_path) is None
    (tmp_path / "result.json").write_text(json.dumps(dataclasses.asdict(ROWS[0])))
    assert saved_result(tmp_path) == ROWS[0]


def test_ctrl_c_keeps_what_is_done_and_the_command_goes_on(config, capsys):
    arguments = [
        *("--config", str(config), "--epochs", "300", "--parameters", "9000", "--out", "c"),
        *("--models", "tutorialfcn,unet"),
    ]
    # The first is done already; the second would take long.
    quick = Comparison(Path("c"), {**TINY}, ["tutorialfcn", "unet"], 9000, epochs=300)
    quick._write_settings()
    Path("c/tutorialfcn").mkdir()
    run = Run.start({**quick.options, "model": "tutorialfcn", "epochs": 1, "out": "c/tutorialfcn"})
    run.train(run.trainer())
    row = dataclasses.replace(ROWS[0], model="tutorialfcn")
    Path("c/tutorialfcn/result.json").write_text(json.dumps(dataclasses.asdict(row)))
    process = subprocess.Popen(
        [sys.executable, "-m", "minisegnet", "compare", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    while not Path("c/unet/model.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    assert "interrupted: 1 of 2 networks" in out
    with open("c/comparison.csv", newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["tutorialfcn"]
    assert not Path("c/unet/result.json").exists()
    assert 0 < len(Path("c/unet/history.csv").read_text().splitlines()) - 1 < 300
