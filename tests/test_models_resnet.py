"""The networks on a ResNet: published sizes and names, PyTorch's logits, gradients, overfitting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import functional as F
from minisegnet import nn
from minisegnet.data import Shapes
from minisegnet.models import DeepLabV2, DeepLabV3, DeepLabV3Plus, PSPNet, RefineNet, ResNet
from minisegnet.models.parts import PooledContext
from minisegnet.models.resnet import Bottleneck

SMALL = {"num_classes": 5, "base": 4, "backbone": "resnet26"}

# A network of each kind with two blocks a stage; by the name of its twin in torch_models_resnet.
CASES = {
    "deeplab_v2": (DeepLabV2, {"rates": (1, 2, 3, 5)}),
    "deeplab_v3": (DeepLabV3, {"rates": (1, 2, 4), "auxiliary": True}),
    "deeplab_v3_plus": (DeepLabV3Plus, {"rates": (1, 2, 3)}),
    "deeplab_v3_plus_separable": (DeepLabV3Plus, {"rates": (1, 2, 3), "separable": True}),
    "pspnet": (PSPNet, {"auxiliary": True}),
    "refinenet": (RefineNet, {}),
}
RECORDED = Path(__file__).parent / "data" / "torch_models_resnet.npz"
HAS_DROPOUT = {DeepLabV3, DeepLabV3Plus, PSPNet, RefineNet}


def make(name: str, **options):
    kind, own = CASES[name]
    ms.manual_seed(7)
    return kind(**{**SMALL, **own, **options})


def filled(model, seed: int = 3):
    """The model with other weights and statistics, all of them different, as after training.

    They depend on names and shapes alone: what was recorded with them stays good.
    """
    rng = np.random.default_rng(seed)
    for name, values in model.state_dict().items():
        kind = name.rsplit(".", 1)[1]
        if kind == "num_batches_tracked":
            continue
        if values.ndim > 1:
            drawn = rng.normal(0, (1.5 / values[0].size) ** 0.5, values.shape)
        elif kind in ("weight", "running_var"):
            drawn = rng.uniform(0.6, 1.6, values.shape)
        else:
            drawn = rng.normal(0, 0.3, values.shape)
        model.load_state_dict({name: drawn}, strict=False)
    return model


def images(n: int = 2, rows: int = 45, columns: int = 66, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, rows, columns)).astype(np.float32)


# ---------------------------------------------------------------------------- sizes and names


@pytest.mark.parametrize(
    ("kind", "options", "with_50", "with_101"),
    [
        (DeepLabV2, {}, 25_056_404, 44_048_532),
        (DeepLabV3, {}, 39_638_869, 58_630_997),
        (DeepLabV3, {"auxiliary": True}, 42_004_074, 60_996_202),
        (DeepLabV3Plus, {}, 40_352_181, 59_344_309),
        (DeepLabV3Plus, {"separable": True}, 26_696_133, 45_688_261),
        (PSPNet, {}, 46_716_373, 65_708_501),
        (PSPNet, {"auxiliary": True}, 49_081_578, 68_073_706),
        (PSPNet, {"stem": "plain"}, 46_592_597, 65_584_725),
        (RefineNet, {}, 99_060_309, 118_052_437),
    ],
)
def test_full_networks_have_the_published_numbers_of_parameters(kind, options, with_50, with_101):
    with nn.init.skip():
        assert kind(backbone="resnet50", **options).num_parameters() == with_50
        assert kind(backbone="resnet101", **options).num_parameters() == with_101
    assert f"{with_101:,}" in kind.__doc__


def torchvision_names(blocks: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the state of torchvision's ResNets of bottlenecks, less the classifier.

    As published with resnet50-19c8e357.pth and its successors, in order.
    """
    entries: list[tuple[str, tuple[int, ...]]] = []

    def conv_and_norm(conv: str, norm: str, shape: tuple[int, ...]) -> None:
        entries.append((f"{conv}.weight", shape))
        for each in ("weight", "bias", "running_mean", "running_var"):
            entries.append((f"{norm}.{each}", shape[:1]))
        entries.append((f"{norm}.num_batches_tracked", ()))

    conv_and_norm("conv1", "bn1", (64, 3, 7, 7))
    before = 64
    for layer, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), 1):
        for block in range(count):
            at = f"layer{layer}.{block}."
            conv_and_norm(f"{at}conv1", f"{at}bn1", (width, before, 1, 1))
            conv_and_norm(f"{at}conv2", f"{at}bn2", (width, width, 3, 3))
            conv_and_norm(f"{at}conv3", f"{at}bn3", (4 * width, width, 1, 1))
            if block == 0:
                shape = (4 * width, before, 1, 1)
                conv_and_norm(f"{at}downsample.0", f"{at}downsample.1", shape)
            before = 4 * width
    return entries


