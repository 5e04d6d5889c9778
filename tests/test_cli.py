"""The command line as a person meets it: what it writes, prints, refuses, and how it exits."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minisegnet import checkpoint
from minisegnet.cli import main
from minisegnet.train import DivergedError, Run, Trainer
from minisegnet.train.options import OPTIONS

ROOT = Path(__file__).parent.parent
TINY = (
    *("--train-size", "12", "--val-size", "4", "--size", "32", "--base", "2"),
    *("--depth", "2", "--batch-size", "4"),
)
FILES = {
    *("config.json", "history.csv", "model.safetensors", "last.safetensors"),
    *("curves.png", "predictions.png"),
}


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_cli(capsys):
    """Run the command line here; gives (exit code, standard output, standard error)."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of two epochs on shapes; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", *TINY, "--epochs", "2", "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def a_copy(finished, tmp_path):
    """The same run, to be changed."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in finished.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def is_one_error(err: str) -> bool:
    return err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")


# ---------------------------------------------------------------------------- train and resume


def test_a_run_leaves_its_files_and_says_what_they_are(run_cli):
    code, out, err = run_cli("train", *TINY, "--epochs", 2)
    assert (code, err) == (0, "")
    folder = Path("runs/unet-shapes-1")
    assert {path.name for path in folder.iterdir()} == FILES
    lines = out.splitlines()
    assert "12 pictures to learn from, 4 to score on" in lines[0]
    assert [line.split()[:2] for line in lines if line.startswith("epoch")] == [
        ["epoch", "1/2"],
        ["epoch", "2/2"],
    ]
    assert lines[-1] == f"next: minisegnet evaluate {folder}"
    for name in FILES:
        assert any(line.split()[:1] == [name] for line in lines)
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    best = max(float(row["mean_iou"]) for row in rows)
    assert f"mean IoU {best:.4f}" in out
    assert "\r" not in out


def test_pictures_are_pictures(finished):
    for name in ("curves.png", "predictions.png"):
        with Image.open(finished / name) as picture:
            assert min(picture.size) > 200


def test_quiet_prints_only_the_result(run_cli):
    code, out, _ = run_cli("train", *TINY, "--epochs", 1, "--out", "r", "--quiet")
    assert code == 0
    assert out.startswith("1 epoch in ")
    assert "epoch 1/1" not in out


def test_the_command_line_wins_over_the_file(run_cli):
    Path("o.toml").write_text('epochs = 7\nbatch-size = 3\nseed = 5\nout = "named"\nquiet = true\n')
    code, _, err = run_cli("train", *TINY, "--config", "o.toml", "--epochs", 1)
    assert (code, err) == (0, "")
    config = json.loads(Path("named/config.json").read_text())
    assert (config["epochs"], config["batch_size"], config["seed"]) == (1, 4, 5)
    assert config["quiet"] is True


def test_the_config_holds_every_option_resolved(finished):
    config = json.loads((finished / "config.json").read_text())
    assert {option.name for option in OPTIONS} <= set(config)
    assert (config["classes"], config["size"], config["crop"]) == (3, 32, 32)
    assert (config["model"], config["data"], config["device"]) == ("unet", "shapes", "cpu")
    assert config["lr"] > 0


def test_resume_goes_on_to_a_total(run_cli, a_copy):
    before = (a_copy / "history.csv").read_text()
    code, out, err = run_cli("resume", a_copy, "--epochs", 3)
    assert (code, err) == (0, "")
    assert "epoch 2 is done, going on to 3" in out
    after = (a_copy / "history.csv").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 4
    assert json.loads((a_copy / "config.json").read_text())["epochs"] == 3


@pytest.mark.parametrize("epochs", [[], ["--epochs", 2], ["--epochs", 1]])
def test_a_finished_run_says_so(run_cli, a_copy, epochs):
    (a_copy / "curves.png").unlink()
    before = (a_copy / "last.safetensors").read_bytes()
    code, out, err = run_cli("resume", a_copy, *epochs)
    assert (code, err) == (0, "")
    assert "is finished" in out
    assert "--epochs 4" in out
    assert (a_copy / "last.safetensors").read_bytes() == before
    assert {path.name for path in a_copy.iterdir()} == FILES


def test_without_a_checkpoint_it_starts_over(run_cli, a_copy, finished):
    (a_copy / "last.safetensors").unlink()
    code, out, _ = run_cli("resume", a_copy)
    assert code == 0
    assert "no epoch is done yet" in out
    np.testing.assert_equal(
        checkpoint.load(a_copy / "model.safetensors"),
        checkpoint.load(finished / "model.safetensors"),
    )


def test_a_history_that_lags_behind_is_brought_in_line(run_cli, a_copy):
    path = a_copy / "history.csv"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:2]))
    assert run_cli("resume", a_copy)[0] == 0
    assert path.read_text() == whole


def test_training_into_a_used_folder_is_refused(run_cli, a_copy):
    before = {path.name: path.read_bytes() for path in a_copy.iterdir()}
    code, out, err = run_cli("train", *TINY, "--out", a_copy)
    assert (code, out) == (2, "")
    assert is_one_error(err)
    assert f"minisegnet resume {a_copy}" in err
    assert {path.name: path.read_bytes() for path in a_copy.iterdir()} == before


def test_divergence_names_the_step_and_exits_with_1(run_cli):
    code, _, err = run_cli("train", *TINY, "--lr", "1e30", "--epochs", 2, "--out", "r")
    assert code == 1
    assert is_one_error(err)
    assert "step 2 of epoch 1" in err
    assert "--lr 1e+29" in err
    assert not Path("r/model.safetensors").exists()
    code, _, err = run_cli("evaluate", "r")
    assert code == 2
    assert "no weights yet" in err


def test_a_crash_in_the_loop_is_one_line_and_a_traceback_on_demand(run_cli, monkeypatch):
    def fail(self, *_, **__):
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr(Trainer, "fit", fail)
    code, _, err = run_cli("train", *TINY, "--quiet")
    assert code == 1
    assert err == (
        "error: ZeroDivisionError: by nought: this should not happen; run it again with --debug "
        "and report what it prints\n"
    )
    for arguments in (["--debug", "train", *TINY], ["train", *TINY, "--debug"]):
        code, _, err = run_cli(*arguments)
        assert code == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("error: ZeroDivisionError")


@pytest.mark.parametrize(
    "error, code, words",
    [
        (MemoryError(), 1, "--batch-size"),
        (OSError(28, "No space left on device", "r/last.safetensors"), 1, "r/last.safetensors"),
        (PermissionError(13, "Permission denied", "r"), 2, "r: Permission denied"),
        (DivergedError("training diverged: x", "y"), 1, "training diverged: x: train again"),
        (ValueError("num_classes is 3: pass ignore_index=7"), 2, "--classes is 3: pass --ignore-i"),
        (ValueError("2 values: pass values="), 2, "2 values: pass values= of minisegnet.data.Fol"),
    ],
)
def test_failures_have_exit_codes(run_cli, monkeypatch, error, code, words):
    def fail(self, *_, **__):
        raise error

    monkeypatch.setattr(Trainer, "fit", fail)
    found, _, err = run_cli("train", *TINY, "--quiet")
    assert found == code
    assert is_one_error(err)
    assert words in err


def test_warnings_and_logs_of_libraries_are_not_shown(run_cli, monkeypatch):
    fit = Trainer.fit

    def noisy(self, *args, **kwargs):
        import logging

        warnings.warn("look here", UserWarning, stacklevel=1)
        np.float32(1) / np.zeros(1, np.float32)
        logging.getLogger("somebody").warning("and here")
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "fit", noisy)
    code, _, err = run_cli("train", *TINY, "--epochs", 1)
    assert (code, err) == (0, "")


def test_what_libraries_log_goes_nowhere():
    program = (
        "import logging; from minisegnet.cli import main; main(['--version']); "
        "logging.getLogger('somebody').warning('look here')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr == ""


# ---------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["tran"], "no command 'tran': did you mean 'train'?"),
        (
            ["train", "--epoch", "3"],
            "no option --epoch in 'minisegnet train': did you mean '--epochs'",
        ),
        (["--zzz"], "no option --zzz"),
        (["train", "--qqqqqq"], "see minisegnet train --help"),
        (["train", "--epochs", "many"], "--epochs is 'many': give a whole number of at least 1"),
        (["train", "--epochs", "0"], "--epochs is '0'"),
        (["train", "--epochs"], "'--epochs' requires an argument"),
        (["train", "--lr", "nan"], "--lr is 'nan': give a number above 0"),
        (["train", "--model", "unte"], "--model is 'unte': did you mean 'unet'?"),
        (["train", "--loss", "dise"], "--loss is 'dise': did you mean 'dice'?"),
        (["train", "--optimizer", "adan"], "did you mean 'adam'?"),
        (["train", "--device", "gpu"], "--device is 'gpu'"),
        (["train", "--data", "nowhere"], "nowhere does not exist"),
        (["train", "--data", "nowhere", "--train-size", "3"], "--train-size is for procedural"),
        (["train", "--classes", "9"], "--classes is 9"),
        (["train", "--size", "10"], "10x10"),
        (["train", "--crop", "30"], "give 24 or 32"),
        (["train", "--loss", "binary_cross_entropy"], "for two classes and there are 3"),
        (["train", "--config", "no.toml"], "no.toml"),
        (["train", "extra"], "unexpected extra argument"),
        (["train", "--out", ""], "--out is ''"),
        (["resume"], "DIR is missing"),
        (["resume", "nowhere"], "nowhere holds no run"),
        (["evaluate", "."], "holds no run"),
        (["predict", "nowhere", "x.png"], "nowhere holds no run"),
        (["predict", "nowhere"], "IMAGE... is missing"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run_cli, tmp_path, arguments, words):
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert is_one_error(err)
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_gets_a_suggestion(run_cli):
    Path("x.toml").write_text("epoch = 3\n")
    code, _, err = run_cli("train", "--config", "x.toml")
    assert code == 2
    assert err == "error: x.toml: unknown key 'epoch': did you mean 'epochs'?\n"


def test_a_missing_gpu_says_why(run_cli):
    from minisegnet.backend import cuda_is_available

    if cuda_is_available():
        pytest.skip("there is a GPU")
    code, _, err = run_cli("train", *TINY, "--device", "cuda")
    assert code == 2
    assert is_one_error(err)
    assert "--device cuda" in err


def test_help_is_on_standard_output(run_cli):
    for arguments in ([], ["--help"], ["train", "-h"], ["predict", "--help"]):
        code, out, err = run_cli(*arguments)
        assert (code, err) == (0, "")
        assert out.startswith("Usage: minisegnet")
    out = run_cli("train", "--help")[1]
    for option in OPTIONS:
        assert option.flag in out


# ---------------------------------------------------------------------------- evaluate


def test_evaluate_json_is_json_and_agrees_with_the_history(run_cli, finished):
    code, out, err = run_cli("evaluate", finished, "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out)
    with open(finished / "history.csv", newline="") as file:
        best = max(csv.DictReader(file), key=lambda row: float(row["mean_iou"]))
    assert scores["mean_iou"] == float(best["mean_iou"])
    assert scores["pixel_accuracy"] == float(best["pixel_accuracy"])
    assert scores["loss"] == pytest.approx(float(best["val_loss"]))
    assert list(scores["iou"]) == ["background", "disc", "triangle"]
    present = [value for value in scores["iou"].values() if value is not None]
    assert scores["mean_iou"] == pytest.approx(sum(present) / len(present))
    assert scores["images"] == 4


def test_evaluate_prints_a_table(run_cli, finished):
    code, out, _ = run_cli("evaluate", finished)
    assert code == 0
    assert "4 pictures" in out
    for word in ("IoU", "background", "triangle", "pixel accuracy"):
        assert word in out
    scores = json.loads(run_cli("evaluate", finished, "--json")[1])
    for name, key in (
        ("global accuracy", "pixel_accuracy"),
        ("class average", "mean_class_accuracy"),
        ("mean IoU", "mean_iou"),
        ("boundary F1", "mean_boundary_f1"),
    ):
        assert f"{name:16} {scores[key]:.4f}" in out
    assert "Rand" not in out
    assert not any("rand" in key for key in scores)
    by_class = [value for value in scores["boundary_f1"].values() if value is not None]
    assert scores["mean_boundary_f1"] == pytest.approx(sum(by_class) / len(by_class))


def test_a_moved_run_works(run_cli, a_copy):
    moved = a_copy.rename(a_copy.with_name("with spaces ä"))
    assert run_cli("evaluate", moved, "--json")[0] == 0
    code, out, _ = run_cli("resume", moved, "--epochs", 3)
    assert code == 0
    assert not a_copy.exists()
    assert f"next: minisegnet evaluate '{moved}'" in out


def test_a_truncated_checkpoint_is_named(run_cli, a_copy):
    path = a_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    code, out, err = run_cli("evaluate", a_copy, "--json")
    assert (code, out) == (2, "")
    assert is_one_error(err)
    assert "model.safetensors" in err


def test_weights_of_another_width_are_refused(run_cli, a_copy):
    config = json.loads((a_copy / "config.json").read_text())
    config["base"] = 3
    (a_copy / "config.json").write_text(json.dumps(config))
    for command in ("evaluate", "resume"):
        code, _, err = run_cli(command, a_copy)
        assert code == 2
        assert is_one_error(err)


# ---------------------------------------------------------------------------- a folder of pictures


@pytest.fixture
def cells(tmp_path):
    """CamVid's layout in small: bright blocks are class 1, the top row is void."""
    root = tmp_path / "cells"
    rng = np.random.default_rng(1)
    for split, count in (("train", 6), ("val", 2)):
        for name in (split, f"{split}annot"):
            (root / name).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((24, 36), np.uint8)
            row, column = rng.integers(2, 12, 2)
            mask[row : row + 10, column : column + 14] = 1
            mask[0] = 255
            pixels = np.where(mask == 1, 220, 50)[..., None] + rng.integers(0, 30, (24, 36, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / split / f"p{i}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"p{i}.png")
    return root


def test_real_pictures_from_training_to_masks(run_cli, cells, tmp_path):
    code, out, err = run_cli(
        *("train", "--data", "cells", "--size", 20, "--base", 8, "--depth", 2),
        *("--epochs", 30, "--batch-size", 3, "--out", "run"),
    )
    assert (code, err) == (0, "")
    assert f"{cells}: 2 classes, 6 pictures to learn from, 2 to score on" in out
    config = json.loads(Path("run/config.json").read_text())
    assert (config["classes"], config["size"], config["ignore_index"]) == (2, 20, 255)
    scores = json.loads(run_cli("evaluate", "run", "--json")[1])
    assert scores["pixel_accuracy"] > 0.9
    again = json.loads(run_cli("evaluate", "run", "--data", cells, "--json")[1])
    assert again == scores
    out = run_cli("evaluate", "run")[1]
    told = (
        f"Rand F-score     {scores['rand_f_score']:.4f}  pieces of class 1: split "
        f"{scores['rand_split']:.4f}, merge {scores['rand_merge']:.4f}; adjusted Rand index "
        f"{scores['adjusted_rand_index']:.4f}"
    )
    assert told in out.splitlines()
    assert scores["rand_merge"] == 1  # each picture has one piece: there is none to merge it with
    assert 0.5 < scores["rand_split"] < scores["rand_f_score"] < 1

    code, out, _ = run_cli("predict", "run", cells / "val", "--out", "masks")
    assert code == 0
    assert {path.name for path in Path("masks").iterdir()} == {
        *("p0.png", "p0-overlay.png", "p1.png", "p1-overlay.png")
    }
    for i in range(2):
        with Image.open(f"masks/p{i}.png") as picture:
            assert (picture.mode, picture.size) == ("L", (36, 24))
            predicted = np.asarray(picture)
        truth = np.asarray(Image.open(cells / "valannot" / f"p{i}.png"))
        assert (predicted == truth)[truth < 255].mean() > 0.9
        with Image.open(f"masks/p{i}-overlay.png") as picture:
            assert (picture.mode, picture.size) == ("RGB", (36, 24))

    cells.rename(tmp_path / "moved")
    for arguments in (("resume", "run", "--epochs", 31), ("evaluate", "run")):
        code, _, err = run_cli(*arguments)
        assert code == 2
        assert err.startswith(f"error: {cells} does not exist: put this run's pictures back")
        assert err.endswith("where they are now: minisegnet resume run --data PATH\n")
    assert run_cli("resume", "run", "--epochs", 31, "--data", "moved")[0] == 0
    assert json.loads(Path("run/config.json").read_text())["data"] == str(tmp_path / "moved")


def test_a_finished_run_learns_where_its_pictures_are(run_cli, cells, tmp_path):
    arguments = ("--size", 20, "--base", 2, "--depth", 1, "--epochs", 2, "--out", "run", "--quiet")
    assert run_cli("train", "--data", "cells", *arguments)[0] == 0
    scores = run_cli("evaluate", "run", "--json")[1]
    before = json.loads(Path("run/config.json").read_text())
    cells.rename(tmp_path / "moved")
    code, out, err = run_cli("resume", "run", "--data", "moved", "--epochs", 1)
    assert (code, err) == (0, "")
    assert "is finished" in out
    after = json.loads(Path("run/config.json").read_text())
    assert after == {**before, "data": str(tmp_path / "moved")}
    assert run_cli("evaluate", "run", "--json")[1] == scores


def test_this_folder_as_data_is_called_by_its_name(run_cli, cells, monkeypatch):
    monkeypatch.chdir(cells)
    code, out, _ = run_cli(
        *("compare", "--data", ".", "--models", "unet", "--parameters", "2,000", "--epochs", 1)
    )
    assert code == 0
    assert "trained for 1 epoch each on cells:" in out
    assert Path("runs/comparison-cells").is_dir()


# ---------------------------------------------------------------------------- predict


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(2)

    def save(name, *shape):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, shape).astype(np.uint8)).save(path)
        return path

    return save


