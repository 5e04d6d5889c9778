"""Starting values: the distributions, the fans, and the two filters that upsample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.backend import manual_seed
from minisegnet.nn import init


def blank(*shape, dtype=np.float32):
    return Tensor(np.full(shape, np.nan, dtype=dtype))


def moments(values):
    return float(values.mean()), float(values.std())


# Weight (out 40, in 30, 5, 4): fan-in 600, fan-out 800.
BIG = (40, 30, 5, 4)


@pytest.mark.parametrize(
    ("fill", "bound"),
    [
        (lambda t: init.uniform_(t, -0.3, 0.3), 0.3),
        (init.kaiming_uniform_, math.sqrt(2) * math.sqrt(3 / 600)),
        (lambda t: init.kaiming_uniform_(t, mode="fan_out"), math.sqrt(2) * math.sqrt(3 / 800)),
        (lambda t: init.kaiming_uniform_(t, a=2.0), math.sqrt(2 / 5) * math.sqrt(3 / 600)),
        (
            lambda t: init.kaiming_uniform_(t, nonlinearity="tanh"),
            5 / 3 * math.sqrt(3 / 600),
        ),
        (lambda t: init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / 1400)),
        (init.default_, 1 / math.sqrt(600)),
    ],
)
def test_uniform_ones_fill_their_range_evenly(fill, bound):
    manual_seed(1)
    values = fill(blank(*BIG)).numpy()
    assert values.min() == pytest.approx(-bound, rel=1e-3)
    assert values.max() == pytest.approx(bound, rel=1e-3)
    assert moments(values) == pytest.approx((0, bound / math.sqrt(3)), rel=0.02, abs=0.02 * bound)


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: init.normal_(t, 0.0, 0.3), 0.3),
        (init.kaiming_normal_, math.sqrt(2 / 600)),
        (lambda t: init.kaiming_normal_(t, mode="fan_out"), math.sqrt(2 / 800)),
        (lambda t: init.kaiming_normal_(t, nonlinearity="linear"), math.sqrt(1 / 600)),
        (lambda t: init.kaiming_normal_(t, a=2.0), math.sqrt(2 / 5 / 600)),
        (lambda t: init.xavier_normal_(t, gain=2.0), 2 * math.sqrt(2 / 1400)),
    ],
)
def test_normal_ones_have_their_spread(fill, std):
    manual_seed(1)
    values = fill(blank(*BIG)).numpy()
    assert moments(values) == pytest.approx((0, std), rel=0.02, abs=0.02 * std)
    assert np.mean(np.abs(values) < std) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(np.abs(values) < 2 * std) == pytest.approx(0.9545, abs=0.01)


def test_means_and_ranges_that_are_not_around_zero():
    manual_seed(1)
    assert moments(init.normal_(blank(*BIG), 5.0, 0.5).numpy()) == pytest.approx((5, 0.5), rel=0.02)
    values = init.uniform_(blank(*BIG), 2.0, 3.0).numpy()
    assert (values >= 2).all()
    assert (values <= 3).all()
    values = init.trunc_normal_(blank(*BIG), mean=1.0, std=2.0, a=0.0, b=4.0).numpy()
    assert values.min() == pytest.approx(0, abs=1e-2)
    assert values.max() == pytest.approx(4, abs=1e-2)
    # Mean of a normal cut to -1/2 ... 3/2: (f(-1/2) - f(3/2)) / (F(3/2) - F(-1/2)).
    assert values.mean() == pytest.approx(1 + 2 * (0.352065 - 0.129518) / 0.624655, rel=0.01)
    assert (init.constant_(blank(2, 3), 0.25).numpy() == 0.25).all()
    assert (init.ones_(blank(2, 3)).numpy() == 1).all()
    assert (init.zeros_(blank(2, 3)).numpy() == 0).all()


FILLS = {
    "uniform_": init.uniform_,
    "normal_": init.normal_,
    "trunc_normal_": init.trunc_normal_,
    "kaiming_uniform_": init.kaiming_uniform_,
    "kaiming_normal_": init.kaiming_normal_,
    "xavier_uniform_": init.xavier_uniform_,
    "xavier_normal_": init.xavier_normal_,
    "default_": init.default_,
    "constant_": lambda t: init.constant_(t, 0.5),
    "bilinear_": init.bilinear_,
    "icnr_": lambda t: init.icnr_(t, 2),
}


@pytest.mark.parametrize("name", FILLS)
def test_in_place_on_every_device_and_the_same_in_either_precision(backend, name):
    fill, shape = FILLS[name], (4, 4, 3, 2)
    manual_seed(11)
    on_host = fill(blank(*shape)).numpy()
    assert on_host.dtype == np.float32
    assert np.isfinite(on_host).all()
    for dtype in (np.float32, np.float64):
        weight = nn.Parameter(backend.asarray(np.full(shape, np.nan, dtype=dtype)))
        array = weight.data
        manual_seed(11)
        assert fill(weight) is weight
        assert weight.data is array
        assert weight.dtype == dtype
        assert weight.is_leaf
        np.testing.assert_array_equal(backend.numpy(weight), on_host.astype(dtype))


def test_the_default_bias_is_within_the_bounds_of_the_weight():
    manual_seed(2)
    weight, bias = blank(500, 3, 5, 2), blank(500)
    init.default_(weight, bias)
    bound = 1 / math.sqrt(30)
    for values in (weight.numpy(), bias.numpy()):
        assert np.abs(values).max() == pytest.approx(bound, rel=0.01)
        assert moments(values) == pytest.approx(
            (0, bound / math.sqrt(3)), rel=0.06, abs=0.06 * bound
        )


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 5, 2), (2, 9, 1, 4)])
def test_fans_and_gains_are_those_of_torch(shape):
    torch = pytest.importorskip("torch")
    assert init.fans(blank(*shape)) == torch.nn.init._calculate_fan_in_and_fan_out(
        torch.zeros(shape)
    )
    for name in ("linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    for slope in (None, 0.3):
        found = init.calculate_gain("leaky_relu", slope)
        assert found == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", slope))


# ---------------------------------------------------------------------------- bilinear upsampling


def filter_of_the_authors(size):
    """``upsample_filt`` of FCN's surgery.py, cell by cell."""
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    return [
        [(1 - abs(i - center) / factor) * (1 - abs(j - center) / factor) for j in range(size)]
        for i in range(size)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 16])
