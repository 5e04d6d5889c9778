"""The training loop, whole-image scoring, and what a run leaves in its folder."""

from __future__ import annotations

import csv
import json
import math
import os
import signal

import numpy as np
import pytest
from PIL import Image

from minisegnet import backend as libraries
from minisegnet import checkpoint, losses, nn, optim
from minisegnet.autograd import Tensor
from minisegnet.models import UNet
from minisegnet.models.common import SegmentationModel
from minisegnet.train import (
    DivergedError,
    OptionError,
    Run,
    Trainer,
    centre_crop,
    evaluate,
    input_size,
    predict_logits,
    restore,
    run_folder,
    save_epoch,
    setup,
)
from minisegnet.train.defaults import ANY_DATA, FOLDER, PROCEDURAL, with_defaults
from minisegnet.train.options import BY_NAME, OPTIONS, check_option, check_table, read_toml
from minisegnet.train.saving import saved_history, without_interruption
from minisegnet.train.schedules import build_schedule
from minisegnet.train.setup import Remembered

TINY = {
    "train_size": 12,
    "val_size": 4,
    "size": 32,
    "base": 2,
    "depth": 2,
    "batch_size": 4,
    "epochs": 4,
}


# ---------------------------------------------------------------------------- whole images


class Echo(SegmentationModel):
    """Its logits are its input, less a border: what went where can be read off."""

    def __init__(self, size_multiple: int = 1, border: int = 0) -> None:
        super().__init__(1, 1, size_multiple)
        self.border = border
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.seen: list[tuple[int, ...]] = []

    def output_size(self, size):
        rows, columns = super().output_size(size)
        return rows - 2 * self.border, columns - 2 * self.border

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        self.seen.append(x.shape)
        b = self.border
        return (x * self.scale)[:, :, b : x.shape[2] - b, b : x.shape[3] - b]


def picture(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    "multiple, border, size, seen",
    [
        (1, 0, (5, 7), (5, 7)),
        (4, 0, (8, 12), (8, 12)),
        (4, 0, (5, 7), (8, 8)),
        (8, 0, (3, 17), (8, 24)),
        (1, 3, (5, 7), (11, 13)),
        (4, 3, (5, 7), (12, 16)),
        (16, 6, (2, 3), (16, 16)),
        (4, 0, (1, 9), (4, 12)),
    ],
)
def test_every_pixel_of_any_size_gets_its_own_logit(multiple, border, size, seen):
    image = picture(np.random.default_rng(3), 2, 1, *size)
    model = Echo(multiple, border)
    np.testing.assert_array_equal(predict_logits(model, image), image)
    assert model.seen == [(2, 1, *seen)]


def test_the_padding_is_a_mirror():
    model = Echo(4)
    model.forward = lambda x: x[:, :, ::-1, ::-1] * model.scale  # brings the padding into view
    image = np.arange(15, dtype=np.float32).reshape(1, 1, 3, 5)
    shown = predict_logits(model, image)
    wide = np.pad(image, ((0, 0), (0, 0), (0, 1), (0, 3)), mode="reflect")
    np.testing.assert_array_equal(shown, wide[:, :, ::-1, ::-1][:, :, :3, :5])


def test_an_unpadded_unet_labels_the_whole_image():
    libraries.manual_seed(5)
    model = UNet(1, 3, base=2, depth=2, padding="valid", norm=False)
    image = picture(np.random.default_rng(0), 1, 1, 21, 34)
    rows, columns = input_size(model, (21, 34))
    logits = predict_logits(model, image)
    assert logits.shape == (1, 3, 21, 34)
    out = model.output_size((rows, columns))
    top, left = (rows - out[0]) // 2, (columns - out[1]) // 2
    margins = ((0, 0), (0, 0), (top, rows - 21 - top), (left, columns - 34 - left))
    by_hand = model(Tensor(np.pad(image, margins, mode="reflect"))).numpy()
    np.testing.assert_array_equal(logits, by_hand[:, :, :21, :34])


