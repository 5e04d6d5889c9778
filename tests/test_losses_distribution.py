"""Weighted and balanced cross-entropy against loops over pixels, and what their weights mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import losses
from minisegnet.autograd import tensor
from tests.test_losses import REDUCTIONS, agrees, averaged, counted_pixels, made, masks


def weighted_by_loop(pixels, weights, reduction, truth, void):
    """The weight of a class, or one over its number of pixels, times -log p of the class."""
    numbers = [sum(t == c for _, t in pixels) for c in range(len(weights))]
    weights = [w if w is not None else 1 / max(n, 1) for w, n in zip(weights, numbers, strict=True)]
    costs = [-weights[t] * math.log(p[t]) for p, t in pixels]
    if reduction != "mean":
        return averaged(costs, reduction, truth, void)
    total = math.fsum(weights[t] for _, t in pixels)
    return math.fsum(costs) / total if total else 0.0


@given(masks(), REDUCTIONS, st.sampled_from([None, "list", "array"]))
def test_weighted_cross_entropy(backend, case, reduction, kind):
    x, truth, void = case
    classes = 2 if x.ndim == 3 or x.shape[1] == 1 else x.shape[1]
    weights = np.random.default_rng(classes).uniform(0.1, 3, classes)
    weights[classes - 1] = 0
    given_as = {None: None, "list": weights.tolist(), "array": backend.tensor(weights)}[kind]
    oracle = [None] * classes if kind is None else weights.tolist()
    wanted = weighted_by_loop(counted_pixels(x, truth, void), oracle, reduction, truth, void)

    def loss(logits, target, ignore_index):
        return losses.weighted_cross_entropy(logits, target, given_as, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, wanted)


@given(masks(), st.floats(0.01, 100))
def test_only_the_ratios_of_the_weights_matter(backend, case, factor):
    x, truth, void = case
    binary = x.ndim == 3 or x.shape[1] == 1
    weights = np.random.default_rng(3).uniform(0.1, 3, 2 if binary else x.shape[1])
    arguments = backend.tensor(x), backend.asarray(truth)
    one, other, equal = (
        losses.weighted_cross_entropy(*arguments, backend.asarray(w), void).item()
        for w in (weights, factor * weights, np.full(len(weights), factor))
    )
    plain = losses.binary_cross_entropy if binary else losses.cross_entropy
    np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_allclose(equal, plain(*arguments, ignore_index=void).item(), rtol=1e-12)


def test_a_rare_class_counts_like_a_frequent_one(backend):
    """Each class costs something else for each of its pixels; there are 9, 2 and none of them."""
    truth = np.array([[[0] * 9 + [2] * 2]])
    x = np.zeros((1, 3, 1, 11))
    x[:, 0] = math.log(6)  # p is 6/8, 1/8, 1/8
    found = losses.weighted_cross_entropy(backend.tensor(x), backend.asarray(truth))
    np.testing.assert_allclose(found.item(), (math.log(8 / 6) + math.log(8)) / 2, rtol=1e-12)


def balanced_by_loop(x, truth, void, beta, reduction):
    costs = []
    for image in range(len(truth)):
        pixels = counted_pixels(x[image : image + 1], truth[image : image + 1], void)
        background = sum(t == 0 for _, t in pixels)
        share = background / max(len(pixels), 1) if beta is None else beta
        costs += [-(share if t else 1 - share) * math.log(p[t]) for p, t in pixels]
    return averaged(costs, reduction, truth, void)


@given(masks(binary=True), REDUCTIONS, st.sampled_from([None, 0, 0.3, 1.0]))
def test_balanced_cross_entropy(backend, case, reduction, beta):
    x, truth, void = case

    def loss(logits, target, ignore_index):
        return losses.balanced_cross_entropy(logits, target, beta, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, balanced_by_loop(x, truth, void, beta, reduction))


@given(masks(binary=True))
def test_balanced_by_one_half_is_half_of_the_plain_one(backend, case):
    x, truth, void = case
    arguments = backend.tensor(x), backend.asarray(truth)
    found = losses.balanced_cross_entropy(*arguments, beta=0.5, ignore_index=void).item()
    plain = losses.binary_cross_entropy(*arguments, ignore_index=void).item()
    np.testing.assert_allclose(found, plain / 2, rtol=1e-12)


@pytest.mark.parametrize("foreground", [1, 3, 11])
def test_both_sides_of_an_image_pull_alike(backend, foreground):
    """At p = 1/2 everywhere the gradients of foreground and background cancel in each image."""
    truth = np.zeros((2, 3, 5), int)
    truth[0].ravel()[:foreground] = 1
    truth[1, 0, 2] = 1
    x = backend.tensor(np.zeros((2, 1, 3, 5)), requires_grad=True)
    losses.balanced_cross_entropy(x, backend.asarray(truth)).backward()
    gradient = backend.numpy(x.grad)
    np.testing.assert_allclose(gradient.sum(axis=(1, 2, 3)), 0, atol=1e-17)
    assert (np.sign(gradient[:, 0]) == np.where(truth, -1, 1)).all()


def test_soft_truth_is_between_the_hard_ones(backend):
    x = np.array([[[0.4, -1.0, 2.0]]])
    found = {}
    for y in (0.0, 0.25, 1.0):
        arguments = backend.tensor(x), backend.tensor(np.full((1, 1, 3), y))
        found[y] = (
            losses.weighted_cross_entropy(*arguments, weight=[2.0, 3.0], reduction="sum").item(),
            losses.balanced_cross_entropy(*arguments, beta=0.7).item(),
        )
    for nothing, quarter, everything in zip(found[0.0], found[0.25], found[1.0], strict=True):
        np.testing.assert_allclose(quarter, 0.75 * nothing + 0.25 * everything, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, t: losses.weighted_cross_entropy(x, t, weight=[1.0, 2.0, 3.0]),
            r"weighted_cross_entropy: weight has shape \(3,\), but there are 2 classes",
        ),
        (
            lambda x, t: losses.weighted_cross_entropy(made(1, 3, 1, 2), t, weight=tensor([1, 2])),
            r"weighted_cross_entropy: weight has shape \(2,\), but there are 3 classes",
        ),
        (
            lambda x, t: losses.weighted_cross_entropy(x, t, weight=[1.0, -2.0]),
            "weighted_cross_entropy: weight is .*-2.*below 0",
        ),
        (
            lambda x, t: losses.weighted_cross_entropy(made(1, 3, 1, 2), tensor([[[0, 9]]])),
            "weighted_cross_entropy: the labels hold 9, but with 3 classes",
        ),
        (
            lambda x, t: losses.balanced_cross_entropy(x, t, beta=1.5),
            "balanced_cross_entropy: beta is 1.5",
        ),
        (
            lambda x, t: losses.balanced_cross_entropy(made(2, 2), tensor([[0, 1], [1, 0]])),
            r"balanced_cross_entropy: the target has shape \(2, 2\).*\(N, H, W\)",
        ),
        (
            lambda x, t: losses.balanced_cross_entropy(x, t, reduction="avg"),
            "balanced_cross_entropy: reduction is 'avg'",
        ),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(made(1, 1, 1, 2), tensor([[[0, 1]]]))
