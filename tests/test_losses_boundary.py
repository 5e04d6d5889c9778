"""Boundary-based losses against their definitions: every distance as a minimum over all pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import losses
from minisegnet.autograd import tensor
from tests.test_losses import REDUCTIONS, agrees, averaged, made, masks, sigmoid_of, softmax_of


def maps_of_classes(x, truth, void):
    """(p, y, counts) of each image and class, as lists of dicts by pixel (row, column)."""
    binary = x.ndim == 3 or x.shape[1] == 1
    for n in range(len(truth)):
        probabilities = {}
        for i in np.ndindex(*truth.shape[1:]):
            if binary:
                probabilities[i] = [sigmoid_of(float(x.reshape(truth.shape)[(n, *i)]))]
            else:
                logits = [float(x[(n, c, *i)]) for c in range(x.shape[1])]
                probabilities[i] = softmax_of(logits)
        for c in range(1 if binary else x.shape[1]):
            p = {i: q[c] for i, q in probabilities.items()}
            y = {i: float(truth[(n, *i)] == (1 if binary else c)) for i in p}
            yield p, y, {i: truth[(n, *i)] != void for i in p}


def distance_to_other_side(region, pixels):
    """From each pixel to the nearest one that is in the region if it is not, and so on; else 0."""
    far = {}
    for i in pixels:
        others = [math.dist(i, j) for j in pixels if (j in region) != (i in region)]
        far[i] = min(others, default=0.0)
    return far


def hausdorff_by_loop(x, truth, void, alpha):
    total, pairs, classes = 0.0, 0, 1 if x.ndim == 3 else x.shape[1]
    for p, y, counts in maps_of_classes(x, truth, void):
        d_found = distance_to_other_side({i for i in p if counts[i] and p[i] > 0.5}, p)
        d_true = distance_to_other_side({i for i in p if counts[i] and y[i]}, p)
        total += math.fsum(
            (p[i] - y[i]) ** 2 * (d_found[i] ** alpha + d_true[i] ** alpha) for i in p if counts[i]
        )
        pairs += sum(counts.values())
    assert pairs == classes * (truth != void).sum()
    return total / pairs if pairs else 0.0


@given(masks(), st.sampled_from([0.5, 1, 2, 3.0]))
def test_hausdorff_distance(backend, case, alpha):
    x, truth, void = case
    wanted = hausdorff_by_loop(x, truth, void, alpha)

    def loss(logits, target, ignore_index):
        return losses.hausdorff_distance(logits, target, alpha, ignore_index)

    agrees(backend, loss, x, truth, void, wanted)


def outline_by_loop(labels, counts):
    """The pixels with another class beside, above or below them."""
    steps = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    return [
        (r, c)
        for r, c in labels
        if counts[r, c]
        and any(
            counts.get((r + dr, c + dc)) and labels[r, c] != labels[r + dr, c + dc]
            for dr, dc in steps
        )
    ]


def shape_aware_by_loop(x, truth, void):
    """The cost of each pixel that counts."""
    binary = x.ndim == 3 or x.shape[1] == 1
    costs = []
    for n in range(len(truth)):
        found, true, counts, cost = {}, {}, {}, {}
        for i in np.ndindex(*truth.shape[1:]):
            if binary:
                p = sigmoid_of(float(x.reshape(truth.shape)[(n, *i)]))
                p = [1 - p, p]
            else:
                p = softmax_of([float(x[(n, c, *i)]) for c in range(x.shape[1])])
            true[i], counts[i] = int(truth[(n, *i)]), truth[(n, *i)] != void
            found[i] = max(range(len(p)), key=p.__getitem__)
            cost[i] = -math.log(p[true[i]]) if counts[i] else 0.0
        found_line, true_line = outline_by_loop(found, counts), outline_by_loop(true, counts)
        gaps = [min(math.dist(i, j) for j in true_line) for i in found_line if true_line]
        gap = math.fsum(gaps) / len(gaps) if gaps else 0.0
        costs += [cost[i] * (1 + gap * (found[i] != true[i])) for i in cost if counts[i]]
    return costs


@given(masks(), REDUCTIONS)
def test_shape_aware(backend, case, reduction):
    x, truth, void = case
    wanted = averaged(shape_aware_by_loop(x, truth, void), reduction, truth, void)

    def loss(logits, target, ignore_index):
        return losses.shape_aware(logits, target, ignore_index, reduction)

    agrees(backend, loss, x, truth, void, wanted)


# ------------------------------------------------------------------ what they are for


def scene(found, logit=3.0):
    """A 5 x 12 mask with a true object at the left, and logits for a list of found pixels."""
    truth = np.zeros((1, 5, 12), int)
    truth[0, 1:4, 0:2] = 1
    x = np.full(truth.shape, -logit)
    for row, column in found:
        x[0, row, column] = logit
    return x, truth


OBJECT = [(r, c) for r in (1, 2, 3) for c in (0, 1)]


@pytest.mark.parametrize("loss", [losses.hausdorff_distance, losses.shape_aware])
def test_a_far_mistake_costs_more_than_a_near_one(backend, loss):
    values, overlaps = [], []
    for column in range(2, 11):
        x, truth = scene([*OBJECT, (2, column)])
        arguments = backend.tensor(x), backend.asarray(truth)
        values.append(loss(*arguments).item())
        overlaps.append(losses.dice(*arguments).item())
    assert (np.diff(values) > 0).all(), values
    assert np.ptp(overlaps) < 1e-9, "all of them are one pixel too much"


def test_alpha_says_how_much_more(backend):
    costs = {}
    for column in (3, 10):
        x, truth = scene([*OBJECT, (2, column)], logit=1e4)
        for alpha in (1, 2.0):
            loss = losses.hausdorff_distance(backend.tensor(x), backend.asarray(truth), alpha)
            costs[column, alpha] = loss.item() * truth.size
    # At distance 1 of its own boundary, and at 2 or 9 of the true one.
    assert costs == pytest.approx({(3, 1): 3, (3, 2): 5, (10, 1): 10, (10, 2): 82})


def test_the_gradient_of_a_far_mistake_is_larger(backend):
    x, truth = scene([*OBJECT, (2, 3), (2, 10)])
    logits = backend.tensor(x, requires_grad=True)
    losses.hausdorff_distance(logits, backend.asarray(truth)).backward()
    gradient = backend.numpy(logits.grad)[0]
    # Each is at distance 1 of its own boundary, and at 2 and 9 of the true one.
    assert gradient[2, 10] / gradient[2, 3] == pytest.approx((9**2 + 1) / (2**2 + 1))


@pytest.mark.parametrize("loss", [losses.hausdorff_distance, losses.shape_aware])
@given(masks(binary=True))
def test_one_map_is_two_classes(backend, loss, case):
    x, truth, void = case
    x = x.reshape(truth.shape)
    two = np.stack([-0.25 * x, 0.75 * x], axis=1)
    truth[0, 0, 0] = 1 - (truth[0, 0, 0] == 1)  # not all of it void
    counts = truth != void
    one, other = (
        loss(backend.tensor(logits), backend.asarray(truth), ignore_index=void).item()
        for logits in (x, two)
    )
    if loss is losses.shape_aware or counts.all():  # void pixels are outside of both classes
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_without_a_boundary(backend):
    """The distances of a region that fills the image, or is not there, are 0."""
    truth = np.zeros((1, 3, 4), int)
    x = np.full((1, 3, 4), -2.0)
    nothing = losses.hausdorff_distance(backend.tensor(x), backend.asarray(truth))
    assert nothing.item() == 0
    everything = losses.hausdorff_distance(backend.tensor(-x), backend.asarray(truth))
    assert everything.item() == 0
    x[0, 1, 2] = 2.0  # a false alarm has a boundary, of which it is 1 away
    alarm = losses.hausdorff_distance(backend.tensor(x), backend.asarray(truth))
    assert alarm.item() == pytest.approx(hausdorff_by_loop(x, truth, -100, 2))
    assert alarm.item() > sigmoid_of(2.0) ** 2 / 12
    plain = losses.binary_cross_entropy(backend.tensor(x), backend.asarray(truth)).item()
    assert losses.shape_aware(backend.tensor(x), backend.asarray(truth)).item() == plain


def test_images_of_a_batch_are_apart(backend):
    """Distances never run from one image into the next."""
    rng = np.random.default_rng(8)
    x, truth = rng.normal(0, 2, (3, 4, 3, 5)), rng.integers(0, 4, (3, 3, 5))
    for loss in (losses.hausdorff_distance, losses.shape_aware):
        alone = [
            loss(backend.tensor(x[n : n + 1]), backend.asarray(truth[n : n + 1])).item()
            for n in range(3)
        ]
        together = loss(backend.tensor(x), backend.asarray(truth)).item()
        np.testing.assert_allclose(together, np.mean(alone), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, t: losses.hausdorff_distance(x, t, alpha=0), "hausdorff_distance: alpha is 0"),
        (
            lambda x, t: losses.hausdorff_distance(made(1, 2), tensor([[0, 1]])),
            r"hausdorff_distance: the target has shape \(1, 2\).*\(N, H, W\)",
        ),
        (
            lambda x, t: losses.shape_aware(made(1, 2), tensor([[0, 1]])),
            r"shape_aware: the target has shape \(1, 2\).*\(N, H, W\)",
        ),
        (
            lambda x, t: losses.shape_aware(made(1, 3, 1, 2), tensor([[[0, 9]]])),
            "shape_aware: the labels hold 9, but with 3 classes",
        ),
        (
            lambda x, t: losses.shape_aware(x, t, reduction="avg"),
            "shape_aware: reduction is 'avg'",
        ),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(made(1, 1, 1, 2), tensor([[[0, 1]]]))
