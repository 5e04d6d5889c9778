"""Published weights: files with torchvision's names and shapes, in small, into every encoder."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import minisegnet as ms
from minisegnet import models
from minisegnet.models import load_torch_weights
from minisegnet.models.vgg import VGG16

BASE = 2
VGG16_LAYERS = [1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M"]
VGG19_LAYERS = [1, 1, "M", 2, 2, "M", *[4] * 4, "M", *[8] * 4, "M", *[8] * 4, "M"]


def numbers(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def norm(name, maps):
    """A batch normalisation as PyTorch saves it."""
    weight, bias, mean, variance = numbers(4, maps)
    return {
        f"{name}.weight": weight,
        f"{name}.bias": bias,
        f"{name}.running_mean": mean,
        f"{name}.running_var": np.abs(variance) + 0.5,
        f"{name}.num_batches_tracked": np.array(7),
    }


def torchvision_vgg(layers=VGG16_LAYERS, batch_norm=False, base=BASE):
    """The state_dict of torchvision's vgg16 or vgg16_bn, 64 being ``base``."""
    state, number, before = {}, 0, 3
    for width in layers:
        if width == "M":
            number += 1
            continue
        maps = width * base
        state[f"features.{number}.weight"] = numbers(maps, before, 3, 3)
        state[f"features.{number}.bias"] = numbers(maps)
        state |= norm(f"features.{number + 1}", maps) if batch_norm else {}
        number, before = number + (3 if batch_norm else 2), maps
    for name, (inputs, outputs) in {
        "classifier.0": (8 * base * 49, 64 * base),
        "classifier.3": (64 * base, 64 * base),
        "classifier.6": (64 * base, 1000),
    }.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = numbers(outputs, inputs), numbers(outputs)
    return state


def torchvision_resnet(counts, base=BASE, deep_stem=False):
    """The state_dict of torchvision's resnet50 and resnet101, 64 being ``base``.

    With ``deep_stem``, that of hszhao/semseg's and of semantic-segmentation-pytorch's.
    """
    state = {"conv1.weight": numbers(base, 3, 7, 7), **norm("bn1", base)}
    before = base
    if deep_stem:
        before = 2 * base
        for i, shape in enumerate([(base, 3, 3, 3), (base, base, 3, 3), (before, base, 3, 3)], 1):
            state |= {f"conv{i}.weight": numbers(*shape), **norm(f"bn{i}", shape[0])}
    for stage, count in enumerate(counts):
        width = base * 2**stage
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            shapes = [(width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for i, shape in enumerate(shapes, 1):
                state[f"{name}.conv{i}.weight"] = numbers(*shape)
                state |= norm(f"{name}.bn{i}", shape[0])
            if block == 0:
                state[f"{name}.downsample.0.weight"] = numbers(4 * width, before, 1, 1)
                state |= norm(f"{name}.downsample.1", 4 * width)
            before = 4 * width
    return state | {"fc.weight": numbers(1000, before), "fc.bias": numbers(1000)}


@pytest.fixture
def saved(tmp_path):
    """Write a state_dict; gives the path."""

    def save(state, name="weights.safetensors"):
        path = tmp_path / name
        safetensors.numpy.save_file(state, path)
        return path

    return save


def built(name, base=BASE, **options):
    ms.manual_seed(0)
    return models.build(name, num_classes=5, base=base, **options)


def without_counters(names):
    return {name for name in names if not name.endswith("num_batches_tracked")}


# ---------------------------------------------------------------------------- VGG


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "module.backbone.", "model."])
def test_vgg16_fills_fcn_with_its_fully_connected_layers(saved, prefix):
    state = torchvision_vgg()
    model = built("fcn8s", padding=1)
    path = saved({prefix + name: array for name, array in state.items()})
    report = model.load_torch_weights(path)
    found = model.state_dict()
    for name, array in state.items():
        if name.startswith("features."):
            assert np.array_equal(found[name], array), name
    assert np.array_equal(found["fc7.weight"][:, :, 0, 0], state["classifier.3.weight"])
    assert np.array_equal(found["fc6.bias"], state["classifier.0.bias"])
    assert set(report.loaded) == {
        *(name for name in state if name.startswith("features.")),
        *("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias"),
    }
    assert set(report.unused) == {f"{prefix}classifier.6.{part}" for part in ("weight", "bias")}
    assert all(name.startswith("score.") for name in report.left)
    assert not report.wrong_shape


