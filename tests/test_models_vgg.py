"""The networks on VGG-16: their published sizes, PyTorch's answers, gradients, and a small task."""

from __future__ import annotations

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import nn
from minisegnet.data import Shapes
from minisegnet.models import (
    DeconvNet,
    DeepLabV1,
    DeepLabV2VGG,
    FCN8s,
    FCN16s,
    FCN32s,
    SegNet,
    SegNetBasic,
)
from minisegnet.models.fcn import FixedUpsampling
from minisegnet.models.vgg import VGG16

FCNS = (FCN32s, FCN16s, FCN8s)

# Small versions, each of which takes images of any size.
SMALL = {
    FCN32s: {"base": 2, "padding": 1},
    FCN16s: {"base": 2, "padding": 1},
    FCN8s: {"base": 2, "padding": 1},
    SegNet: {"base": 4},
    SegNetBasic: {"base": 4},
    DeconvNet: {"base": 2, "padding": "same"},
    DeepLabV1: {"base": 2, "rate": 2},
    DeepLabV2VGG: {"base": 2, "rates": (1, 2, 3, 4)},
}


def images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def small(make, seed: int = 4, **options):
    ms.manual_seed(seed)
    return make(num_classes=5, **{**SMALL[make], **options})


def filled(model):
    """The model with biases and statistics that matter, as a trained one has them."""
    rng = np.random.default_rng(7)
    for name, array in [*model.named_buffers(), *model.named_parameters()]:
        values = array.data if isinstance(array, nn.Parameter) else array
        if name.endswith("running_var"):
            values[...] = rng.uniform(0.5, 2.0, values.shape)
        elif name.endswith(("bias", "running_mean")):
            values[...] = rng.normal(0, 0.2, values.shape)
    return model


def logits(model, x: np.ndarray) -> np.ndarray:
    model.eval()
    with ms.no_grad():
        return model(ms.tensor(x)).numpy()


# ---------------------------------------------------------------------------- the encoder


def test_the_encoder_has_the_names_of_torchvision():
    """vgg16: convolutions at these places of ``features``; vgg16_bn: with their norms behind."""
    plain = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    widths = [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]
    shapes = {name: value.shape for name, value in VGG16(base=3).state_dict().items()}
    assert shapes == {
        f"{place}.{kind}": (3 * out, 3 * before, 3, 3)[: 4 if kind == "weight" else 1]
        for place, out, before in zip(plain, widths, [1, *widths], strict=False)
        for kind in ("weight", "bias")
    }
    normed = [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]
    state = VGG16(base=1, norm=True).state_dict()
    assert [int(name.split(".")[0]) for name in state if state[name].ndim == 4] == normed
    assert [int(name.split(".")[0]) for name in state if name.endswith("running_var")] == [
        place + 1 for place in normed
    ]


def test_another_output_stride_is_refused():
    with pytest.raises(ValueError, match="output_stride is 16: choose 8 or 32"):
        VGG16(base=1, output_stride=16)


def test_weights_start_so_that_the_spread_stays():
    """Behind thirteen convolutions without normalisation it is of the same order as in front."""
    ms.manual_seed(0)
    deepest = VGG16(in_channels=3, base=16)(ms.tensor(images(1, 3, 96, 128)))[-1].maps.numpy()
    assert 0.3 < np.sqrt((deepest**2).mean()) < 3
    with_plain_layers = VGG16(in_channels=3, base=16)
    for layer in with_plain_layers:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    lost = with_plain_layers(ms.tensor(images(1, 3, 96, 128)))[-1].maps.numpy()
    assert lost.std() < 0.05


# ---------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("make", "options", "published"),
    [
        (FCN32s, {}, 134_346_581),
        (FCN16s, {}, 134_357_354),
        (FCN8s, {}, 134_362_751),
        (FCN32s, {"learn_upsampling": True}, 136_152_917),
        (FCN16s, {"learn_upsampling": True}, 134_815_994),
        (FCN8s, {"learn_upsampling": True}, 134_489_759),
        (SegNet, {}, 29_455_125),
        (SegNetBasic, {}, 1_417_237),
        (DeconvNet, {}, 251_805_653),
        (DeepLabV1, {}, 20_505_429),
        (DeepLabV2VGG, {}, 37_877_652),
    ],
)
def test_the_paper_s_network_has_its_parameters(make, options, published):
    with nn.init.skip():
        assert make(**options).num_parameters() == published


