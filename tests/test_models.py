"""The networks: sizes, parameters, gradients, and the shapes they accept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet import models
from minisegnet.gradcheck import gradcheck
from minisegnet.models import UNet

UPS = ["transpose", "bilinear", "nearest"]


def count(model) -> int:
    return sum(p.size for p in model.parameters())


def test_unet_of_the_paper_has_its_parameters():
    """Ronneberger et al. 2015, figure 1: 31,030,658 with one input channel and two classes."""
    assert count(UNet(1, 2, padding="valid", norm=False)) == 31_030_658


def test_unet_of_the_paper_turns_572_into_388():
    model = UNet(1, 2, base=1, padding="valid", norm=False)
    assert model.output_size((572, 572)) == (388, 388)
    with ms.no_grad():
        out = model(ms.tensor(np.zeros((1, 1, 572, 188), dtype=np.float32)))
    assert out.shape == (1, 2, 388, 4)


@settings(max_examples=10)
@given(
    padding=st.sampled_from(["same", "valid"]),
    norm=st.booleans(),
    up=st.sampled_from(UPS),
    depth=st.integers(0, 3),
    base=st.integers(1, 3),
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
)
def test_unet_gives_the_size_it_promises(padding, norm, up, depth, base, rows, columns):
    model = UNet(2, 3, base, depth, padding, norm, up)
    size = model.next_size(rows * 8), model.next_size(columns * 8 + 40)
    x = ms.tensor(np.random.default_rng(0).normal(size=(2, 2, *size)).astype(np.float32))
    out = model(x)
    assert out.shape == (2, 3, *model.output_size(size))
    if padding == "same":
        assert out.shape[2:] == size
    out.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.dtype == parameter.grad.dtype == np.float32
        assert np.isfinite(parameter.grad).all(), name
        # Nothing depends on a bias in front of a batch norm, so there is none.
        assert np.abs(parameter.grad).max() > 0 or depth == 0, name


def test_a_convolution_has_a_bias_only_where_no_norm_follows():
    names = {name for name, _ in UNet(1, 2, base=1, depth=1).named_parameters()}
    assert {name for name in names if name.endswith("bias")} == {
        "down.0.1.bias",  # of the norms
        "down.0.4.bias",
        "bottom.1.bias",
        "bottom.4.bias",
        "up.0.bias",
        "merge.0.1.bias",
        "merge.0.4.bias",
        "classify.bias",
    }


@pytest.mark.parametrize(("silenced", "depends"), [("skip", True), ("upsampled", False)])
def test_the_skip_comes_before_the_upsampled_map(silenced, depends):
    """In the concatenation: silence one half of the channels and see what still matters."""
    model = UNet(1, 1, base=2, depth=1, norm=False)
    half = slice(0, 2) if silenced == "skip" else slice(2, 4)
    model.merge[0][0].weight.data[:, half] = 0
    x = ms.tensor(np.random.default_rng(1).normal(size=(1, 1, 4, 6)).astype(np.float32))
    before = model(x).numpy()
    model.up[0].weight.data[...] *= -3
    model.up[0].bias.data[...] += 2
    assert np.array_equal(model(x).numpy(), before) is not depends


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_unet_gradients(up, padding):
    ms.manual_seed(3)
    model = UNet(1, 2, base=1, depth=1, padding=padding, norm=False, up=up).double()
    side = model.next_size(6)
    x = np.random.default_rng(2).normal(size=(1, 1, side, side + 2))
    inputs = [ms.tensor(x, requires_grad=True), *model.parameters()]
    assert gradcheck(lambda image, *_: model(image), inputs)


def test_sizes_that_do_not_halve_are_refused_with_what_to_pad_to():
    model = UNet(3, 2, base=1, depth=4)
    with pytest.raises(ValueError, match=r"57x64 .* steps of 16. Pad it to 64x64 .*57 -> 64"):
        model(ms.tensor(np.zeros((1, 3, 57, 64), dtype=np.float32)))
    with pytest.raises(ValueError, match=r"has 1 channels but .* made for 3"):
        model(ms.tensor(np.zeros((1, 1, 64, 64), dtype=np.float32)))
    valid = UNet(1, 2, base=1, padding="valid")
    with pytest.raises(ValueError, match="Pad it to 572x572"):
        valid.output_size((571, 560))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": 0}, "base is 0"),
        ({"depth": -1}, "depth is -1"),
        ({"padding": "sane"}, "did you mean 'same'"),
        ({"up": "bilnear"}, "did you mean 'bilinear'"),
        ({"num_classes": 2.5}, "num_classes is 2.5"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**options)


def test_models_are_built_by_name():
    model = models.build("UNet", in_channels=1, num_classes=4, base=2, depth=2)
    assert isinstance(model, UNet)
    assert model.num_classes == 4
    with pytest.raises(ValueError, match="unknown model 'unnet': did you mean 'unet'"):
        models.build("unnet")


def test_the_same_seed_gives_the_same_weights():
    def weights(seed):
        ms.manual_seed(seed)
        return list(UNet(1, 2, base=2, depth=2).state_dict().values())

    assert all(np.array_equal(a, b) for a, b in zip(weights(5), weights(5), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(5), weights(6), strict=True))