@pytest.mark.parametrize(
    ("name", "blocks", "parameters"),
    [("resnet50", (3, 4, 6, 3), 23_508_032), ("resnet101", (3, 4, 23, 3), 42_500_160)],
)
@pytest.mark.parametrize("output_stride", [8, 32])
def test_the_encoder_has_torchvisions_names_and_shapes(name, blocks, parameters, output_stride):
    with nn.init.skip():
        encoder = ResNet(name, output_stride=output_stride)
        state = [(key, value.shape) for key, value in encoder.state_dict().items()]
    assert state == torchvision_names(blocks)
    assert encoder.num_parameters() == parameters


def test_published_weights_of_the_encoder_load_by_name():
    """What is left over is the classifier of ImageNet's thousand classes."""
    ms.manual_seed(1)
    encoder, other = ResNet("resnet14", base=2), ResNet("resnet14", base=2)
    published = other.state_dict() | {
        "fc.weight": np.zeros((1000, 64), np.float32),
        "fc.bias": np.zeros(1000, np.float32),
    }
    result = encoder.load_state_dict(published, strict=False)
    assert result == ([], ["fc.weight", "fc.bias"])
    x = ms.tensor(images(1, 40, 33))
    assert np.array_equal(encoder.eval()(x)[3].numpy(), other.eval()(x)[3].numpy())


def test_deeplab_v3_has_torchvisions_names():
    """Of ``deeplabv3_resnet50``, in the head: its states then load whole."""
    names = [name for name, _ in make("deeplab_v3").named_parameters()]
    head = [name for name in names if not name.startswith("backbone.")]
    norm = ("weight", "bias")
    expected = []
    for branch, first in enumerate((0, 0, 0, 0, 1)):  # the last begins with a pooling
        at = f"classifier.0.convs.{branch}."
        expected += [f"{at}{first}.weight"] + [f"{at}{first + 1}.{each}" for each in norm]
    expected += ["classifier.0.project.0.weight"]
    expected += [f"classifier.0.project.1.{each}" for each in norm]
    for at in ("classifier.1", "aux_classifier.0"):
        part, number = at.split(".")
        expected += [f"{at}.weight"] + [f"{part}.{int(number) + 1}.{each}" for each in norm]
        expected += [f"{part}.4.{each}" for each in norm]
    assert head == expected


# ---------------------------------------------------------------------------- PyTorch


MODES = ("evaluation", "training")


def our_logits(name: str, mode: str, device: str = "cpu"):
    """Of the filled network, with nothing dropped."""
    model = filled(make(name)).to(device).train(mode == "training")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with ms.no_grad():
        return model.forward_with_auxiliary(ms.tensor(images(), device=device))


def sample(logits: np.ndarray) -> np.ndarray:
    """Some of the cells of every map, the corners among them."""
    return logits[:, :, ::11, ::13]


def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.std())