def test_scoring_leaves_the_mode_and_the_graph_alone():
    model = UNet(1, 2, base=2, depth=1)
    model.train()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    batch = (picture(np.random.default_rng(0), 3, 1, 6, 10), np.zeros((3, 6, 10), np.int64))
    evaluate(model, [batch], num_classes=2, loss=losses.cross_entropy)
    assert model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_are_over_the_data_set_and_the_loss_over_the_images():
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Tensor(np.concatenate([-x.numpy(), x.numpy()], axis=1))

    first = np.array([[[[1.0, -1.0, 2.0]]], [[[1.0, 1.0, 1.0]]]], np.float32)
    second = np.array([[[[-3.0], [3.0]]]], np.float32)
    batches = [
        (first, np.array([[[1, 1, 9]], [[1, 0, 1]]])),
        (second, np.array([[[0], [1]]])),
    ]
    scores = evaluate(
        Constant(),
        batches,
        num_classes=2,
        loss=lambda logits, target: Tensor(np.float32(logits.shape[0] * 10)),
        ignore_index=9,
        class_names=["sky", "road"],
    )
    np.testing.assert_array_equal(scores.matrix.matrix, [[1, 1], [1, 4]])
    assert scores.loss == pytest.approx((20 * 2 + 10 * 1) / 3)
    assert scores.images == 3
    assert scores.matrix.class_names == ("sky", "road")


def test_centre_crop_needs_room():
    with pytest.raises(ValueError, match="cannot cut 4x2 out of 3x5"):
        centre_crop(np.zeros((3, 5)), (4, 2))


def test_images_without_a_batch_axis_are_refused():
    with pytest.raises(ValueError, match=r"image\[None\]"):
        predict_logits(UNet(1, 2, base=2, depth=1), np.zeros((1, 4, 6), np.float32))


def test_a_network_that_trims_unannounced_is_refused():
    class Trimming(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, 1:-1, 1:-1]

    with pytest.raises(ValueError, match="3x4 for images of 5x6"):
        predict_logits(Trimming(), np.zeros((1, 2, 5, 6), np.float32))


# ---------------------------------------------------------------------------- the loop


def small_task(seed=0, device="cpu", schedule=None, **options):
    """A trainer, and batches that it can learn: bright is class 1."""
    libraries.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images = picture(rng, 6, 1, 8, 12)
    masks = (images[:, 0] > 0).astype(np.int64)
    batches = [(images[:4], masks[:4]), (images[4:], masks[4:])]
    model = UNet(1, 2, base=4, depth=1)
    model.to(device)
    optimizer = optim.Adam(model.parameters(), lr=options.pop("lr", 0.02))
    schedule = None if schedule is None else schedule(optimizer)
    loss = options.pop("loss", losses.cross_entropy)
    return Trainer(model, loss, optimizer, num_classes=2, schedule=schedule, **options), batches


def test_it_learns_on_every_array_library(backend):
    trainer, batches = small_task(device=backend.device, lr=0.05)
    history = trainer.fit(batches, batches, epochs=25)
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].pixel_accuracy > 0.9
    assert all(parameter.device == backend.device for parameter in trainer.model.parameters())


def test_the_history_says_what_happened():
    values = iter([1.0, 4.0, 2.0, 3.0])

    def scripted(logits: Tensor, target: Tensor) -> Tensor:
        return logits.sum() * 0.0 + next(values)

    trainer, batches = small_task(loss=scripted)
    seen = []
    history = trainer.fit(batches, epochs=2, on_step=seen.append)
    # Batches of 4 and of 2 pictures.
    assert [row.train_loss for row in history] == [(4 * 1 + 2 * 4) / 6, (4 * 2 + 2 * 3) / 6]
    assert [row.epoch for row in history] == [1, 2]
    assert all(math.isnan(row.val_loss) and math.isnan(row.mean_iou) for row in history)
    assert all(row.seconds > 0 for row in history)
    assert [(p.epoch, p.epochs, p.step, p.steps) for p in seen] == [
        (1, 2, 1, 2),
        (1, 2, 2, 2),
        (2, 2, 1, 2),
        (2, 2, 2, 2),
    ]
    assert trainer.best_epoch == 2


def test_the_best_epoch_has_the_highest_mean_iou_and_the_first_of_equals(monkeypatch):
    from minisegnet.metrics import ConfusionMatrix

    scores = iter([0.3, 0.7, 0.7, math.nan, 0.5, 0.8])
    monkeypatch.setattr(ConfusionMatrix, "mean_iou", lambda self: next(scores))
    trainer, batches = small_task()
    best = []
    trainer.fit(batches, batches, epochs=6, on_epoch=lambda row: best.append(trainer.best_epoch))
    assert best == [1, 2, 2, 2, 2, 6]