def test_fc6_is_the_fully_connected_layer(saved):
    """The same sums: a 7x7 map flattened by PyTorch times the matrix, and the convolution."""
    state = torchvision_vgg()
    model = built("fcn32s")
    load_torch_weights(model, saved(state))
    maps = numbers(2, 8 * BASE, 7, 7)
    wanted = maps.reshape(2, -1) @ state["classifier.0.weight"].T + state["classifier.0.bias"]
    out = model.fc6(ms.tensor(maps)).numpy()
    np.testing.assert_allclose(out[:, :, 0, 0], wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["segnet", "deconvnet"])
def test_vgg16_bn_fills_encoders_with_batch_norm(saved, name):
    state = torchvision_vgg(batch_norm=True)
    model = built(name)
    report = load_torch_weights(model, saved(state))
    found = model.state_dict()
    features = without_counters(n for n in state if n.startswith("features."))
    assert features <= set(report.loaded)
    for key in features:
        assert np.array_equal(found[key], state[key]), key
    assert int(found["features.1.num_batches_tracked"]) == 0
    if name == "deconvnet":
        wanted = state["classifier.0.weight"].reshape(64 * BASE, 8 * BASE, 7, 7)
        assert np.array_equal(found["fc6.0.weight"], wanted)
        assert "fc6.1.weight" in report.left
    else:
        assert set(report.loaded) == features
        assert "classifier.0.weight" in report.unused
    assert not any(n.endswith("num_batches_tracked") for n in (*report.left, *report.unused))


def test_vgg16_without_batch_norm_fits_an_encoder_with_it(saved):
    """In evaluation, untrained normalisations divide by sqrt(1 + 1e-5) and do nothing else."""
    state = torchvision_vgg()
    model = built("segnet").eval()
    report = load_torch_weights(model, saved(state))
    assert len(report.loaded) == 26
    assert all(n not in report.loaded for n in ("features.1.weight", "features.41.running_mean"))
    plain = VGG16(3, BASE)
    plain.load_state_dict({n[9:]: a for n, a in state.items() if n.startswith("features.")})
    image = ms.tensor(numbers(1, 3, 32, 64))
    wanted, found = (encoder(image)[-1].maps.numpy() for encoder in (plain, model.features))
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-3 * np.abs(wanted).max())
    assert np.abs(wanted).max() > 0


@pytest.mark.parametrize("name", ["deeplabv1", "deeplabv2-vgg"])
def test_vgg16_fills_the_encoder_of_the_first_deeplabs(saved, name):
    model = built(name)
    state = torchvision_vgg()
    report = load_torch_weights(model, saved(state))
    found = model.state_dict()
    for key in (key for key in state if key.startswith("features.")):
        assert np.array_equal(found[key], state[key]), key
    assert len(report.loaded) >= 26


# ---------------------------------------------------------------------------- ResNet


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder."])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("deeplabv2", "deeplabv3", "deeplabv3plus", "refinenet")),
        *(("pspnet", {"stem": stem}) for stem in ("plain", "deep")),
    ],
)
def test_resnets_fill_the_backbone(saved, name, options, prefix):
    state = torchvision_resnet((1, 1, 1, 1), deep_stem=options.get("stem") == "deep")
    model = built(name, backbone="resnet14", **options)
    report = load_torch_weights(model, saved({prefix + n: a for n, a in state.items()}))
    found = model.state_dict()
    encoder = without_counters(n for n in state if not n.startswith("fc."))
    assert set(report.loaded) == {f"backbone.{key}" for key in encoder}
    for key in encoder:
        assert np.array_equal(found[f"backbone.{key}"], state[key]), key
    assert set(report.unused) == {f"{prefix}fc.weight", f"{prefix}fc.bias"}
    assert not any(key.startswith("backbone.") for key in report.left)
    assert report.numbers == (
        sum(state[key].size for key in encoder),
        sum(a.size for n, a in model.named_state() if not n.endswith("num_batches_tracked")),
    )


