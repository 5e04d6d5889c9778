"""``--weights``: a run that begins with published weights, and what it says and keeps of them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from minisegnet import checkpoint
from minisegnet.cli import main
from minisegnet.train import Run
from minisegnet.train.defaults import with_defaults
from minisegnet.train.network import build_model
from tests.test_models_weights import torchvision_vgg

TINY = (
    *("train", "--model", "fcn8s", "--model-options", "padding=1", "--base", "2"),
    *("--train-size", "8", "--val-size", "2", "--size", "32", "--batch-size", "4"),
    *("--epochs", "1", "--device", "cpu"),
)


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


@pytest.fixture
def vgg16():
    """The name of a file with VGG-16 of a thirty-second of its width, and its tensors."""
    state = torchvision_vgg(base=2)
    safetensors.numpy.save_file(state, "vgg16.safetensors")
    return "vgg16.safetensors", state


def test_a_run_begins_with_the_weights_and_goes_on_without_the_file(run_cli, vgg16):
    name, state = vgg16
    # At a rate of next to nothing the weights after an epoch are those of the beginning.
    code, out, err = run_cli(*TINY, "--weights", name, "--lr", "1e-12", "--out", "run")
    assert (code, err) == (0, "")
    assert "vgg16.safetensors: 30 of the 36 tensors of FCN8s loaded" in out
    assert "left at their start: score.0.weight" in out
    config = json.loads(Path("run/config.json").read_text())
    assert config["weights"] == str(Path(name).absolute())
    found = checkpoint.load("run/model.safetensors")
    for key in ("features.0.weight", "features.28.bias"):
        np.testing.assert_allclose(found[key], state[key], atol=1e-5)
    Path(name).unlink()
    again = Run.open("run")
    trainer = again.trainer()
    assert (trainer.epoch, again.loaded_weights) == (1, None)
    assert np.array_equal(trainer.model.fc7.weight.numpy(), found["fc7.weight"])


def test_weights_change_nothing_else_of_a_run(vgg16):
    """The other layers start as without them, and the pictures come in the same order."""
    given = {"model": "fcn8s", "model_options": {"padding": 1}, "base": 2, "size": 32}
    given |= {"train_size": 8, "val_size": 2, "batch_size": 4, "device": "cpu"}
    one, two = Run.start(given), Run.start({**given, "weights": vgg16[0]})
    plain, loaded = one.trainer().model.state_dict(), two.trainer().model.state_dict()
    assert one.loaded_weights is None
    assert two.loaded_weights is not None
    for key in plain:
        assert np.array_equal(plain[key], loaded[key]) is (key not in two.loaded_weights.loaded)
    for (images, _), (others, _) in zip(one.first_batches(2), two.first_batches(2), strict=True):
        assert np.array_equal(images, others)


def test_with_weights_the_network_is_the_papers_unless_its_width_is_given():
    options = with_defaults({"model": "fcn8s", "weights": "vgg16.safetensors"})
    assert (options["base"], options["depth"], options["model_options"]) == (None, None, {})
    assert options["weights"] == str(Path("vgg16.safetensors").absolute())
    model = build_model({**options, "classes": 4, "base": 2}, channels=3)
    assert model.features[0].padding == (100, 100)  # the paper's, not the toy's
    assert with_defaults({"model": "fcn8s", "weights": "a", "base": 4})["base"] == 4
    assert with_defaults({"model": "fcn8s"})["weights"] is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--weights", "lost.safetensors"], "lost.safetensors' does not exist"),
        (["--weights", "vgg16.pth"], "is a pickle"),
        (["--weights", "vgg16.safetensors", "--base", "3"], "default base"),
        (["--weights", "vgg16.safetensors", "--model", "unet", "--model-options", "norm=true"],
         "nothing in vgg16.safetensors fits UNet"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_used_leave_no_run_behind(run_cli, vgg16, more, message):
    Path("vgg16.pth").write_bytes(pickle.dumps({"features.0.weight": [0.5]}))
    code, out, err = run_cli(*TINY, "--out", "run", *more)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert not Path("run").exists()