def test_a_mask_is_cropped_for_an_unpadded_network():
    libraries.manual_seed(1)
    model = UNet(1, 2, base=2, depth=1, padding="valid", norm=False)
    targets = []

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        targets.append(target.numpy())
        return losses.cross_entropy(logits, target)

    mask = np.random.default_rng(0).integers(0, 2, (1, 20, 24))
    trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), num_classes=2)
    trainer.fit([(np.zeros((1, 1, 20, 24), np.float32), mask)], epochs=1)
    rows, columns = model.output_size((20, 24))
    assert (rows, columns) == (4, 8)
    np.testing.assert_array_equal(targets[0], mask[:, 8:12, 8:16])


def test_schedules_step_by_epoch_or_by_step():
    rates = {}
    for every in ("epoch", "step"):
        trainer, batches = small_task(
            schedule=lambda o: optim.StepLR(o, step_size=1, gamma=0.5), schedule_every=every
        )
        trainer.fit(batches, epochs=2)
        rates[every] = trainer.optimizer.param_groups[0]["lr"]
    assert rates == {"epoch": 0.02 * 0.5**2, "step": 0.02 * 0.5**4}
    with pytest.raises(ValueError, match="'epoch' or 'step'"):
        small_task(schedule_every="batch")


def test_no_batch_is_an_error():
    trainer, _ = small_task()
    with pytest.raises(ValueError, match="no batch"):
        trainer.fit([], epochs=1)


# ---------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5000.0])
def test_a_loss_that_explodes_names_the_step_and_restores_the_weights(value):
    values = iter([1.0, 2.0, 1.0, value])

    def scripted(logits: Tensor, target: Tensor) -> Tensor:
        return losses.cross_entropy(logits, target) * 0.0 + next(values)

    trainer, batches = small_task(loss=scripted)
    trainer.fit(batches, epochs=1)
    good = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    with pytest.raises(DivergedError, match="step 2 of epoch 2"):
        trainer.fit(batches, epochs=2)
    assert trainer.epoch == 1
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, good[name], err_msg=name)


def test_a_loss_that_is_large_from_the_start_is_no_divergence():
    trainer, batches = small_task(loss=lambda x, t: losses.cross_entropy(x, t) * 1e5)
    assert len(trainer.fit(batches, epochs=2)) == 2


def test_weights_that_are_not_finite_are_found_before_they_are_saved():
    trainer, batches = small_task()

    class Breaking:
        def step(self) -> None:
            trainer.model.classify.weight.data[...] = np.inf

        def zero_grad(self) -> None:
            pass

    trainer.optimizer = Breaking()
    with pytest.raises(DivergedError, match="weight is no longer finite after step 1"):
        trainer.fit(batches[:1], batches[:1], epochs=1)
    assert np.isfinite(trainer.model.classify.weight.data).all()


def test_logits_that_are_not_finite_are_refused():
    model = UNet(1, 2, base=2, depth=1)
    batch = (np.full((1, 1, 4, 6), np.nan, np.float32), np.zeros((1, 4, 6), np.int64))
    with pytest.raises(DivergedError, match="not finite"):
        evaluate(model, [batch], num_classes=2)


# ---------------------------------------------------------------------------- going on


