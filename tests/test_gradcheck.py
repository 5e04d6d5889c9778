"""The gradient checker: it passes what is right and names the entry that is wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.autograd import Tensor, no_grad, op, tensor
from minisegnet.backend import Array, array_module, generator, manual_seed
from minisegnet.gradcheck import GradcheckError, gradcheck

RNG = np.random.default_rng(20)


def leaf(backend, *shape, low=0.3, high=2.0):
    """Random values of either sign, none near zero."""
    values = RNG.uniform(low, high, shape) * RNG.choice([-1.0, 1.0], shape)
    return backend.tensor(values, requires_grad=True)


def softmax_rule(x, backward_rule):
    xp = array_module(x)
    e = xp.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, lambda grad: (backward_rule(y, grad),)


@op
def softmax(x: Array):
    return softmax_rule(x, lambda y, g: y * (g - (g * y).sum(axis=-1, keepdims=True)))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x * x,
        lambda x: x.exp() / (1 + x * x),
        lambda x: (x * x).sum(),
        lambda x: x.mean() * 1000,
        lambda x: x.max(dim=1),
        lambda x: x[:, [2, 0, 2]] @ x.transpose(0, 1)[[0, 3, 1]],
        lambda x: (x.abs().sqrt(), x.sum(dim=0), x.argmax(dim=1)),
        softmax,
        lambda x: x[0],
        lambda x: x,
        lambda x: (x * 1e6 + 3).sum(dim=1) - 1e6 * x[:, 0],
    ],
)
def test_right_gradients_pass(backend, fn):
    assert gradcheck(fn, leaf(backend, 3, 4)) is True


def test_a_gradient_that_is_only_rounding_passes(backend):
    # Whatever is added to all values, their deviations from the mean stay the same.
    def fn(x, shift):
        x = x + shift
        return (x - x.mean()) * 3

    assert gradcheck(fn, (leaf(backend, 3, 4), leaf(backend, 1)))


def test_every_input_and_other_arguments(backend):
    a, b, c = leaf(backend, 2, 3), leaf(backend, 3, 4), leaf(backend, 4)
    weights = backend.tensor(RNG.standard_normal((2, 4)))
    assert gradcheck(lambda a, b, c, w, n: (a @ b + c) ** n * w, [a, b, c, weights, 3])


def test_scalar_and_empty_inputs(backend):
    assert gradcheck(lambda x: x * x * x, backend.tensor(1.5, requires_grad=True))
    empty = backend.tensor(np.zeros((0, 3)), requires_grad=True)
    assert gradcheck(lambda x: x * 2, empty)


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    data=st.data(),
    sign=st.sampled_from([-1.0, 1.0]),
    outer=st.sampled_from(["map", "sum", "mean"]),
    magnitude=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_a_thousandth_in_one_element_fails_and_is_named(shape, data, sign, outer, magnitude):
    place = tuple(data.draw(st.integers(0, n - 1)) for n in shape)

    @op
    def nearly_cube(x: Array):
        def backward(grad):
            share = grad * 3 * x**2
            share[place] *= 1 + sign * 1e-3
            return (share,)

        return x**3, backward

    def fn(a, x):
        y = nearly_cube(x) * a
        return y if outer == "map" else getattr(y, outer)()

    x = tensor(magnitude * RNG.uniform(0.5, 1.5, shape), requires_grad=True)
    a = tensor(RNG.uniform(1.0, 2.0, shape), requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(fn, (a, x), seed=data.draw(st.integers(0, 99)))
    message = str(caught.value)
    assert f"input 1 is wrong at index {place}:" in message
    assert f"1 of its {x.size} entries" in message
    analytic, numeric = map(float, re.findall(r"(?:says|quotient) (\S+?)[, ]", message))
    assert analytic / numeric == pytest.approx(1 + sign * 1e-3, abs=1e-5)


@op
def missing_factor(x: Array):
    return x * x, lambda grad: (grad * x,)


@op
def softmax_for_uniform_upstream(x: Array):
    # The gradient of sum(softmax) is zero, and so is this.
    return softmax_rule(x, lambda y, g: (y - y) * g)


@op
def swapped_axis(x: Array):
    return x * x, lambda grad: ((grad * 2 * x).transpose(1, 0),)


@op
def transposed(x: Array):
    # The gradient should be transposed back.
    return x.transpose(1, 0), lambda grad: (grad.reshape(x.shape),)


@op
def missing_accumulation(x: Array):
    def backward(grad):
        share = array_module(x).zeros_like(x)
        share[:, :-1] = grad
        share[:, 1:] = grad
        return (share,)

    return x[:, :-1] + x[:, 1:], backward


@op
def forgotten(x: Array):
    return x * 2, lambda grad: (None,)


@op
def constant_gradient(x: Array):
    return x * 2, lambda grad: (2 * array_module(x).ones_like(x),)


@op
def not_finite(x: Array):
    def backward(grad):
        share = grad * 2
        share[0, 1] = float("nan")
        return (share,)

    return x * 2, backward


@op
def wrong_shape(x: Array):
    return x * 2, lambda grad: (grad[:, :2] * 2,)


@op
def too_few_gradients(x: Array, y: Array):
    return x * y, lambda grad: (grad * y,)


@op
def wrong_dtype(x: Array):
    return x * 2, lambda grad: ((grad * 2).astype(np.float32),)


@op
def forward_in_float32(x: Array):
    return x.astype(np.float32) * 2, lambda grad: (grad * 2,)


@op
def destroys_its_input(x: Array):
    before = x.copy()
    x *= 2
    return x * before, lambda grad: (grad * 4 * before,)


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (missing_factor, "input 0 is wrong at index"),
        (softmax_for_uniform_upstream, "input 0 is wrong at index"),
        (swapped_axis, "input 0 is wrong at index"),
        (transposed, "input 0 is wrong at index"),
        (missing_accumulation, "input 0 is wrong at index"),
        (forgotten, "no gradient reached input 0"),
        (constant_gradient, "float32|wrong at index"),
        (not_finite, r"gradient of input 0 is nan at index \(0, 1\)"),
        (wrong_shape, "backward failed: .*'wrong_shape'.*shape"),
        (lambda x: too_few_gradients(x, x), "backward failed"),
        (wrong_dtype, "gradient of input 0 went through float32"),
        (forward_in_float32, "returned float32"),
        (destroys_its_input, "changed input 0 in place"),
        (lambda x: x.detach() * 2, "no gradient reached input 0"),
        (lambda x: (x * 2, x.detach() * 3), "input 0 is wrong at index"),
        (lambda x: x.argmax(dim=0), "no floating tensor"),
        (lambda x: x.data, "must return a Tensor"),
        (lambda x: x * float(generator().random()), "another answer"),
    ],
)
def test_wrong_gradients_fail(backend, fn, said):
    x = leaf(backend, 3, 3)
    with pytest.raises(GradcheckError, match=rf"gradcheck\(.*\): .*{said}"):
        gradcheck(fn, x)


def test_wrong_second_input_is_named(backend):
    @op
    def product(x: Array, w: Array):
        return x @ w, lambda grad: (grad @ w.transpose(1, 0), x.transpose(1, 0) @ grad * 1.001)

    with pytest.raises(GradcheckError, match=r"gradcheck\(product\): the gradient of input 1"):
        gradcheck(product, (leaf(backend, 2, 3), leaf(backend, 3, 4)))


def test_a_random_function_reseeded_inside_passes(backend):
    def noisy(x):
        manual_seed(3)
        return x * backend.asarray(generator().random(x.shape))

    assert gradcheck(noisy, leaf(backend, 2, 3))


@pytest.mark.parametrize("fails", [False, True])
def test_inputs_are_as_before(backend, fails):
    x, y = leaf(backend, 2, 3), leaf(backend, 2, 3)
    (x * 2).sum().backward()
    arrays = x.data, y.data
    values = [backend.numpy(t).copy() for t in (x, y)]
    gradient = x.grad

    def fn(x, y):
        if fails and float(x.data[0, 1]) != values[0][0, 1]:
            raise KeyError("in the middle of the differences")
        return x * y

    if fails:
        with pytest.raises(KeyError):
            gradcheck(fn, (x, y))
    else:
        gradcheck(fn, (x, y))
    assert x.data is arrays[0]
    assert y.data is arrays[1]
    assert x.grad is gradient
    assert y.grad is None
    for t, value in zip((x, y), values, strict=True):
        np.testing.assert_array_equal(backend.numpy(t), value)


def test_read_only_views_and_shared_arrays():
    base = np.broadcast_to(RNG.standard_normal(3), (2, 3))
    x, y = Tensor(base, requires_grad=True), Tensor(base, requires_grad=True)
    assert gradcheck(lambda x, y: x * y * y, (x, y))
    assert gradcheck(lambda x, y: x * y, (x, x))


def test_memory_order_of_the_inputs_is_kept(backend):
    channels_last = backend.asarray(RNG.standard_normal((2, 3, 4))).transpose(0, 2, 1)
    seen = set()

    def fn(x):
        seen.add(x.data.strides)
        return x * x

    gradcheck(fn, Tensor(channels_last, requires_grad=True))
    assert seen == {channels_last.strides}


def test_works_inside_no_grad_of_the_function(backend):
    def partly_recorded(x):
        with no_grad():
            scale = x * 0 + 2
        return x * scale

    assert gradcheck(partly_recorded, leaf(backend, 2, 3))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: tensor([1.0], requires_grad=True), TypeError, "input 0 is float32.*float64"),
        (lambda: tensor([1.0], dtype="float64"), ValueError, "no input requires a gradient"),
        (list, ValueError, "no input requires a gradient"),
        (
            lambda: tensor([1.0], dtype="float64", requires_grad=True) * 2,
            ValueError,
            "computed by an op",
        ),
    ],
)
def test_nothing_to_check_is_an_error(make, error, said):
    with pytest.raises(error, match=said):
        gradcheck(lambda x: x * 2, make())


def test_a_function_outside_its_domain():
    x = tensor(np.array([0.5, 1e-7, 3.0]), requires_grad=True)
    with np.errstate(invalid="ignore"), pytest.raises(GradcheckError, match=r"near index \(1,\)"):
        gradcheck(lambda x: x.sqrt(), x)


def test_the_error_is_a_failed_assertion_and_a_value_error():
    x = tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    with pytest.raises(AssertionError):
        gradcheck(missing_factor, x)
    with pytest.raises(ValueError, match="gradient of input 0"):
        gradcheck(missing_factor, x)
