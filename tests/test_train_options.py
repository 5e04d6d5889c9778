"""What a run can be told: the network's options, weights, schedules, augmentation, recipes."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from minisegnet import backend as libraries
from minisegnet import checkpoint, losses, models, nn, optim
from minisegnet.autograd import Tensor
from minisegnet.data import median_frequency_weights
from minisegnet.models import UNet
from minisegnet.models.common import SegmentationModel
from minisegnet.train import OptionError, Run, Trainer, defaults, recipes
from minisegnet.train.defaults import typed_over, with_defaults
from minisegnet.train.network import build_model, model_defaults
from minisegnet.train.objective import build_loss, takes_weight
from minisegnet.train.options import check_option, check_table, read_toml
from minisegnet.train.schedules import build_schedule
from minisegnet.train.setup import train_loader

TINY = {
    "train_size": 8,
    "val_size": 2,
    "size": 32,
    "base": 2,
    "depth": 2,
    "batch_size": 4,
    "epochs": 2,
}


# ---------------------------------------------------------------------------- the network's options


@pytest.mark.parametrize(
    "text, value",
    [
        ("norm=false", {"norm": False}),
        ("up = nearest, norm=true", {"up": "nearest", "norm": True}),
        ("rates=[1, 2,4],output-stride=8", {"rates": [1, 2, 4], "output_stride": 8}),
        ({"up": "nearest"}, {"up": "nearest"}),
        ("", {}),
    ],
)
def test_options_of_a_network_are_read(text, value):
    assert check_option("model_options", text) == value


@pytest.mark.parametrize("wrong", ["norm", "=3", "norm=", 3, ["norm"], True])
def test_wrong_options_of_a_network_are_refused(wrong):
    with pytest.raises(OptionError, match=r"--model-options is .*NAME=VALUE"):
        check_option("model_options", wrong)


def test_a_toml_file_may_hold_them_as_a_table(tmp_path):
    (tmp_path / "x.toml").write_text('epochs = 3\n[model-options]\nup = "nearest"\n')
    assert read_toml(tmp_path / "x.toml") == {"epochs": 3, "model_options": {"up": "nearest"}}
    with pytest.raises(OptionError, match="flat"):
        check_table({"epochs": {"n": 3}}, "x")


def test_a_run_is_rebuilt_from_its_config(tmp_path):
    given = {"model_options": {"up": "bilinear", "norm": False}, "out": str(tmp_path / "r")}
    run = Run.start({**TINY, **given})
    run.train(run.trainer())
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert config["model_options"] == {"up": "bilinear", "norm": False}
    again = Run.open(tmp_path / "r").best_model()
    names = set(again.state_dict())
    assert not any("running_mean" in name for name in names)
    assert names == set(UNet(3, 3, base=2, depth=2, norm=False, up="bilinear").state_dict())


def test_options_of_the_toy_go_where_none_are_given(tmp_path, monkeypatch):
    entry = dataclasses.replace(
        models.TABLE["unet"], toy={"base": 3, "depth": 1, "norm": False, "up": "nearest"}
    )
    monkeypatch.setitem(models.TABLE, "unet", entry)
    options = with_defaults({"model_options": {"up": "bilinear"}})
    assert (options["base"], options["depth"]) == (3, 1)
    assert options["model_options"] == {"norm": False, "up": "bilinear"}
    assert with_defaults({"data": "cells"})["base"] == 6

    run = Run.start({**TINY, "out": str(tmp_path / "new")})
    assert run.options["model_options"] == {"norm": False, "up": "nearest"}
    # A file from before there were such options: what the toy has now is not its business.
    path = tmp_path / "new" / "config.json"
    old = json.loads(path.read_text())
    for name in ("model_options", "class_weights", "momentum", "clip_grad", "warm_up", "power"):
        old.pop(name)
    path.write_text(json.dumps(old))
    opened = Run.open(tmp_path / "new")
    assert opened.options["model_options"] == {}
    names = build_model(opened.options, 3).state_dict()
    assert any("running_mean" in name for name in names)


def test_tuples_of_a_toy_are_what_comes_back_from_json(monkeypatch):
    entry = dataclasses.replace(models.TABLE["unet"], toy={"base": 3, "rates": (1, 2)})
    monkeypatch.setitem(models.TABLE, "unet", entry)
    assert model_defaults("unet")["model_options"] == {"rates": [1, 2]}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"model_options": {"nrom": False}}, "unet has no such option: did you mean 'norm'"),
        ({"model_options": {"base": 3}}, "give it as --base"),
        ({"model_options": {"num_classes": 3}}, "give it as --classes"),
        ({"model_options": {"up": "cubic"}}, "up is 'cubic'"),
        ({"model": "tutorialfcn", "depth": 2}, "--depth: the model tutorialfcn has no such"),
        ({"model": "tutorialfcn", "depth": None, "model_options": {"up": 1}}, "it has none"),
    ],
)
def test_what_a_network_does_not_take_is_refused(tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        Run.start({**TINY, **given, "out": str(tmp_path / "r")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", models.names())
def test_the_toy_of_every_network_can_be_rebuilt_from_json(name):
    options = {**with_defaults({"model": name}), "classes": 3}
    kept = json.loads(json.dumps(options))
    assert kept == options
    with nn.init.skip():
        first, second = (build_model(each, 3) for each in (options, kept))
    shapes = [{n: a.shape for n, a in m.state_dict().items()} for m in (first, second)]
    assert shapes[0] == shapes[1]


# ---------------------------------------------------------------------------- auxiliary losses


class Helped(SegmentationModel):
    """A network of one weight for each map, with two auxiliary heads."""

    auxiliary_weight = 0.4

    def __init__(self, shrink: int = 0) -> None:
        super().__init__(1, 2)
        self.weights = nn.Parameter(np.array([1.0, -0.5, 0.25], np.float32))
        self.shrink = shrink
        self.calls = 0

    def _map(self, x, k):
        return Tensor(np.array([[[[1.0]], [[-1.0]]]], np.float32)) * x * self.weights[k : k + 1]

    def forward(self, x):
        return self._map(x, 0)

    def forward_with_auxiliary(self, x):
        self.calls += 1
        rows = x.shape[2] - self.shrink
        return self._map(x, 0), self._map(x, 1)[:, :, :rows], self._map(x, 2)[:, :, :rows]


def batch_of(rng):
    return rng.normal(size=(2, 1, 3, 5)).astype(np.float32), rng.integers(0, 2, (2, 3, 5))


def test_auxiliary_losses_count_by_their_weight():
    images, masks = batch_of(np.random.default_rng(0))
    model = Helped()
    parts = [
        losses.cross_entropy(each, Tensor(masks)).item()
        for each in model.forward_with_auxiliary(Tensor(images))
    ]
    start = model.weights.numpy().copy()
    trainer = Trainer(
        model, losses.cross_entropy, optim.SGD(model.parameters(), lr=0.5), num_classes=2
    )
    history = trainer.fit([(images, masks)], [(images, masks)], epochs=1)
    assert history[0].train_loss == pytest.approx(parts[0] + 0.4 * (parts[1] + parts[2]))
    moved = start - model.weights.numpy()
    # The gradient of each head alone, by its own weight.
    for k, share in enumerate((1.0, 0.4, 0.4)):
        alone = Helped()
        loss = losses.cross_entropy(alone._map(Tensor(images), k), Tensor(masks))
        loss.backward()
        assert moved[k] == pytest.approx(0.5 * share * alone.weights.grad[k], rel=1e-4)
    # Scores are of the logits alone.
    scored = losses.cross_entropy(model(Tensor(images)), Tensor(masks)).item()
    assert history[0].val_loss == pytest.approx(scored)


def test_without_a_weight_the_auxiliary_heads_are_not_run():
    images, masks = batch_of(np.random.default_rng(1))
    model = Helped()
    model.auxiliary_weight = 0.0
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    Trainer(model, losses.cross_entropy, optimizer, num_classes=2).fit([(images, masks)], epochs=1)
    assert model.calls == 0
    np.testing.assert_array_equal(model.weights.numpy()[1:], [-0.5, 0.25])


def test_auxiliary_logits_of_another_size_are_refused():
    model = Helped(shrink=1)
    trainer = Trainer(
        model, losses.cross_entropy, optim.SGD(model.parameters(), lr=0.5), num_classes=2
    )
    with pytest.raises(ValueError, match=r"auxiliary logits are \(2, 2, 2, 5\)"):
        trainer.fit([batch_of(np.random.default_rng(1))], epochs=1)


def test_a_network_with_an_auxiliary_head_trains_from_options(tmp_path):
    run = Run.start(
        {
            **TINY,
            "model": "pspnet",
            "depth": None,
            "epochs": 1,
            "model_options": {"auxiliary": True},
            "out": str(tmp_path / "r"),
        }
    )
    trainer = run.trainer()
    assert trainer.model.auxiliary_weight > 0
    before = {name: array.copy() for name, array in trainer.model.state_dict().items()}
    run.train(trainer)
    after = trainer.model.state_dict()
    heads = [n for n in after if n.startswith("aux_classifier") and n.endswith("weight")]
    assert heads
    assert all(not np.array_equal(before[name], after[name]) for name in heads)


# ---------------------------------------------------------------------------- class weights


def test_which_losses_take_weights():
    weighted = {"cross_entropy", "weighted_cross_entropy", "exponential_logarithmic"}
    from minisegnet.train.options import loss_names

    assert {name for name in loss_names() if takes_weight(name)} == weighted


@pytest.mark.parametrize("loss", ["cross_entropy", "exponential_logarithmic"])
@pytest.mark.parametrize("kind", ["median-frequency", "root-median-frequency"])
def test_weights_are_recorded_and_used(tmp_path, loss, kind):
    run = Run.start({**TINY, "loss": loss, "class_weights": kind, "out": str(tmp_path / "r")})
    weights = median_frequency_weights(run.data("train"))
    weights = weights if kind == "median-frequency" else np.sqrt(weights)
    again = Run.open(run.folder)
    np.testing.assert_allclose(again.found["class_weights"], weights, rtol=1e-6)
    rng = np.random.default_rng(0)
    logits = Tensor(rng.normal(size=(1, 3, 4, 5)).astype(np.float32))
    target = Tensor(rng.integers(0, 3, (1, 4, 5)))
    function = getattr(losses, loss)
    by_hand = function(logits, target, weight=weights.astype(np.float32)).item()
    assert again.loss(None)(logits, target).item() == pytest.approx(by_hand, rel=1e-6)
    assert by_hand != pytest.approx(function(logits, target, weight=np.ones(3, np.float32)).item())
    history = run.train(run.trainer())
    assert math.isfinite(history[-1].val_loss)


def test_void_pixels_weigh_nothing(tmp_path):
    root = tmp_path / "cells"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(4):
        mask = np.zeros((8, 12), np.uint8)
        mask[:, 8:], mask[:2] = 1, 255
        Image.fromarray(mask // 2).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    run = Run.start(
        {"data": str(root), "depth": 1, "class_weights": "median-frequency", "ignore_index": 255,
         "out": str(tmp_path / "r")}
    )  # fmt: skip
    # Of the pixels that count, 2/3 are of class 0 and 1/3 of class 1; their median is 1/2.
    assert run.found["class_weights"] == pytest.approx([0.75, 1.5])


def test_weights_for_a_loss_that_takes_none_are_refused(tmp_path):
    with pytest.raises(OptionError, match="dice takes no weights: choose one of cross_entropy"):
        Run.start({**TINY, "loss": "dice", "class_weights": "median-frequency"})


def test_weights_go_to_the_device_of_the_logits(backend):
    loss = build_loss("cross_entropy", 2, None, [1.0, 3.0])
    # Costs log 2, log 2 and 8 by weights 1, 1 and 3.
    logits = backend.tensor(np.array([[[[0.0, 0.0, 8.0]], [[0.0, 0.0, 0.0]]]], np.float32))
    target = Tensor(backend.asarray(np.array([[[0, 0, 1]]])))
    assert loss(logits, target).item() == pytest.approx((2 * math.log(2) + 24) / 5, rel=1e-3)


# ---------------------------------------------------------------------------- steps


def rates(steps, **options):
    optimizer = optim.SGD([nn.Parameter(np.ones(3, np.float32))], lr=0.4)
    given = {"schedule_epochs": steps, "lr": 0.4, "optimizer": "sgd", **options}
    schedule = build_schedule(with_defaults(given), optimizer, steps_per_epoch=1)
    found = []
    for _ in range(steps + 3):
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


def test_poly_falls_as_asked_and_is_held_one_step_before_0():
    found = rates(10, schedule="poly", power=2.0)
    np.testing.assert_allclose(found[:10], [0.4 * (1 - t / 10) ** 2 for t in range(10)])
    assert found[10:] == [found[9]] * 3
    np.testing.assert_allclose(
        rates(10, schedule="poly")[:10], [0.4 * (1 - t / 10) ** 0.9 for t in range(10)]
    )


def test_a_warm_up_rises_in_a_line_then_the_schedule_falls():
    found = rates(10, schedule="poly", power=1.0, warm_up=0.4)
    np.testing.assert_allclose(found[:5], [0.08, 0.16, 0.24, 0.32, 0.4])
    np.testing.assert_allclose(found[4:10], [0.4 * (1 - t / 6) for t in range(6)])
    assert np.argmax(rates(20, schedule="onecycle", warm_up=0.5)) == 9
    assert np.argmax(rates(20, schedule="onecycle")) == 5
    assert np.argmax(rates(20, schedule="cosine", warm_up=0.1)) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"schedule": "poly", "warm_up": 0.3, "power": 2.0, "schedule_epochs": 4},
        {"schedule": "onecycle", "optimizer": "sgd", "momentum": 0.7, "schedule_epochs": 4},
        {"schedule": "constant", "optimizer": "rmsprop", "momentum": 0.5, "lr": 1e-3},
    ],
)
def test_two_epochs_and_two_more_are_four(tmp_path, more):
    options = {**TINY, "seed": 5, "clip_grad": 0.5, "augment": "scale", **more}
    straight = Run.start({**options, "epochs": 4, "out": str(tmp_path / "straight")})
    straight.train(straight.trainer())
    broken = Run.start({**options, "epochs": 2, "out": str(tmp_path / "broken")})
    broken.train(broken.trainer())
    again = Run.open(tmp_path / "broken")
    again.change(epochs=4)
    again.train(again.trainer())
    left, right = (
        checkpoint.load(tmp_path / n / "last.safetensors") for n in ("straight", "broken")
    )
    for row in (*left.pop("history"), *right.pop("history")):
        row.pop("seconds")
    np.testing.assert_equal(left, right)


@pytest.mark.parametrize(
    "optimizer, moved",
    [
        ("muon", {"momentum", "betas"}),
        ("adam", {"betas"}),
        ("adamw", {"betas"}),
        ("sgd", {"momentum"}),
        ("rmsprop", set()),
    ],
)
def test_one_cycle_moves_what_an_optimizer_has_of_momentum(tmp_path, optimizer, moved):
    """Down from 0.95 to 0.85 while the rate rises for half of the steps, and up again."""
    chosen = {"optimizer": optimizer, "schedule": "onecycle", "warm_up": 0.5, "schedule_epochs": 3}
    trainer = Run.start({**TINY, **chosen, "out": str(tmp_path / "run")}).trainer()
    (group,) = trainer.optimizer.param_groups
    found = {name: [] for name in {"momentum", "betas"} & set(group)}
    for _ in range(6):
        for name, values in found.items():
            values.append(group["betas"][0] if name == "betas" else group[name])
        trainer.schedule.step()
    for name, values in found.items():
        expected = [0.95, 0.9, 0.85, 0.85 + 0.1 / 4, 0.85 + 0.3 / 4, 0.95]
        if name not in moved:
            expected = [0.0] * 6
        np.testing.assert_allclose(values, expected, rtol=1e-6, err_msg=name)
    assert moved <= set(found)


def test_the_help_gives_the_defaults_that_there_are(monkeypatch):
    table = (
        ("momentum", "optimizer", {"muon": 0.8, "sgd": 0.25, "rmsprop": 0.8}),
        ("scales", "augment", {"scale": [0.5, 3.0]}),
    )
    monkeypatch.setattr(defaults, "DEPENDENT", table)
    assert defaults.described_default("momentum") == "0.8; 0.25 for sgd"
    assert defaults.described_default("scales") == "0.5:3"
    monkeypatch.setitem(defaults.ANY_DATA, "weight_decay", 0.0)
    assert defaults.described_default("weight_decay") == "0"


def test_gradients_are_shortened_to_the_length_asked_for():
    images, masks = batch_of(np.random.default_rng(2))
    moved = []
    for clip in (None, 0.125):
        model = Helped()
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        trainer = Trainer(model, losses.cross_entropy, optimizer, num_classes=2, clip_grad=clip)
        start = model.weights.numpy().copy()
        trainer.fit([(images, masks)], epochs=1)
        moved.append(model.weights.numpy() - start)
    assert np.linalg.norm(moved[0]) > 0.2
    assert np.linalg.norm(moved[1]) == pytest.approx(0.125, rel=1e-4)
    np.testing.assert_allclose(
        moved[1] / np.linalg.norm(moved[1]), moved[0] / np.linalg.norm(moved[0]), rtol=1e-4
    )


def test_the_options_reach_the_optimizer_and_the_trainer(tmp_path):
    run = Run.start(
        {**TINY, "optimizer": "sgd", "momentum": 0.55, "clip_grad": 2, "schedule": "constant",
         "out": str(tmp_path / "r")}
    )  # fmt: skip
    trainer = run.trainer()
    assert trainer.optimizer.param_groups[0]["momentum"] == 0.55
    assert trainer.clip_grad == 2.0


@pytest.mark.parametrize(
    "given, words",
    [
        (
            {"optimizer": "adam", "momentum": 0.9},
            "--momentum goes with --optimizer muon or --optimizer sgd or --optimizer rmsprop, not",
        ),
        ({"power": 0.9}, "--power goes with --schedule poly, not with cosine"),
        ({"schedule": "step", "warm_up": 0.1}, "--warm-up goes with"),
        ({"scales": [0.5, 2.0]}, "--scales goes with --augment scale, not with none"),
    ],
)
def test_what_goes_with_another_choice_is_refused(given, words):
    with pytest.raises(OptionError, match=words):
        with_defaults(given)


def test_defaults_of_dependent_options():
    options = with_defaults({"optimizer": "sgd", "schedule": "poly", "augment": "scale"})
    assert (options["momentum"], options["warm_up"], options["power"]) == (0.9, 0.0, 0.9)
    assert options["scales"] == [0.5, 2.0]
    options = with_defaults({})
    assert (options["momentum"], options["power"], options["scales"]) == (0.95, None, None)
    assert with_defaults({"optimizer": "adam"})["momentum"] is None
    assert options["warm_up"] == 0.3


def test_typing_another_choice_drops_what_went_with_the_file_s():
    file = {"schedule": "poly", "power": 0.5, "warm_up": 0.1, "model": "unet", "base": 16}
    assert typed_over(file, {"schedule": "cosine"}) == {
        "schedule": "cosine", "warm_up": 0.1, "model": "unet", "base": 16
    }  # fmt: skip
    assert typed_over(file, {"model": "fcn8s", "power": 0.7}) == {
        "schedule": "poly", "power": 0.7, "warm_up": 0.1, "model": "fcn8s"
    }  # fmt: skip
    assert typed_over(file, {"model": "unet"})["base"] == 16


# ---------------------------------------------------------------------------- crops and scales


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("crop", "48", 48),
        ("crop", "48x64", [48, 64]),
        ("crop", "48X48", 48),
        ("crop", [48, 64], [48, 64]),
        ("scales", "0.5:2", [0.5, 2.0]),
        ("scales", [1, 1.5], [1.0, 1.5]),
        ("class_weights", "Median_Frequency", "median-frequency"),
        ("clip_grad", "2", 2.0),
    ],
)
def test_values_are_converted(name, text, value):
    assert check_option(name, text) == value


@pytest.mark.parametrize(
    "name, wrong",
    [
        *(("crop", wrong) for wrong in ("48x", "x", "48x64x2", [48], [48, 3], 2, "a", 4.5)),
        *(("scales", wrong) for wrong in ("2", "2:0.5", "0:1", "a:b", [1], 3, "1:inf")),
        *(("clip_grad", wrong) for wrong in (0, "nan", -1)),
        *(("momentum", wrong) for wrong in (1, -0.1, True)),
        *(("warm_up", wrong) for wrong in (1, -0.1)),
        ("power", 0),
        ("class_weights", "rare"),
    ],
)
def test_wrong_values_are_refused(name, wrong):
    with pytest.raises(OptionError, match=f"^--{name.replace('_', '-')} is "):
        check_option(name, wrong)


@pytest.fixture
def pictures(tmp_path):
    """Six pictures of 40x56 that show their masks: the grey value is 10 times the class."""
    root = tmp_path / "pictures"
    rng = np.random.default_rng(8)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(6):
        mask = np.kron(rng.integers(0, 4, (5, 7)), np.ones((8, 8))).astype(np.uint8)
        Image.fromarray(mask * 60).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def test_crops_may_be_longer_than_high_and_scales_vary(tmp_path, pictures):
    run = Run.start(
        {"data": str(pictures), "crop": [32, 48], "depth": 3, "augment": "scale", "batch_size": 5,
         "scales": [0.5, 2.0], "out": str(tmp_path / "r")}
    )  # fmt: skip
    assert json.loads((tmp_path / "r" / "config.json").read_text())["crop"] == [32, 48]
    loader = run._train_loader()
    images, masks = (np.concatenate(each) for each in zip(*loader, *loader, *loader, strict=True))
    assert images.shape == (15, 1, 32, 48)
    assert set(np.unique(masks)) <= {0, 1, 2, 3, -100}
    # Those that became smaller than the crop are padded, the others fill it.
    padded = [(mask == -100).any() for mask in masks]
    assert any(padded)
    assert not all(padded)


def test_a_crop_whose_sides_do_not_halve_is_refused_by_the_side(tmp_path, pictures):
    with pytest.raises(OptionError, match=r"--crop is 44: UNet .*: give 40 or 48"):
        Run.start({"data": str(pictures), "crop": [32, 44], "out": str(tmp_path / "r")})


def test_light_and_colour_change_only_with_augmentation(tmp_path, pictures):
    run = Run.start({"data": str(pictures), "crop": 40, "out": str(tmp_path / "r")})

    def values(augment):
        options = {**run.options, "augment": augment, "scales": [1.0, 1.0]}
        loader = train_loader(options, run.data("train"), run.normalize)
        return next(iter(loader))[0]

    levels = np.array([0.0, 60, 120, 180], np.float32) / 255
    known = (levels - run.found["mean"][0]) / run.found["std"][0]
    nearest = np.abs(values("none")[..., None] - known.astype(np.float32)).min(axis=-1)
    assert nearest.max() < 1e-5
    nearest = np.abs(values("scale")[..., None] - known.astype(np.float32)).min(axis=-1)
    assert nearest.max() > 1e-2


# ---------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_are_complete_and_say_what_they_are_for(name):
    options = recipes.options_of(name)
    assert {"data", "epochs", "schedule_epochs", "base", "depth", "lr"} <= set(options)
    assert options["epochs"] == options["schedule_epochs"]
    assert 20 < len(recipes.summary(name)) < 100
    resolved = with_defaults(options)
    with nn.init.skip():
        model = build_model({**resolved, "classes": 3}, 3)
    crop = resolved["crop"] or resolved["size"]
    assert all(model.accepts(side) for side in np.atleast_1d(crop).tolist())


def test_a_recipe_is_what_trains_without_options():
    mine, default = with_defaults(recipes.options_of("shapes")), with_defaults({})
    assert mine == default


def test_unknown_recipes_get_a_suggestion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="no recipe of that name: did you mean 'camvid'"):
        recipes.options_of("camvdi")
    with pytest.raises(OptionError, match=r"camvid\.toml: No such file"):
        recipes.options_of("camvid.toml")
    (tmp_path / "mine").write_text("epochs = 3\n")
    assert recipes.options_of("mine") == {"epochs": 3}
    with pytest.raises(OptionError, match="no recipe 'camvdi': did you mean 'camvid'"):
        recipes.text("camvdi")


def test_seeds_still_make_the_run_under_scaling(tmp_path):
    histories = []
    for name in ("a", "b"):
        libraries.manual_seed(99)
        run = Run.start({**TINY, "augment": "scale", "epochs": 1, "out": str(tmp_path / name)})
        histories.append(run.train(run.trainer())[0].train_loss)
    assert histories[0] == histories[1]