class Noisy(nn.Module):
    """Draws from the one generator at every step, as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = UNet(1, 2, base=2, depth=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            noise = libraries.generator().normal(size=x.shape).astype(np.float32)
            x = x + Tensor(noise)
        return self.inner(x)


def test_a_trainer_goes_on_bit_for_bit(tmp_path):
    def noisy_trainer():
        trainer, batches = small_task(seed=4)
        libraries.manual_seed(4)
        model = Noisy()
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
        schedule = optim.CosineAnnealingLR(optimizer, T_max=5)
        return Trainer(model, trainer.loss, optimizer, num_classes=2, schedule=schedule), batches

    straight, batches = noisy_trainer()
    straight.fit(batches, batches, epochs=4)

    first, batches = noisy_trainer()
    first.fit(batches, batches, epochs=2, on_epoch=lambda row: save_epoch(first, tmp_path))
    second, batches = noisy_trainer()
    libraries.manual_seed(99)
    restore(second, tmp_path)
    second.fit(batches, batches, epochs=4)

    assert_same_weights(straight.model.state_dict(), second.model.state_dict())
    assert without_seconds(straight.history) == without_seconds(second.history)
    assert straight.best_epoch == second.best_epoch


def assert_same_weights(left, right):
    assert list(left) == list(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def without_seconds(history):
    return [(r.epoch, r.train_loss, r.val_loss, r.pixel_accuracy, r.mean_iou) for r in history]


@pytest.mark.parametrize("saved_with", [True, False])
def test_a_schedule_that_only_one_of_the_two_has_is_refused(saved_with):
    trainers = []
    for with_schedule in (saved_with, not saved_with):
        trainer, _ = small_task()
        trainer.schedule = optim.StepLR(trainer.optimizer, 3) if with_schedule else None
        trainers.append(trainer)
    having = "the state" if saved_with else "this trainer"
    with pytest.raises(ValueError, match=f"only {having} has a schedule"):
        trainers[1].load_state_dict(trainers[0].state_dict())


def test_a_foreign_checkpoint_is_refused_by_name(tmp_path):
    trainer, _ = small_task()
    checkpoint.save({"weights": np.zeros(3)}, tmp_path / "last.safetensors")
    with pytest.raises(ValueError, match=r"last\.safetensors does not fit this run"):
        restore(trainer, tmp_path)
    with pytest.raises(ValueError, match="not the checkpoint of a run"):
        saved_history(tmp_path)


def test_the_checkpoint_is_written_before_the_history(tmp_path, monkeypatch):
    """A crash between the two costs nothing: restoring brings the history in line."""
    trainer, batches = small_task()
    trainer.fit(batches, batches, epochs=1, on_epoch=lambda row: save_epoch(trainer, tmp_path))
    one_row = (tmp_path / "history.csv").read_text()

    def crash(*_):
        raise RuntimeError("power cut")

    monkeypatch.setattr("minisegnet.train.saving.write_history", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.fit(batches, batches, epochs=2, on_epoch=lambda row: save_epoch(trainer, tmp_path))
    assert (tmp_path / "history.csv").read_text() == one_row
    assert len(saved_history(tmp_path)) == 2
    monkeypatch.undo()

    again, _ = small_task()
    restore(again, tmp_path)
    text = (tmp_path / "history.csv").read_text()
    assert text.startswith(one_row)
    assert again.epoch == len(text.splitlines()) - 1 == 2


def test_numbers_in_the_history_read_back_exactly(tmp_path):
    trainer, batches = small_task()
    trainer.fit(batches, batches, epochs=2, on_epoch=lambda row: save_epoch(trainer, tmp_path))
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "epoch", "train_loss", "val_loss", "pixel_accuracy", "mean_iou", "seconds"
    ]  # fmt: skip
    for row, kept in zip(rows, trainer.history, strict=True):
        assert {name: float(value) for name, value in row.items()} == vars(kept)


def test_ctrl_c_waits_until_all_is_written():
    steps = []

    def interrupted_writing():
        with without_interruption():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("written")

    with pytest.raises(KeyboardInterrupt):
        interrupted_writing()
    assert steps == ["written"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---------------------------------------------------------------------------- run folders


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "sgd", "schedule": "onecycle", "schedule_epochs": 3, "augment": "turn"},
        {"optimizer": "rmsprop", "schedule": "poly", "schedule_epochs": 3, "augment": "mirror"},
        {"optimizer": "adamw", "schedule": "step", "schedule_epochs": 1, "weight_decay": 0.1},
        {"schedule": "cosine", "schedule_epochs": 3, "size": 30, "crop": 24, "loss": "dice"},
    ],
)
def test_two_epochs_and_two_more_are_four(tmp_path, more):
    options = {**TINY, "seed": 3, **more}
    straight = Run.start({**options, "out": str(tmp_path / "straight")})
    straight.train(straight.trainer())

    broken = Run.start({**options, "epochs": 2, "out": str(tmp_path / "broken")})
    broken.train(broken.trainer())
    (tmp_path / "broken").rename(tmp_path / "moved")
    again = Run.open(tmp_path / "moved")
    again.change(epochs=4)
    again.train(again.trainer())

    for name in ("model.safetensors", "last.safetensors"):
        left = checkpoint.load(tmp_path / "straight" / name)
        right = checkpoint.load(tmp_path / "moved" / name)
        for row in (*left.pop("history", ()), *right.pop("history", ())):
            row.pop("seconds")
        np.testing.assert_equal(left, right)
    assert without_seconds(saved_history(tmp_path / "straight")) == without_seconds(
        saved_history(tmp_path / "moved")
    )
    assert len(saved_history(tmp_path / "moved")) == 4
    assert not (tmp_path / "broken").exists()
    configs = [
        json.loads((tmp_path / d / "config.json").read_text()) for d in ("straight", "moved")
    ]
    assert [config.pop("out") for config in configs] == [
        str(tmp_path / "straight"),
        str(tmp_path / "moved"),
    ]
    assert configs[0] == configs[1]


def test_the_seed_makes_the_run(tmp_path):
    histories = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = Run.start({**TINY, "epochs": 1, "seed": seed, "out": str(tmp_path / name)})
        histories.append(without_seconds(run.train(run.trainer())))
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_training_and_validation_pictures_differ(tmp_path, seed):
    run = Run.start({**TINY, "seed": seed, "out": str(tmp_path / "run")})
    train, val = run.data("train"), run.data("val")
    assert (len(train), len(val)) == (12, 4)
    for i in range(4):
        for j in range(12):
            assert not np.array_equal(val[i][0], train[j][0])


@pytest.fixture
def folder(tmp_path):
    """Eight grey pictures of 40x56 with masks of 0, 128 (void: 255) and 200."""
    rng = np.random.default_rng(8)
    root = tmp_path / "cells"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(8):
        mask = np.zeros((40, 56), np.uint8)
        row, column = rng.integers(0, 20, 2)
        mask[row : row + 18, column : column + 24] = 1
        mask[:2] = 255
        mask[-1, -1] = 2
        noise = rng.integers(0, 40, mask.shape)
        pixels = np.where(mask == 1, 200, 60) + noise
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"cell{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"cell{i}.png")
    return root


def test_a_folder_is_resolved_into_the_config(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.start({"data": "cells", "size": 20, "base": 2, "depth": 2, "epochs": 1, "out": "run"})
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert set(BY_NAME) <= set(config)
    assert config["data"] == str(folder)
    assert (config["classes"], config["size"], config["crop"]) == (3, 20, 20)
    assert config["ignore_index"] == 255
    found = config["found"]
    assert found["channels"] == 1
    assert found["resize"] is True
    names = found["split"]["train"] + found["split"]["val"]
    assert sorted(names) == [f"cell{i}" for i in range(8)]
    assert len(found["split"]["val"]) == 2
    assert run.data("train")[0][0].shape == (1, 20, 28)


def test_without_a_size_pictures_keep_their_own(tmp_path, folder):
    run = Run.start({"data": str(folder), "base": 2, "depth": 3, "out": str(tmp_path / "run")})
    assert (run.options["size"], run.options["crop"]) == (40, 40)
    assert run.found["resize"] is False
    trainer = run.trainer()
    images, masks = next(iter(run._train_loader()))
    assert images.shape[1:] == (1, 40, 40)
    assert set(np.unique(masks)) <= {0, 1, 2, 255}
    assert trainer.ignore_index == 255
    whole = list(run.batches(run.data("val")))
    assert [images.shape for images, _ in whole] == [(2, 1, 40, 56)]


@pytest.mark.parametrize(
    "augment, turns, mirrors",
    [("none", [0], [False]), ("mirror", [0], [False, True]), ("turn", range(4), [False, True])],
)
def test_pictures_are_varied_as_asked(tmp_path, folder, augment, turns, mirrors):
    run = Run.start(
        {"data": str(folder), "augment": augment, "batch_size": 6, "out": str(tmp_path / "run")}
    )
    truth = [run.data("train")[i][0][0] for i in range(6)]
    loader = run._train_loader()
    seen = set()
    for _ in range(12):
        for image in next(iter(loader))[0][:, 0]:
            found = {
                (turn, mirror)
                for turn in range(4)
                for mirror in (False, True)
                for whole in truth
                if contains(whole, np.rot90(image[:, ::-1] if mirror else image, turn))
            }
            assert len(found) == 1
            seen |= found
        loader.epoch += 1
    assert seen == {(turn, mirror) for turn in turns for mirror in mirrors}


def contains(whole, part):
    """Whether a square of the full height lies somewhere in a picture, in another light."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)[0]
    windows = windows - windows.mean(axis=(1, 2), keepdims=True)
    part = part - part.mean()
    likeness = (windows * part).sum(axis=(1, 2)) / np.sqrt(
        (windows**2).sum(axis=(1, 2)) * (part**2).sum()
    )
    return likeness.max() > 0.98


