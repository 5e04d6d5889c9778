"""Combo and exponential-logarithmic losses against loops, and what is left at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import losses
from minisegnet.autograd import tensor
from tests.test_losses import agrees, counted_pixels, dice_by_loop, made, masks

SMOOTH = st.sampled_from([1e-3, 1, 20.0])


def classes_of(x):
    return [1] if x.ndim == 3 or x.shape[1] == 1 else list(range(x.shape[1]))


def combo_by_loop(pixels, classes, alpha, beta, smooth):
    costs = [
        -beta * math.log(p[c])
        if t == c
        else -(1 - beta) * math.log(math.fsum(q for k, q in enumerate(p) if k != c))
        for p, t in pixels
        for c in classes
    ]
    cross_entropy = math.fsum(costs) / len(costs) if costs else 0.0
    return alpha * cross_entropy + (1 - alpha) * dice_by_loop(pixels, classes, False, smooth)


@given(masks(), st.sampled_from([0.2, 0.5, 1]), st.sampled_from([0, 0.3, 0.5, 1.0]), SMOOTH)
def test_combo(backend, case, alpha, beta, smooth):
    x, truth, void = case
    wanted = combo_by_loop(counted_pixels(x, truth, void), classes_of(x), alpha, beta, smooth)

    def loss(logits, target, ignore_index):
        return losses.combo(logits, target, alpha, beta, smooth, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


@given(masks())
def test_combo_at_its_limits(backend, case):
    x, truth, void = case
    arguments = backend.tensor(x), backend.asarray(truth)
    rest = {"ignore_index": void}
    found = losses.combo(*arguments, alpha=0, **rest).item()
    np.testing.assert_allclose(found, losses.dice(*arguments, **rest).item(), rtol=1e-12)
    if classes_of(x) == [1]:
        found = 2 * losses.combo(*arguments, alpha=1, beta=0.5, **rest).item()
        plain = losses.binary_cross_entropy(*arguments, **rest).item()
    else:
        # With beta = 1 only the true class of each pixel is left, one of C.
        found = x.shape[1] * losses.combo(*arguments, alpha=1, beta=1, **rest).item()
        plain = losses.cross_entropy(*arguments, **rest).item()
    np.testing.assert_allclose(found, plain, rtol=1e-12)


def test_combo_of_logits_far_apart(backend):
    """-log(1 - p) where p rounds to 1: the distance to the next logit, and its gradient."""
    x = np.array([[[[90.0]], [[30.0]], [[29.0]]]], "float32")
    logits = backend.tensor(x, requires_grad=True)
    loss = losses.combo(logits, backend.asarray(np.array([[[1]]])), alpha=1, beta=0.25)
    loss.backward()
    gap = 60 - math.log1p(math.exp(-1))  # log of the odds of class 0
    assert loss.item() == pytest.approx((0.25 * 60 + 0.75 * gap) / 3, rel=1e-6)
    others = np.array([1, math.exp(-1)]) / (1 + math.exp(-1))
    wanted = np.array([0.25 + 0.75, -0.25 - 0.75 * others[0], -0.75 * others[1]]) / 3
    np.testing.assert_allclose(backend.numpy(logits.grad).ravel(), wanted, rtol=1e-5)


@pytest.mark.parametrize("equal", [2, 3])
def test_combo_of_equal_largest_logits(backend, equal):
    x = np.zeros((1, 3, 1, 2))
    x[:, :equal] += 5
    target = np.array([[[0, 2]]])

    def loss(logits, target, ignore_index):
        return losses.combo(logits, target, 1, 0.4, 1, ignore_index)

    wanted = combo_by_loop(counted_pixels(x, target, -100), [0, 1, 2], 1, 0.4, 1)
    agrees(backend, loss, x, target, -100, wanted)


def exponential_by_loop(pixels, classes, number, gammas, shares, weights, smooth):
    if weights is None:
        numbers = [sum(t == c for _, t in pixels) for c in range(number)]
        weights = [math.sqrt(len(pixels) / n) if n else 0.0 for n in numbers]
    logs = [-math.log(1 - dice_by_loop(pixels, [c], False, smooth)) for c in classes]
    regions = sum(max(v, 0) ** gammas[0] for v in logs) / len(logs)
    costs = [weights[t] * (-math.log(p[t])) ** gammas[1] for p, t in pixels]
    return shares[0] * regions + shares[1] * math.fsum(costs) / max(len(costs), 1)


GAMMAS = st.sampled_from([(0.3, 0.3), (1, 2), (2.5, 0.6)])


@given(masks(), GAMMAS, st.sampled_from([(0.8, 0.2), (0.5, 3), (1, 0)]), st.booleans(), SMOOTH)
def test_exponential_logarithmic(backend, case, gammas, shares, weighted, smooth):
    x, truth, void = case
    number = 2 if classes_of(x) == [1] else x.shape[1]
    weights = np.random.default_rng(number).uniform(0.1, 3, number) if weighted else None
    pixels = counted_pixels(x, truth, void)
    wanted = exponential_by_loop(pixels, classes_of(x), number, gammas, shares, weights, smooth)
    given_as = None if weights is None else backend.tensor(weights)

    def loss(logits, target, ignore_index):
        return losses.exponential_logarithmic(
            logits, target, *gammas, *shares, given_as, smooth, ignore_index
        )

    agrees(backend, loss, x, truth, void, wanted)


@given(masks())
def test_exponential_logarithmic_at_its_limits(backend, case):
    x, truth, void = case
    arguments = backend.tensor(x), backend.asarray(truth)
    binary = classes_of(x) == [1]
    ones = [1.0] * (2 if binary else x.shape[1])
    plain = losses.binary_cross_entropy if binary else losses.cross_entropy
    found = losses.exponential_logarithmic(
        *arguments, gamma_cross=1, w_dice=0, w_cross=1, weight=ones, ignore_index=void
    )
    np.testing.assert_allclose(
        found.item(), plain(*arguments, ignore_index=void).item(), rtol=1e-12, atol=1e-15
    )
    if binary:
        found = losses.exponential_logarithmic(
            *arguments, gamma_dice=1, w_dice=1, w_cross=0, ignore_index=void
        )
        dice = losses.dice(*arguments, ignore_index=void).item()
        np.testing.assert_allclose(found.item(), -math.log(1 - dice), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.1, 0.3, 0.9])
def test_where_the_slope_of_the_power_is_infinite(backend, gamma):
    """The cost of a pixel at p = 1 - e^-x is e^-x: its power has the slope -gamma e^(-gamma x)."""
    x = backend.tensor(np.array([[[40.0, 95.0, 1e4]]], "float32"), requires_grad=True)
    loss = losses.exponential_logarithmic(
        x,
        backend.asarray(np.array([[[1, 1, 1]]])),
        gamma_cross=gamma,
        w_dice=0,
        w_cross=3,
        weight=[1.0, 1.0],
    )
    loss.backward()
    gradient = backend.numpy(x.grad).ravel()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[0], -gamma * math.exp(-40 * gamma), rtol=1e-4)
    assert abs(gradient[2]) == 0


def test_an_overlap_that_rounds_to_one(backend):
    """The slope of the power is infinite there, and one pixel still has a slope of its own."""
    x = np.full((1, 50, 60), 1e4, "float32")
    x[0, 20, 30] = 15.0
    logits = backend.tensor(x, requires_grad=True)
    target = backend.asarray(np.ones((1, 50, 60), int))
    losses.exponential_logarithmic(logits, target, w_cross=0).backward()
    assert np.abs(backend.numpy(logits.grad)).max() < 1e-2


def test_an_overlap_of_nothing_is_finite_without_smoothing(backend):
    x = backend.tensor(np.full((1, 2, 2), -1e4, "float32"), requires_grad=True)
    target = backend.asarray(np.array([[[1, 0], [1, 1]]]))
    loss = losses.exponential_logarithmic(x, target, smooth=0)
    loss.backward()
    assert math.isfinite(loss.item()) and loss.item() > 1
    assert np.isfinite(backend.numpy(x.grad)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t: losses.combo(x, t, alpha=1.5), "combo: alpha is 1.5"),
        (lambda x, t: losses.combo(x, t, beta=-0.1), "combo: beta is -0.1"),
        (lambda x, t: losses.combo(x, t, smooth=-1), "combo: smooth is -1"),
        (
            lambda x, t: losses.exponential_logarithmic(x, t, gamma_dice=0),
            "exponential_logarithmic: gamma_dice is 0 and gamma_cross 0.3",
        ),
        (
            lambda x, t: losses.exponential_logarithmic(x, t, w_cross=-1),
            "exponential_logarithmic: w_dice is 0.8 and w_cross -1",
        ),
        (
            lambda x, t: losses.exponential_logarithmic(x, t, weight=[1.0, 2.0, 3.0]),
            r"exponential_logarithmic: weight has shape \(3,\), but there are 2 classes",
        ),
        (
            lambda x, t: losses.exponential_logarithmic(made(1, 3, 1, 2), tensor([[[0, 9]]])),
            "exponential_logarithmic: the labels hold 9",
        ),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(made(1, 1, 1, 2), tensor([[[0, 1]]]))