def test_a_stem_of_another_form_keeps_its_start(saved):
    """PSPNet begins with three 3x3 convolutions, torchvision's ResNets with one of 7x7."""
    model = built("pspnet", backbone="resnet14")
    state = torchvision_resnet((1, 1, 1, 1))
    report = load_torch_weights(model, saved(state))
    assert report.wrong_shape["backbone.conv1.weight"] == ((2, 3, 7, 7), (2, 3, 3, 3))
    stages = without_counters(n for n in state if n.startswith("layer") and "layer1.0" not in n)
    assert {f"backbone.{name}" for name in stages} <= set(report.loaded)
    assert {"backbone.conv1.weight", "backbone.conv2.weight"} <= set(report.left)
    assert "with stem='plain' (--model-options stem=plain)" in str(report).splitlines()[-1]


def test_a_deep_stem_does_not_fit_a_plain_one(saved):
    state = torchvision_resnet((1, 1, 1, 1), deep_stem=True)
    for name, options in (("pspnet", {"stem": "plain"}), ("deeplabv3", {})):
        report = load_torch_weights(built(name, backbone="resnet14", **options), saved(state))
        assert report.wrong_shape["backbone.conv1.weight"] == ((2, 3, 3, 3), (2, 3, 7, 7))
        assert "take torchvision's resnet50" in str(report).splitlines()[-1]


def test_published_names_are_those_of_the_whole_encoder(saved):
    """ResNet-50 with its 3, 4, 6 and 3 blocks."""
    state = torchvision_resnet((3, 4, 6, 3), base=1)
    model = built("deeplabv3", base=1, backbone="resnet50")
    report = load_torch_weights(model, saved(state))
    names = without_counters(name for name, _ in model.backbone.named_state())
    assert set(report.loaded) == {f"backbone.{name}" for name in names}


def test_a_network_of_ours_comes_back_by_its_own_names(saved):
    one, other = (built("deeplabv3", backbone="resnet14") for _ in range(2))
    for array in one.state_dict().values():
        assert array.dtype.kind in "fi"
    for parameter in one.parameters():
        parameter.data += 1
    report = load_torch_weights(other, saved(one.state_dict()))
    assert not report.left and not report.unused
    names = without_counters(one.state_dict())
    assert all(np.array_equal(one.state_dict()[n], other.state_dict()[n]) for n in names)


# ---------------------------------------------------------------------------- kinds of numbers


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_the_networks(saved, dtype):
    state = {name: array.astype(dtype) for name, array in torchvision_vgg().items()}
    model = built("fcn8s", padding=1)
    load_torch_weights(model, saved(state))
    weight = model.features[0].weight
    assert weight.dtype == np.float32
    assert np.array_equal(weight.numpy(), state["features.0.weight"].astype(np.float32))


