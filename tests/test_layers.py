"""Layers: that options and parameters reach the operations, refusals, and PyTorch beside them."""

from __future__ import annotations

import copy
import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor
from minisegnet.backend import manual_seed
from minisegnet.gradcheck import gradcheck
from tests import strict

# ---------------------------------------------------------------------------- what layers compute


def maps(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_indices(x):
    return F.max_pool2d(x, (2, 3), return_indices=True)


X = maps(2, 6, 7, 9)
TARGET = np.random.default_rng(1).integers(0, 6, (2, 7, 9))
WEIGHT6 = np.arange(1.0, 7.0, dtype=np.float32)
LAYERS = [
    (
        nn.Conv2d(6, 4, (3, 2), (2, 1), (1, 0), (1, 2), 2),
        lambda m, x: F.conv2d(x, m.weight, m.bias, (2, 1), (1, 0), (1, 2), 2),
    ),
    (
        nn.Conv2d(6, 4, (3, 2), padding="same", bias=False),
        lambda m, x: F.conv2d(x, m.weight, None, padding="same"),
    ),
    (
        nn.Conv2d(6, 4, (3, 2), 2, padding=(2, 1), padding_mode="replicate"),
        lambda m, x: F.conv2d(F.pad(x, (1, 1, 2, 2), mode="replicate"), m.weight, m.bias, 2),
    ),
    (
        nn.Conv2d(6, 4, (3, 4), padding="same", dilation=(2, 1), padding_mode="reflect"),
        lambda m, x: F.conv2d(
            F.pad(x, (1, 2, 2, 2), mode="reflect"), m.weight, m.bias, dilation=(2, 1)
        ),
    ),
    (
        nn.Conv2d(6, 4, (3, 2), padding="valid", padding_mode="reflect"),
        lambda m, x: F.conv2d(x, m.weight, m.bias),
    ),
    (
        nn.ConvTranspose2d(6, 4, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)),
        lambda m, x: F.conv_transpose2d(
            x, m.weight, m.bias, (2, 3), (1, 0), (1, 2), groups=2, dilation=(1, 2)
        ),
    ),
    (nn.Linear(9, 4), lambda m, x: F.linear(x, m.weight, m.bias)),
    (nn.Linear(9, 4, bias=False), lambda m, x: F.linear(x, m.weight)),
    (
        nn.BatchNorm2d(6, eps=0.1, momentum=0.3),
        lambda m, x: F.batch_norm(x, None, None, m.weight, m.bias, True, 0.3, 0.1),
    ),
    (
        nn.GroupNorm(3, 6, eps=0.1),
        lambda m, x: F.group_norm(x, 3, m.weight, m.bias, 0.1),
    ),
    (
        nn.LayerNorm((7, 9), eps=0.1),
        lambda m, x: F.layer_norm(x, (7, 9), m.weight, m.bias, 0.1),
    ),
    (
        nn.LayerNorm(9, elementwise_affine=False),
        lambda m, x: F.layer_norm(x, (9,)),
    ),
    (
        nn.LocalResponseNorm(3, 0.2, 0.5, 2.0),
        lambda m, x: F.local_response_norm(x, 3, 0.2, 0.5, 2.0),
    ),
    (nn.ReLU(), lambda m, x: F.relu(x)),
    (nn.LeakyReLU(0.3), lambda m, x: F.leaky_relu(x, 0.3)),
    (nn.ELU(0.7), lambda m, x: F.elu(x, 0.7)),
    (nn.GELU(), lambda m, x: F.gelu(x)),
    (nn.GELU("tanh"), lambda m, x: F.gelu(x, approximate="tanh")),
    (nn.Sigmoid(), lambda m, x: F.sigmoid(x)),
    (nn.Tanh(), lambda m, x: F.tanh(x)),
    (nn.Softplus(2.0, 0.5), lambda m, x: F.softplus(x, 2.0, 0.5)),
    (nn.Softmax(dim=1), lambda m, x: F.softmax(x, 1)),
    (nn.LogSoftmax(dim=2), lambda m, x: F.log_softmax(x, 2)),
    (nn.Identity(), lambda m, x: x),
    (nn.Flatten(), lambda m, x: x.reshape(2, 6 * 7 * 9)),
    (nn.Flatten(0, 2), lambda m, x: x.reshape(2 * 6 * 7, 9)),
    (
        nn.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1), ceil_mode=True),
        lambda m, x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0), (2, 1), True),
    ),
    (
        nn.MaxPool2d((2, 3), return_indices=True),
        lambda m, x: F.max_pool2d(x, (2, 3), return_indices=True)[1],
    ),
    (
        nn.AvgPool2d((3, 2), 2, (1, 0), True, False),
        lambda m, x: F.avg_pool2d(x, (3, 2), 2, (1, 0), True, False),
    ),
    (
        nn.AvgPool2d((3, 2), divisor_override=5),
        lambda m, x: F.avg_pool2d(x, (3, 2), divisor_override=5),
    ),
    (nn.AdaptiveAvgPool2d((3, 2)), lambda m, x: F.adaptive_avg_pool2d(x, (3, 2))),
    (nn.AdaptiveAvgPool2d((None, 2)), lambda m, x: F.adaptive_avg_pool2d(x, (7, 2))),
    (nn.AdaptiveMaxPool2d((3, 2)), lambda m, x: F.adaptive_max_pool2d(x, (3, 2))),
    (
        nn.AdaptiveMaxPool2d(3, return_indices=True),
        lambda m, x: F.adaptive_max_pool2d(x, 3, return_indices=True)[1],
    ),
    (nn.Upsample((9, 4)), lambda m, x: F.interpolate(x, (9, 4))),
    (
        nn.Upsample(scale_factor=(1.5, 2), mode="bilinear"),
        lambda m, x: F.interpolate(x, scale_factor=(1.5, 2), mode="bilinear"),
    ),
    (
        nn.Upsample((9, 4), mode="bilinear", align_corners=True),
        lambda m, x: F.interpolate(x, (9, 4), mode="bilinear", align_corners=True),
    ),
    (nn.UpsamplingNearest2d(scale_factor=3), lambda m, x: F.interpolate(x, scale_factor=3)),
    (
        nn.UpsamplingBilinear2d((8, 5)),
        lambda m, x: F.interpolate(x, (8, 5), mode="bilinear", align_corners=True),
    ),
    (
        nn.Sequential(nn.Conv2d(6, 8, 1), nn.PixelShuffle(2)),
        lambda m, x: F.pixel_shuffle(F.conv2d(x, m[0].weight, m[0].bias), 2),
    ),
    (
        nn.Unfold((3, 2), (1, 2), (1, 0), (2, 1)),
        lambda m, x: F.unfold(x, (3, 2), (1, 2), (1, 0), (2, 1)),
    ),
    (
        nn.Sequential(nn.Unfold((3, 2)), nn.Fold((7, 9), (3, 2))),
        lambda m, x: F.fold(F.unfold(x, (3, 2)), (7, 9), (3, 2)),
    ),
    (nn.ZeroPad2d((1, 2, 0, 3)), lambda m, x: F.pad(x, (1, 2, 0, 3))),
    (nn.ZeroPad2d(-1), lambda m, x: x[:, :, 1:-1, 1:-1]),
    (
        nn.ConstantPad2d((1, 2, 0, 3), -7.5),
        lambda m, x: F.pad(x, (1, 2, 0, 3), value=-7.5),
    ),
    (
        nn.ReflectionPad2d((1, 2, 0, 3)),
        lambda m, x: F.pad(x, (1, 2, 0, 3), mode="reflect"),
    ),
    (nn.ReplicationPad2d(2), lambda m, x: F.pad(x, (2, 2, 2, 2), mode="replicate")),
]