@pytest.mark.torch
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_pytorch(name, mode):
    pytest.importorskip("torch")
    from tests import torch_models_resnet

    state = filled(make(name)).state_dict()
    wanted = torch_models_resnet.logits(name, state, images(), mode == "training")
    for ours, theirs in zip(our_logits(name, mode), wanted, strict=True):
        compare(ours.numpy(), theirs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_that_pytorch_gave(backend, name, mode):
    with np.load(RECORDED) as recorded:
        wanted = [recorded[key] for key in recorded.files if key.startswith(f"{name}-{mode}-")]
    for ours, theirs in zip(our_logits(name, mode, backend.device), wanted, strict=True):
        compare(sample(backend.numpy(ours)), theirs)


# ---------------------------------------------------------------------------- the encoder


@pytest.mark.parametrize(("output_stride", "dilated"), [(16, [4]), (8, [3, 4])])
def test_dilation_gives_the_values_that_strides_leave_out(output_stride, dilated):
    """Every other cell of the dilated map is the map with strides: nothing else has changed."""
    strided = filled(ResNet("resnet26", base=2)).eval().double()
    dense = ResNet("resnet26", base=2, output_stride=output_stride).eval().double()
    dense.load_state_dict(strided.state_dict())
    x = ms.tensor(images(1, 129, 97).astype(np.float64))
    with ms.no_grad():
        sparse, full = strided(x), dense(x)
    for stage in range(4):
        step = 2 ** sum(layer <= stage + 1 for layer in dilated)
        cells = full[stage].numpy()[:, :, ::step, ::step]
        np.testing.assert_allclose(cells, sparse[stage].numpy(), rtol=1e-9, atol=1e-12)


def dilations(encoder: ResNet) -> list[list[int]]:
    layers = (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)
    return [[block.conv2.dilation[0] for block in layer] for layer in layers]


def test_multi_grid_multiplies_the_dilations_of_the_last_stage():
    """Section 3.2.1 of DeepLab v3: at output stride 16, (1, 2, 4) gives rates 2 * (1, 2, 4)."""
    options = {"base": 1, "output_stride": 16, "multi_grid": [1, 2, 4]}
    assert dilations(ResNet("resnet50", dilate_first=True, **options))[3] == [2, 4, 8]
    assert dilations(ResNet("resnet50", **options))[3] == [1, 4, 8]
    with nn.init.skip():
        model = DeepLabV3(base=1, output_stride=16, multi_grid=(2, 3, 5))
    assert dilations(model.backbone) == [[1] * 3, [1] * 4, [1] * 6, [2, 6, 10]]


def test_a_block_without_residual_passes_its_input_on():
    block = Bottleneck(8, 2).eval()
    block.bn3.weight.data[:] = 0
    x = np.random.default_rng(0).uniform(0.1, 1, (1, 8, 3, 5)).astype(np.float32)
    assert np.array_equal(block(ms.tensor(x)).numpy(), x)
    assert block.downsample is None
    assert Bottleneck(8, 2, stride=2).downsample is not None


# ---------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_has_a_gradient(name):
    model = make(name, backbone="resnet14")
    x, target = images(3, 40, 33), np.random.default_rng(1).integers(0, 5, (3, 40, 33))
    logits = model.forward_with_auxiliary(ms.tensor(x))
    sum(F.cross_entropy(each, ms.tensor(target)) for each in logits).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.dtype == np.float32
        assert np.isfinite(parameter.grad).all(), key
        assert np.abs(parameter.grad).max() > 0, key


@pytest.mark.parametrize(
    ("name", "side", "lr", "steps"),
    [
        ("deeplab_v2", 64, 0.01, 60),
        ("deeplab_v3", 64, 0.01, 45),
        ("deeplab_v3_plus", 64, 0.01, 45),
        ("pspnet", 64, 0.01, 60),
        ("refinenet", 32, 0.003, 45),
    ],
)
def test_four_masks_are_learnt_by_heart(name, side, lr, steps):
    options = {"dropout": 0.0} if CASES[name][0] in HAS_DROPOUT else {}
    model = make(name, num_classes=2, backbone="resnet14", **options)
    shapes = [Shapes(4, side, 2, seed=1)[i] for i in range(4)]
    x, target = (ms.tensor(np.stack(each)) for each in zip(*shapes, strict=True))
    assert 0.2 < target.numpy().mean() < 0.5  # all background does not do
    optimiser = ms.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        model.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimiser.step()
    with ms.no_grad():
        found = model.eval()(x).numpy().argmax(1)
    assert (found == target.numpy()).mean() > 0.95


# ---------------------------------------------------------------------------- auxiliary heads


@pytest.mark.parametrize(("name", "weight"), [("deeplab_v3", 0.5), ("pspnet", 0.4)])
def test_the_auxiliary_head_is_extra(name, weight):
    model, plain = make(name).eval(), make(name, auxiliary=False).eval()
    assert (model.auxiliary_weight, plain.auxiliary_weight) == (weight, 0)
    plain.load_state_dict(model.state_dict(), strict=False)
    x = ms.tensor(images(1))
    with ms.no_grad():
        main, side = model.forward_with_auxiliary(x)
        (alone,) = plain.forward_with_auxiliary(x)
        assert np.array_equal(main.numpy(), model(x).numpy())
        assert np.array_equal(main.numpy(), alone.numpy())
    assert side.shape == main.shape
    assert not np.allclose(side.numpy(), main.numpy())


def test_the_auxiliary_head_looks_at_the_third_stage():
    """So the last stage gets no gradient from it."""
    for name in ("deeplab_v3", "pspnet"):
        model = make(name)
        _, side = model.forward_with_auxiliary(ms.tensor(images(3, 33, 40)))
        side.sum().backward()
        touched = {key for key, p in model.named_parameters() if p.grad is not None}
        assert any(key.startswith("backbone.layer3") for key in touched)
        assert not any(key.startswith(("backbone.layer4", "classifier")) for key in touched)


@pytest.mark.parametrize("name", ["deeplab_v3", "pspnet"])
def test_the_encoder_runs_once_and_the_auxiliary_head_only_when_asked(name):
    model, x = make(name).eval(), ms.tensor(images(1, 33, 40))
    parts = {id(model.backbone): "encoder", id(model.aux_classifier): "auxiliary"}
    ran: list[str] = []

    def seen(module, output):
        if id(module) in parts:
            ran.append(parts[id(module)])

    with ms.no_grad(), nn.watch(seen):
        model(x)
        assert ran == ["encoder"]
        model.forward_with_auxiliary(x)
    assert ran == ["encoder", "encoder", "auxiliary"]


def test_a_network_without_one_has_its_logits_alone():
    model = make("refinenet").eval()
    x = ms.tensor(images(1, 33, 40))
    (logits,) = model.forward_with_auxiliary(x)
    assert np.array_equal(logits.numpy(), model(x).numpy())
    assert model.auxiliary_weight == 0


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["deeplab_v3", "deeplab_v3_plus", "pspnet"])
def test_one_image_in_training_is_refused_with_advice(name):
    model, x = make(name), ms.tensor(images(1, 33, 40))
    with pytest.raises(ValueError, match=r"pooled to 1x1 .* at least 2 images.*\.eval\(\)"):
        model(x)
    assert model.eval()(x).shape == (1, 5, 33, 40)