def test_equal_stems_get_distinct_names(run_cli, finished, pictures):
    named = [
        pictures("a/x.png", 17, 30, 3),
        pictures("b/x.bmp", 21, 16, 3),
        pictures("a/X.png", 18, 18),
        pictures("a/x-overlay.png", 16, 40, 3),
    ]
    code, _, err = run_cli("predict", finished, *named, "--out", "out")
    assert (code, err) == (0, "")
    sizes = {}
    for path in sorted(Path("out").iterdir()):
        with Image.open(path) as picture:
            sizes[path.name] = (picture.size, picture.mode)
    assert sizes == {
        "x.png": ((30, 17), "L"),
        "x-overlay.png": ((30, 17), "RGB"),
        "x-2.png": ((16, 21), "L"),
        "x-2-overlay.png": ((16, 21), "RGB"),
        "X-3.png": ((18, 18), "L"),
        "X-3-overlay.png": ((18, 18), "RGB"),
        "x-overlay-2.png": ((40, 16), "L"),
        "x-overlay-2-overlay.png": ((40, 16), "RGB"),
    }


def test_one_bad_picture_is_named_and_the_others_are_written(run_cli, finished, pictures):
    good = pictures("good.png", 16, 20, 3)
    Path("bad.png").write_bytes(good.read_bytes()[:60])
    code, _, err = run_cli("predict", finished, good, "bad.png", "gone.png", "--out", "out")
    assert code == 2
    assert is_one_error(err)
    assert "bad.png" in err
    assert "gone.png" in err
    assert err.endswith(" (1 of 3 pictures done, see out)\n")
    assert {path.name for path in Path("out").iterdir()} == {"good.png", "good-overlay.png"}


