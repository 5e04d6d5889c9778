"""Jaccard, Tversky, sensitivity-specificity, log-cosh Dice and Lovász against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import losses
from minisegnet.autograd import tensor
from tests.test_losses import agrees, counted_pixels, dice_by_loop, made, masks

SMOOTH = st.sampled_from([0.0, 1e-3, 1, 20.0])


def classes_of(x):
    """The classes that have a term of their own: of a binary mask the foreground alone."""
    return [1] if x.ndim == 3 or x.shape[1] == 1 else list(range(x.shape[1]))


def tversky_by_loop(pixels, classes, alpha, beta, smooth):
    indices = []
    for c in classes:
        tp = math.fsum(p[c] for p, t in pixels if t == c)
        fp = math.fsum(p[c] for p, t in pixels if t != c)
        fn = math.fsum(1 - p[c] for p, t in pixels if t == c)
        whole = tp + alpha * fp + beta * fn + smooth
        indices.append((tp + smooth) / whole if whole else 1.0)
    return 1 - sum(indices) / len(indices)


@given(masks(), st.sampled_from([(0.3, 0.7), (0.9, 0.1), (2.0, 5.0), (1, 1)]), SMOOTH)
def test_tversky(backend, case, prices, smooth):
    x, truth, void = case
    wanted = tversky_by_loop(counted_pixels(x, truth, void), classes_of(x), *prices, smooth)

    def loss(logits, target, ignore_index):
        return losses.tversky(logits, target, *prices, smooth, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


@given(masks(), SMOOTH)
def test_jaccard(backend, case, smooth):
    x, truth, void = case
    wanted = tversky_by_loop(counted_pixels(x, truth, void), classes_of(x), 1, 1, smooth)

    def loss(logits, target, ignore_index):
        return losses.jaccard(logits, target, smooth, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


@given(masks(), st.sampled_from([0.0, 0.5, 3]))
def test_tversky_has_dice_and_jaccard_in_it(backend, case, smooth):
    x, truth, void = case
    arguments = backend.tensor(x), backend.asarray(truth)
    rest = {"ignore_index": void}
    np.testing.assert_allclose(
        losses.tversky(*arguments, 0.5, 0.5, smooth / 2, **rest).item(),
        losses.dice(*arguments, smooth=smooth, **rest).item(),
        rtol=1e-12,
        atol=1e-15,
    )
    np.testing.assert_allclose(
        losses.tversky(*arguments, 1, 1, smooth, **rest).item(),
        losses.jaccard(*arguments, smooth, **rest).item(),
        rtol=1e-12,
        atol=1e-15,
    )


@given(masks(binary=True))
def test_dice_follows_from_jaccard(backend, case):
    x, truth, void = case
    rest = {"smooth": 0.0, "ignore_index": void}
    arguments = backend.tensor(x), backend.asarray(truth)
    overlap = 1 - losses.jaccard(*arguments, **rest).item()
    dice = 1 - losses.dice(*arguments, **rest).item()
    np.testing.assert_allclose(dice, 2 * overlap / (1 + overlap), rtol=1e-12)


def test_which_price_is_whose(backend):
    """With false alarms only, beta does not matter; with misses only, alpha does not."""
    truth = backend.asarray(np.array([[[0, 1, 1, 1, 0]]]))
    alarms = backend.tensor(np.array([[[1e4, 1e4, 1e4, 1e4, 1e4]]], "float32"))
    misses = backend.tensor(np.array([[[-1e4, -1e4, -1e4, 1e4, -1e4]]], "float32"))
    for alpha, beta in [(0.25, 4.0), (3.0, 0.5)]:
        found = losses.tversky(alarms, truth, alpha, beta, smooth=0).item()
        assert found == pytest.approx(1 - 3 / (3 + 2 * alpha))
        found = losses.tversky(misses, truth, alpha, beta, smooth=0).item()
        assert found == pytest.approx(1 - 1 / (1 + 2 * beta))


def sensitivity_specificity_by_loop(pixels, classes, ratio, smooth):
    terms = []
    for c in classes:
        inside = [(1 - p[c]) ** 2 for p, t in pixels if t == c]
        outside = [p[c] ** 2 for p, t in pixels if t != c]
        miss = math.fsum(inside) / (len(inside) + smooth) if len(inside) + smooth else 0.0
        alarm = math.fsum(outside) / (len(outside) + smooth) if len(outside) + smooth else 0.0
        terms.append(ratio * miss + (1 - ratio) * alarm)
    return sum(terms) / len(terms)


@given(masks(), st.sampled_from([0, 0.05, 0.6, 1]), SMOOTH)
def test_sensitivity_specificity(backend, case, ratio, smooth):
    x, truth, void = case
    pixels = counted_pixels(x, truth, void)
    wanted = sensitivity_specificity_by_loop(pixels, classes_of(x), ratio, smooth)
    alone = smooth == 0 and len({t for _, t in pixels}) < 2

    def loss(logits, target, ignore_index):
        return losses.sensitivity_specificity(logits, target, ratio, smooth, ignore_index)

    if alone and ratio in (0, 1):  # a constant 0: no gradient to compare, but one of 0
        assert loss(backend.tensor(x), backend.asarray(truth), void).item() == pytest.approx(wanted)
    else:
        agrees(backend, loss, x, truth, void, wanted)


@given(masks(), st.booleans(), SMOOTH)
def test_log_cosh_dice(backend, case, squared, smooth):
    x, truth, void = case
    dice = dice_by_loop(counted_pixels(x, truth, void), classes_of(x), squared, smooth)

    def loss(logits, target, ignore_index):
        return losses.log_cosh_dice(logits, target, squared, smooth, ignore_index)

    agrees(backend, loss, x, truth, void, math.log(math.cosh(dice)))


def test_log_cosh_keeps_the_digits_of_a_small_loss(backend):
    """log cosh(x) is x^2 / 2 - x^4 / 12; by way of cosh(x) it would be 0 in float32."""
    x = np.full((1, 1, 4000), 9.0, "float32")
    target = backend.asarray(np.ones((1, 1, 4000), int))
    dice = losses.dice(backend.tensor(x), target, smooth=0).item()
    assert 1e-5 < dice < 1e-4
    found = losses.log_cosh_dice(backend.tensor(x), target, smooth=0).item()
    assert found == pytest.approx(dice**2 / 2, rel=1e-4)


# ------------------------------------------------------------------ Lovász


def jaccard_loss(wrong, true):
    """|M| / |T or M| of the set of wrong pixels; of nothing at all it is 0."""
    return len(wrong) / len(wrong | true) if wrong | true else 0.0


def along(order, errors, true):
    """The sum of errors times what each adds to the Jaccard loss, in this order of pixels."""
    total, wrong = 0.0, set()
    for i in order:
        before = jaccard_loss(wrong, true)
        wrong = wrong | {i}
        total += errors[i] * (jaccard_loss(wrong, true) - before)
    return total


def lovasz_by_loop(pixels, classes, present_only):
    terms = []
    for c in classes:
        true = {i for i, (_, t) in enumerate(pixels) if t == c}
        if present_only and not true:
            continue
        errors = [1 - p[c] if t == c else p[c] for p, t in pixels]
        order = sorted(range(len(errors)), key=lambda i: -errors[i])
        terms.append(along(order, errors, true))
    return sum(terms) / len(terms) if terms else 0.0


@given(masks(), st.sampled_from(["present", "all"]))
def test_lovasz_softmax(backend, case, classes):
    x, truth, void = case
    listed = classes_of(x)
    present_only = classes == "present" and listed != [1]
    wanted = lovasz_by_loop(counted_pixels(x, truth, void), listed, present_only)

    def loss(logits, target, ignore_index):
        return losses.lovasz_softmax(logits, target, classes, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_lovasz_is_the_largest_over_all_orders(backend, seed, count):
    """The Jaccard loss is submodular, so its extension is a maximum over the permutations."""
    rng = np.random.default_rng(seed)
    x, truth = rng.normal(0, 2, (1, 1, count)), rng.integers(0, 2, (1, 1, count))
    pixels = counted_pixels(x, truth, -100)
    errors = [p[1 - t] for p, t in pixels]
    true = {i for i, (_, t) in enumerate(pixels) if t}
    wanted = max(along(order, errors, true) for order in itertools.permutations(range(count)))
    found = losses.lovasz_softmax(backend.tensor(x), backend.asarray(truth)).item()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@given(st.integers(0, 2**32), st.integers(2, 4), st.booleans())
def test_lovasz_of_decisions_is_the_jaccard_loss(backend, seed, classes, binary):
    rng = np.random.default_rng(seed)
    classes = 2 if binary else classes
    truth, found = (rng.integers(0, classes, (2, 3, 4)) for _ in range(2))
    truth[0, 0] = classes - 1
    decided = np.where(found[:, None] == np.arange(classes)[:, None, None], 1e4, -1e4)
    x = (decided[:, 1] if binary else decided).astype("float32")
    arguments = backend.tensor(x), backend.asarray(truth)
    listed = [1] if binary else [c for c in range(classes) if (truth == c).any()]
    ious = [
        ((truth == c) & (found == c)).sum() / ((truth == c) | (found == c)).sum() for c in listed
    ]
    lovasz = losses.lovasz_softmax(*arguments).item()
    assert lovasz == pytest.approx(1 - np.mean(ious), abs=1e-6)
    if len(listed) == classes or binary:
        assert lovasz == pytest.approx(losses.jaccard(*arguments, smooth=0).item(), abs=1e-6)


def test_equal_errors_are_taken_in_order(backend):
    """Four errors of 1/2: the loss is 1/2 whatever the order, the gradient goes by it."""
    x = backend.tensor(np.zeros((1, 2, 2)), requires_grad=True)
    loss = losses.lovasz_softmax(x, backend.asarray(np.array([[[0, 1], [1, 0]]])))
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    # 0 -> 1/3 (union of 2 and 1), -> 2/3, -> 3/3 (of 3), -> 4/4; half of it by the sigmoid's slope.
    steps = np.array([1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(
        backend.numpy(x.grad).ravel(), 0.25 * steps * [1, -1, -1, 1], atol=1e-12
    )


def test_many_equal_errors_are_taken_in_order(backend):
    """Of 104 background pixels at 1/2 the first carry the gradient: 1 - 1/2, 1/2 - 1/3, ...

    Pixels of another error stand between them, so that an unstable sort would mix them up.
    """
    values, target = np.zeros(208), np.zeros(208, int)
    values[1::2] = -1.0
    target[96] = 1
    x = backend.tensor(values.reshape(1, 8, 26), requires_grad=True)
    losses.lovasz_softmax(x, backend.asarray(target.reshape(1, 8, 26))).backward()
    before = np.arange(1, 49)  # 48 even places, then the only true pixel
    wanted = np.zeros(208)
    wanted[:96:2] = 0.25 / (before * (before + 1))
    wanted[96] = -0.25 / 49
    np.testing.assert_allclose(backend.numpy(x.grad).ravel(), wanted, rtol=1e-10)


def test_lovasz_of_many_pixels_keeps_its_digits(backend):
    """The steps are differences of quotients that differ in their sixth digit only."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 2, (1, 300, 400))
    truth = rng.integers(0, 2, x.shape)
    grads = []
    for dtype in ("float32", "float64"):
        logits = backend.tensor(x.astype(dtype), requires_grad=True)
        loss = losses.lovasz_softmax(logits, backend.asarray(truth))
        loss.backward()
        grads.append((loss.item(), backend.numpy(logits.grad)))
    assert grads[0][0] == pytest.approx(grads[1][0], rel=1e-6)
    np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=3e-3, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t: losses.tversky(x, t, alpha=-1), "tversky: alpha is -1 and beta 0.7"),
        (lambda x, t: losses.tversky(x, t, beta=math.nan), "tversky: alpha is 0.3 and beta nan"),
        (lambda x, t: losses.tversky(x, t, smooth=-1), "tversky: smooth is -1"),
        (lambda x, t: losses.jaccard(x, t, smooth=-2), "jaccard: smooth is -2"),
        (
            lambda x, t: losses.sensitivity_specificity(x, t, ratio=2),
            "sensitivity_specificity: ratio is 2",
        ),
        (
            lambda x, t: losses.sensitivity_specificity(x, t, smooth=-1),
            "sensitivity_specificity: smooth is -1",
        ),
        (lambda x, t: losses.log_cosh_dice(x, t, smooth=-1), "log_cosh_dice: smooth is -1"),
        (lambda x, t: losses.lovasz_softmax(x, t, classes="some"), "lovasz_softmax: classes is"),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(made(1, 1, 1, 2), tensor([[[0, 1]]]))