def name_of(entry):
    return repr(entry).replace("\n", "")[:60] if isinstance(entry, nn.Module) else None


@pytest.mark.parametrize(("layer", "function"), LAYERS, ids=name_of)
def test_a_layer_passes_its_options_and_parameters_on(backend, layer, function):
    layer = copy.deepcopy(layer).to(backend.device)
    x = backend.tensor(X, requires_grad=True)
    found = layer(x)
    found = found[1] if getattr(layer, "return_indices", False) else found
    expected = function(layer, x)
    assert found.device == backend.device
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(backend.numpy(found), backend.numpy(expected))
    parameters = list(layer.parameters())
    if parameters:
        found.sum().backward()
        assert all(p.grad is not None and p.grad.shape == p.shape for p in parameters)


def test_every_layer_is_in_the_table_or_tested_below():
    tested = {type(m).__name__ for layer, _ in LAYERS for m in layer.modules()}
    tested |= {"BatchNorm1d", "Dropout", "Dropout2d", "MaxUnpool2d"}
    tested |= {"CrossEntropyLoss", "BCEWithLogitsLoss"}
    tested |= {"Module", "ModuleList", "Parameter", "LoadResult", "init", "watch"}
    assert tested == set(nn.__all__)


def test_max_unpool_passes_its_options_on(backend):
    x = backend.tensor(X)
    values, indices = F.max_pool2d(x, (3, 2), (2, 3), (1, 0), return_indices=True)
    layer = nn.MaxUnpool2d((3, 2), (2, 3), (1, 0))
    expected = F.max_unpool2d(values, indices, (3, 2), (2, 3), (1, 0), (7, 9))
    np.testing.assert_array_equal(
        backend.numpy(layer(values, indices, output_size=(7, 9))), backend.numpy(expected)
    )
    small = F.max_pool2d(x, (2, 3), return_indices=True)
    np.testing.assert_array_equal(
        backend.numpy(nn.MaxUnpool2d((2, 3))(*small)),
        backend.numpy(F.max_unpool2d(*small, (2, 3))),
    )


