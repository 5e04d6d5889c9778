"""U-Net: sizes, parameters, gradients, and the shapes it accepts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet import models, nn, tape
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
    base=st.integers(3, 5),  # of one or two maps all may be off
    rows=st.integers(1, 3),
    columns=st.integers(1, 3),
)
def test_unet_gives_the_size_it_promises(padding, norm, up, depth, base, rows, columns):
    ms.manual_seed(7)
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


def sizes_of_the_maps(model, rows, columns):
    """(rows, columns) of every map on the way, in order, runs of equal sizes written once."""
    seen = [(rows, columns)]

    def note(module, output):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.MaxPool2d | nn.Upsample):
            seen.append(tuple(output.shape[2:]))

    with ms.no_grad(), nn.watch(note):
        model(np.zeros((0, model.in_channels, rows, columns), dtype=np.float32))
    return [size for size, before in zip(seen, [None, *seen[:-1]], strict=True) if size != before]


DOWN = [572, 570, 568, 284, 282, 280, 140, 138, 136, 68, 66, 64, 32, 30, 28]
FIGURE_1 = [*DOWN, 56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388]


def test_the_valid_form_has_the_sizes_of_figure_1_at_every_level():
    model = models.build("unet-valid", base=1)
    rows = [rows for rows, _ in sizes_of_the_maps(model, 572, 572)]
    assert rows == FIGURE_1


def test_rows_and_columns_of_the_valid_form_go_their_own_ways():
    sizes = sizes_of_the_maps(models.build("unet-valid", base=1), 572, 188)
    assert [rows for rows, _ in sizes] == FIGURE_1
    down = [188, 186, 184, 92, 90, 88, 44, 42, 40, 20, 18, 16, 8, 6, 4]
    assert [columns for _, columns in sizes] == [*down, *4 * [8, 6, 4]]


def test_the_named_preset_is_the_valid_form():
    model = models.build("unet-valid", base=2)
    assert (model.in_channels, model.num_classes, model.padding) == (1, 2, "valid")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert models.build("unet-valid", in_channels=3, num_classes=5, base=2).in_channels == 3


def test_the_valid_form_crops_its_skips_centrally():
    model = models.build("unet-valid", base=1).eval()
    skips, crops = {}, []

    def note(module, output):
        if any(module is down for down in model.down):
            skips[tuple(output.shape[2:])] = output.numpy()

    def note_op(event):
        if event.name == "cat":
            crops.append([x.numpy() for x in event.inputs])

    image = np.random.default_rng(4).normal(size=(1, 1, 188, 204)).astype(np.float32)
    with ms.no_grad(), nn.watch(note), tape.observe(note_op):
        model(image)
    assert [crop.shape[2:] for crop, _ in crops] == [(8, 10), (8, 12), (8, 16), (8, 24)]
    for (size, skip), (crop, upsampled) in zip(reversed(skips.items()), crops, strict=True):
        top, left = (size[0] - 8) // 2, (size[1] - upsampled.shape[3]) // 2
        assert np.array_equal(crop, skip[:, :, top : size[0] - top, left : size[1] - left])