@pytest.mark.parametrize("batch_size, steps, size", [(4, 1, 4), (6, 1, 6), (99, 1, 6), (2, 3, 2)])
def test_every_batch_is_full(tmp_path, folder, batch_size, steps, size):
    run = Run.start({"data": str(folder), "batch_size": batch_size, "out": str(tmp_path / "run")})
    assert [len(images) for images, _ in run._train_loader()] == [size] * steps


def test_the_network_sees_a_picture_at_the_training_s_scale(tmp_path, folder):
    run = Run.start({"data": str(folder), "size": 20, "out": str(tmp_path / "run")})
    model = Echo()
    image = run.read_image(folder / "images" / "cell0.png")
    assert run.predict(model, image).shape == (40, 56)
    assert model.seen == [(1, 1, 20, 28)]


def test_pictures_are_centred_by_the_training_set(tmp_path, folder):
    run = Run.start({"data": str(folder), "base": 2, "augment": "none", "out": str(tmp_path / "r")})
    train = run.data("train")
    pixels = np.concatenate([train[i][0].ravel() for i in range(len(train))])
    assert run.found["mean"] == [pytest.approx(pixels.mean(), rel=1e-5)]
    assert run.found["std"] == [pytest.approx(pixels.std(), rel=1e-5)]
    image, mask = train[0]
    centred, _ = run.normalize(image, mask, np.random.default_rng(0))
    np.testing.assert_allclose(centred, (image - pixels.mean()) / pixels.std(), atol=1e-4)


