"""Normalisations against their definitions, as loops over the values that share their moments."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.gradcheck import gradcheck
from minisegnet.kernels import rows
from minisegnet.kernels.parallel import run_bands


def channels_last(values):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


def moments(values):
    """Mean and biased variance of a list of numbers."""
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def normalised(values, group_of, eps):
    """Each value less the mean of its group, by the group's standard deviation."""
    members: dict = {}
    for index in np.ndindex(*values.shape):
        members.setdefault(group_of(index), []).append(float(values[index]))
    of_group = {group: moments(numbers) for group, numbers in members.items()}
    out = np.empty(values.shape)
    for index in np.ndindex(*values.shape):
        mean, variance = of_group[group_of(index)]
        out[index] = (values[index] - mean) / math.sqrt(variance + eps)
    return out, of_group


@st.composite
def batches(draw, least=2):
    """A batch (N, C), (N, C, L) or (N, C, H, W), and what a batch norm has besides."""
    channels = draw(st.integers(1, 4))
    rest = draw(st.lists(st.integers(1, 4), min_size=0, max_size=2))
    n = draw(st.integers(1, 4))
    if n * math.prod(rest) < least:
        n = least
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(rng.uniform(-5, 5), rng.uniform(0.5, 4), (n, channels, *rest))
    weight = rng.normal(size=channels) if draw(st.booleans()) else None
    bias = rng.normal(size=channels) if draw(st.booleans()) else None
    running = (rng.normal(size=channels), rng.uniform(0.2, 3, channels))
    return channels_last(x) if draw(st.booleans()) else x, weight, bias, running


def on(backend, values, **kwargs):
    return None if values is None else backend.tensor(values, **kwargs)


def across(values, ndim):
    return values.reshape(-1, *[1] * (ndim - 2))