def test_objectives_pass_their_options_on(backend):
    x, target = backend.tensor(X), backend.asarray(TARGET)
    layer = nn.CrossEntropyLoss(WEIGHT6, ignore_index=3, reduction="sum", label_smoothing=0.2).to(
        backend.device
    )
    expected = F.cross_entropy(x, target, backend.asarray(WEIGHT6), 3, "sum", 0.2)
    assert backend.numpy(layer(x, target)) == backend.numpy(expected)
    assert list(layer.state_dict()) == ["weight"]
    assert nn.CrossEntropyLoss().state_dict() == {}
    truth = backend.asarray((X > 0.3).astype(np.float32))
    weights = backend.asarray(maps(6, 1, 1, seed=2) ** 2)
    positive = backend.asarray(maps(9, seed=3) ** 2)
    layer = nn.BCEWithLogitsLoss(weights, reduction="none", pos_weight=positive)
    expected = F.binary_cross_entropy_with_logits(x, truth, weights, "none", positive)
    np.testing.assert_array_equal(backend.numpy(layer(x, truth)), backend.numpy(expected))


def test_dropout_drops_in_training_only(backend):
    x = backend.tensor(np.ones((40, 50, 6), dtype=np.float32))
    layer = nn.Dropout(0.2)
    manual_seed(4)
    found = backend.numpy(layer(x))
    assert set(np.unique(found)) == {np.float32(0), np.float32(1.25)}
    assert found.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(backend.numpy(layer.eval()(x)), 1)


def test_dropout2d_drops_whole_maps(backend):
    x = backend.tensor(np.ones((40, 50, 2, 3), dtype=np.float32), requires_grad=True)
    layer = nn.Dropout2d(0.2)
    manual_seed(4)
    y = layer(x)
    found = backend.numpy(y)
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {np.float32(0), np.float32(1.25)}
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :, :1, :1], found.shape))
    assert 0 < (found[:, 0, 0, 0] == 0).mean() < 1, "each image drops maps of its own"
    assert found.mean() == pytest.approx(1, abs=0.03)
    y.sum().backward()
    np.testing.assert_array_equal(backend.numpy(x.grad), found)
    np.testing.assert_array_equal(backend.numpy(layer.eval()(x)), 1)
    assert (nn.Dropout2d(1.0)(x).numpy() == 0).all()
    with pytest.raises(ValueError, match=r"shape \(4, 5\)"):
        nn.Dropout2d()(np.ones((4, 5), dtype=np.float32))


# ---------------------------------------------------------------------------- batch normalisation