def test_predictions_come_back_at_the_picture_s_own_size(tmp_path, folder):
    run = Run.start(
        {"data": str(folder), "size": 20, "base": 4, "depth": 2, "epochs": 25, "lr": 0.02,
         "batch_size": 3, "out": str(tmp_path / "run")}
    )  # fmt: skip
    run.train(run.trainer())
    model = run.best_model()
    name = run.found["split"]["val"][0]
    image = run.read_image(folder / "images" / f"{name}.png")
    mask = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
    predicted = run.predict(model, image)
    assert predicted.shape == (40, 56)
    assert predicted.dtype == np.int64
    counted = mask < 2
    assert (predicted == mask)[counted].mean() > 0.9
    scores = run.evaluate()
    assert scores.matrix.matrix.sum() == 2 * 20 * 28 - 2 * 28  # one row of void in each
    assert scores.matrix.pixel_accuracy() > 0.9


def test_another_folder_is_read_with_the_run_s_classes(tmp_path, folder):
    run = Run.start(
        {"data": str(folder), "size": 20, "base": 2, "depth": 2, "epochs": 1,
         "out": str(tmp_path / "run")}
    )  # fmt: skip
    run.train(run.trainer())
    other = tmp_path / "other"
    for name in ("images", "masks"):
        (other / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (30, 24, 3)).astype(np.uint8)).save(other / "images/a.png")
    mask = np.ones((30, 24), np.uint8)
    mask[:3] = 255
    Image.fromarray(mask).save(other / "masks/a.png")
    matrix = run.evaluate(str(other)).matrix.matrix
    assert matrix.shape == (3, 3)
    # 30x24 becomes 25x20; of its rows, those under whose centre lie the three of void are void.
    void_rows = sum((row + 0.5) * 30 / 25 < 3 for row in range(25))
    assert matrix[1].sum() == matrix.sum() == 20 * (25 - void_rows)
    assert run.evaluate(str(folder)).images == 2
    with pytest.raises(OptionError, match="trained on a folder"):
        run.evaluate("shapes")


def test_the_config_cannot_redirect_what_is_written(tmp_path):
    run = Run.start({**TINY, "epochs": 1, "out": str(tmp_path / "run")})
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    config["out"] = str(tmp_path / "elsewhere")
    path.write_text(json.dumps(config))
    run = Run.open(tmp_path / "run")
    run.train(run.trainer())
    assert not (tmp_path / "elsewhere").exists()
    assert json.loads(path.read_text())["out"] == str(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c.pop("found"), "'found' is missing"),
        (lambda c: c["found"].update(mean=3), "found.mean is 3"),
        (lambda c: c.update(epochs="many"), "epochs is 'many'"),
        (lambda c: c.update(modle="unet"), "unknown key 'modle'.*did you mean 'model'"),
        (lambda c: c.pop("classes"), "lacks classes"),
        (lambda c: c["found"].update(class_weights=[1.0]), r"found.class_weights is \[1.0\]"),
        (lambda c: c["found"].update(split={"train": []}), "found.split is {'train'"),
    ],
)
def test_a_damaged_config_is_refused_by_name(tmp_path, change, words):
    Run.start({**TINY, "out": str(tmp_path / "run")})
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(OptionError, match=words) as caught:
        Run.open(tmp_path / "run")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("split", [None, {"train": ["cell1"]}, {"train": ["cell1"], "val": [7]}])