def test_brain_floats(tmp_path):
    """Their 16 bits are the first half of float32's."""
    header, content = {}, b""
    state = {n: a for n, a in torchvision_vgg().items() if n.startswith("features.")}
    for name, array in state.items():
        halves = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
        places = [len(content), len(content) + len(halves)]
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": places}
        content += halves
    text = json.dumps(header).encode()
    path = tmp_path / "brain.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    model = built("fcn8s", padding=1)
    load_torch_weights(model, path)
    found = model.features[28].weight.numpy()
    wanted = (state["features.28.weight"].view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert np.array_equal(found, wanted) and found.dtype == np.float32


def test_weights_go_to_the_device_of_the_network(backend, saved):
    model = built("fcn8s", padding=1).to(backend.device)
    state = torchvision_vgg()
    load_torch_weights(model, saved(state))
    assert model.fc7.weight.device == backend.device
    found = backend.numpy(model.fc7.weight)[:, :, 0, 0]
    assert np.array_equal(found, state["classifier.3.weight"])


# ---------------------------------------------------------------------------- what does not fit


def test_a_layer_is_filled_as_a_whole_or_not_at_all(saved):
    """One channel in: the first convolution has another shape, and keeps its bias too."""
    model = built("fcn8s", padding=1, in_channels=1)
    before = model.state_dict()
    report = load_torch_weights(model, saved(torchvision_vgg()))
    assert report.wrong_shape == {"features.0.weight": ((2, 3, 3, 3), (2, 1, 3, 3))}
    assert report.left[:2] == ("features.0.weight", "features.0.bias")
    assert {"features.0.weight", "features.0.bias"} < set(report.unused)
    assert np.array_equal(model.state_dict()["features.0.bias"], before["features.0.bias"])
    assert "features.2.weight" in report.loaded


def test_the_report_can_be_read(saved):
    model = built("fcn8s", padding=1, in_channels=1)
    report = load_torch_weights(model, saved(torchvision_vgg()))
    assert str(report).splitlines() == [
        "weights.safetensors: 28 of the 36 tensors of FCN8s loaded, 131,486 of 132,281 numbers",
        "left at their start: features.0.weight, features.0.bias, score.0.weight, score.0.bias, "
        "score.1.weight, score.1.bias, score.2.weight, score.2.bias",
        "not used: classifier.6.bias, classifier.6.weight, features.0.bias, features.0.weight",
        "wrong shape: features.0.weight is (2, 3, 3, 3) in the file and (2, 1, 3, 3) here",
    ]


def refused(model, path, *words):
    """load_torch_weights must raise a ValueError with all the words, and change nothing."""
    before = model.state_dict()
    with pytest.raises(ValueError) as caught:
        load_torch_weights(model, path)
    for word in (path.name, *words):
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_pickles_are_refused_with_the_way_to_convert_them(tmp_path):
    model = built("fcn8s", padding=1)
    path = tmp_path / "vgg16.pth"
    path.write_bytes(pickle.dumps({"features.0.weight": Bomb()}))
    refused(model, path, "is a pickle", "save_file(state_dict", "torch.load", "weights_only=True")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    refused(model, path, "zip archive", ".pth", "weights_only=True")


def test_files_that_cannot_be_read(saved, tmp_path):
    model = built("fcn8s", padding=1)
    refused(model, tmp_path / "lost.safetensors", "load_torch_weights", "does not exist")
    path = saved(torchvision_vgg())
    path.write_bytes(path.read_bytes()[:-5])
    refused(model, path, "is cut off")
    path.write_text("weights")
    refused(model, path, "not a safetensors file" if path.stat().st_size > 8 else "holds only 7")


def test_nothing_that_fits(saved):
    resnet = saved(torchvision_resnet((1, 1, 1, 1)))
    refused(built("unet", depth=2), resnet, "nothing in", "fits UNet", "down.0.0.weight", "vgg16")
    refused(built("fcn8s", padding=1), resnet, "nothing in", "bn1.bias", "features.0.weight")
    vgg = saved(torchvision_vgg())
    refused(built("deeplabv3", backbone="resnet14"), vgg, "nothing in")


def test_another_width(saved):
    refused(
        built("fcn8s", base=4, padding=1),
        saved(torchvision_vgg()),
        "nothing in",
        "features.0.weight is (2, 3, 3, 3) in the file and (4, 3, 3, 3) here",
        "default base",
    )


def test_another_depth(saved):
    deep = torchvision_resnet((3, 4, 23, 3), base=1)
    refused(
        built("deeplabv3", base=1, backbone="resnet50"),
        saved({f"module.{name}": array for name, array in deep.items()}),
        "(3, 4, 23, 3) blocks",
        "has (3, 4, 6, 3)",
        "ResNet-101",
    )
    refused(
        built("fcn8s", padding=1),
        saved(torchvision_vgg(VGG19_LAYERS)),
        "16 convolutions",
        "take the weights of VGG-16",
    )


def test_batch_norm_that_the_encoder_does_not_have(saved):
    state = torchvision_vgg(batch_norm=True)
    refused(built("fcn8s", padding=1), saved(state), "with batch normalisation", "vgg16)")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(saved, bad):
    state = torchvision_vgg()
    state["features.28.weight"][3, 1, 2, 0] = bad
    refused(built("fcn8s", padding=1), saved(state), "features.28.weight", "not all finite")


def test_what_has_no_place_may_be_anything(saved):
    state = torchvision_vgg() | {"extra.mask": np.array([True, False]), "n": np.array(np.nan)}
    report = load_torch_weights(built("fcn8s", padding=1), saved(state))
    assert {"extra.mask", "n"} <= set(report.unused)
