"""Average precision against its definition: the best precision at each recall or beyond."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet.metrics import AveragePrecision, average_precision
from minisegnet.metrics.instances import COCO_THRESHOLDS


def iou_of(a, b):
    """Of two masks, or of two boxes drawn on a fine grid."""
    return len(a & b) / len(a | b) if a | b else 0.0


def cells(instance):
    """The unit cells an instance covers: of a mask its pixels, of a box with whole corners."""
    instance = np.asarray(instance)
    if instance.ndim == 2:
        return {tuple(i) for i in np.argwhere(instance)}
    left, top, right, bottom = map(int, instance)
    return {(row, column) for row in range(top, bottom) for column in range(left, right)}


def precision_by_definition(predictions, truths, scores, pred_classes, true_classes, name, t, kind):
    """The average precision of one class at one threshold."""
    ranked = []
    total = 0
    for image, (found, true) in enumerate(zip(predictions, truths, strict=True)):
        free = [cells(b) for b, c in zip(true, true_classes[image], strict=True) if c == name]
        total += len(free)
        order = sorted(range(len(found)), key=lambda i: -scores[image][i])  # stable
        for place in order:
            if pred_classes[image][place] != name:
                continue
            ious = [iou_of(cells(found[place]), other) for other in free]
            best = max(range(len(ious)), key=ious.__getitem__, default=-1)
            hit = best >= 0 and ious[best] >= t
            if hit:
                free.pop(best)
            ranked.append((-scores[image][place], image, len(ranked), hit))
    if total == 0:
        return math.nan
    ranked.sort(key=lambda entry: entry[:3])
    points, hits = [], 0
    for k, entry in enumerate(ranked, start=1):
        hits += entry[-1]
        points.append((hits / total, hits / k))

    def best_at(recall):
        return max((p for r, p in points if r >= recall), default=0.0)

    if kind == "coco":
        return sum(best_at(recall) for recall in np.linspace(0, 1, 101)) / 101
    steps = sorted({r for r, _ in points} | {0.0})
    return sum((b - a) * best_at(b) for a, b in itertools.pairwise(steps))


@st.composite
def detections(draw):
    """Some images with true instances, and predictions that are near them, or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    masks = draw(st.booleans())
    levels = draw(st.sampled_from([3, 1000]))  # few: many equal scores
    predictions, truths, scores, pred_classes, true_classes = [], [], [], [], []
    for _ in range(draw(st.integers(1, 3))):
        n, m = int(rng.integers(0, 6)), int(rng.integers(0, 4))
        if masks:
            true = rng.random((m, 4, 5)) < 0.4
            pred = rng.random((n, 4, 5)) < 0.4
        else:
            true, pred = (boxes(rng, k) for k in (m, n))
        for i in range(n):
            if m and rng.random() < 0.6:
                pred[i] = true[rng.integers(m)]
                if rng.random() < 0.5 and masks:
                    pred[i] ^= rng.random((4, 5)) < 0.1
                elif rng.random() < 0.5 and not masks:
                    pred[i, 2:] += rng.integers(0, 3, 2)
        predictions.append(pred if n else [])
        truths.append(true if m else [])
        scores.append(rng.integers(0, levels, n) / levels)
        pred_classes.append(rng.choice(["cat", "dog", "owl"], n).tolist())
        true_classes.append(rng.choice(["cat", "dog"], m).tolist())
    return predictions, truths, scores, pred_classes, true_classes


def boxes(rng, count):
    corner = rng.integers(0, 5, (count, 2))
    return np.concatenate([corner, corner + rng.integers(1, 6, (count, 2))], axis=1)


@given(detections(), st.sampled_from(["coco", "area"]))
@settings(max_examples=80)
def test_against_the_definition(backend, case, kind):
    predictions, truths, scores, pred_classes, true_classes = case
    thresholds = (0.5, 0.75, 1.0)
    found = average_precision(
        [backend.asarray(np.asarray(p)) for p in predictions],
        [backend.tensor(np.asarray(t)) for t in truths],
        [backend.asarray(s) for s in scores],
        pred_classes,
        true_classes,
        thresholds,
        kind,
    )
    names = sorted({c for entry in (*pred_classes, *true_classes) for c in entry})
    assert found.classes == tuple(names) and found.thresholds == thresholds
    for row, name in enumerate(names):
        for column, t in enumerate(thresholds):
            wanted = precision_by_definition(
                predictions, truths, scores, pred_classes, true_classes, name, t, kind
            )
            np.testing.assert_allclose(found.table[row, column], wanted, rtol=1e-9, atol=1e-12)
    there = found.table[~np.isnan(found.table[:, 0])]
    if not len(there):
        assert math.isnan(found.ap)
        return
    assert found.ap == float(found) == pytest.approx(there.mean())
    np.testing.assert_allclose(list(found.by_threshold.values()), there.mean(axis=0))
    np.testing.assert_allclose(list(found.by_class.values()), found.table.mean(axis=1))