def test_a_config_without_the_names_of_its_pictures_is_refused(tmp_path, folder, split):
    Run.start({"data": str(folder), "base": 2, "out": str(tmp_path / "run")})
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    config["found"]["split"] = split
    path.write_text(json.dumps(config))
    with pytest.raises(OptionError, match=r"config.json is damaged: found.split is"):
        Run.open(tmp_path / "run")


def test_pictures_are_kept_as_long_as_there_is_room():
    drawn = []

    class Drawn:
        num_classes, ignore_index, class_names, channels, palette = 2, None, (), 1, None

        def __len__(self):
            return 3

        def __getitem__(self, index):
            drawn.append(index)
            side = (4, 40, 4)[index]  # the second is larger than the room
            return np.zeros((1, side, side), np.float32), np.zeros((side, side), np.int64)

    kept = Remembered(Drawn(), room=2 * 16 * (4 + 8))
    for _ in range(2):
        assert [kept[i][1].shape[0] for i in range(3)] == [4, 40, 4]
    assert drawn == [0, 1, 2, 1]


def test_a_used_folder_is_refused_and_a_free_number_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [Run.start(TINY).folder.as_posix() for _ in range(2)]
    assert names == ["runs/unet-shapes-1", "runs/unet-shapes-2"]
    with pytest.raises(OptionError, match="holds a run already"):
        Run.start({**TINY, "out": names[0]})
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="is a file"):
        Run.start({**TINY, "out": "file"})


def test_a_folder_that_cannot_be_written_is_refused_before_the_data_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir()
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as context:
        context.setattr(setup, "open_data", lambda *_: pytest.fail("the data were read"))
        context.setattr(run_folder.os, "access", lambda path, _: path != tmp_path / "locked")
        with pytest.raises(OptionError, match=r"--out \S+/locked/a/b: nothing can .* \S+/locked: "):
            Run.start({**TINY, "out": str(tmp_path / "locked" / "a" / "b")})
        with pytest.raises(OptionError, match=r"--out file/a: \S+/file is a file: name a folder"):
            Run.start({**TINY, "out": "file/a"})
        monkeypatch.chdir(tmp_path / "locked")
        with pytest.raises(OptionError, match=r"--out runs: nothing can .* \S+/locked: "):
            Run.start(TINY)
    assert {path.name for path in tmp_path.rglob("*")} == {"locked", "file"}


def test_nothing_is_left_when_the_options_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in ({"crop": 30}, {"loss": "binary_cross_entropy"}, {"classes": 9}, {"size": 8}):
        with pytest.raises(ValueError):
            Run.start({**TINY, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_program_go(tmp_path):
    run = Run.start({**TINY, "epochs": 1, "out": str(tmp_path / "run")})
    for name in (".model.safetensors.tmp", ".curves.png.tmp"):
        (run.folder / name).write_text("half")
    (run.folder / ".mine.tmp").write_text("not ours")
    run.train(run.trainer())
    assert sorted(p.name for p in run.folder.glob(".*")) == [".mine.tmp"]


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "focal", "dice"])
def test_losses_of_two_classes(tmp_path, loss):
    run = Run.start(
        {**TINY, "classes": 2, "epochs": 2, "loss": loss, "lr": 0.02, "out": str(tmp_path / "r")}
    )
    history = run.train(run.trainer())
    assert history[1].train_loss < history[0].train_loss


def test_a_binary_loss_of_two_maps_is_their_cross_entropy():
    from minisegnet.train.objective import build_loss

    rng = np.random.default_rng(0)
    logits = Tensor(picture(rng, 2, 2, 3, 5))
    target = Tensor(rng.integers(0, 2, (2, 3, 5)))
    binary = build_loss("binary_cross_entropy", 2, None)(logits, target)
    assert binary.item() == pytest.approx(losses.cross_entropy(logits, target).item(), rel=1e-5)


def test_weighted_cross_entropy_gets_the_weights_of_the_training_masks(tmp_path):
    from minisegnet.data import median_frequency_weights

    run = Run.start({**TINY, "loss": "weighted_cross_entropy", "out": str(tmp_path / "r")})
    weights = median_frequency_weights(run.data("train"))
    assert run.found["class_weights"] == weights.tolist()
    rng = np.random.default_rng(0)
    logits = Tensor(picture(rng, 1, 3, 4, 5))
    target = Tensor(rng.integers(0, 3, (1, 4, 5)))
    by_hand = losses.weighted_cross_entropy(logits, target, weights).item()
    assert Run.open(run.folder).loss(None)(logits, target).item() == by_hand
    assert by_hand != losses.weighted_cross_entropy(logits, target).item()


