"""Activations and softmax against their formulas, value by value, and in every memory order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.gradcheck import gradcheck


def sigmoid_of(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def softplus_of(v, beta=1.0, threshold=20.0):
    z = beta * v
    if z > threshold:
        return v
    return (z if z > 700 else math.log1p(math.exp(z))) / beta


def gelu_of(v, approximate="none"):
    if approximate == "none":
        return v * 0.5 * (1 + math.erf(v / math.sqrt(2)))
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))


#: name -> (formula for one number, strategy for the options)
ELEMENTWISE = {
    "relu": (lambda v: v if v > 0 else 0.0, st.just({})),
    "leaky_relu": (
        lambda v, negative_slope=0.01: v if v > 0 else negative_slope * v,
        st.fixed_dictionaries({}, optional={"negative_slope": st.sampled_from([0, 0.3, -0.5, 2])}),
    ),
    "elu": (
        lambda v, alpha=1.0: v if v > 0 else alpha * math.expm1(v),
        st.fixed_dictionaries({}, optional={"alpha": st.sampled_from([0.5, 2, -1.5])}),
    ),
    "gelu": (
        gelu_of,
        st.fixed_dictionaries({}, optional={"approximate": st.sampled_from(["none", "tanh"])}),
    ),
    "sigmoid": (sigmoid_of, st.just({})),
    "tanh": (math.tanh, st.just({})),
    "softplus": (
        softplus_of,
        st.fixed_dictionaries(
            {}, optional={"beta": st.sampled_from([0.5, 3, -2.0]), "threshold": st.just(1.5)}
        ),
    ),
}


def laid_out(values, order):
    """The same values with the second axis last in memory, or with gaps, or as they are."""
    if order == "channels last" and values.ndim > 1:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    if order == "gaps":
        return np.repeat(values, 2, axis=-1)[..., ::2]
    return values


@st.composite
def arrays(draw, min_dims=1, scale=3.0):
    """Random values away from 0, where some functions have a kink."""
    shape = draw(st.lists(st.integers(1, 5), min_size=min_dims, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.uniform(0.01, scale, shape) * rng.choice([-1.0, 1.0], shape)
    return laid_out(values, draw(st.sampled_from(["C", "channels last", "gaps"])))


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(data=st.data())
def test_elementwise_follows_its_formula(backend, name, data):
    formula, options = ELEMENTWISE[name]
    values, options = data.draw(arrays()), data.draw(options)
    x = backend.tensor(values, requires_grad=True)
    y = getattr(F, name)(x, **options)
    wanted = [formula(v, **options) for v in values.ravel().tolist()]
    np.testing.assert_allclose(backend.numpy(y).ravel(), wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(backend.numpy(x), values)


@pytest.mark.parametrize("name", ELEMENTWISE)
@given(data=st.data())
def test_elementwise_gradients(backend, name, data):
    _, options = ELEMENTWISE[name]
    values, options = data.draw(arrays()), data.draw(options)
    # The threshold of softplus is a small step in the value.
    if "threshold" in options:
        options["threshold"] = 20.0
    x = backend.tensor(values[..., :3], requires_grad=True)
    assert gradcheck(lambda x: getattr(F, name)(x, **options), x)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_on_extreme_values(backend, name, dtype):
    formula, _ = ELEMENTWISE[name]
    values = np.array([[1e4, -1e4, 0.0], [300.0, -300.0, -0.0], [89.0, -104.0, 37.5]], dtype)
    x = backend.tensor(values, requires_grad=True)
    y = getattr(F, name)(x)
    assert y.dtype == dtype
    wanted = [formula(v) if abs(v) < 700 or name != "elu" else max(v, -1.0) for v in values.flat]
    np.testing.assert_allclose(backend.numpy(y).ravel(), wanted, rtol=3e-6, atol=1e-44)
    y.backward(backend.asarray(np.full_like(values, -7.0)))
    gradient = backend.numpy(x.grad)
    assert gradient.dtype == dtype
    assert np.isfinite(gradient).all()
    assert gradient[0, 0] == (0.0 if name in ("sigmoid", "tanh") else -7.0)
    assert abs(gradient[0, 1]) == pytest.approx(0.07 if name == "leaky_relu" else 0.0)


@pytest.mark.parametrize(
    ("name", "slope"),
    [("relu", 0.0), ("leaky_relu", 0.01), ("elu", 1.0), ("sigmoid", 0.25), ("softplus", 0.5)],
)
def test_slope_at_zero(backend, name, slope):
    x = backend.tensor(np.array([0.0, 2.0]), requires_grad=True)
    getattr(F, name)(x).backward(backend.asarray(np.array([3.0, 0.0])))
    np.testing.assert_allclose(backend.numpy(x.grad), [3 * slope, 0.0], rtol=1e-15)


def test_integers_become_float32_where_they_must(backend):
    x = backend.tensor(np.array([[-2, 0, 3]]))
    assert F.relu(x).dtype == np.int64
    for name in set(ELEMENTWISE) - {"relu"}:
        assert getattr(F, name)(x).dtype == np.float32
    assert F.softmax(x, 1).dtype == np.float32


def test_nothing_is_lost_in_the_tail_of_the_sigmoid(backend):
    x = backend.tensor(np.array([-40.0, -80.0], "float32"))
    np.testing.assert_allclose(
        backend.numpy(F.sigmoid(x)), [math.exp(-40), math.exp(-80)], rtol=1e-6
    )


def softmax_by_loop(values, axis, log=False):
    out = np.empty_like(values)
    for index in np.ndindex(*values.shape):
        line = values[(*index[:axis], slice(None), *index[axis + 1 :])]
        total = math.fsum(math.exp(v - line.max()) for v in line.tolist())
        z = values[index] - line.max()
        out[index] = z - math.log(total) if log else math.exp(z) / total
    return out


@given(data=st.data())
def test_softmax_follows_its_formula(backend, data):
    values = data.draw(arrays(scale=8.0))
    dim = data.draw(st.integers(-values.ndim, values.ndim - 1))
    x = backend.tensor(values)
    wanted = softmax_by_loop(values, dim % values.ndim)
    np.testing.assert_allclose(backend.numpy(F.softmax(x, dim)), wanted, rtol=1e-12)
    wanted = softmax_by_loop(values, dim % values.ndim, log=True)
    np.testing.assert_allclose(backend.numpy(F.log_softmax(x, dim)), wanted, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(data=st.data())
def test_softmax_gradients(backend, name, data):
    values = data.draw(arrays(scale=4.0))[..., :3]
    dim = data.draw(st.integers(-values.ndim, values.ndim - 1))
    x = backend.tensor(values, requires_grad=True)
    assert gradcheck(lambda x: getattr(F, name)(x, dim=dim), x)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(seed=st.integers(0, 2**32), size=st.sampled_from([30.0, 1e4, 1e30]))
def test_softmax_on_extreme_logits(backend, name, seed, size):
    rng = np.random.default_rng(seed)
    values = rng.uniform(-size, size, (2, 3, 1, 4)).astype("float32")
    x = backend.tensor(values, requires_grad=True)
    y = getattr(F, name)(x, 1)
    wanted = values.astype("float64") - values.max(axis=1, keepdims=True)
    if name == "softmax":
        wanted = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    else:
        wanted = wanted - np.log(np.exp(wanted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(backend.numpy(y), wanted, rtol=2e-6, atol=1e-6)
    y.backward(backend.asarray(rng.standard_normal(values.shape, "float32")))
    assert np.isfinite(backend.numpy(x.grad)).all()
    np.testing.assert_allclose(backend.numpy(x.grad).sum(axis=1), 0, atol=3e-6)


@pytest.mark.parametrize("columns", [1, 3, 16, 700])
def test_softmax_of_many_pixels(backend, columns):
    """More values than one band of work holds, with a last band that is shorter."""
    rng = np.random.default_rng(columns)
    rows = 300_000 // columns + 1
    values = laid_out(rng.standard_normal((1, columns, rows), "float32"), "channels last")
    upstream = rng.standard_normal(values.shape, "float32")
    x = backend.tensor(values, requires_grad=True)
    y = F.softmax(x, 1)
    y.backward(backend.asarray(upstream))
    powers = np.exp(values.astype("float64"))
    shares = powers / powers.sum(axis=1, keepdims=True)
    pull = shares * (upstream - (upstream * shares).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(backend.numpy(y), shares, rtol=5e-6)
    np.testing.assert_allclose(backend.numpy(x.grad), pull, rtol=1e-4, atol=1e-6)


def test_backward_twice_gives_twice_the_gradient(backend):
    """No rule may use up what it remembers."""
    rng = np.random.default_rng(3)
    for call in (*(getattr(F, name) for name in ELEMENTWISE), lambda x: F.softmax(x, 1)):
        x = backend.tensor(rng.standard_normal((2, 3)), requires_grad=True)
        y = call(x)
        upstream = backend.asarray(rng.standard_normal((2, 3)))
        y.backward(upstream, retain_graph=True)
        once = backend.numpy(x.grad).copy()
        y.backward(upstream)
        np.testing.assert_array_equal(backend.numpy(x.grad), 2 * once)


def test_wrong_options(backend):
    x = backend.tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"gelu: approximate is 'tan': did you mean 'tanh'"):
        F.gelu(x, approximate="tan")
    with pytest.raises(ValueError, match=r"softplus: beta is 0"):
        F.softplus(x, beta=0)
    for call in (F.softmax, F.log_softmax):
        with pytest.raises(IndexError, match=r"softmax: dim 2 is out of range .* 2 dim.*\(2, 3\)"):
            call(x, 2)
        with pytest.raises(TypeError, match=r"dim is 'classes'"):
            call(x, "classes")


@pytest.mark.torch
@pytest.mark.parametrize("name", ELEMENTWISE)
@given(data=st.data())
def test_elementwise_as_torch(name, data):
    torch = pytest.importorskip("torch")
    from minisegnet.autograd import tensor

    values = data.draw(arrays(scale=30.0)).astype("float32")
    options = data.draw(ELEMENTWISE[name][1])
    call = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    x, z = tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, wanted = getattr(F, name)(x, **options), call(z, **options)
    np.testing.assert_allclose(y.numpy(), wanted.detach(), rtol=2e-6, atol=2e-6)
    upstream = np.random.default_rng(0).standard_normal(values.shape, "float32")
    y.backward(upstream)
    wanted.backward(torch.tensor(upstream))
    np.testing.assert_allclose(x.grad, z.grad, rtol=1e-5, atol=3e-6)
