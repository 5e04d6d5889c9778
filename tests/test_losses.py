"""Losses against their formulas as loops over pixels and classes, and where they are hardest:
empty masks, absent classes, void pixels, huge logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet import losses
from minisegnet.autograd import tensor
from minisegnet.gradcheck import gradcheck


def channels_last(values):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


def softmax_of(logits):
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / math.fsum(powers) for v in powers]


def sigmoid_of(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def counted_pixels(x, truth, void):
    """(probability of each class, true class) of the pixels that count.

    With a single channel, the classes are background and foreground.
    """
    pixels = []
    for index in np.ndindex(*truth.shape):
        if truth[index] == void:
            continue
        if x.shape == truth.shape or x.shape[1] == 1:
            p = sigmoid_of(float(x.reshape(truth.shape)[index]))
            pixels.append(([1 - p, p], int(truth[index])))
        else:
            logits = [float(x[(index[0], c, *index[1:])]) for c in range(x.shape[1])]
            pixels.append((softmax_of(logits), int(truth[index])))
    return pixels


@st.composite
def masks(draw, binary=None):
    """Logits and a mask with void pixels and, often, absent classes."""
    n, rows, columns = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    binary = draw(st.booleans()) if binary is None else binary
    if binary:
        shape = draw(st.sampled_from([(n, 1, rows, columns), (n, rows, columns)]))
        classes = 2
    else:
        classes = draw(st.integers(2, 4))
        shape = (n, classes, rows, columns)
    present = rng.permutation(classes)[: draw(st.integers(1, classes))]
    truth = rng.choice(present, (n, rows, columns))
    void = draw(st.sampled_from([-100, 255]))
    truth[rng.random(truth.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = void
    x = rng.normal(0, 3, shape)
    return channels_last(x) if draw(st.booleans()) and x.ndim == 4 else x, truth, void


def agrees(backend, loss, x, truth, void, wanted):
    """Value, gradient, and zero for a mask that is all void."""
    target = backend.asarray(truth)
    logits = backend.tensor(x, requires_grad=True)
    value = loss(logits, target, ignore_index=void)
    np.testing.assert_allclose(backend.numpy(value), wanted, rtol=1e-10, atol=1e-12)
    if (truth == void).all():
        value.sum().backward()
        np.testing.assert_array_equal(backend.numpy(value), 0)
        np.testing.assert_array_equal(backend.numpy(logits.grad), 0)
    else:
        assert gradcheck(lambda x: loss(x, target, ignore_index=void), logits, atol=1e-7)


def averaged(costs, reduction, truth, void):
    """Costs of the counted pixels, in order, reduced; the mean of none is 0."""
    if reduction == "none":
        out = np.zeros(truth.shape)
        out[truth != void] = costs
        return out
    return math.fsum(costs) / (max(len(costs), 1) if reduction == "mean" else 1)


REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@given(masks(binary=False), REDUCTIONS)
def test_cross_entropy(backend, case, reduction):
    x, truth, void = case
    costs = [-math.log(p[t]) for p, t in counted_pixels(x, truth, void)]

    def loss(logits, target, ignore_index):
        return losses.cross_entropy(logits, target, None, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, averaged(costs, reduction, truth, void))


@given(masks(binary=False), st.sampled_from([0.0, 0.2]))
def test_cross_entropy_is_the_functional_one_but_for_nothing(backend, case, smoothing):
    x, truth, void = case
    weight = np.random.default_rng(x.shape[1]).uniform(0.2, 2, x.shape[1])
    arguments = backend.tensor(x), backend.asarray(truth), backend.tensor(weight), void
    found = losses.cross_entropy(*arguments, label_smoothing=smoothing).item()
    if (truth == void).all():
        assert found == 0
    else:
        assert found == F.cross_entropy(*arguments, label_smoothing=smoothing).item()


@given(masks(binary=True), REDUCTIONS, st.sampled_from([None, 0.5, 4]))
def test_binary_cross_entropy(backend, case, reduction, pos_weight):
    x, truth, void = case
    v = 1 if pos_weight is None else pos_weight
    costs = [-(v if t else 1) * math.log(p[t]) for p, t in counted_pixels(x, truth, void)]

    def loss(logits, target, ignore_index):
        return losses.binary_cross_entropy(logits, target, pos_weight, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, averaged(costs, reduction, truth, void))


@given(
    masks(), REDUCTIONS, st.sampled_from([0, 0.5, 1, 2.0, 5]), st.sampled_from([None, 0.25, "each"])
)
def test_focal(backend, case, reduction, gamma, alpha):
    x, truth, void = case
    binary = x.ndim == 3 or x.shape[1] == 1
    if alpha == "each" and binary:
        alpha = 0.9
    if alpha is None:
        factors = [1.0] * x.shape[1] if not binary else [1.0, 1.0]
    elif alpha == "each":
        factors = np.random.default_rng(1).uniform(0.1, 2, x.shape[1]).tolist()
        alpha = backend.tensor(np.array(factors))
    else:
        factors = [1 - alpha, alpha] if binary else [alpha] * x.shape[1]
    costs = [
        -factors[t] * math.fsum(q for c, q in enumerate(p) if c != t) ** gamma * math.log(p[t])
        for p, t in counted_pixels(x, truth, void)
    ]

    def loss(logits, target, ignore_index):
        return losses.focal(logits, target, gamma, alpha, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, averaged(costs, reduction, truth, void))


@given(masks())
def test_focal_without_focus_is_cross_entropy(backend, case):
    x, truth, void = case
    binary = x.ndim == 3 or x.shape[1] == 1
    other = losses.binary_cross_entropy if binary else losses.cross_entropy
    found, gradients = [], []
    for loss in (lambda *a, **k: losses.focal(*a, gamma=0, **k), other):
        logits = backend.tensor(x, requires_grad=True)
        value = loss(logits, backend.asarray(truth), ignore_index=void)
        value.backward()
        found.append(value.item())
        gradients.append(backend.numpy(logits.grad))
    np.testing.assert_allclose(*found, rtol=1e-14)
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-15)


def dice_by_loop(pixels, classes, squared, smooth):
    overlaps = []
    for c in classes:
        both = math.fsum(p[c] for p, t in pixels if t == c)
        predicted = math.fsum(p[c] ** 2 if squared else p[c] for p, _ in pixels)
        size = predicted + sum(t == c for _, t in pixels) + smooth
        overlaps.append((2 * both + smooth) / size if size else 1.0)
    return 1 - sum(overlaps) / len(overlaps)


@given(masks(), st.booleans(), st.sampled_from([0.0, 1e-3, 1, 20.0]))
def test_dice(backend, case, squared, smooth):
    x, truth, void = case
    classes = [1] if x.ndim == 3 or x.shape[1] == 1 else range(x.shape[1])
    wanted = dice_by_loop(counted_pixels(x, truth, void), classes, squared, smooth)

    def loss(logits, target, ignore_index):
        return losses.dice(logits, target, squared, smooth, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


def test_dice_of_regions_counted_by_hand(backend):
    """Foreground predicted on 4 of 12 pixels, true on 3, both on 2."""
    truth = np.zeros((1, 3, 4), int)
    truth[0, 0, :3] = 1
    x = np.full((1, 3, 4), -1e4, "float32")
    x[0, 0, 1:3] = x[0, 1, :2] = 1e4
    for squared in (False, True):
        found = losses.dice(backend.tensor(x), backend.asarray(truth), squared, smooth=0)
        assert found.item() == pytest.approx(1 - 4 / 7)
    found = losses.dice(backend.tensor(x[:, None]), backend.asarray(truth), smooth=1)
    assert found.item() == pytest.approx(1 - 5 / 8)
    two = np.stack([-x, x], axis=1)
    found = losses.dice(backend.tensor(two), backend.asarray(truth), smooth=0)
    assert found.item() == pytest.approx(1 - (4 / 7 + 14 / 17) / 2)


def test_dice_with_soft_truth(backend):
    x, truth = np.array([[[0.0, 1.0]]]), np.array([[[0.25, 1.0]]])
    p = [0.5, sigmoid_of(1.0)]
    found = losses.dice(backend.tensor(x), backend.tensor(truth), squared=True, smooth=0)
    both, size = 0.25 * p[0] + p[1], p[0] ** 2 + p[1] ** 2 + 0.25**2 + 1
    assert found.item() == pytest.approx(1 - 2 * both / size)


LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "binary_cross_entropy": losses.binary_cross_entropy,
    "focal": losses.focal,
    "focal, half": lambda *a, **k: losses.focal(*a, gamma=0.5, **k),
    "focal, none": lambda *a, **k: losses.focal(*a, gamma=0, **k),
    "dice": losses.dice,
    "dice, squared": lambda *a, **k: losses.dice(*a, squared=True, **k),
    "dice, not smooth": lambda *a, **k: losses.dice(*a, smooth=0, **k),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["empty", "full", "void", "mixed"])
@pytest.mark.parametrize("size", [0.0, 30.0, 1e4])
@pytest.mark.parametrize("right", [True, False])
def test_finite_everywhere(backend, name, kind, size, right):
    rng = np.random.default_rng(9)
    truth = {
        "empty": np.zeros((2, 3, 5), int),
        "full": np.ones((2, 3, 5), int),
        "void": np.full((2, 3, 5), 255),
        "mixed": rng.integers(0, 2, (2, 3, 5)),
    }[kind]
    foreground = size * np.where((truth == 1) == right, 1, -1)
    shapes = [foreground, foreground[:, None], np.stack([-foreground, foreground], axis=1)]
    if name == "cross_entropy":
        shapes = shapes[2:]
    if name == "binary_cross_entropy":
        shapes = shapes[:2]
    for values in shapes:
        logits = backend.tensor(values.astype("float32"), requires_grad=True)
        value = LOSSES[name](logits, backend.asarray(truth), ignore_index=255)
        value.backward()
        gradient = backend.numpy(logits.grad)
        assert value.dtype == gradient.dtype == np.float32
        assert np.isfinite(value.item())
        assert np.isfinite(gradient).all()
        assert value.item() >= -1e-6
        if kind == "void":
            assert value.item() == 0
            assert not gradient.any()
        elif size == 1e4:
            assert value.item() < 1e-6 if right else value.item() > 0.1


def test_absent_classes_in_dice(backend):
    """Absent and not predicted: perfect. Absent and predicted: the less, the more is predicted."""
    truth = backend.asarray(np.array([[[0, 1, 1]]]))
    x = np.zeros((1, 3, 1, 3), "float32")
    x[0, 0, 0, 0] = x[0, 1, 0, 1] = x[0, 1, 0, 2] = 1e4
    assert losses.dice(backend.tensor(x), truth).item() == pytest.approx(0)
    x[0, 2, 0, 2] = 2e4
    wanted = 1 - ((2 + 1) / (2 + 1) + (2 + 1) / (1 + 2 + 1) + 1 / (1 + 1)) / 3
    assert losses.dice(backend.tensor(x), truth).item() == pytest.approx(wanted)


def test_focal_gradient_where_the_power_alone_would_be_infinite(backend):
    """Below gamma = 1 the derivative of (1 - p)^gamma is infinite at p = 1; of the loss it is 0."""
    x = backend.tensor(np.array([[[50.0, 1e4, 200.0]]], "float32"), requires_grad=True)
    losses.focal(x, backend.asarray(np.array([[[1, 1, 1]]])), gamma=0.3).backward()
    gradient = backend.numpy(x.grad)
    assert np.isfinite(gradient).all()
    # (1 - p)^gamma = cost^gamma and p = 1, so the slope is -(1 + gamma) e^(-50 (1 + gamma)) / 3.
    np.testing.assert_allclose(gradient[0, 0, 0], -1.3 * math.exp(-65) / 3, rtol=1e-4)


def made(*shape):
    return tensor(np.zeros(shape, "float32"))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "dice"])
def test_errors_of_classes(name):
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=f"^{name}: the labels hold 7, but with 3 classes"):
        loss(made(1, 3, 2, 2), tensor([[[0, 7], [1, 2]]]))
    with pytest.raises(ValueError, match=rf"^{name}: target has shape \(1, 2\).*\(1, 2, 2\)"):
        loss(made(1, 3, 2, 2), tensor([[0, 1]]))
    with pytest.raises(ValueError, match=f"^{name}: .*one-hot.*argmax"):
        loss(made(1, 3, 2, 2), tensor(np.zeros((1, 3, 2, 2), int)))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "focal", "dice"])
def test_errors_of_binary_masks(name):
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=f"^{name}: the labels hold 255, .*2 classes.*0/255"):
        loss(made(1, 1, 2, 2), tensor([[[0, 255], [1, 0]]]))
    with pytest.raises(ValueError, match=f"^{name}: the target holds 255, .*divide"):
        loss(made(1, 1, 2, 2), tensor([[[0, 255.0], [1, 0]]]))
    with pytest.raises(ValueError, match=rf"^{name}: logits have shape \(1, 1, 2, 3\)"):
        loss(made(1, 1, 2, 3), tensor([[[0, 1], [1, 0]]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t: losses.focal(x, t, gamma=-1), "focal: gamma is -1"),
        (lambda x, t: losses.focal(x, t, alpha=2.0), "focal: alpha is 2.0: for a binary mask"),
        (lambda x, t: losses.focal(x, t, reduction="avg"), "focal: reduction is 'avg'"),
        (lambda x, t: losses.dice(x, t, smooth=-1), "dice: smooth is -1"),
        (
            lambda x, t: losses.focal(made(1, 3, 1, 2), t, alpha=tensor([1.0, 2.0])),
            r"focal: alpha has shape \(2,\), but there are 3 classes",
        ),
        (
            lambda x, t: losses.binary_cross_entropy(made(1, 3, 1, 2), t),
            r"binary_cross_entropy: logits have shape \(1, 3, 1, 2\)",
        ),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(made(1, 1, 1, 2), tensor([[[0, 1]]]))