def test_a_picture_beyond_the_memory_is_named_and_the_others_are_written(
    run_cli, finished, pictures, monkeypatch
):
    big, small = pictures("big.png", 24, 40, 3), pictures("small.png", 16, 20, 3)
    predict = Run.predict

    def with_little_memory(self, model, image, crf):
        if image.shape[2] > 30:
            raise MemoryError
        return predict(self, model, image, crf)

    monkeypatch.setattr(Run, "predict", with_little_memory)
    code, _, err = run_cli("predict", finished, big, small, "--out", "out")
    assert code == 2
    assert err == (
        f"error: {big} of 24x40 needs too much memory: shrink it, or cut it into tiles (1 of 2 "
        "pictures done, see out)\n"
    )
    assert {path.name for path in Path("out").iterdir()} == {"small.png", "small-overlay.png"}


def test_masks_do_not_go_into_a_file(run_cli, finished, pictures):
    Path("file").write_text("kept")
    code, out, err = run_cli("predict", finished, pictures("a.png", 16, 20, 3), "--out", "file")
    assert (code, out, err) == (2, "", "error: --out file is a file: name a folder\n")
    assert Path("file").read_text() == "kept"


def test_pictures_are_never_overwritten(run_cli, finished, pictures):
    path = pictures("x.png", 16, 20, 3)
    before = path.read_bytes()
    code, _, err = run_cli("predict", finished, path, "--out", ".")
    assert code == 2
    assert "would be overwritten" in err
    assert path.read_bytes() == before


