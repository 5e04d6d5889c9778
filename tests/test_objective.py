"""Cross-entropies against their formulas as loops, one pixel and one class at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.gradcheck import gradcheck


def log_softmax_of(logits):
    top = max(logits)
    total = math.log(math.fsum(math.exp(v - top) for v in logits))
    return [v - top - total for v in logits]


def costs_by_loop(x, truth, weight, ignore_index, smoothing):
    """The cost of each pixel, and what each adds to the divisor of the mean.

    The truth is a map of class indices, or of a probability for each class.
    """
    classes, by_index = x.shape[1], truth.ndim < x.ndim
    weight = np.ones(classes) if weight is None else weight
    costs = np.zeros(x.shape[:1] + x.shape[2:])
    counted = np.zeros(costs.shape)
    for pixel in np.ndindex(*costs.shape):
        logs = log_softmax_of([float(x[(pixel[0], c, *pixel[1:])]) for c in range(classes)])
        if by_index:
            if truth[pixel] == ignore_index:
                continue
            shares = [float(c == truth[pixel]) for c in range(classes)]
            counted[pixel] = weight[truth[pixel]]
        else:
            shares = [float(truth[(pixel[0], c, *pixel[1:])]) for c in range(classes)]
            counted[pixel] = 1
        shares = [(1 - smoothing) * q + smoothing / classes for q in shares]
        costs[pixel] = -sum(w * q * v for w, q, v in zip(weight, shares, logs, strict=True))
    return costs, counted


def reduced(costs, divisor, reduction):
    if reduction == "none":
        return costs
    return costs.sum() / (divisor if reduction == "mean" else 1)


def channels_last(values):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


@st.composite
def segmentations(draw, indices=True):
    """Logits, a truth with void pixels, and every option of the cross-entropy."""
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        *draw(st.lists(st.integers(1, 3), min_size=0, max_size=2)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.normal(0, draw(st.sampled_from([1.0, 5.0])), shape)
    void = draw(st.sampled_from([-100, 255, -1, 0]))
    if indices:
        truth = rng.integers(0, shape[1], shape[:1] + shape[2:])
        truth[rng.random(truth.shape) < 0.25] = void
        # At least one pixel counts: the mean of none is another test.
        truth.ravel()[0] = shape[1] - 1
        void = void if void != shape[1] - 1 else -100
    else:
        truth = rng.dirichlet(np.ones(shape[1]), shape[:1] + shape[2:])
        truth = np.moveaxis(truth, -1, 1)
    options = {
        "weight": rng.uniform(0.1, 3, shape[1]) if draw(st.booleans()) else None,
        "ignore_index": void,
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.0, 0.1, 1.0])),
    }
    return channels_last(x) if draw(st.booleans()) else x, truth, options


def call_with(backend, options):
    weight = options["weight"]
    given_weight = None if weight is None else backend.tensor(weight)
    return {**options, "weight": given_weight}


@given(segmentations())
def test_cross_entropy_with_class_indices(backend, case):
    x, truth, options = case
    keywords = call_with(backend, options)
    costs, counted = costs_by_loop(
        x, truth, options["weight"], options["ignore_index"], options["label_smoothing"]
    )
    wanted = reduced(costs, counted.sum(), options["reduction"])
    target = backend.asarray(truth)
    logits = backend.tensor(x, requires_grad=True)
    found = backend.numpy(F.cross_entropy(logits, target, **keywords))
    assert found.shape == np.shape(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)
    assert gradcheck(lambda x: F.cross_entropy(x, target, **keywords), logits)


@given(segmentations(indices=False))
def test_cross_entropy_with_class_probabilities(backend, case):
    x, truth, options = case
    keywords = call_with(backend, options)
    costs, counted = costs_by_loop(x, truth, options["weight"], None, options["label_smoothing"])
    wanted = reduced(costs, counted.sum(), options["reduction"])
    inputs = [backend.tensor(v, requires_grad=True) for v in (x, truth)]
    found = backend.numpy(F.cross_entropy(*inputs, **keywords))
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-13)
    # With all of the truth spread evenly, the target has no influence.
    checked = inputs if options["label_smoothing"] < 1 else inputs[:1]
    fixed = backend.asarray(truth)
    assert gradcheck(lambda x, q=fixed: F.cross_entropy(x, q, **keywords), checked)


def test_cross_entropy_of_one_pixel(backend):
    logits = backend.tensor(np.array([1.0, -2.0, 0.5]), requires_grad=True)
    target = backend.tensor(np.array(2))
    cost = F.cross_entropy(logits, target)
    np.testing.assert_allclose(cost.item(), -log_softmax_of([1.0, -2.0, 0.5])[2], rtol=1e-12)
    assert gradcheck(lambda x: F.cross_entropy(x, target), logits)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool"])
def test_any_integer_is_a_class(backend, dtype):
    x = backend.tensor(np.array([[[1.0, 2.0, 3.0]], [[0.0, 5.0, 1.0]]]).swapaxes(0, 1))
    truth = np.array([[1, 0, 1]], dtype)
    costs = backend.numpy(F.cross_entropy(x, backend.asarray(truth), reduction="none"))
    wanted = [math.log(1 + math.exp(d)) for d in (1.0, 3.0, 2.0)]
    np.testing.assert_allclose(costs, [wanted], rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@given(seed=st.integers(0, 2**32), size=st.sampled_from([30.0, 1e4]))
def test_cross_entropy_on_extreme_logits(backend, smoothing, seed, size):
    rng = np.random.default_rng(seed)
    values = (rng.choice([-size, 0, size], (2, 3, 4, 5)) + rng.normal(size=(2, 3, 4, 5))).astype(
        "f"
    )
    truth = rng.integers(0, 3, (2, 4, 5))
    x = backend.tensor(values, requires_grad=True)
    cost = F.cross_entropy(x, backend.asarray(truth), label_smoothing=smoothing)
    cost.backward()
    costs, counted = costs_by_loop(values, truth, None, -100, smoothing)
    assert cost.dtype == x.grad.dtype == np.float32
    np.testing.assert_allclose(cost.item(), costs.sum() / counted.sum(), rtol=3e-6)
    gradient = backend.numpy(x.grad)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-8)


def test_nothing_is_lost_where_the_logits_are_large_and_close(backend):
    x = backend.tensor(np.array([[10000.0, 10001.0]], "float32"))
    cost = F.cross_entropy(x, backend.tensor(np.array([0])))
    np.testing.assert_allclose(cost.item(), math.log1p(math.e), rtol=1e-6)


def test_all_ignored(backend):
    x = backend.tensor(np.ones((1, 2, 3), "float32"), requires_grad=True)
    target = backend.asarray(np.full((1, 3), -100))
    for weight in (None, backend.tensor(np.array([2.0, 3.0]))):
        x.grad = None
        cost = F.cross_entropy(x, target, weight)
        cost.backward()
        assert math.isnan(cost.item())
        np.testing.assert_array_equal(backend.numpy(x.grad), 0)
    assert F.cross_entropy(x, target, reduction="sum").item() == 0


def test_cross_entropy_of_a_large_map_in_float32(backend):
    """Several bands of work, the last one shorter."""
    rng = np.random.default_rng(7)
    values = channels_last(rng.normal(0, 3, (2, 7, 181, 170)).astype("float32"))
    truth = rng.integers(0, 7, (2, 181, 170))
    truth[rng.random(truth.shape) < 0.2] = 255
    weight = rng.uniform(0.2, 2, 7).astype("float32")
    x = backend.tensor(values, requires_grad=True)
    cost = F.cross_entropy(x, backend.asarray(truth), backend.tensor(weight), ignore_index=255)
    cost.backward()
    z = values.astype("float64")
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    one_hot = (np.arange(7)[:, None, None] == truth[:, None]).astype("float64")
    shares = np.where(truth == 255, 0.0, weight[truth % 255])
    wanted = -(shares * np.log((p * one_hot).sum(axis=1) + (truth == 255))).sum() / shares.sum()
    np.testing.assert_allclose(cost.item(), wanted, rtol=1e-6)
    pull = shares[:, None] * (p - one_hot) / shares.sum()
    np.testing.assert_allclose(backend.numpy(x.grad), pull, rtol=1e-4, atol=1e-11)
    assert x.grad.transpose(0, 2, 3, 1).flags.c_contiguous


def logits_and(target, shape=(1, 3, 1, 2)):
    return tensor(np.zeros(shape, "float32")), tensor(np.array(target))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            logits_and([[[0, 255]]]),
            {},
            r"labels hold 255, but with 3 classes they go from 0 to 2.*0/255.*ignore_index=255",
        ),
        (logits_and([[[7, -1]]]), {}, r"labels hold -1, 7, but with 3 classes"),
        (logits_and([[[[0, 1]]]]), {}, r"target has shape \(1, 1, 1, 2\).*drop its channel"),
        (logits_and(np.zeros((1, 3, 1, 2), int)), {}, r"one-hot target into indices with argmax"),
        (logits_and([[0, 1]]), {}, r"target has shape \(1, 2\).*make it \(1, 1, 2\)"),
        (logits_and([[[0.0, 1.0]]]), {}, r"float64 of shape \(1, 1, 2\).*shape of the input"),
        (logits_and([[[0, 1]]]), {"weight": tensor([1.0])}, r"weight has shape \(1,\).*3 classes"),
        (logits_and([[[0, 1]]]), {"reduction": "men"}, r"reduction is 'men': did you mean 'mean'"),
        (logits_and([[[0, 1]]]), {"label_smoothing": 1.5}, r"label_smoothing is 1.5"),
        (logits_and(0, ()), {}, r"input must be logits"),
    ],
)
def test_cross_entropy_errors(arguments, options, message):
    with pytest.raises(ValueError, match=f"^cross_entropy: .*{message}"):
        F.cross_entropy(*arguments, **options)


def binary_cost(p, y, w):
    """Minus the log-likelihood of a probability, its logarithms held above -100."""
    yes = max(math.log(p), -100) if p > 0 else -100
    no = max(math.log1p(-p), -100) if p < 1 else -100
    return -w * (y * yes + (1 - y) * no)


def logit_cost(x, y, w, v):
    softplus_down = math.log1p(math.exp(-abs(x))) + max(-x, 0)
    softplus_up = math.log1p(math.exp(-abs(x))) + max(x, 0)
    return w * (v * y * softplus_down + (1 - y) * softplus_up)


@st.composite
def binary_cases(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    soft = draw(st.booleans())
    y = rng.random(shape) if soft else rng.integers(0, 2, shape)

    def factor(least):
        lengths = [1 if draw(st.booleans()) else n for n in shape]
        choices = [None, rng.uniform(least, 3, lengths)]
        return choices[draw(st.integers(0, 1))]

    weight, emphasis = factor(0.0), factor(0.1)
    return rng, shape, y, weight, emphasis, draw(st.sampled_from(["mean", "sum", "none"]))


def spread(values, shape):
    return np.broadcast_to(1.0 if values is None else values, shape).ravel().tolist()


def on(backend, values):
    return None if values is None else backend.tensor(values)


@given(binary_cases())
def test_binary_cross_entropy(backend, case):
    rng, shape, y, weight, _, reduction = case
    p = rng.uniform(0.02, 0.98, shape)
    truth = backend.tensor(y, requires_grad=y.dtype.kind == "f")
    inputs = [backend.tensor(p, requires_grad=True), truth]
    found = F.binary_cross_entropy(*inputs, on(backend, weight), reduction)
    costs = map(binary_cost, p.ravel().tolist(), y.ravel().tolist(), spread(weight, shape))
    wanted = reduced(np.array(list(costs)).reshape(shape), p.size, reduction)
    np.testing.assert_allclose(backend.numpy(found), wanted, rtol=1e-11)
    given_weight = on(backend, weight)
    assert gradcheck(lambda p, y: F.binary_cross_entropy(p, y, given_weight, reduction), inputs)


@given(binary_cases())
def test_binary_cross_entropy_with_logits(backend, case):
    rng, shape, y, weight, emphasis, reduction = case
    x = rng.normal(0, 4, shape)
    truth = backend.tensor(y, requires_grad=y.dtype.kind == "f")
    inputs = [backend.tensor(x, requires_grad=True), truth]
    factors = on(backend, weight), reduction, on(backend, emphasis)
    found = F.binary_cross_entropy_with_logits(*inputs, *factors)
    numbers = (v.ravel().tolist() for v in (x, y))
    costs = map(logit_cost, *numbers, spread(weight, shape), spread(emphasis, shape))
    wanted = reduced(np.array(list(costs)).reshape(shape), x.size, reduction)
    np.testing.assert_allclose(backend.numpy(found), wanted, rtol=1e-11)
    assert gradcheck(
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, *factors), inputs, atol=1e-7
    )


def test_binary_cross_entropy_at_the_ends(backend):
    """As PyTorch: logarithms are held above -100, the denominator of the gradient above 1e-12."""
    p = backend.tensor(np.array([0.0, 1.0, 0.0, 1.0], "float32"), requires_grad=True)
    y = backend.tensor(np.array([1, 0, 0, 1]))
    costs = F.binary_cross_entropy(p, y, reduction="none")
    np.testing.assert_array_equal(backend.numpy(costs), [100, 100, 0, 0])
    costs.backward(backend.asarray(np.ones(4, "float32")))
    assert p.grad.dtype == np.float32
    np.testing.assert_allclose(backend.numpy(p.grad), [-1e12, 1e12, 0, 0], rtol=1e-6)


def test_binary_logits_of_any_size(backend):
    values = np.array([1e4, -1e4, 1e4, -1e4, 60.0, -60.0], "float32")
    x = backend.tensor(values, requires_grad=True)
    y = backend.tensor(np.array([1, 1, 0, 0, 1, 0]))
    costs = F.binary_cross_entropy_with_logits(x, y, reduction="none", pos_weight=np.float64(3))
    costs.backward(backend.asarray(np.ones(6, "float32")))
    assert costs.dtype == x.grad.dtype == np.float32
    small = math.exp(-60)
    np.testing.assert_allclose(backend.numpy(costs), [0, 3e4, 1e4, 0, 3 * small, small], rtol=1e-5)
    np.testing.assert_allclose(backend.numpy(x.grad), [0, -3, 1, 0, -3 * small, small], rtol=1e-5)


@pytest.mark.parametrize("call", [F.binary_cross_entropy, F.binary_cross_entropy_with_logits])
def test_binary_errors(call):
    p, name = tensor([[0.5, 0.25]]), call.__name__
    with pytest.raises(ValueError, match=f"{name}: target holds 255.*divide masks of 0/255"):
        call(p, tensor([[255, 0]]))
    with pytest.raises(ValueError, match=rf"{name}: target has shape \(2,\) but input \(1, 2\)"):
        call(p, tensor([1, 0]))
    with pytest.raises(ValueError, match=f"{name}: reduction is 'avg'"):
        call(p, tensor([[1, 0]]), reduction="avg")
    if call is F.binary_cross_entropy:
        with pytest.raises(ValueError, match=r"input holds -3, .*belong into .*_with_logits"):
            call(tensor([[-3.0, 0.5]]), tensor([[1, 0]]))


@given(st.lists(st.integers(0, 3), min_size=0, max_size=3), st.integers(1, 5), st.integers(0, 999))
def test_one_hot(backend, shape, classes, seed):
    index = np.random.default_rng(seed).integers(0, classes, shape)
    found = backend.numpy(F.one_hot(backend.tensor(index), classes))
    assert found.dtype == np.int64
    assert found.shape == (*shape, classes)
    for place in np.ndindex(*found.shape):
        assert found[place] == (place[-1] == index[place[:-1]])


def test_one_hot_errors(backend):
    with pytest.raises(ValueError, match=r"one_hot: the labels hold 3, but with 3 classes"):
        F.one_hot(backend.tensor(np.array([0, 3])), 3)
    with pytest.raises(TypeError, match=r"one_hot: the indices are float32"):
        F.one_hot(backend.tensor(np.ones(2, "float32")), 3)


@pytest.mark.torch
@given(segmentations(), st.booleans())
def test_cross_entropy_as_torch(case, extreme):
    torch = pytest.importorskip("torch")
    x, truth, options = case
    x = x * 3e3 if extreme else x
    weight = options["weight"]
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    keywords = {**options, "weight": None if weight is None else torch.tensor(weight)}
    wanted = torch.nn.functional.cross_entropy(theirs, torch.tensor(truth), **keywords)
    found = F.cross_entropy(ours, tensor(truth), **options)
    np.testing.assert_allclose(found.numpy(), wanted.detach(), rtol=1e-10, atol=1e-12)
    upstream = np.random.default_rng(0).standard_normal(found.shape)
    found.backward(upstream)
    wanted.backward(torch.tensor(upstream))
    np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.torch
@given(binary_cases())
def test_binary_as_torch(case):
    torch = pytest.importorskip("torch")
    rng, shape, y, weight, emphasis, reduction = case
    x = rng.normal(0, 30, shape)
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    truth, w, v = (None if a is None else torch.tensor(a) for a in (y, weight, emphasis))
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(
        theirs, truth.double(), w, reduction=reduction, pos_weight=v
    )
    found = F.binary_cross_entropy_with_logits(ours, y, weight, reduction, emphasis)
    np.testing.assert_allclose(found.numpy(), wanted.detach(), rtol=1e-10, atol=1e-14)
    upstream = rng.standard_normal(found.shape)
    found.backward(upstream)
    wanted.backward(torch.tensor(upstream))
    np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-8, atol=1e-13)