@given(
    momentum=st.sampled_from([0.1, 0.7, None]),
    affine=st.booleans(),
    batches=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_running_statistics(momentum, affine, batches, seed):
    random = np.random.default_rng(seed)
    layer = nn.BatchNorm2d(3, momentum=momentum, affine=affine).double()
    if affine:
        layer.weight.data[...] = random.standard_normal(3)
        layer.bias.data[...] = random.standard_normal(3)
    mean, var = np.zeros(3), np.ones(3)
    arrays = layer.running_mean, layer.running_var, layer.num_batches_tracked
    for count in range(batches):
        x = random.standard_normal((2, 3, 4, 5)) * 3 + 1
        layer(x)
        share = 1 / (count + 1) if momentum is None else momentum
        mean = (1 - share) * mean + share * x.mean(axis=(0, 2, 3))
        var = (1 - share) * var + share * x.var(axis=(0, 2, 3), ddof=1)
    assert arrays[0] is layer.running_mean
    assert arrays[1] is layer.running_var
    assert arrays[2] is layer.num_batches_tracked
    assert arrays[2].dtype == np.int64
    assert arrays[2].shape == ()
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    assert int(layer.num_batches_tracked) == batches
    expected = (x - mean[:, None, None]) / np.sqrt(var + 1e-5)[:, None, None]
    if affine:
        expected = expected * layer.weight.numpy()[:, None, None]
        expected += layer.bias.numpy()[:, None, None]
    np.testing.assert_allclose(layer.eval()(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    assert int(layer.num_batches_tracked) == batches
    layer.reset_running_stats()
    assert (layer.running_mean == 0).all()
    assert (layer.running_var == 1).all()
    assert int(layer.num_batches_tracked) == 0


def test_batch_norm_without_running_statistics():
    layer = nn.BatchNorm2d(6, track_running_stats=False)
    assert list(layer.state_dict()) == ["weight", "bias"]
    in_training = layer(X).numpy()
    np.testing.assert_array_equal(layer.eval()(X).numpy(), in_training)
    assert abs(in_training.mean(axis=(0, 2, 3))).max() < 1e-6


def test_batch_norm_checks_its_input():
    layer = nn.BatchNorm2d(6)
    with pytest.raises(ValueError, match=r"BatchNorm2d: .*\(2, 5, 3, 3\).*C = 6"):
        layer(maps(2, 5, 3, 3))
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(N, C, H, W\)"):
        layer(maps(2, 6))
    assert int(layer.num_batches_tracked) == 0
    assert nn.BatchNorm1d(6)(maps(5, 6)).shape == (5, 6)
    assert nn.BatchNorm1d(6)(maps(5, 6, 4)).shape == (5, 6, 4)


def test_batch_norm_waits_for_nothing_on_the_device():
    layer = nn.BatchNorm2d(6).to("strict")
    x = Tensor(strict.xp.ones((2, 6, 3, 4), dtype="float32"))
    with strict.counting() as seen:
        layer(x)
    assert seen.synchronisations == 0


# ---------------------------------------------------------------------------- transposed sizes


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    extra=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_output_size_chooses_the_output_padding(kernel, stride, padding, dilation, extra):
    layer = nn.ConvTranspose2d(2, 3, kernel, stride, padding, dilation=dilation)
    x = maps(1, 2, 4, 5)
    extra = tuple(min(e, s - 1) for e, s in zip(extra, stride, strict=True))
    least = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip((4, 5), stride, padding, dilation, kernel, strict=True)
    ]
    wanted = tuple(low + e for low, e in zip(least, extra, strict=True))
    if min(wanted) < 1:
        return
    found = layer(x, output_size=wanted)
    assert found.shape == (1, 3, *wanted)
    expected = F.conv_transpose2d(
        x, layer.weight, layer.bias, stride, padding, extra, dilation=dilation
    )
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_array_equal(found.numpy(), layer(x, (9, 9, *wanted)).numpy())
    beyond = (least[0] + stride[0], wanted[1])
    with pytest.raises(
        ValueError, match=r"output_size=\(\d+, \d+\) is out of reach: from \(4, 5\)"
    ):
        layer(x, output_size=beyond)


# ---------------------------------------------------------------------------- the first weights


@pytest.mark.parametrize(
    ("make", "fan"),
    [
        (lambda: nn.Conv2d(6, 90, (5, 3), groups=3), 2 * 15),
        (lambda: nn.ConvTranspose2d(90, 6, (5, 3), groups=3), 2 * 15),
        (lambda: nn.Linear(30, 90), 30),
    ],
)
def test_default_weights_are_uniform_within_the_root_of_fan_in(make, fan):
    manual_seed(5)
    layer = make()
    bound = 1 / math.sqrt(fan)
    weights = layer.weight.numpy().copy()
    assert weights.dtype == layer.bias.dtype == np.float32
    assert np.abs(weights).max() == pytest.approx(bound, rel=0.01)
    assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert np.abs(layer.bias.numpy()).max() <= bound
    assert layer.bias.numpy().std() > 0
    manual_seed(5)
    np.testing.assert_array_equal(make().weight.numpy(), weights)
    layer.reset_parameters()
    assert not np.array_equal(layer.weight.numpy(), weights)


# ---------------------------------------------------------------------------- gradients


def test_gradients_of_a_network_by_differences(backend):
    net = nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), padding="same", groups=2),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.ConvTranspose2d(4, 2, 3, stride=(2, 1), padding=1, output_padding=(1, 0)),
        nn.BatchNorm2d(2),
        nn.Softplus(),
    )
    net = net.double().to(backend.device)
    x = backend.tensor(maps(2, 2, 3, 4).astype(np.float64), requires_grad=True)
    if backend.name == "numpy":
        assert gradcheck(lambda x, *parameters: net(x), [x, *net.parameters()])
    else:
        assert gradcheck(net, x)


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: nn.Conv2d(6, 4, 3, groups=4),
            ValueError,
            r"in_channels=6 does not divide into groups=4: 6 / 4 leaves 2",
        ),
        (lambda: nn.Conv2d(6, 4, 3, groups=3), ValueError, "out_channels=4 .* groups=3"),
        (lambda: nn.ConvTranspose2d(6, 4, 3, groups=3), ValueError, "out_channels=4"),
        (lambda: nn.Conv2d(6, 4, 3, groups=0), ValueError, "groups is 0"),
        (lambda: nn.Conv2d(0, 4, 3), ValueError, "in_channels is 0"),
        (lambda: nn.Conv2d(3.0, 4, 3), TypeError, "in_channels is 3.0"),
        (lambda: nn.Conv2d(3, 4, 0), ValueError, "kernel_size is 0"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), ValueError, "stride is 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ValueError, "padding is -1"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), ValueError, "'full'"),
        (lambda: nn.Conv2d(3, 4, 3, 2, "same"), ValueError, "'same' with stride"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), ValueError, "'mirror': choose one"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), TypeError, "kernel_size"),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=2),
            ValueError,
            r"output_padding=\(2, 2\) must be smaller than .* \(2, 2\)",
        ),
        (lambda: nn.BatchNorm2d(0), ValueError, "num_features is 0"),
        (lambda: nn.BatchNorm2d(3, momentum=1.5), ValueError, "momentum is 1.5"),
        (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, "eps is -1"),
        (
            lambda: nn.GroupNorm(4, 6),
            ValueError,
            "num_channels=6 does not divide into num_groups=4: 6 / 4 leaves 2",
        ),
        (lambda: nn.LayerNorm((3, 0)), ValueError, "normalized_shape is 0"),
        (lambda: nn.LocalResponseNorm(0), ValueError, "size is 0"),
        (lambda: nn.Linear(3, 0), ValueError, "out_features is 0"),
        (lambda: nn.Dropout(1.5), ValueError, "Dropout: p is 1.5"),
        (lambda: nn.Dropout2d(-0.1), ValueError, "Dropout2d: p is -0.1"),
        (lambda: nn.MaxPool2d(2, padding=2), ValueError, "more than half"),
        (lambda: nn.MaxPool2d(2, dilation=0), ValueError, "dilation is 0"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), ValueError, "divisor_override is 0"),
        (lambda: nn.AdaptiveAvgPool2d((3, 0)), ValueError, "output_size"),
        (lambda: nn.AdaptiveMaxPool2d((3, 2, 1)), TypeError, "output_size"),
        (lambda: nn.Upsample(), ValueError, "give exactly one"),
        (lambda: nn.Upsample(3, 2.0), ValueError, "give exactly one"),
        (lambda: nn.Upsample(3, mode="cubic"), ValueError, "mode is 'cubic'"),
        (lambda: nn.Upsample(3, align_corners=True), ValueError, "align_corners"),
        (lambda: nn.PixelShuffle(0), ValueError, "upscale_factor is 0"),
        (lambda: nn.Unfold(0), ValueError, "Unfold: kernel_size is 0"),
        (lambda: nn.Fold(0, 2), ValueError, "Fold: output_size is 0"),
        (lambda: nn.ZeroPad2d((1, 2)), TypeError, "left, right, top, bottom"),
        (lambda: nn.GELU("fast"), ValueError, "approximate is 'fast'"),
        (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing is 2"),
        (lambda: nn.BCEWithLogitsLoss(reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda: nn.Flatten(2, 1)(X), ValueError, r"start_dim=2 and end_dim=1.*\(2, 6, 7, 9\)"),
        (lambda: nn.Flatten(1, 4)(X), ValueError, "end_dim=4"),
    ],
)
def test_wrong_options_are_refused_at_once(make, error, said):
    with pytest.raises(error, match=said):
        make()