@given(batches(), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([1e-5, 0.3]), st.booleans())
def test_batch_norm_in_training(backend, batch, momentum, eps, plain_arrays):
    x, weight, bias, running = batch
    make = backend.asarray if plain_arrays else backend.tensor
    mean, variance = (make(v.copy()) for v in running)
    y = F.batch_norm(
        on(backend, x), mean, variance, on(backend, weight), on(backend, bias), True, momentum, eps
    )
    wanted, of_channel = normalised(x, lambda index: index[1], eps)
    wanted = wanted * (1 if weight is None else across(weight, x.ndim))
    wanted = wanted + (0 if bias is None else across(bias, x.ndim))
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-10, atol=1e-12)
    count = x.size // x.shape[1]
    for c in range(x.shape[1]):
        new_mean = (1 - momentum) * running[0][c] + momentum * of_channel[c][0]
        unbiased = of_channel[c][1] * count / (count - 1)
        new_variance = (1 - momentum) * running[1][c] + momentum * unbiased
        np.testing.assert_allclose(backend.numpy(mean)[c], new_mean, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(backend.numpy(variance)[c], new_variance, rtol=1e-10)


@given(batches(least=1), st.sampled_from([1e-5, 0.3]))
def test_batch_norm_in_evaluation(backend, batch, eps):
    x, weight, bias, running = batch
    mean, variance = (backend.tensor(v) for v in running)
    y = F.batch_norm(
        on(backend, x), mean, variance, on(backend, weight), on(backend, bias), False, 0.5, eps
    )
    for index in np.ndindex(*x.shape):
        c = index[1]
        wanted = (x[index] - running[0][c]) / math.sqrt(running[1][c] + eps)
        wanted = wanted * (1 if weight is None else weight[c]) + (0 if bias is None else bias[c])
        np.testing.assert_allclose(backend.numpy(y)[index], wanted, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(backend.numpy(mean), running[0])
    np.testing.assert_array_equal(backend.numpy(variance), running[1])


@given(batches(least=3), st.booleans())
def test_batch_norm_gradients(backend, batch, training):
    x, weight, bias, running = batch
    inputs = [on(backend, v, requires_grad=True) for v in (x, weight, bias)]
    mean, variance = (backend.asarray(v) for v in running)

    def call(x, weight, bias):
        return F.batch_norm(x, mean.copy(), variance.copy(), weight, bias, training, eps=0.01)

    assert gradcheck(call, inputs)


def test_batch_norm_evaluates_with_the_moments_of_the_forward_pass(backend):
    """Training steps between an evaluation and its backward must not change the gradient."""
    x = backend.tensor(np.array([[1.0, 2.0], [4.0, 8.0]]), requires_grad=True)
    weight = backend.tensor(np.array([3.0, 5.0]), requires_grad=True)
    mean, variance = backend.tensor(np.array([1.0, 2.0])), backend.tensor(np.array([4.0, 9.0]))
    y = F.batch_norm(x, mean, variance, weight, None, False, eps=0.0)
    mean.data[...], variance.data[...] = 77.0, 88.0
    y.backward(backend.asarray(np.array([[1.0, 2.0], [10.0, 20.0]])))
    np.testing.assert_allclose(backend.numpy(x.grad), [[1.5, 10 / 3], [15.0, 100 / 3]])
    np.testing.assert_allclose(backend.numpy(weight.grad), [10 * 3 / 2, 20 * 6 / 3])


def test_batch_norm_without_running_moments(backend):
    x = backend.tensor(np.array([[1.0, 10.0], [3.0, 50.0]]))
    y = F.batch_norm(x, None, None, training=True, eps=0.0)
    np.testing.assert_allclose(backend.numpy(y), [[-1, -1], [1, 1]])


@pytest.mark.parametrize("shape", [(8, 16, 64, 130), (3, 5, 211, 113), (2, 3, 401, 1)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_batch_norm_of_large_maps_in_float32(backend, shape, offset):
    """Several bands, sizes that do not divide, and values whose squares would lose their digits."""
    rng = np.random.default_rng(5)
    values = channels_last(rng.standard_normal(shape, "float32") + np.float32(offset))
    upstream = channels_last(rng.standard_normal(shape, "float32"))
    weight = rng.uniform(0.5, 2, shape[1]).astype("float32")
    x, w = (backend.tensor(v, requires_grad=True) for v in (values, weight))
    mean, variance = (backend.tensor(np.zeros(shape[1], "float32")) for _ in range(2))
    y = F.batch_norm(x, mean, variance, w, None, True, momentum=1.0)
    y.backward(backend.asarray(upstream))
    assert {str(v.dtype) for v in (y, x.grad, w.grad, mean, variance)} == {"float32"}

    exact, g, axes = values.astype("float64"), upstream.astype("float64"), (0, 2, 3)
    count = exact.size // shape[1]
    centre = exact - exact.mean(axis=axes, keepdims=True)
    deviation = np.sqrt((centre**2).mean(axis=axes, keepdims=True) + 1e-5)
    z, tolerance = centre / deviation, 1e-5 if offset == 0 else 2e-4
    np.testing.assert_allclose(backend.numpy(y), z * across(weight, 4), atol=5 * tolerance)
    np.testing.assert_allclose(backend.numpy(mean), exact.mean(axis=axes), rtol=3e-7, atol=1e-6)
    unbiased = (centre**2).sum(axis=axes) / (count - 1)
    np.testing.assert_allclose(backend.numpy(variance), unbiased, rtol=1e-5)
    g_sum, gz_sum = g.sum(axis=axes), (g * z).sum(axis=axes)
    scale = across(weight, 4) / deviation
    pull = scale * (g - across(g_sum, 4) / count - z * across(gz_sum, 4) / count)
    np.testing.assert_allclose(backend.numpy(x.grad), pull, atol=5 * tolerance)
    np.testing.assert_allclose(backend.numpy(w.grad), gz_sum, rtol=1e-4, atol=tolerance * count)


def test_batch_norm_keeps_the_memory_order(backend):
    x = backend.tensor(np.arange(24.0).reshape(2, 1, 4, 3)).permute(0, 3, 1, 2)
    y = F.batch_norm(x, None, None, training=True)
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_batch_norm_errors(backend):
    x = backend.tensor(np.ones((1, 3, 1, 1)))
    one, zero = backend.tensor(np.ones(3)), backend.tensor(np.zeros(3))
    with pytest.raises(ValueError, match=r"batch_norm: input \(1, 3, 1, 1\) has 1 value"):
        F.batch_norm(x, zero, one, training=True)
    with pytest.raises(ValueError, match=r"batch_norm: in evaluation the running moments"):
        F.batch_norm(x, None, None)
    with pytest.raises(ValueError, match=r"batch_norm: weight has shape \(2,\).*3 channels"):
        F.batch_norm(x, zero, one, weight=backend.tensor(np.ones(2)))
    with pytest.raises(ValueError, match=r"batch_norm: input must be"):
        F.batch_norm(one, zero, one)
    assert backend.numpy(zero).tolist() == [0, 0, 0]


@st.composite
def grouped(draw):
    groups, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rest = draw(st.lists(st.integers(1, 4), min_size=0, max_size=2))
    if each * math.prod(rest) < 3:
        each = 3
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 3)), groups * each, *rest)
    x = rng.normal(2.0, 3.0, shape)
    weight, bias = (rng.normal(size=shape[1]) if draw(st.booleans()) else None for _ in range(2))
    return channels_last(x) if draw(st.booleans()) else x, groups, weight, bias


@given(grouped(), st.sampled_from([1e-5, 0.3]))
def test_group_norm(backend, case, eps):
    x, groups, weight, bias = case
    size = x.shape[1] // groups
    wanted, _ = normalised(x, lambda index: (index[0], index[1] // size), eps)
    wanted = wanted * (1 if weight is None else across(weight, x.ndim))
    wanted = wanted + (0 if bias is None else across(bias, x.ndim))
    inputs = [on(backend, v, requires_grad=True) for v in (x, weight, bias)]
    y = F.group_norm(inputs[0], groups, *inputs[1:], eps)
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-10, atol=1e-12)
    small = [None if v is None else v[:1] if i == 0 else v for i, v in enumerate((x, weight, bias))]
    inputs = [on(backend, v, requires_grad=True) for v in small]
    assert gradcheck(lambda x, w, b: F.group_norm(x, groups, w, b, eps=0.05), inputs)


@given(st.data(), st.sampled_from([1e-5, 0.3]))
def test_layer_norm(backend, data, eps):
    outer = data.draw(st.lists(st.integers(1, 3), min_size=0, max_size=2))
    whole = data.draw(st.lists(st.integers(2, 4), min_size=1, max_size=2))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = rng.normal(-1.0, 2.0, (*outer, *whole))
    weight, bias = (rng.normal(size=whole) if data.draw(st.booleans()) else None for _ in range(2))
    wanted, _ = normalised(x, lambda index: index[: len(outer)], eps)
    wanted = wanted * (1 if weight is None else weight) + (0 if bias is None else bias)
    inputs = [on(backend, v, requires_grad=True) for v in (x, weight, bias)]
    shape = whole[0] if len(whole) == 1 and data.draw(st.booleans()) else whole
    y = F.layer_norm(inputs[0], shape, *inputs[1:], eps)
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-10, atol=1e-12)
    assert gradcheck(lambda x, w, b: F.layer_norm(x, shape, w, b, eps=0.05), inputs)


def test_group_and_layer_norm_errors(backend):
    x = backend.tensor(np.ones((2, 6, 3, 5)))
    with pytest.raises(ValueError, match=r"group_norm: 6 channels do not divide into 4 groups"):
        F.group_norm(x, 4)
    with pytest.raises(ValueError, match=r"group_norm: num_groups is 0"):
        F.group_norm(x, 0)
    with pytest.raises(ValueError, match=r"group_norm: bias has shape \(5,\).*\(6,\)"):
        F.group_norm(x, 3, None, backend.tensor(np.ones(5)))
    with pytest.raises(ValueError, match=r"layer_norm: input \(2, 6, 3, 5\) does not end in"):
        F.layer_norm(x, (5, 3))
    with pytest.raises(ValueError, match=r"layer_norm: weight has shape \(5, 3\).*\(3, 5\)"):
        F.layer_norm(x, (3, 5), backend.tensor(np.ones((5, 3))))


def response_by_loop(x, size, alpha, beta, k):
    out = np.empty(x.shape)
    for n, c, *place in product(*(range(length) for length in x.shape)):
        near = range(max(0, c - size // 2), min(x.shape[1], c + (size - 1) // 2 + 1))
        total = sum(x[(n, j, *place)] ** 2 for j in near)
        out[(n, c, *place)] = x[(n, c, *place)] / (k + alpha / size * total) ** beta
    return out


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 3), st.integers(1, 2)),
    st.integers(1, 8),
    st.sampled_from([1e-4, 0.7]),
    st.sampled_from([0.75, 2.0]),
    st.sampled_from([1.0, 2.5]),
    st.integers(0, 2**32),
)
def test_local_response_norm(backend, shape, size, alpha, beta, k, seed):
    x = channels_last(np.random.default_rng(seed).normal(0, 3, shape))
    t = backend.tensor(x, requires_grad=True)
    y = F.local_response_norm(t, size, alpha, beta, k)
    wanted = response_by_loop(x, size, alpha, beta, k)
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=1e-11)
    assert gradcheck(lambda x: F.local_response_norm(x, size, alpha, beta, k), t)


