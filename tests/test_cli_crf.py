"""``evaluate --crf`` and ``predict --crf`` put the field between the network and the labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minisegnet.cli import main
from minisegnet.crf import dense_crf
from minisegnet.metrics import ConfusionMatrix
from minisegnet.train import Run
from minisegnet.train.field import by_field
from minisegnet.train.inference import predict_logits

TINY = (
    *("--train-size", "12", "--val-size", "3", "--size", "32", "--base", "2"),
    *("--depth", "2", "--batch-size", "4", "--epochs", "1", "--quiet"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crf") / "run"
    assert main(["train", *TINY, "--out", str(folder)]) == 0
    return Run.open(folder)


def by_hand(run, image):
    """The field's labels of an image of the training's scale."""
    mean, std = (np.float32(run.found[name])[:, None, None] for name in ("mean", "std"))
    logits = predict_logits(run.best_model(), (image - mean)[None] / std)
    return logits.argmax(axis=1)[0], dense_crf(logits, image[None]).argmax(axis=1)[0]


def printed(capsys, *arguments):
    assert main([str(each) for each in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_evaluate_scores_what_the_field_makes_of_the_logits(run, capsys):
    plain, refined = (ConfusionMatrix(run.options["classes"]) for _ in range(2))
    for index in range(3):
        image, mask = run.data("val")[index]
        for matrix, labels in zip((plain, refined), by_hand(run, image), strict=True):
            matrix.update(labels, mask)
    assert plain.pixel_accuracy() != refined.pixel_accuracy()
    without = printed(capsys, "evaluate", run.folder, "--json")
    with_field = printed(capsys, "evaluate", run.folder, "--json", "--crf")
    assert without["pixel_accuracy"] == pytest.approx(plain.pixel_accuracy(), abs=1e-9)
    # Images that went through the normalisation and back differ by a rounding.
    assert with_field["pixel_accuracy"] == pytest.approx(refined.pixel_accuracy(), abs=1e-3)
    assert with_field["mean_iou"] == pytest.approx(refined.mean_iou(), abs=3e-3)
    assert np.isfinite(with_field["loss"])


def test_predict_writes_the_labels_of_the_field(run, tmp_path):
    image, _ = run.data("val")[1]
    pixels = np.round(image.transpose(1, 2, 0) * 255).astype(np.uint8)
    picture = tmp_path / "one.png"
    Image.fromarray(pixels.squeeze()).save(picture)
    plain, refined = by_hand(run, run.read_image(picture))
    assert (plain != refined).any()
    for options, expected in (([], plain), (["--crf"], refined)):
        out = tmp_path / f"out{len(options)}"
        command = ["predict", run.folder, picture, "--out", out, *options]
        assert main([str(each) for each in command]) == 0
        written = np.asarray(Image.open(out / "one.png"))
        assert (written != expected).mean() < 0.002


def test_the_field_sees_images_as_they_look(backend):
    rng = np.random.default_rng(1)
    images, logits = rng.random((2, 3, 4, 6)), rng.normal(size=(2, 3, 4, 6))
    mean, std = [0.2, 0.5, 0.6], [0.3, 0.1, 0.25]
    seen = (images - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    found = by_field(backend.asarray(logits), backend.asarray(seen), mean, std)
    expected = np.log(dense_crf(logits, images))
    np.testing.assert_allclose(backend.numpy(found), expected, atol=1e-6)


def test_what_the_field_rules_out_keeps_a_finite_logit():
    image = np.zeros((1, 1, 3, 5))
    logits = np.zeros((1, 2, 3, 5))
    logits[:, 0] = 1e4
    found = by_field(logits, image, [0.5], [0.2])
    assert np.isfinite(found).all()
    assert (found[:, 1] < -700).all() and (found[:, 0] == 0).all()


def test_the_help_says_what_it_does(capsys):
    for command in ("evaluate", "predict"):
        assert main([command, "--help"]) == 0
        assert "conditional random field" in " ".join(capsys.readouterr().out.split())