# ---------------------------------------------------------------------------- beside PyTorch


COMMON = [name for name in nn.__all__ if isinstance(getattr(nn, name), type)]
COMMON = [name for name in COMMON if issubclass(getattr(nn, name), nn.Module) and name != "Module"]


@pytest.mark.torch
@pytest.mark.parametrize("name", COMMON)
def test_arguments_have_the_names_order_and_defaults_of_torch(name):
    torch = pytest.importorskip("torch")
    ours = inspect.signature(getattr(nn, name)).parameters
    theirs = {
        option: parameter
        for option, parameter in inspect.signature(getattr(torch.nn, name)).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and option not in ("size_average", "reduce", "inplace")
    }
    if name in ("Sequential", "Identity"):
        return
    if any(parameter.kind is parameter.KEYWORD_ONLY for parameter in ours.values()):
        assert set(ours) <= set(theirs)
    else:
        assert list(ours) == list(theirs)[: len(ours)]
    assert set(theirs) - set(ours) <= {"device", "dtype", "padding_mode", "recompute_scale_factor"}
    for option, parameter in ours.items():
        if name == "ModuleList" or option == "dim":
            continue
        assert parameter.default == theirs[option].default, option


def torch_network(torch):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=3),
        torch.nn.BatchNorm2d(6),
        torch.nn.ELU(),
        torch.nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
        torch.nn.GroupNorm(2, 4),
        torch.nn.Conv2d(4, 4, (2, 3), padding="same", padding_mode="reflect", dilation=2),
        torch.nn.AdaptiveAvgPool2d((3, None)),
        torch.nn.LayerNorm(8),
        torch.nn.Linear(8, 5),
    )


