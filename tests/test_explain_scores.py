"""Softmax, cross-entropy, Dice, IoU and the confusion matrix explained."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet import explain, losses
from minisegnet.autograd import tensor
from minisegnet.metrics import ConfusionMatrix
from minisegnet.ops import activation, objective


def evaluated(equation: str) -> float:
    """What the left side of an equation comes to."""
    left = equation.partition(" = ")[0]
    return eval(left, {"exp": math.exp, "log": math.log, "max": max})


@settings(max_examples=60)
@given(shape=st.sampled_from([(4,), (3, 2), (3, 2, 4), (2, 3, 1, 2)]), seed=st.integers(0, 999))
def test_softmax(shape, seed):
    z = np.random.default_rng(seed).normal(0, 4, shape).round(2)
    axis = 0 if len(shape) % 2 else 1
    want = activation.softmax(tensor(z), axis).numpy()
    walk = explain.softmax(z)
    np.testing.assert_allclose(walk.result, want)
    np.testing.assert_array_equal(walk.outputs["class"], want.argmax(axis=axis))
    cells = (1, 1, *walk.cells.shape)[-4:]
    for n, c, row, col in product(*map(range, cells)):
        ledger = walk.at(row, col, c, n)
        value = walk.cells[(n, c, row, col)[-walk.cells.ndim :]]
        assert sum(term.value for term in ledger.terms) == ledger.total == value
        assert evaluated(str(ledger)) == pytest.approx(value, rel=2e-3)


def test_softmax_along_another_dimension_and_its_errors():
    walk = explain.softmax([[1, 2], [3, 5]], dim=0)
    assert walk.result[:, 1].tolist() == pytest.approx(
        [1 / (1 + math.e**3), 1 - 1 / (1 + math.e**3)]
    )
    assert str(walk.at(0, 1)) == "exp(2 - 5) / (exp(2 - 5) + exp(5 - 5)) = 0.0474"
    assert str(explain.softmax([-1, -3]).at(0, 1)).startswith("exp(-3 - (-1)) /")
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        explain.softmax([1, 2, 3], names=["a", "b"])
    with pytest.raises(IndexError, match="dim 1 is out of range"):
        explain.softmax([1, 2, 3], dim=1)
    with pytest.raises(ValueError, match="give logits"):
        explain.softmax(np.zeros((1, 1, 1, 1, 1)))


@settings(max_examples=80)
@given(
    shape=st.sampled_from([(4,), (3, 4), (4, 2, 3), (2, 4, 2, 1)]),
    seed=st.integers(0, 999),
    weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.2]),
    reduction=st.sampled_from(["mean", "sum", "none"]),
)
def test_cross_entropy(shape, seed, weighted, smoothing, reduction):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, shape).round(2)
    pixels = shape[1:] if len(shape) % 2 else (shape[0], *shape[2:])
    target = rng.integers(0, 4, pixels)
    target = np.where(rng.random(pixels) < 0.2, 255, target) if pixels else target
    options = {
        "weight": rng.integers(1, 5, 4).astype(float) if weighted else None,
        "ignore_index": 255,
        "reduction": reduction,
        "label_smoothing": smoothing,
    }
    image = len(shape) == 3  # one image here, a batch of rows for the engine
    of_engine = {**options, "weight": None if not weighted else tensor(options["weight"])}
    want = objective.cross_entropy(
        tensor(z[None] if image else z), tensor(target[None] if image else target), **of_engine
    ).numpy()
    walk = explain.cross_entropy(z, target, **options)
    np.testing.assert_allclose(walk.result, want[0] if image and reduction == "none" else want)
    cells = (1, 1, *walk.cells.shape)[-4:]
    for n, _, row, col in product(*map(range, cells)):
        ledger = walk.at(row, col, 0, n)
        value = walk.cells[(n, 0, row, col)[-walk.cells.ndim :]]
        assert sum(term.value for term in ledger.terms) == pytest.approx(value)
        assert ledger.total == pytest.approx(value)
        assert evaluated(str(ledger)) == pytest.approx(value, rel=0.02, abs=1e-2)
    if reduction != "none":
        whole = walk.at()
        assert (
            math.isnan(whole.total) if np.isnan(want) else whole.total == pytest.approx(float(want))
        )
    else:
        with pytest.raises(TypeError, match="name a cell"):
            walk.at()


def test_cross_entropy_on_paper():
    walk = explain.cross_entropy([[2, 30, 5], [1, 1, 1]], [0, 2])
    assert str(walk.at(1, 0)) == "-log(exp(1) / (exp(1) + exp(1) + exp(1))) = 1.0986"
    assert str(walk.at()) == "(28 + 1.0986) / 2 = 14.5493"
    void = explain.cross_entropy([[[1.0]], [[2.0]]], [[255]], ignore_index=255)
    assert void.at(0, 0).note == "void: not counted"
    assert np.isnan(void.result) and str(void.at()) == "0 / 0 = nan"
    smooth = explain.cross_entropy([1.0, 0.0], 1, label_smoothing=0.5)
    assert str(smooth.at(0, 0)).startswith(
        "-0.25*log(exp(1) / "
    ) and " - 0.75*log(exp(0) / " in str(smooth.at(0, 0))
    with pytest.raises(ValueError, match=r"give one true class for each pixel, \(2,\)"):
        explain.cross_entropy([[1, 2], [3, 4]], [0, 1, 1])
    with pytest.raises(TypeError, match="as integers"):
        explain.cross_entropy([[1, 2], [3, 4]], [0.5, 1])
    with pytest.raises(ValueError, match="7"):
        explain.cross_entropy([[1, 2]], [7])


MASKS = st.tuples(
    st.sampled_from([(3, 4), (2, 2, 3), (5,)]), st.integers(0, 999), st.integers(2, 4)
)


@settings(max_examples=80)
@given(masks=MASKS, void=st.booleans())
def test_scores_of_masks(masks, void):
    shape, seed, classes = masks
    rng = np.random.default_rng(seed)
    prediction, truth = rng.integers(0, classes, shape), rng.integers(0, classes, shape)
    if void:
        truth = np.where(rng.random(shape) < 0.3, 255, truth)
    ignore = 255 if void else None
    matrix = ConfusionMatrix(classes, ignore)
    matrix.update(prediction, truth)
    walk = explain.confusion_matrix(prediction, truth, classes, ignore)
    np.testing.assert_array_equal(walk.result, matrix.matrix)
    for i, j in product(range(classes), repeat=2):
        ledger = walk.at(i, j)
        assert sum(term.value for term in ledger.terms) == ledger.total == matrix.matrix[i, j]
        for term in ledger.terms:
            index = term.factors[0].index
            assert (truth[index], prediction[index]) == (i, j)
    for kind in range(classes):
        for explained, want in (
            (explain.iou(prediction, truth, kind, ignore), matrix.iou()[kind]),
            (explain.dice(prediction, truth, kind, ignore), matrix.dice()[kind]),
        ):
            np.testing.assert_allclose(explained.result, want)
            whole = explained.at()
            if math.isnan(want):
                assert math.isnan(whole.total) and "both masks are empty" in str(explained)
                continue
            assert whole.total == sum((t.value for t in whole.terms), Fraction(0))
            assert evaluated(str(whole)) == pytest.approx(want)
            cells = (1, 1, *explained.cells.shape)[-4:]
            pixels = (explained.at(r, c, 0, n) for n, _, r, c in product(*map(range, cells)))
            assert sum(pixel.total for pixel in pixels) == whole.total


@settings(max_examples=40)
@given(seed=st.integers(0, 999))
def test_dice_of_probabilities_is_the_loss_of_the_engine(seed):
    rng = np.random.default_rng(seed)
    logits, truth = rng.normal(size=(1, 1, 3, 4)), rng.integers(0, 2, (1, 3, 4))
    truth[0, 0, 0] = 1
    shares = 1 / (1 + np.exp(-logits[0, 0]))
    for squared in (False, True):
        want = 1 - losses.dice(tensor(logits), tensor(truth), squared=squared, smooth=0.0).item()
        walk = explain.dice(shares, truth[0], squared=squared)
        assert walk.result == pytest.approx(want)
        assert walk.at().total == pytest.approx(want)
    soft = explain.iou(shares, truth[0])
    both = (shares * truth[0]).sum()
    assert soft.result == pytest.approx(both / (shares.sum() + truth.sum() - both))
    assert walk.at(0, 0).total == pytest.approx(
        2 * shares[0, 0] / ((shares**2).sum() + truth.sum())
    )


def test_outcomes_and_their_marks():
    walk = explain.iou([[1, 1, 0, 2]], [[1, 0, 1, 255]], ignore_index=255)
    step = next(step for step in walk.steps if step.title == "Compare")
    assert step.arrays["outcome"].tolist() == [["TP", "FP", "FN", ""]]
    assert walk.at(0, 1).note == "FP: not in the intersection"
    assert walk.at(0, 3).note.startswith("void")
    counts = next(step for step in walk.steps if step.title == "Count").arrays["counts"]
    assert counts.tolist() == [[1, 1, 1, 0]]


def test_masks_that_do_not_fit():
    with pytest.raises(ValueError, match="mask > 127"):
        explain.dice([[0, 255]], [[255, 0]])
    assert explain.dice([[0, 255]], [[255, 255]], positive=255).result == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="give two masks of one shape"):
        explain.iou([[0, 1]], [[0, 1, 1]])
    with pytest.raises(TypeError, match="take the argmax"):
        explain.confusion_matrix([[0.5]], [[1]])
    with pytest.raises(ValueError, match="outside"):
        explain.confusion_matrix([[0, 3]], [[0, 1]], num_classes=2)
