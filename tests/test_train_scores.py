"""Scores of whole masks over a data set: averaged over the pictures that have what is scored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minisegnet import nn
from minisegnet.metrics import adjusted_rand_index, boundary_f1, connected_pieces, rand_score
from minisegnet.train import evaluate
from minisegnet.train.scores import BoundaryScores, RandScores


def blobs(seed, classes, shape=(3, 14, 19)):
    """Masks of blocks of 3x4 pixels."""
    rng = np.random.default_rng(seed)
    n, rows, columns = shape
    blocks = rng.integers(0, classes, (n, -(-rows // 3), -(-columns // 4)))
    return np.kron(blocks, np.ones((1, 3, 4), np.int64))[:, :rows, :columns]


def test_boundaries_are_averaged_over_pictures_then_over_classes(backend):
    prediction, target = blobs(1, 4), blobs(2, 4)
    target[0][target[0] == 3] = 0
    prediction[0][prediction[0] == 3] = 1  # the first picture lacks class 3 altogether
    target[:, 0] = 9
    scores = BoundaryScores(5, ignore_index=9)
    scores.update(backend.asarray(prediction[:2]), backend.asarray(target[:2]))
    scores.update(backend.asarray(prediction[2:]), backend.asarray(target[2:]))
    expected = []
    for k in range(4):
        found = []
        for mine, true in zip(prediction, target, strict=True):
            counted = true != 9
            if ((mine == k) & counted).any() or (true == k).any():
                found.append(boundary_f1((mine == k) & counted, true == k))
        assert len(found) == (2 if k == 3 else 3)
        expected.append(np.mean(found))
    np.testing.assert_allclose(scores.by_class(), [*expected, np.nan])
    assert scores.mean() == pytest.approx(np.mean(expected))
    assert 0.05 < scores.mean() < 0.95


def test_a_class_that_only_one_of_the_two_has_scores_0():
    scores = BoundaryScores(2)
    scores.update(np.zeros((1, 4, 6), int), np.eye(4, 6, dtype=int)[None])
    assert scores.by_class()[1] == 0


def test_rand_scores_are_averaged_over_pictures_with_pieces(backend):
    prediction, target = blobs(3, 3), blobs(4, 3)
    target[1] = 0  # no piece of class 2
    scores = RandScores(piece=2)
    scores.update(backend.asarray(prediction), backend.asarray(target))
    rows = []
    for i in (0, 2):
        mine, true = connected_pieces(prediction[i] == 2), connected_pieces(target[i] == 2)
        score = rand_score(mine, true)
        rows.append((score.f_score, score.split, score.merge, adjusted_rand_index(mine, true)))
    found = scores.f_score(), scores.split(), scores.merge(), scores.adjusted()
    np.testing.assert_allclose(found, np.mean(rows, axis=0))
    assert len(set(np.round(found, 6))) == 4


def test_nothing_to_score_is_nan():
    assert math.isnan(BoundaryScores(3).mean())
    assert math.isnan(RandScores(1).f_score())


class Same(nn.Module):
    """Its logits are its input."""

    def forward(self, x):
        return x


def test_evaluate_scores_shapes_only_if_asked():
    truth = blobs(5, 2)
    predicted = blobs(6, 2)
    logits = np.stack([1 - predicted, predicted], axis=1).astype(np.float32)
    plain = evaluate(Same(), [(logits, truth)], num_classes=2)
    assert (plain.boundary, plain.rand) == (None, None)
    batches = [(logits[:2], truth[:2]), (logits[2:], truth[2:])]
    scores = evaluate(Same(), batches, num_classes=2, shapes=True)
    by_hand = RandScores(1)
    by_hand.update(predicted, truth)
    assert scores.rand.f_score() == by_hand.f_score()
    edges = BoundaryScores(2)
    edges.update(predicted, truth)
    assert scores.boundary.mean() == edges.mean()
    three = np.concatenate([logits, logits[:, :1]], axis=1)
    assert evaluate(Same(), [(three, truth)], num_classes=3, shapes=True).rand is None