def test_the_bilinear_filter_is_that_of_fcn(size):
    weight = init.bilinear_(blank(3, 3, size, size)).numpy()
    for i in range(3):
        for j in range(3):
            expected = filter_of_the_authors(size) if i == j else np.zeros((size, size))
            np.testing.assert_allclose(weight[i, j], expected, rtol=1e-6)
    each = init.bilinear_(blank(3, 1, size, size)).numpy()
    np.testing.assert_array_equal(each[:, 0], weight[[0, 1, 2], [0, 1, 2]])


def upsampling_layer(channels, factor, groups):
    layer = nn.ConvTranspose2d(
        channels,
        channels,
        kernel_size=tuple(2 * f - f % 2 for f in factor),
        stride=factor,
        padding=tuple(f // 2 for f in factor),
        groups=groups,
        bias=False,
    ).double()
    init.bilinear_(layer.weight)
    return layer


@given(
    rows=st.integers(3, 6),
    columns=st.integers(3, 6),
    factor=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    grouped=st.booleans(),
)
def test_a_transposed_convolution_with_it_interpolates(rows, columns, factor, grouped):
    layer = upsampling_layer(3, factor, 3 if grouped else 1)
    r, c = np.arange(rows * factor[0]), np.arange(columns * factor[1])
    # In the input's coordinates, where output cells have their centres.
    y, x = (r + 0.5) / factor[0] - 0.5, (c + 0.5) / factor[1] - 0.5
    ramps = np.array([[3.0, 1.0, -5.0], [-2.0, 0.5, 1.0], [0.1, -4.0, 2.0]])
    grid = np.stack(np.broadcast_arrays(1.0, np.arange(rows)[:, None], np.arange(columns)))
    fine = np.stack(np.broadcast_arrays(1.0, y[:, None], x))
    found = layer(np.einsum("kt,tij->kij", ramps, grid)[None]).numpy()[0]
    expected = np.einsum("kt,tij->kij", ramps, fine)
    assert found.shape == expected.shape
    inside = np.ix_(range(3), (y >= 0) & (y <= rows - 1), (x >= 0) & (x <= columns - 1))
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-12, atol=1e-12)