@pytest.mark.parametrize("make", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (17, 9), (32, 64), (45, 66)])
def test_any_size_comes_back(make, size):
    model = small(make, base=1)
    assert model.output_size(size) == size
    assert logits(model, images(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("make", FCNS)
@pytest.mark.parametrize("padding", [2, 96, 97, 100])
def test_fcn_takes_any_size_with_any_padding(make, padding):
    model = small(make, base=1, padding=padding)
    for rows, columns in [(1, 2), (15, 16), (31, 33), (32, 50)]:
        assert logits(model, images(1, 3, rows, columns)).shape == (1, 5, rows, columns)


def test_deconvnet_of_the_paper_needs_seven_cells_for_fc6():
    model = DeconvNet(base=1, num_classes=5)
    assert not model.accepts(192) and model.accepts(193) and model.next_size(64) == 193
    assert logits(model, images(1, 3, 193, 224)).shape == (1, 5, 193, 224)
    with pytest.raises(ValueError, match=r"2x7 cells of .* 64x224.* to 193x224 .*padding=.same."):
        model(ms.tensor(images(1, 3, 64, 224)))


@pytest.mark.parametrize("make", SMALL)
def test_another_number_of_channels_is_refused(make):
    with pytest.raises(ValueError, match=rf"{make.__name__}: .* 1 channels but .* for 3"):
        small(make, base=1)(ms.tensor(images(1, 1, 32, 32)))
    assert logits(small(make, base=1, in_channels=2), images(1, 2, 32, 40)).shape == (1, 5, 32, 40)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (FCN8s, {"base": 0}, "FCN8s: base is 0"),
        (FCN16s, {"padding": 0}, "FCN16s: padding is 0"),
        (FCN32s, {"dropout": 1.5}, "p is 1.5"),
        (SegNet, {"num_classes": 0}, "num_classes is 0"),
        (DeconvNet, {"padding": "full"}, "DeconvNet: padding is 'full': choose one of 'valid'"),
        (DeepLabV1, {"rate": 0}, "dilation is 0"),
        (DeepLabV2VGG, {"rates": ()}, "rates is empty"),
    ],
)
def test_wrong_options_are_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**{**SMALL[make], **options})


# ---------------------------------------------------------------------------- PyTorch's answers


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "make", "twin", "size"),
    [
        ("FCN", FCN32s, {"skips": 0}, (35, 52)),
        ("FCN", FCN16s, {"skips": 1}, (35, 52)),
        ("FCN", FCN8s, {"skips": 2}, (35, 52)),
        ("SameFCN8s", FCN8s, {}, (64, 96)),
        ("SegNet", SegNet, {}, (45, 66)),
        ("SegNetBasic", SegNetBasic, {}, (45, 66)),
        ("DeconvNet", DeconvNet, {}, (193, 224)),
        ("DeconvNet", DeconvNet, {"border": 3}, (45, 66)),
        ("DeepLabV1", DeepLabV1, {"rate": 3}, (41, 57)),
        ("DeepLabV2VGG", DeepLabV2VGG, {"rates": (1, 2, 3, 5)}, (41, 57)),
    ],
)
def test_logits_are_pytorch_s(name, make, twin, size):
    torch = pytest.importorskip("torch")
    from tests import torch_models_vgg

    options = {key: twin[key] for key in ("rate", "rates") if key in twin}
    if name == "FCN":
        options["padding"] = 100
    if name == "DeconvNet":
        options["padding"] = "same" if "border" in twin else "valid"
    model = filled(small(make, base=2, **options))
    other = getattr(torch_models_vgg, name)(classes=5, base=2, **twin).eval()
    other.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    # The local response normalisation of SegNet-Basic shows only in large values.
    x = images(2, 3, *size) * np.float32(100 if make is SegNetBasic else 1)
    with torch.no_grad():
        expected = other(torch.from_numpy(x)).numpy()
    # Logits that hardly vary would agree with anything.
    assert expected.std(axis=(0, 2, 3)).min() > 0.01
    tolerance = 1e-4 * max(1, expected.std())
    np.testing.assert_allclose(logits(model, x), expected, atol=tolerance, rtol=1e-4)


# ---------------------------------------------------------------------------- FCN


@pytest.mark.parametrize(
    ("make", "authors", "same"),
    [(FCN32s, (19,), (16,)), (FCN16s, (5, 27), (-1, 8)), (FCN8s, (5, 9, 31), (-1, -1, 4))],
)
def test_crop_offsets_are_the_authors(make, authors, same):
    """``offset`` of the Crop layers in the authors' files, and what a padding of 1 needs."""
    assert small(make, base=1, padding=100).crop_offsets == authors
    assert small(make, base=1, padding=1).crop_offsets == same