def test_local_response_norm_errors(backend):
    with pytest.raises(ValueError, match=r"local_response_norm: size is 0"):
        F.local_response_norm(backend.tensor(np.ones((1, 2, 3))), 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: F.batch_norm(x, None, None, w, w, training=True),
        lambda x, w: F.group_norm(x, 2, w, w),
        lambda x, w: F.layer_norm(x, (5,), bias=None),
        lambda x, w: F.local_response_norm(x, 3),
    ],
)
def test_float32_stays_float32(backend, call):
    rng = np.random.default_rng(2)
    x = backend.tensor(rng.standard_normal((2, 4, 3, 5), "float32"), requires_grad=True)
    w = backend.tensor(rng.standard_normal(4, "float32"), requires_grad=True)
    y = call(x, w)
    y.backward(backend.asarray(rng.standard_normal((2, 4, 3, 5), "float32")))
    assert y.dtype == x.grad.dtype == np.float32
    assert w.grad is None or w.grad.dtype == np.float32
    constant = backend.tensor(np.full((2, 4, 3, 5), 1e4, "float32"), requires_grad=True)
    y = call(constant, w)
    y.backward(backend.asarray(np.ones((2, 4, 3, 5), "float32")))
    assert np.isfinite(backend.numpy(y)).all()
    assert np.isfinite(backend.numpy(constant.grad)).all()


