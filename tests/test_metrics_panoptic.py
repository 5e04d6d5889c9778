"""Panoptic quality against its definition with sets of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.autograd import tensor
from minisegnet.metrics import ClassQuality, PanopticQuality, panoptic_quality


def segments_of(segments, classes, void):
    """(class, set of pixels) of each segment."""
    found: dict[int, set] = {}
    for i in np.ndindex(*segments.shape):
        if segments[i] != void:
            found.setdefault(int(segments[i]), set()).add(i)
    return [(classes[number], pixels) for number, pixels in sorted(found.items())]


def quality_by_sets(pred, true, pred_classes, true_classes, void):
    """(TP, FP, FN, sum of IoU) of each class."""
    nowhere = {i for i in np.ndindex(*true.shape) if true[i] == void}
    predicted = segments_of(pred, pred_classes, void)
    truths = segments_of(true, true_classes, void)
    counts: dict[str, list] = {}
    partners = set()
    for name, pixels in truths:
        entry = counts.setdefault(name, [0, 0, 0, 0.0])
        ious = [
            len(pixels & other) / len((pixels | other) - nowhere) if name == label else 0
            for label, other in predicted
        ]
        best = max(range(len(ious)), key=ious.__getitem__, default=-1)
        if best >= 0 and ious[best] > 0.5:
            assert best not in partners, "a segment had two partners"
            partners.add(best)
            entry[0] += 1
            entry[3] += ious[best]
        else:
            entry[2] += 1
    for j, (name, pixels) in enumerate(predicted):
        if j not in partners and len(pixels & nowhere) <= len(pixels) / 2:
            counts.setdefault(name, [0, 0, 0, 0.0])[1] += 1
    return counts


@st.composite
def panoptics(draw):
    """A truth of some segments, and a prediction that moves, splits, merges and renames them."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    number = draw(st.integers(1, 5))
    true = rng.integers(0, number, shape)
    true = np.sort(true, axis=draw(st.sampled_from([0, 1])))
    noise = draw(st.sampled_from([0.0, 0.2, 0.6]))
    pred = np.where(rng.random(shape) < noise, rng.integers(0, number + 2, shape), true)
    names = rng.permutation(1000)[: 2 * number + 4]
    true_names, pred_names = names[:number], names[number:]
    pred_classes = {int(n): "abc"[i % 3] for i, n in enumerate(pred_names)}
    true_classes = {int(n): "abc"[i % 3] for i, n in enumerate(true_names)}
    pred, true = pred_names[pred], true_names[true]
    void = draw(st.sampled_from([None, 5000]))
    if void is not None:
        true[rng.random(shape) < 0.3] = void
        pred[rng.random(shape) < 0.2] = void
    return pred, true, pred_classes, true_classes, void


@given(panoptics())
def test_against_sets_of_pixels(backend, case):
    pred, true, pred_classes, true_classes, void = case
    found = panoptic_quality(
        backend.asarray(pred), backend.tensor(true), pred_classes, true_classes, void
    )
    wanted = quality_by_sets(*case)
    assert set(found.by_class) == set(wanted)
    scores = []
    for name, (tp, fp, fn, iou) in wanted.items():
        entry = found.by_class[name]
        assert (entry.tp, entry.fp, entry.fn) == (tp, fp, fn)
        assert entry.iou == pytest.approx(iou, rel=1e-12)
        sq, rq = iou / tp if tp else 0.0, tp / (tp + fp / 2 + fn / 2)
        assert (entry.sq, entry.rq) == pytest.approx((sq, rq))
        assert entry.pq == pytest.approx(iou / (tp + fp / 2 + fn / 2))
        scores.append((entry.pq, entry.sq, entry.rq))
    means = np.mean(scores, axis=0) if scores else [math.nan] * 3
    np.testing.assert_allclose([found.pq, found.sq, found.rq], means, rtol=1e-12)
    np.testing.assert_equal(list(found), [found.pq, found.sq, found.rq])