def test_a_link_is_replaced_not_followed(run_cli, finished, pictures):
    path = pictures("x.png", 16, 20, 3)
    Path("out").mkdir()
    outside = Path("outside.png")
    outside.write_text("mine")
    Path("out/x.png").symlink_to(outside.resolve())
    assert run_cli("predict", finished, path, "--out", "out")[0] == 0
    assert outside.read_text() == "mine"
    assert not Path("out/x.png").is_symlink()


def test_a_folder_without_pictures_is_refused(run_cli, finished):
    Path("empty").mkdir()
    code, _, err = run_cli("predict", finished, "empty")
    assert code == 2
    assert "holds no pictures" in err


# ---------------------------------------------------------------------------- recipes


def test_recipes_are_listed_and_printed(run_cli):
    code, out, err = run_cli("recipes")
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"camvid", "camvid-quarter", "membranes", "shapes"} <= set(lines)
    assert "CamVid" in lines["camvid"]
    code, out, _ = run_cli("recipes", "camvid")
    assert code == 0
    Path("mine.toml").write_text(out)
    code, _, err = run_cli("train", "--config", "mine.toml")
    assert code == 2
    assert "camvid does not exist" in err
    code, out, err = run_cli("recipes", "camvit")
    assert (code, out) == (2, "")
    assert err == "error: no recipe 'camvit': did you mean 'camvid'?\n"


