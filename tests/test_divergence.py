"""Training that diverges stops, says at which step and in which layer, and keeps what was good."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from minisegnet import backend, checkpoint, losses, nn, optim
from minisegnet.autograd import Tensor
from minisegnet.cli import main
from minisegnet.models import UNet
from minisegnet.train import DivergedError, Trainer, save_epoch
from minisegnet.train.divergence import layer_to_blame

TINY = (
    *("--train-size", "12", "--val-size", "4", "--size", "32", "--base", "2"),
    *("--depth", "2", "--batch-size", "4"),
)


def task(loss=losses.cross_entropy):
    """A network that has just begun, its optimizer, and two batches."""
    backend.manual_seed(6)
    rng = np.random.default_rng(6)
    images = rng.normal(size=(2, 3, 1, 8, 12)).astype(np.float32)
    batches = [(image, (image[:, 0] > 0.3).astype(np.int64)) for image in images]
    model = UNet(1, 2, base=2, depth=1)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    return Trainer(model, loss, optimizer, num_classes=2), batches


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_last_good_weights_stay_in_memory_and_on_disk(tmp_path):
    trainer, batches = task()
    trainer.fit(batches, batches, epochs=2, on_epoch=lambda row: save_epoch(trainer, tmp_path))
    good = trainer.model.state_dict()
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e30
    with pytest.raises(DivergedError, match=r"at step 2 of epoch 3; the first number .* in \S+ \("):
        trainer.fit(batches, batches, epochs=5, on_epoch=lambda row: save_epoch(trainer, tmp_path))
    np.testing.assert_equal(trainer.model.state_dict(), good)
    assert trainer.epoch == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert len(checkpoint.load(tmp_path / "last.safetensors")["history"]) == 2


@pytest.mark.parametrize("name", ["up.0.weight", "out.bias", "down.0.0.weight"])
def test_the_layer_whose_weights_are_broken_is_named(name):
    model = UNet(1, 2, base=2, depth=1)
    names = dict(model.named_parameters())
    name = name if name in names else list(names)[len(name) % len(names)]
    names[name].data.flat[-1] = math.inf
    owner = name.rpartition(".")[0]
    said = layer_to_blame(model, np.ones((1, 1, 8, 12), np.float32))
    assert said.startswith(f"the first number that is not finite is in {owner} (")


def test_weights_that_grew_without_end_are_named():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Conv2d(2, 3, 1)))
    model[1][0].bias.data[1] = -4.5e7
    said = layer_to_blame(model, np.ones((1, 1, 5, 6), np.float32))
    assert said.startswith("the largest weight, 4.5e+07, is in the bias of 1.0 (Conv2d 2, 3, ")


def test_a_loss_that_explodes_and_one_that_is_nan_name_step_and_layer():
    for value, words in (
        (1e9, "the largest weight"),
        (math.nan, "the first number .* is in down.0.0"),
    ):
        count = iter(range(99))

        def loss(logits, target, count=count, value=value):
            honest = losses.cross_entropy(logits, target)
            return honest * value if next(count) == 1 else honest

        trainer, batches = task(loss)
        with pytest.raises(DivergedError, match=rf"at step 2 of epoch 1; {words}"):
            trainer.fit(batches, epochs=1)


def test_the_network_is_scored_as_it_was_left():
    """Looking for the layer draws no numbers that a later training would miss, in eval mode."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    model.eval()
    before = backend.generator().bit_generator.state
    layer_to_blame(model, np.ones((1, 1, 5, 6), np.float32))
    assert backend.generator().bit_generator.state == before
    assert model(Tensor(np.ones((1, 1, 5, 6), np.float32))).shape == (1, 2, 3, 4)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["train", *TINY, "--lr", "1e30", "--epochs", "2", "--out", "r", "--quiet"])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("error: training diverged: the loss is ")
    assert "at step 2 of epoch 1; the first number that is not finite is in down.0.0 (Conv2d" in err
    assert "--lr 1e+29 instead of 1e+30" in err
    assert err.count("\n") == 1
    assert not list(Path("r").glob(".*"))
    assert checkpoint.load("r/last.safetensors")["history"] == []
