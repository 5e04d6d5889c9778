"""The tutorial's two networks: parameters, TensorFlow's sizes and starting values, and skips."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import functional as F
from minisegnet import nn
from minisegnet.models import TutorialFCN, TutorialUNet

BOTH = [TutorialFCN, TutorialUNet]


def test_parameters_layer_by_layer():
    """4x4 kernels and a bias each; the U-Net's transposed convolutions see the skips as well."""

    def layers(pairs):
        return sum(16 * before * after + after for before, after in pairs)

    encoder = [(3, 32), (32, 64), (64, 128), (128, 256)]
    fcn = layers([*encoder, (256, 128), (128, 64), (64, 32), (32, 12)])
    unet = layers([*encoder, (256, 128), (128 + 128, 64), (64 + 64, 32), (32 + 32, 12)])
    assert TutorialFCN().num_parameters() == fcn == 1_384_652
    assert TutorialUNet().num_parameters() == unet == 1_554_636


@pytest.mark.parametrize("make", BOTH)
def test_the_tutorials_crop_halves_four_times(make):
    sizes = []

    def note(module, output):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            sizes.append(tuple(output.shape[1:]))

    with ms.no_grad(), nn.watch(note):
        make()(np.zeros((0, 3, 368, 480), dtype=np.float32))
    assert sizes == [
        *((32, 184, 240), (64, 92, 120), (128, 46, 60), (256, 23, 30)),
        *((128, 46, 60), (64, 92, 120), (32, 184, 240), (12, 368, 480)),
    ]


def same(x, weight, bias):
    """TensorFlow's SAME at stride 2: ceil(n / 2) windows, the odd zero at the bottom and right."""
    rows, columns = x.shape[2:]
    pads = [max((-(-n // 2) - 1) * 2 + 4 - n, 0) for n in (rows, columns)]
    (top, bottom), (left, right) = ((p // 2, p - p // 2) for p in pads)
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    return np.einsum("ncrskl,ockl->nors", windows, weight) + bias[:, None, None]


def same_transposed(x, weight, bias):
    """The map that carries the gradient of SAME back: stamps of 4x4 at stride 2, a border off."""
    n, _, rows, columns = x.shape
    out = np.zeros((n, weight.shape[1], 2 * rows + 2, 2 * columns + 2))
    for r in range(rows):
        for c in range(columns):
            stamp = np.einsum("nc,cokl->nokl", x[:, :, r, c], weight)
            out[:, :, 2 * r : 2 * r + 4, 2 * c : 2 * c + 4] += stamp
    return out[:, :, 1:-1, 1:-1] + bias[:, None, None]


@pytest.mark.parametrize("make", BOTH)
def test_the_forward_pass_written_out(make):
    ms.manual_seed(4)
    model = make(in_channels=2, num_classes=3, base=2).double()
    for layer in (*model.encoder, *model.decoder):
        layer.bias.data[...] = np.random.default_rng(1).normal(size=layer.bias.shape)
    x = image = np.random.default_rng(2).normal(size=(2, 2, 16, 48))
    maps = []
    for layer in model.encoder:
        x = np.maximum(same(x, layer.weight.numpy(), layer.bias.numpy()), 0)
        maps.append(x)
    for number, layer in enumerate(model.decoder):
        x = same_transposed(x, layer.weight.numpy(), layer.bias.numpy())
        if number < 3:
            x = np.maximum(x, 0)
            x = np.concatenate([maps[2 - number], x], 1) if make is TutorialUNet else x
    np.testing.assert_allclose(model(ms.tensor(image)).numpy(), x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", BOTH)
def test_gradients_along_a_random_direction(make):
    """The change of a weighted sum of the logits when image and weights all move a little."""
    ms.manual_seed(5)
    rng = np.random.default_rng(3)
    model = make(in_channels=2, num_classes=3, base=2).double()
    image = ms.tensor(rng.normal(size=(1, 2, 16, 32)), requires_grad=True)
    share = rng.normal(size=(1, 3, 16, 32))
    tensors = [image, *model.parameters()]
    directions = [rng.normal(size=tensor.shape) for tensor in tensors]

    def moved(step):
        for tensor, direction in zip(tensors, directions, strict=True):
            tensor.data += step * direction
        return (model(image) * share).sum()

    moved(0.0).backward()
    slope = sum(float((t.grad * d).sum()) for t, d in zip(tensors, directions, strict=True))
    behind, ahead = moved(-1e-6).item(), moved(2e-6).item()
    assert (ahead - behind) / 2e-6 == pytest.approx(slope, rel=1e-5)
    assert all(np.abs(tensor.grad).max() > 0 for tensor in tensors)


@pytest.mark.parametrize("make", BOTH)
def test_weights_start_as_tensorflows_variance_scaling(make):
    """Variance 1 / fan-in, nothing beyond two standard deviations of what was cut, biases 0."""
    ms.manual_seed(6)
    model = make()
    for layer in (*model.encoder, *model.decoder):
        weight = layer.weight.numpy()
        # (out, in, 4, 4), and (in, out, 4, 4) of a transposed one: TensorFlow takes the second.
        fan_in = 16 * weight.shape[1]
        assert weight.std() == pytest.approx(1 / math.sqrt(fan_in), rel=0.05)
        assert weight.mean() == pytest.approx(0, abs=0.1 / math.sqrt(fan_in))
        largest = 2 / 0.8796256610342398 / math.sqrt(fan_in)
        assert 0.9 * largest < np.abs(weight).max() <= largest * (1 + 1e-6)
        assert not layer.bias.numpy().any()


def test_only_the_unet_hands_maps_across():
    """With the deepest maps silenced, the FCN no longer sees the image, and the U-Net does."""
    for make, depends in ((TutorialFCN, False), (TutorialUNet, True)):
        model = make(num_classes=4, base=2)
        model.encoder[3].weight.data[...] = 0
        one, two = np.random.default_rng(7).normal(size=(2, 1, 3, 32, 16)).astype(np.float32)
        assert np.allclose(model(one).numpy(), model(two).numpy()) is not depends


def test_without_padding_the_concatenation_fails():
    """VALID: 480 -> 239 -> 118 on the way down, and 118 -> 238 on the way up, beside 239."""
    image = np.zeros((1, 1, 480, 366), dtype=np.float32)
    halve, again = nn.Conv2d(1, 1, 4, stride=2), nn.Conv2d(1, 1, 4, stride=2)
    double = nn.ConvTranspose2d(1, 1, 4, stride=2)
    first = halve(image)
    back = double(again(first))
    assert (first.shape[2:], back.shape[2:]) == ((239, 182), (238, 182))
    with pytest.raises(ValueError, match=r"cat.*239"):
        F.cat([first, back], 1)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    ("option", "error"), [({"base": 0}, ValueError), ({"num_classes": 2.5}, TypeError)]
)
def test_wrong_options_are_refused(make, option, error):
    with pytest.raises(error, match=rf"{make.__name__}: {next(iter(option))} is"):
        make(**option)
