"""Masks that cannot be used, and those of every usual kind that can, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.refusals import LABELS, TINY, a_folder, a_run, command, put, refuse
from tests.test_bad_images import encoded, frames, png


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stored(*values: int, dtype=np.uint8) -> np.ndarray:
    """The labels with class i stored as values[i]."""
    return np.asarray(values, dtype)[LABELS % len(values)]


def train(*more: object) -> tuple[object, ...]:
    return ("train", "--data", "data", *TINY, "--out", "new", *more)


BROKEN = {
    "empty": (b"", "is empty (0 bytes)"),
    "cut short": (encoded("png")[:700], "cannot be decoded"),
    "text": ("0 1 2", "not an image"),
    "huge": (png(60_000, 60_000), "too large"),
    "film": (frames("GIF"), "2 frames"),
    "float": (LABELS.astype(np.float32), "whole labels"),
    "another height": (LABELS[:-1], "is 20x28 but its mask"),
    "on its side": (LABELS.T.copy(), "28x20"),
    "one pixel": (LABELS[:1, :1], "1x1"),
    "photograph": (np.random.default_rng(0).integers(0, 255, (20, 28, 3), np.uint8), "colours"),
    "missing": (None, "no partner"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_mask_is_named_and_nothing_is_written(capsys, tmp_path, kind):
    mask, words = BROKEN[kind]
    a_folder(tmp_path / "data", c_mask=mask)
    refuse(capsys, *train(), words=("c.png", words))


@pytest.mark.parametrize("kind", BROKEN)
def test_scoring_on_a_broken_mask_prints_no_scores(capsys, tmp_path, kind):
    mask, words = BROKEN[kind]
    a_run(tmp_path / "run")
    a_folder(tmp_path / "data", c_mask=mask)
    refuse(capsys, "evaluate", "run", "--data", "data", "--json", words=("c.png", words))


def test_blended_edges_are_refused(capsys, tmp_path):
    sharp = Image.fromarray(np.kron(stored(0, 255), np.ones((3, 3), np.uint8)))
    soft = sharp.resize((28, 20), Image.Resampling.BICUBIC)
    a_folder(tmp_path / "data", a_mask=soft, **{f"{n}_mask": stored(0, 255) for n in "bcd"})
    refuse(capsys, *train(), words=("a.png", "blended"))


@pytest.mark.parametrize(
    "mask, more, words",
    [
        (stored(0, 1, 7), ["--classes", "3"], ("--classes", "--ignore-index", "0, 1, 2, 7")),
        (stored(0, 0, 0), [], ("one class", "pass --classes")),
        (stored(255, 255), [], ("one class",)),
        (stored(255, 255), ["--classes", "2"], ("that is not 2 classes",)),
        (stored(0, 1, 2), ["--classes", "2"], ("2 classes",)),
        (stored(0, 1, 2), ["--loss", "binary_cross_entropy"], ("for two classes",)),
    ],
)
def test_labels_that_do_not_fit_the_classes(capsys, tmp_path, mask, more, words):
    a_folder(tmp_path / "data", **{f"{n}_mask": mask for n in "abcd"})
    if "0, 1, 2, 7" in words:
        put(Path("data/masks/a.png"), stored(0, 1, 2))
    line = refuse(capsys, *train(*more), words=words)
    assert "--classes ," not in line
    assert "num_classes" not in line


def test_a_label_that_another_folder_has_beyond_the_run_s_classes(capsys, tmp_path):
    a_run(tmp_path / "run")
    a_folder(tmp_path / "data", b_mask=stored(0, 1, 5))
    refuse(capsys, "evaluate", "run", "--data", "data", "--json", words=("b.png", "5"))


def palette_of(labels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(labels.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 250, 10, 0, 0, 90, 200])
    return picture


COLOURS = np.array([[0, 0, 0], [64, 0, 128], [0, 128, 192]], np.uint8)


@pytest.mark.parametrize(
    "make, classes, void",
    [
        (lambda y: y, 3, None),
        (lambda y: np.where(y == 1, 255, 0).astype(np.uint8), 2, None),
        (lambda y: np.array([0, 128, 255], np.uint8)[y], 3, None),
        (lambda y: np.array([0, 1, 255], np.uint8)[y], 2, 255),
        (lambda y: y == 2, 2, None),
        (palette_of, 3, None),
        (lambda y: COLOURS[y], 3, None),
        (lambda y: np.array([0, 700, 65535], np.uint16)[y], 3, None),
        (lambda y: np.dstack([np.where(y == 1, 255, 0).astype(np.uint8)] * 4), 2, None),
    ],
)
def test_every_usual_kind_of_mask_is_trained_on(capsys, tmp_path, make, classes, void):
    a_folder(tmp_path / "data", **{f"{n}_mask": make(LABELS) for n in "abcd"})
    code, _, err = command(capsys, *train())
    assert (code, err) == (0, "")
    config = json.loads(Path("new/config.json").read_text())
    assert (config["classes"], config["ignore_index"]) == (classes, void)
    code, out, err = command(capsys, "evaluate", "new", "--data", "data", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["images"] in (1, 4)


def test_all_pixels_void_gives_no_scores_and_no_fault(capsys, tmp_path):
    """A validation picture without a label: scores are null, which JSON can say."""
    a_folder(tmp_path / "data", **{f"{n}_mask": stored(0, 1, 255) for n in "abcd"})
    assert command(capsys, *train())[0] == 0
    a_folder(tmp_path / "void", **{f"{n}_mask": stored(255, 255) for n in "abcd"})
    code, out, err = command(capsys, "evaluate", "new", "--data", "void", "--json")
    assert (code, err) == (0, "")
    scores = json.loads(out)
    assert scores["mean_iou"] is None
    assert scores["pixel_accuracy"] is None