# ---------------------------------------------------------------------------- options


def test_defaults_are_valid_and_complete():
    options = with_defaults({})
    assert set(options) == set(BY_NAME)
    for table in (ANY_DATA, PROCEDURAL, FOLDER):
        for name, value in table.items():
            assert check_option(name, value) == value
    assert len(BY_NAME) == len(OPTIONS)


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("epochs", "7", 7),
        ("lr", "1e-3", 1e-3),
        ("lr", 2, 2.0),
        ("loss", "Cross-Entropy", "cross_entropy"),
        ("model", "UNET", "unet"),
        ("weight_decay", 0, 0.0),
        ("seed", 0, 0),
        ("quiet", True, True),
    ],
)
def test_values_are_converted(name, text, value):
    found = check_option(name, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "name, wrong",
    [
        ("epochs", "0"), ("epochs", 2.5), ("epochs", True), ("epochs", "2.5"), ("epochs", []),
        ("lr", "0"), ("lr", "nan"), ("lr", "inf"), ("lr", -1), ("lr", True), ("lr", None),
        ("weight_decay", -0.1), ("val_fraction", 1), ("val_fraction", 0), ("classes", 1),
        ("seed", -1), ("depth", 0), ("quiet", "yes"), ("data", ""), ("data", 3), ("out", " "),
        ("device", "tpu"), ("loss", 3), ("optimizer", "adma"), ("batch_size", 10**30 * 0.5),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_the_option_s_name(name, wrong):
    with pytest.raises(OptionError, match=f"^{BY_NAME[name].flag} is "):
        check_option(name, wrong)


def test_a_toml_file_gives_options(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('epochs = 3\nbatch-size = 2\nloss = "dice"\n')
    assert read_toml(path) == {"epochs": 3, "batch_size": 2, "loss": "dice"}


@pytest.mark.parametrize(
    "text, words",
    [
        ("epoch = 3", "unknown key 'epoch': did you mean 'epochs'"),
        ("epochs = 'x'", "epochs is 'x': give a whole number"),
        ("epochs = 3\nepochs = 4", "not a TOML file"),
        ("epochs", "not a TOML file"),
        ("[epochs]\nn = 3", "flat"),
        ("batch-size = 2\nbatch_size = 3", "given twice"),
        ("config = 'x.toml'", "unknown key 'config'"),
    ],
)
def test_a_wrong_toml_file_is_refused_by_name(tmp_path, text, words):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(OptionError, match=words) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_text_is_no_toml(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\x00\xfe")
    with pytest.raises(OptionError, match="not a TOML file"):
        read_toml(tmp_path / "x.toml")
    with pytest.raises(OptionError, match="No such file"):
        read_toml(tmp_path / "y.toml")


def test_options_that_do_not_go_with_the_data_are_refused():
    with pytest.raises(OptionError, match="--train-size is for procedural shapes"):
        with_defaults({"data": "cells", "train_size": 3})
    with pytest.raises(OptionError, match="--ignore-index is for a folder"):
        with_defaults({"ignore_index": 3})
    assert check_table({"data": "./shapes"}, "x")["data"] == "./shapes"


# ---------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("name", ["constant", "step", "poly", "cosine", "onecycle"])
@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd", "rmsprop"])
def test_rates_depend_on_the_step_alone_and_never_reach_zero(name, optimizer):
    def rates(epochs):
        parameter = nn.Parameter(np.ones(3, np.float32))
        makers = {
            "muon": optim.Muon,
            "adam": optim.Adam,
            "sgd": optim.SGD,
            "rmsprop": optim.RMSprop,
        }
        made = makers[optimizer]([parameter], lr=0.4)
        options = {"schedule": name, "schedule_epochs": 4, "lr": 0.4, "optimizer": optimizer}
        schedule = build_schedule(
            with_defaults({**options, "epochs": epochs}), made, steps_per_epoch=5
        )
        found = []
        for _ in range(5 * epochs):
            found.append(made.param_groups[0]["lr"])
            if schedule is not None:
                schedule.step()
        return found

    long = rates(11)
    assert rates(3) == long[:15]
    assert min(long) > 0
    assert max(long) == pytest.approx(0.4, rel=0.02)
    if name == "cosine":
        assert long[20:40] == long[:20]
    if name in ("poly", "onecycle"):
        assert len(set(long[20:])) == 1
        assert long[-1] < 0.04
    if name == "step":
        assert long[20:40] == [pytest.approx(0.4 * 0.3)] * 20