@pytest.mark.parametrize("learn", [False, True])
def test_upsampling_is_bilinear_and_learnt_only_if_asked(learn):
    model = small(FCN8s, learn_upsampling=learn)
    x = ms.tensor(images(1, 5, 3, 4))
    # Away from the border; each factor begins with half a kernel that has no left neighbour.
    for up, factor in zip(model.up, (2, 2, 8), strict=True):
        got = up(x).numpy()[:, :, factor:-factor, factor:-factor]
        whole = ms.functional.interpolate(x, scale_factor=factor, mode="bilinear").numpy()
        inside = whole[:, :, factor // 2 : -factor // 2 or None, factor // 2 : -factor // 2 or None]
        np.testing.assert_allclose(got, inside, atol=1e-6)
    assert any(name.startswith("up") for name, _ in model.named_parameters()) is learn
    assert any(name.startswith("up") for name in model.state_dict()) is learn


@pytest.mark.parametrize(("coarse", "fine", "step"), [(FCN32s, FCN16s, 32), (FCN16s, FCN8s, 16)])
def test_the_finer_network_starts_from_the_coarser(coarse, fine, step):
    """Zero scores of the new skip leave the coarser answer, upsampled in one more step.

    Bilinear in two steps is bilinear in one, but within step/4 of a coarse cell's row or column:
    there the finer grid has no sample on the crease and runs straight past it.
    """
    before = filled(small(coarse, padding=100))
    after = filled(small(fine, seed=9, padding=100)).start_from(before)
    x = images(1, 3, 70, 83)
    one, two = logits(before, x), logits(after, x)
    # The first coarse cell is centred on this pixel (of which one is cut off by the crop).
    first = step - 0.5 - before.crop_offsets[-1]

    def between(length: int) -> np.ndarray:
        distance = (np.arange(length) - first) % step
        return np.minimum(distance, step - distance) >= step / 4

    exact = between(70)[:, None] & between(83)
    assert 0.15 < exact.mean() < 0.35
    np.testing.assert_allclose(two[:, :, exact], one[:, :, exact], atol=1e-5)
    assert np.abs(two - one)[:, :, ~exact].max() > 1e-3
    # The new skip is there and waits to be trained.
    after.score[-1].bias.data[:] = [1, 2, 3, 4, 5]
    raised = logits(after, x) - two
    np.testing.assert_allclose(raised[0, :, 33, 40], [1, 2, 3, 4, 5], atol=1e-4)


def test_only_the_next_coarser_network_is_taken():
    with pytest.raises(TypeError, match=r"FCN8s: start_from needs .* FCN16s, not FCN32s"):
        small(FCN8s).start_from(small(FCN32s))
    with pytest.raises(TypeError, match=r"needs .* FCN32s, not FCN8s"):
        small(FCN16s).start_from(small(FCN8s))
    with pytest.raises(ValueError, match="shapes differ"):
        small(FCN16s).start_from(small(FCN32s, base=3))


def test_upsampling_weights_follow_the_model():
    layer = FixedUpsampling(2, 2).double()
    assert layer(ms.tensor(np.ones((1, 2, 2, 3)))).dtype == np.float64


# ---------------------------------------------------------------------------- gradients

FEATURES = [f"features.{place}.bias" for place in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)]

# Biases that a batch normalisation behind them takes away again.
WITHOUT_EFFECT = {
    SegNet: FEATURES
    + [f"decoder.{block}.{place}.bias" for block in (0, 1, 2) for place in (0, 3, 6)]
    + ["decoder.3.0.bias", "decoder.3.3.bias", "decoder.4.0.bias"],
    SegNetBasic: [f"{half}.{n}.0.bias" for half in ("encoder", "decoder") for n in range(4)],
    DeconvNet: FEATURES
    + ["fc6.0.bias", "fc7.0.bias", "fc6_deconv.0.bias"]
    + [f"decoder.{block}.{place}.0.bias" for block in (0, 1, 2) for place in (0, 1, 2)]
    + [f"decoder.{block}.{place}.0.bias" for block in (3, 4) for place in (0, 1)],
}