@pytest.mark.parametrize("band", [7, 2**17])
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**32))
def test_moments_put_together_from_bands(band, count, columns, seed):
    """Also where the mean is 1e6 times the spread, which the mean of squares would not survive."""
    table = np.random.default_rng(seed).normal(1e6, 1.0, (count, columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BAND", band)
        patch.setattr(rows, "_WIDTH", 3)
        mean, variance = rows.column_moments(table)
    np.testing.assert_allclose(mean, table.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(variance, table.var(axis=0), atol=1e-8)


@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 2**32))
def test_tables_of_any_size(backend, count, columns, seed):
    """The kernels underneath, whatever the number of rows and columns."""
    rng = np.random.default_rng(seed)
    table, other = rng.normal(size=(2, count, columns))
    mean, slope, offset, scale = rng.normal(size=(4, columns))
    a, b = backend.asarray(table), backend.asarray(other)
    m, f, o, s = (backend.asarray(v) for v in (mean, slope, offset, scale))
    found = backend.numpy(rows.column_sums(a))
    np.testing.assert_allclose(found, table.sum(axis=0), atol=1e-12)
    sums, products = rows.column_products(a, m, b)
    np.testing.assert_allclose(backend.numpy(sums), other.sum(axis=0), atol=1e-12)
    found = backend.numpy(products)
    np.testing.assert_allclose(found, ((table - mean) * other).sum(axis=0), atol=1e-12)
    found = backend.numpy(rows.scale_columns(a, s, o))
    np.testing.assert_allclose(found, table * scale + offset, atol=1e-12)
    found = backend.numpy(rows.mix_columns(a, f, b, s, o))
    np.testing.assert_allclose(found, table * slope + other * scale + offset, atol=1e-12)
    powers = np.exp(table - table.max(axis=1, keepdims=True))
    largest, found, sums = (backend.numpy(v) for v in rows.exponentials(a))
    np.testing.assert_array_equal(largest, table.max(axis=1))
    np.testing.assert_allclose(found, powers, rtol=1e-13)
    np.testing.assert_allclose(sums, powers.sum(axis=1), rtol=1e-13)
    found = backend.numpy(rows.scale_rows(a, b[:, 0]))
    np.testing.assert_array_equal(found, table * other[:, :1])
    found = backend.numpy(rows.row_products(a, b))
    np.testing.assert_allclose(found, (table * other).sum(axis=1), atol=1e-12)


def test_sums_do_not_depend_on_the_number_of_threads(monkeypatch):
    table = np.random.default_rng(1).standard_normal((70_001, 9), "float32")
    threaded = rows.column_sums(table), *rows.column_moments(table)
    monkeypatch.setattr(f"{run_bands.__module__}._threads", 1)
    alone = rows.column_sums(table), *rows.column_moments(table)
    for a, b in zip(threaded, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.torch
@given(batches(least=2), st.booleans())
def test_batch_norm_as_torch(batch, training):
    torch = pytest.importorskip("torch")
    from minisegnet.autograd import tensor

    x, weight, bias, running = batch
    ours = [None if v is None else tensor(v, requires_grad=True) for v in (x, weight, bias)]
    theirs = [None if v is None else torch.tensor(v, requires_grad=True) for v in (x, weight, bias)]
    mean, variance = (tensor(v) for v in running)
    t_mean, t_variance = (torch.tensor(v) for v in running)
    y = F.batch_norm(ours[0], mean, variance, *ours[1:], training, 0.3, 1e-3)
    wanted = torch.nn.functional.batch_norm(
        theirs[0], t_mean, t_variance, *theirs[1:], training, 0.3, 1e-3
    )
    np.testing.assert_allclose(y.numpy(), wanted.detach(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(mean.numpy(), t_mean, rtol=1e-12)
    np.testing.assert_allclose(variance.numpy(), t_variance, rtol=1e-12)
    upstream = np.random.default_rng(0).standard_normal(x.shape)
    y.backward(upstream)
    wanted.backward(torch.tensor(upstream))
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            np.testing.assert_allclose(a.grad, b.grad, rtol=1e-8, atol=1e-10)