def test_a_recipe_is_followed_and_what_is_typed_wins(run_cli, cells):
    code, _, err = run_cli(
        *("train", "--config", "camvid", "--data", "cells", "--size", 20, "--crop", "16x24"),
        *("--base", 2, "--depth", 2, "--epochs", 1, "--schedule", "poly", "--out", "run"),
        *("--class-weights", "root-median-frequency"),
    )
    assert (code, err) == (0, "")
    config = json.loads(Path("run/config.json").read_text())
    assert (config["crop"], config["base"], config["schedule"]) == ([16, 24], 2, "poly")
    assert (config["augment"], config["optimizer"]) == ("scale", "muon")
    assert len(config["found"]["class_weights"]) == 2
    code, _, err = run_cli("train", "--config", "camvit", "--data", "cells")
    assert code == 2
    assert "did you mean 'camvid'" in err


# ---------------------------------------------------------------------------- the others


def test_doctor_names_versions_threads_and_the_gpu(run_cli):
    code, out, err = run_cli("doctor")
    assert (code, err) == (0, "")
    found = {line.split()[0]: line for line in out.splitlines()}
    assert np.__version__ in found["numpy"]
    assert "cores" in found["threads"]
    assert {"python", "BLAS", "GPU", "scipy", "minisegnet"} <= set(found)