def test_it_agrees_with_interpolate_on_any_map(backend):
    layer = upsampling_layer(2, (2, 3), 1).to(backend.device)
    x = backend.tensor(np.random.default_rng(4).standard_normal((2, 2, 4, 5)))
    found = backend.numpy(layer(x))
    expected = backend.numpy(F.interpolate(x, scale_factor=(2, 3), mode="bilinear"))
    np.testing.assert_allclose(found[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], rtol=1e-12)


# ---------------------------------------------------------------------------- sub-pixel convolution


@given(
    factor=st.integers(1, 3),
    maps=st.integers(1, 3),
    channels=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_icnr_makes_pixel_shuffle_a_nearest_upsampling(factor, maps, channels, kernel, seed):
    manual_seed(seed)
    layer = nn.Conv2d(channels, maps * factor**2, kernel, bias=False)
    init.icnr_(layer.weight, factor, init.xavier_normal_)
    x = np.random.default_rng(seed).standard_normal((2, channels, 4, 5)).astype(np.float32)
    found = F.pixel_shuffle(layer(x), factor).numpy()
    kernels = layer.weight.numpy()[:: factor**2]
    small = F.conv2d(x, kernels)
    nearest = F.interpolate(small, scale_factor=factor).numpy()
    np.testing.assert_allclose(found, nearest, rtol=1e-5, atol=1e-6)
    # The maps themselves differ, and one kernel is drawn as its initialiser would draw it.
    manual_seed(seed)
    nn.Conv2d(channels, maps * factor**2, kernel, bias=False)
    drawn = init.xavier_normal_(blank(*kernels.shape)).numpy()
    np.testing.assert_array_equal(kernels, drawn)
    assert len({k.tobytes() for k in kernels}) == maps


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda: init.uniform_(blank(3), 2.0, 1.0), "uniform_: the range from a=2.0 to b=1.0"),
        (lambda: init.normal_(blank(3), 0, -1), "normal_: std is -1"),
        (lambda: init.trunc_normal_(blank(3), std=0), "std 0"),
        (lambda: init.trunc_normal_(blank(3), a=5, b=9), "between a=5 and b=9"),
        (lambda: init.trunc_normal_(blank(3), a=1, b=-1), "between a=1 and b=-1"),
        (lambda: init.kaiming_normal_(blank(3)), r"shape \(3,\) has no fan-in"),
        (lambda: init.xavier_uniform_(blank(3)), "no fan-in"),
        (lambda: init.kaiming_normal_(blank(3, 2), mode="fan_up"), "mode is 'fan_up'"),
        (
            lambda: init.kaiming_normal_(blank(3, 2), nonlinearity="rely"),
            "'rely': did you mean 'relu'",
        ),
        (lambda: init.bilinear_(blank(3, 2, 4, 4)), r"shape \(3, 2, 4, 4\)"),
        (lambda: init.bilinear_(blank(3, 3)), r"shape \(3, 3\)"),
        (lambda: init.icnr_(blank(6, 3, 1, 1), 2), r"multiple of 2² = 4"),
        (lambda: init.icnr_(blank(6, 3, 1, 1), 0), "upscale_factor=0"),
    ],
)
def test_refusals(fill, said):
    with pytest.raises(ValueError, match=said):
        fill()


def test_where_drawing_is_skipped_nothing_is_drawn_and_constants_are_set():
    manual_seed(3)
    wanted = nn.Linear(4, 2).weight.numpy()
    manual_seed(3)
    held = Tensor(np.array([[1.5, -2.0, 7.0]], dtype=np.float32))
    with init.skip():
        for fill in (init.uniform_, init.normal_, init.trunc_normal_, init.kaiming_normal_,
                     init.xavier_uniform_, init.default_):  # fmt: skip
            assert fill(held) is held
        assert held.tolist() == [[1.5, -2.0, 7.0]]
        assert nn.BatchNorm2d(2).weight.tolist() == [1.0, 1.0]
    assert np.array_equal(nn.Linear(4, 2).weight.numpy(), wanted)  # as if nothing had been asked


def test_drawing_goes_on_after_a_failure():
    with pytest.raises(ValueError, match="std is -1"), init.skip():
        init.normal_(Tensor(np.array([[1.0]])), std=-1.0)
    assert init.normal_(Tensor(np.zeros((1, 2)))).numpy().any()