def gradients(model, size: int) -> dict[str, float]:
    """The largest entry of each parameter's gradient, in float64, for a batch of two images."""
    model.double()
    x = ms.tensor(images(2, 3, size, size + 32).astype(np.float64))
    target = np.random.default_rng(1).integers(0, 5, (2, size, size + 32))
    ms.functional.cross_entropy(model(x), ms.tensor(target)).backward()
    return {name: float(np.abs(p.grad).max()) for name, p in model.named_parameters()}


@pytest.mark.parametrize("make", SMALL)
def test_every_parameter_has_a_gradient(make):
    options = {"learn_upsampling": True} if make in FCNS else {}
    found = gradients(small(make, base=4, **options), 64)
    idle = WITHOUT_EFFECT.get(make, [])
    assert set(idle) <= set(found)
    for name, largest in found.items():
        if name in idle:
            assert largest < 1e-14, name
        else:
            assert 1e-9 < largest < 100, (name, largest)


def test_every_parameter_has_a_gradient_at_the_start_from_a_coarser_network():
    model = small(FCN16s, base=4).start_from(small(FCN32s, base=4))
    assert all(1e-9 < largest < 100 for largest in gradients(model, 64).values())


@pytest.mark.parametrize("make", SMALL)
def test_a_step_on_every_array_library(make, backend):
    model = small(make).to(backend.device)
    x = images(2, 3, 33, 40)
    out = model.eval()(backend.tensor(x))
    np.testing.assert_allclose(backend.numpy(out), logits(small(make), x), atol=1e-4, rtol=1e-4)
    out = model.train()(backend.tensor(x))
    out.sum().backward()
    assert out.device == backend.device and out.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}


# ---------------------------------------------------------------------------- pooling indices


@pytest.mark.parametrize("make", [SegNet, SegNetBasic, DeconvNet])
def test_values_return_to_where_the_maxima_stood(make, monkeypatch):
    """Every unpooling is given the indices of the pooling of its own size, deepest first."""
    pooled, unpooled = [], []
    pool, unpool = nn.MaxPool2d.forward, nn.MaxUnpool2d.forward

    def watched_pool(self, x):
        values, indices = pool(self, x)
        pooled.append((tuple(x.shape[2:]), indices.numpy()))
        return values, indices

    def watched_unpool(self, x, indices, output_size):
        y = unpool(self, x, indices, output_size)
        unpooled.append((tuple(y.shape[2:]), indices.numpy()))
        return y

    monkeypatch.setattr(nn.MaxPool2d, "forward", watched_pool)
    monkeypatch.setattr(nn.MaxUnpool2d, "forward", watched_unpool)
    logits(small(make), images(1, 3, 45, 66))
    assert len(pooled) == (4 if make is SegNetBasic else 5)
    for (size, given), (restored, used) in zip(pooled, reversed(unpooled), strict=True):
        assert restored == size
        assert np.array_equal(used, given)


# ---------------------------------------------------------------------------- a small task


def accuracy(model, x: np.ndarray, masks: np.ndarray) -> float:
    """In evaluation, after a few passes that let the running statistics catch up."""
    with ms.no_grad():
        for _ in range(20):
            model(ms.tensor(x))
    share = float((logits(model, x).argmax(axis=1) == masks).mean())
    model.train()
    return share


@pytest.mark.parametrize(
    ("make", "options", "size", "rate"),
    [
        (FCN8s, {"base": 4, "dropout": 0.0, "learn_upsampling": True}, 64, 3e-3),
        (SegNet, {"base": 8}, 32, 2e-2),
        (SegNetBasic, {"base": 8}, 32, 5e-3),
        pytest.param(DeconvNet, {"base": 8}, 32, 2e-2, marks=pytest.mark.slow),
        (DeepLabV1, {"base": 4, "dropout": 0.0}, 64, 2e-3),
    ],
)
def test_four_masks_can_be_learnt_by_heart(make, options, size, rate):
    ms.manual_seed(0)
    model = make(num_classes=3, **{**SMALL[make], **options})
    pairs = [Shapes(4, size, num_classes=3, seed=0)[i] for i in range(4)]
    x, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    assert 0.7 < (masks == 0).mean() < 0.8
    optimizer = ms.optim.Adam(model.parameters(), lr=rate)
    reached = []
    for step in range(1, 161):
        optimizer.zero_grad()
        ms.losses.cross_entropy(model(ms.tensor(x)), ms.tensor(masks)).backward()
        optimizer.step()
        if step >= 40 and step % 20 == 0:
            reached.append(accuracy(model, x, masks))
            if reached[-1] > 0.95:
                return
    pytest.fail(f"accuracies {reached}")