def test_worked_by_hand(backend):
    true = np.array([[1, 1, 1, 2, 2, 0], [1, 1, 1, 2, 2, 0], [3, 3, 3, 3, 3, 0]])
    pred = np.array([[5, 5, 6, 6, 6, 9], [5, 5, 6, 6, 6, 9], [7, 7, 7, 7, 0, 9]])
    found = panoptic_quality(
        backend.asarray(pred),
        backend.asarray(true),
        {5: "cat", 6: "cat", 7: "grass", 9: "cat"},
        {1: "cat", 2: "cat", 3: "grass"},
        void=0,
    )
    # Cats: 4/6 and 4/6 match; segment 9 lies in the true void. Grass: 4 of 5.
    assert found.by_class == {
        "cat": ClassQuality(tp=2, iou=pytest.approx(8 / 6)),
        "grass": ClassQuality(tp=1, iou=0.8),
    }
    assert found.pq == pytest.approx((4 / 6 + 0.8) / 2)
    # Where 0 is a segment like any other, 9 is one too much.
    pred_classes = {5: "cat", 6: "cat", 7: "grass", 9: "cat", 0: "sky"}
    found = panoptic_quality(pred, true, pred_classes, {1: "cat", 2: "cat", 3: "grass", 0: "sky"})
    assert found.by_class["cat"] == ClassQuality(tp=2, fp=1, iou=pytest.approx(8 / 6))
    assert found.by_class["sky"] == ClassQuality(fp=1, fn=1)


def test_one_half_is_not_enough(backend):
    true = np.array([[1, 1, 2, 2, 2]])
    pred = np.array([[1, 2, 2, 2, 2]])
    found = panoptic_quality(
        backend.asarray(pred), backend.asarray(true), {1: 0, 2: 1}, {1: 0, 2: 1}
    )
    assert found.by_class == {0: ClassQuality(fp=1, fn=1), 1: ClassQuality(tp=1, iou=0.75)}


def test_the_class_must_agree(backend):
    same = backend.asarray(np.array([[4, 4, 8]]))
    found = panoptic_quality(same, same, {4: "a", 8: "b"}, {4: "a", 8: "c"})
    assert found.by_class == {
        "a": ClassQuality(tp=1, iou=1.0),
        "b": ClassQuality(fp=1),
        "c": ClassQuality(fn=1),
    }
    assert found.pq == pytest.approx(1 / 3)


@given(panoptics(), panoptics())
def test_images_add_up(backend, one, two):
    results = [panoptic_quality(*case) for case in (one, two)]
    total = sum(results, PanopticQuality())
    for name in {*results[0].by_class, *results[1].by_class}:
        parts = [r.by_class.get(name, ClassQuality()) for r in results]
        entry = total.by_class[name]
        assert entry.tp == parts[0].tp + parts[1].tp
        assert entry.fp == parts[0].fp + parts[1].fp
        assert entry.fn == parts[0].fn + parts[1].fn
        assert entry.iou == parts[0].iou + parts[1].iou


@given(panoptics())
def test_a_perfect_prediction(backend, case):
    _, true, _, classes, void = case
    renamed = np.where(true == void, true, true + 7)
    new_classes = {n + 7: c for n, c in classes.items()}
    found = panoptic_quality(
        backend.asarray(renamed), backend.asarray(true), new_classes, classes, void
    )
    assert list(found) == [1, 1, 1] or (true == void).all()


def test_classes_as_sequences(backend):
    segments = backend.asarray(np.array([[0, 1, 1, 2]]))
    wanted = panoptic_quality(segments, segments, {0: 5, 1: 6, 2: 5}, {0: 5, 1: 6, 2: 5})
    for classes in ([5, 6, 5], np.array([5, 6, 5]), tensor([5, 6, 5]), backend.asarray([5, 6, 5])):
        assert panoptic_quality(segments, segments, classes, classes) == wanted


@pytest.mark.parametrize("shape", [(0, 4), (2, 3)])
def test_nothing_there(backend, shape):
    nothing = backend.asarray(np.zeros(shape, int))
    found = panoptic_quality(nothing, nothing, {}, {}, void=0)
    assert found.by_class == {}
    assert all(math.isnan(score) for score in found)


def test_errors():
    segments = np.array([[1, 2, 2]])
    with pytest.raises(
        ValueError, match=r"panoptic_quality: .*\(1, 3\) but true_segments \(3, 1\)"
    ):
        panoptic_quality(segments, segments.T, {}, {})
    with pytest.raises(TypeError, match="panoptic_quality: pred_segments is float64"):
        panoptic_quality(segments * 1.0, segments, {}, {})
    classes = {1: 0, 2: 0}
    with pytest.raises(ValueError, match=r"segment 2 of true_segments has no class.*void=2"):
        panoptic_quality(segments, segments, classes, {1: 0})
    with pytest.raises(ValueError, match="segment 2 of pred_segments has no class"):
        panoptic_quality(segments, segments, [0, 0], classes)