def test_worked_by_hand(backend):
    """Three true boxes; in order of score: a hit, a miss, a double, a hit. One is never found."""
    truths = [backend.asarray(np.array([[0, 0, 4, 2], [6, 1, 9, 5], [20, 20, 23, 29]]))]
    predictions = [
        backend.asarray(np.array([[6, 1, 9, 4], [50, 50, 60, 55], [0, 0, 4, 2], [0, 0, 4, 2]]))
    ]
    scores = [[0.4, 0.8, 0.9, 0.6]]
    at = {}
    for kind in ("area", "coco"):
        found = average_precision(predictions, truths, scores, interpolation=kind)
        assert found.thresholds == COCO_THRESHOLDS and found.classes == (0,)
        at[kind] = found.by_threshold
    # Recall 1/3 at precision 1, recall 2/3 at precision 2/4; the second hit has an IoU of 9/12.
    for t in COCO_THRESHOLDS:
        second = t <= 0.75
        assert at["area"][t] == pytest.approx(1 / 3 + second * 0.5 / 3)
        assert at["coco"][t] == pytest.approx((34 + second * 33 * 0.5) / 101)


def test_masks_and_boxes_agree(backend):
    rng = np.random.default_rng(2)
    drawn = []
    for count in (4, 6):
        corners = boxes(rng, count)
        masks = np.zeros((count, 11, 12), bool)
        for mask, (left, top, right, bottom) in zip(masks, corners, strict=True):
            mask[top:bottom, left:right] = True
        drawn.append((corners, masks))
    scores = [rng.random(6)]
    tables = [
        average_precision(
            [backend.asarray(p)], [backend.asarray(t)], scores, iou_thresholds=(0.1, 0.2, 0.3)
        ).table
        for t, p in zip(*drawn, strict=True)
    ]
    np.testing.assert_array_equal(*tables)
    assert len(np.unique(tables[0])) > 1


def test_boxes_apart_in_both_directions_share_nothing(backend):
    """Two negative lengths make a positive area."""
    one, other = (backend.asarray(np.array([box])) for box in ([0, 0, 1, 1], [2, 2, 3, 3]))
    assert average_precision([one], [other], [[0.5]], iou_thresholds=0.1).ap == 0


def test_scores_between_images_count(backend):
    """A false alarm of another image comes before the hit, or after it."""
    box = backend.asarray(np.array([[0.0, 0.0, 2.5, 4.0]]))
    for score, wanted in [(0.9, 0.5), (0.1, 1.0)]:
        found = average_precision([box, box], [box, []], [[0.5], [score]])
        assert found.ap == pytest.approx(wanted)


def test_nothing_to_find(backend):
    box = backend.asarray(np.array([[0, 0, 2, 3]]))
    assert math.isnan(average_precision([], [], []).ap)
    assert math.isnan(average_precision([box], [[]], [[0.5]]).ap)
    assert average_precision([[]], [box], [[]]).ap == 0
    found = average_precision([box], [box], [[0.3]], [["cat"]], [["dog"]], 0.5)
    assert found.by_class == pytest.approx({"cat": math.nan, "dog": 0.0}, nan_ok=True)
    assert found.ap == 0


def test_a_perfect_detector(backend):
    rng = np.random.default_rng(6)
    truths = [backend.asarray(boxes(rng, n)) for n in (3, 0, 5)]
    scores = [rng.random(n) for n in (3, 0, 5)]
    classes = [rng.integers(0, 3, n) for n in (3, 0, 5)]
    found = average_precision(truths, truths, scores, classes, classes)
    assert isinstance(found, AveragePrecision) and found.ap == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": []}, "predictions for 1 images but truths for 0"),
        ({"scores": [[0.5], [0.5]]}, "predictions for 1 images but scores for 2"),
        ({"scores": [[0.5, 0.6]]}, r"image 0 has 1 predictions but scores of shape \(2,\)"),
        ({"truths": [[[0, 0, 2]]]}, r"\(1, 4\) and the truths \(1, 3\)"),
        ({"truths": [np.ones((1, 4, 5))]}, r"\(1, 4\) and the truths \(1, 4, 5\)"),
        ({"predictions": [[[3, 0, 2, 2]]]}, "image 0 a box of the predictions ends before"),
        ({"pred_classes": [[1, 2]]}, "image 0 has 1 instances but 2 pred_classes"),
        ({"true_classes": []}, "image 0 has 1 instances but 0 true_classes"),
        ({"iou_thresholds": 0}, "iou_thresholds is 0"),
        ({"iou_thresholds": [0.5, 1.5]}, "iou_thresholds is"),
        ({"interpolation": "cocoa"}, "interpolation is 'cocoa': did you mean 'coco'"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"predictions": [[[0, 0, 2, 3]]], "truths": [[[0, 0, 2, 2]]], "scores": [[0.5]]}
    with pytest.raises(ValueError, match=f"^average_precision: .*{message}"):
        average_precision(**{**arguments, **change})