# ---------------------------------------------------------------------------- a process of its own


def start(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "minisegnet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_ctrl_c_saves_exits_with_130_and_the_run_goes_on(run_cli):
    process = start("train", *TINY, "--epochs", "100000", "--out", "run")
    for line in process.stdout:
        if line.startswith("epoch") and line.split()[1].startswith("3/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == ""
    assert "minisegnet resume run" in out
    history = Path("run/history.csv").read_text().splitlines()
    saved = checkpoint.load("run/last.safetensors")["history"]
    assert len(history) - 1 == len(saved) >= 3
    assert not list(Path("run").glob(".*"))

    total = len(saved) + 1
    assert run_cli("resume", "run", "--epochs", total)[0] == 0
    straight = Run.start({**Run.open("run").options, "out": "straight", "epochs": total})
    rows = straight.train(straight.trainer())
    with open("run/history.csv", newline="") as file:
        resumed = list(csv.DictReader(file))
    assert [row.train_loss for row in rows] == [float(row["train_loss"]) for row in resumed]


def test_ctrl_c_before_the_first_epoch_starts_over(run_cli):
    process = start(
        "train", "--train-size", "400", "--val-size", "4", "--base", "4", "--out", "run"
    )
    while not Path("run/last.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "interrupted" in out
    assert run_cli("evaluate", "run")[0] == 2
    code, out, _ = run_cli("resume", "run", "--epochs", "1", "--quiet")
    assert code == 0
    assert "1 epoch in" in out


def test_a_killed_run_goes_on():
    process = start("train", *TINY, "--epochs", "100000", "--out", "run")
    for line in process.stdout:
        if line.startswith("epoch") and line.split()[1].startswith("2/"):
            break
    process.kill()
    process.communicate(timeout=30)
    done = len(checkpoint.load("run/last.safetensors")["history"])
    assert main(["resume", "run", "--epochs", str(done + 1), "--quiet"]) == 0
    rows = Path("run/history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(i + 1) for i in range(done + 1)]
    assert not list(Path("run").glob(".*"))


def test_a_terminal_gets_a_progress_bar():
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "minisegnet", "train", *TINY, "--epochs", "2", "--out", "run"],
        stdout=follower,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    text = shown.decode()
    assert "epoch 1/2" in text
    assert "loss=" in text
    assert "mean IoU" in text


def test_a_reader_that_goes_away_is_no_error():
    process = start("models")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)
    assert "Traceback" not in err