@pytest.mark.torch
def test_a_state_of_torch_loads_and_computes_the_same():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch_network(torch).double()
    ours = nn.Sequential(
        nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=3),
        nn.BatchNorm2d(6),
        nn.ELU(),
        nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
        nn.GroupNorm(2, 4),
        nn.Conv2d(4, 4, (2, 3), padding="same", padding_mode="reflect", dilation=2),
        nn.AdaptiveAvgPool2d((3, None)),
        nn.LayerNorm(8),
        nn.Linear(8, 5),
    ).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = np.random.default_rng(6).standard_normal((2, 3, 5, 5))
    for _ in range(2):
        mine, other = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(mine.numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-11)
    upstream = np.random.default_rng(7).standard_normal(mine.shape)
    mine.backward(upstream)
    other.backward(torch.tensor(upstream))
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-8, atol=1e-10, err_msg=name)
    for name, value in ours.state_dict().items():
        other = theirs.state_dict()[name].numpy()
        np.testing.assert_allclose(value, other, rtol=1e-10, err_msg=name)
    ours.eval(), theirs.eval()
    np.testing.assert_allclose(
        ours(x).numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-9, atol=1e-11
    )
    # And back again.
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})


@pytest.mark.torch
def test_the_first_weights_spread_as_those_of_torch():
    torch = pytest.importorskip("torch")
    manual_seed(0)
    torch.manual_seed(0)
    for name, arguments in (
        ("Conv2d", (40, 60, (3, 5), 1, 0, 1, 4)),
        ("ConvTranspose2d", (40, 60, (3, 5), 1, 0, 0, 4)),
        ("Linear", (50, 900)),
    ):
        mine, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
        for a, b in ((mine.weight, theirs.weight), (mine.bias, theirs.bias)):
            a, b = np.abs(a.numpy()), np.abs(b.detach().numpy())
            assert a.shape == b.shape
            assert a.max() == pytest.approx(b.max(), rel=0.1)
            assert a.mean() == pytest.approx(b.mean(), rel=3 / math.sqrt(a.size))
