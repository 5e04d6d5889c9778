"""The table of networks: what holds for every one of them, whatever its paper."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import models, nn

NAMES = models.names()
CLASSES = 5
CHOOSY = [name for name in NAMES if models.TABLE[name].sizes != "any"]

# Trainable parameters as the authors' own files, or the sizes in the paper, have them; where there
# are several variants, the one that is the default here.
PUBLISHED = {
    "unet": 31_030_658,
    "unet-valid": 31_030_658,
    "tutorialfcn": 1_384_652,
    "tutorialunet": 1_554_636,
    "fcn32s": 134_346_581,
    "fcn16s": 134_357_354,
    "fcn8s": 134_362_751,
    "segnet": 29_455_125,
    "segnetbasic": 1_417_237,
    "deconvnet": 251_805_653,
    "deeplabv1": 20_505_429,
    "deeplabv2": 44_048_532,
    "deeplabv2-vgg": 37_877_652,
    "deeplabv3": 39_638_869,
    "deeplabv3plus": 40_352_181,
    "pspnet": 46_716_373,
    "refinenet": 118_052_437,
}


def toy(name, seed=0, **options):
    ms.manual_seed(seed)
    return models.build(name, num_classes=CLASSES, **models.TABLE[name].toy, **options)


def two_sizes(model):
    """Two sizes that it takes, neither square, the larger side once the rows and once the columns.

    Where any side will do, they are odd and even.
    """
    small = model.next_size(35)
    large = model.next_size(small + 7)
    return (small, large), (large, small)


def images(model, *size, n=2, seed=0):
    shape = (n, model.in_channels, *size)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---------------------------------------------------------------------------- the table


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_the_parameters_of_the_network_it_makes(name):
    entry = models.TABLE[name]
    with nn.init.skip():
        model = entry.make()
    assert model.num_parameters(trainable_only=True) == entry.parameters
    assert entry.parameters == pytest.approx(PUBLISHED[name], rel=0.01)


def test_every_published_size_is_of_a_network():
    assert set(NAMES) == set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_table_are_filled_in(name):
    entry = models.TABLE[name]
    assert entry.name == name == name.lower()
    assert entry.paper and entry.sizes
    assert "in_channels" not in entry.toy and "num_classes" not in entry.toy
    small = sum(p.size for p in toy(name).parameters())
    assert small < 5_000_000 and small < entry.parameters / 10


@pytest.mark.parametrize("name", NAMES)
def test_names_are_found_however_they_are_written(name):
    for written in (name.upper(), name.title(), f" {name}", "-".join(name), name.replace("-", "_")):
        assert models.find(written).name == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("U-Net", "unet"),
        ("UNet Valid", "unet-valid"),
        ("unetvalid", "unet-valid"),
        ("Tutorial_UNet", "tutorialunet"),
        ("DeepLab-V3+", "deeplabv3plus"),
        ("DeepLab v3 plus", "deeplabv3plus"),
        ("FCN-8s", "fcn8s"),
        ("SegNet-Basic", "segnetbasic"),
        ("PSPNet", "pspnet"),
    ],
)
def test_the_papers_spelling_is_understood(written, name):
    assert models.find(written).name == name
    assert models.build(written, **models.TABLE[name].toy).num_classes > 0


def test_no_two_names_are_spelled_alike():
    """Else one of them could never be found."""
    for name in NAMES:
        assert models.find(name).name == name


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="unknown model 'unnet': did you mean 'unet'"):
        models.build("unnet")
    with pytest.raises(ValueError, match="unknown model '': choose one of unet, unet-valid"):
        models.find("")


# ---------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_logits_have_the_promised_size(name, turned):
    model = toy(name).eval()
    size = two_sizes(model)[turned]
    with ms.no_grad():
        logits = model(images(model, *size))
    assert logits.shape == (2, CLASSES, *model.output_size(size))
    assert logits.dtype == np.float32
    assert np.isfinite(logits.numpy()).all()
    # Another image gives other logits, and the order of the images is kept.
    assert not np.allclose(logits.numpy()[0], logits.numpy()[1])


@pytest.mark.parametrize("name", NAMES)
def test_logits_have_the_images_size_unless_the_network_says_less(name):
    model = toy(name)
    for size in two_sizes(model):
        promised = model.output_size(size)
        assert promised == size or (name == "unet-valid" and promised < size)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHOOSY])
def test_networks_of_any_size_take_the_smallest(name):
    assert models.TABLE[name].sizes == "any"
    model = toy(name).eval()
    assert all(model.accepts(side) for side in range(1, 300))
    with ms.no_grad():
        for size in ((1, 1), (2, 9)):
            assert model(images(model, *size, n=1)).shape[2:] == size


@pytest.mark.parametrize("name", CHOOSY)
def test_a_size_that_does_not_fit_is_refused_with_advice_that_works(name):
    model = models.build(name, num_classes=CLASSES, base=1).eval()
    side = next(side for side in range(400, 0, -1) if not model.accepts(side))
    good = model.next_size(60)
    with pytest.raises(ValueError, match=rf"{side}x{good}") as error:
        model(images(model, side, good, n=1))
    rows, columns = re.search(r"[Pp]ad \w+ to (\d+)x(\d+)", str(error.value)).groups()
    assert int(rows) >= side and int(columns) >= good
    padded = int(rows), int(columns)
    with ms.no_grad():
        out = model(images(model, *padded, n=1))
    assert out.shape[2:] == model.output_size(padded)
    with pytest.raises(ValueError, match=rf"{side}x{good}"):
        model.output_size((side, good))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_batch_of_such_images_is_refused(name):
    model = toy(name)
    rows, columns = two_sizes(model)[0]
    channels = model.in_channels
    with pytest.raises(ValueError, match=rf"has {channels + 1} channels but .* for {channels}"):
        model(np.zeros((1, channels + 1, rows, columns), dtype=np.float32))
    with pytest.raises(ValueError, match=r"batch of one with x\[None\]"):
        model(np.zeros((channels, rows, columns), dtype=np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_other_channels_and_classes_are_taken(name):
    model = toy(name, in_channels=4).eval()
    with ms.no_grad():
        logits = model(images(model, *two_sizes(model)[0], n=1))
    assert logits.shape[1] == CLASSES


# ---------------------------------------------------------------------------- behaviour


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_changes_nothing_and_training_switches_every_part(name):
    model = toy(name).eval()
    x = images(model, *two_sizes(model)[0])
    before = model.state_dict()
    with ms.no_grad():
        first, second = model(x).numpy(), model(x).numpy()
    assert np.array_equal(first, second)
    after = model.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


@pytest.mark.parametrize("name", NAMES)
def test_in_training_statistics_are_gathered_and_values_dropped(name):
    model = toy(name).train()
    kinds = {type(module) for module in model.modules()}
    x = images(model, *two_sizes(model)[0])
    before = model.state_dict()
    with ms.no_grad():
        first, second = model(x), model(x)
    moved = {key for key, value in model.state_dict().items() if (value != before[key]).any()}
    assert {key.rsplit(".", 1)[1] for key in moved} <= {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert bool(moved) is (nn.BatchNorm2d in kinds)
    if not isinstance(first, tuple):
        same = np.array_equal(first.numpy(), second.numpy())
        assert same is (not kinds & {nn.Dropout, nn.Dropout2d})


@pytest.mark.parametrize("name", NAMES)
def test_a_state_goes_from_one_network_into_another(name):
    one, other = toy(name, seed=1).eval(), toy(name, seed=2).eval()
    x = images(one, *two_sizes(one)[1], n=1)
    with ms.no_grad():
        wanted = one(x).numpy()
        assert not np.array_equal(other(x).numpy(), wanted)
        assert other.load_state_dict(one.state_dict()) == ([], [])
        assert np.array_equal(other(x).numpy(), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights(name):
    one, same, other = (toy(name, seed).state_dict() for seed in (5, 5, 6))
    assert list(one) == list(same)
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert any(not np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_every_array_library(backend, name):
    """On the stand-in for CuPy, any array that is copied behind one's back is an error."""
    model = toy(name).eval()
    x = images(model, *two_sizes(model)[0], n=1)
    with ms.no_grad():
        wanted = model(x).numpy()
        logits = model.to(backend.device)(backend.tensor(x))
    assert logits.device == backend.device
    np.testing.assert_allclose(backend.numpy(logits), wanted, rtol=1e-4, atol=1e-5)