def test_one_image_will_do_where_the_norm_is_frozen_or_there_are_more_bins():
    x = ms.tensor(np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32))
    frozen = PooledContext(4, 3)
    frozen[2].eval()
    assert frozen(x).shape == PooledContext(4, 3, bins=2)(x).shape == (1, 3, 5, 6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (31, 65)])
def test_any_size_is_taken(name, size):
    model = make(name, backbone="resnet14").eval()
    with ms.no_grad():
        out = model(ms.tensor(images(1, *size)))
    assert out.shape == (1, 5, *size) == (1, 5, *model.output_size(size))
    assert np.isfinite(out.numpy()).all()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ResNet, {"name": "resnet51"}, "did you mean 'resnet50'"),
        (ResNet, {"output_stride": 4}, "output_stride is 4: choose 8, 16 or 32"),
        (ResNet, {"multi_grid": (1, 2)}, r"\(1, 2\) has 2 factors, but .* 3 blocks: give 3"),
        (ResNet, {"base": 0}, "base is 0"),
        (DeepLabV2, {"rates": []}, "rates is .*: give at least one number"),
        (DeepLabV2, {"base": -1}, "DeepLabV2: base is -1"),
        (DeepLabV3, {"rates": 12}, "rates is 12: give a list"),
        (DeepLabV3, {"rates": (0,)}, "rates is 0: it must be at least 1"),
        (DeepLabV3, {"dropout": 2}, "p is 2"),
        (DeepLabV3Plus, {"num_classes": 2.5}, "num_classes is 2.5: give an integer"),
        (PSPNet, {"bins": (1, 0)}, "bins is 0"),
        (PSPNet, {"stem": "plane"}, "unknown stem 'plane': did you mean 'plain'"),
        (RefineNet, {"backbone": "resnet5O"}, "did you mean 'resnet50'"),
    ],
)
def test_wrong_options_are_refused(kind, options, message):
    with nn.init.skip(), pytest.raises((ValueError, TypeError), match=message):
        kind(**options)
