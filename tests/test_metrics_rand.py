"""Rand scores against the definition: every pair of pixels looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.metrics import adjusted_rand_index, connected_pieces, rand_score


def counted_pixels(prediction, target):
    """The labels of the pixels that count; each one that the prediction leaves out is alone."""
    pairs = []
    for i, (mine, true) in enumerate(zip(prediction.ravel(), target.ravel(), strict=True)):
        if true > 0:
            pairs.append((int(mine) if mine > 0 else -1 - i, int(true)))
    return pairs


def by_pairs(prediction, target):
    """Split, merge, F-score and adjusted index, from a loop over all pairs of pixels."""
    pixels = counted_pixels(prediction, target)
    both = mine = true = 0
    for a in pixels:
        for b in pixels:
            mine += a[0] == b[0]
            true += a[1] == b[1]
            both += a == b
    n = len(pixels)
    score = (both / true, both / mine, both / (mine / 2 + true / 2))
    # Unordered pairs of different pixels.
    a, s, t, pairs = ((each - n) / 2 for each in (both, mine, true, n * n))
    chance = s * t / pairs if pairs else 0.0
    most = (s + t) / 2
    return (*score, (a - chance) / (most - chance) if most != chance else 1.0)


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 6),
    pieces=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_scores_are_those_of_all_pairs(rows, columns, pieces, seed):
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, pieces + 1, (rows, columns)) * 7
    target = rng.integers(0, 4, (rows, columns))
    score = rand_score(prediction, target)
    found = (*vars(score).values(), adjusted_rand_index(prediction, target))
    if not (target > 0).any():
        assert all(math.isnan(value) for value in found)
        return
    np.testing.assert_allclose(found, by_pairs(prediction, target), rtol=1e-12, atol=1e-12)


def test_by_hand(backend):
    """Cells of 3, 2 and 1 pixels; the prediction merges the first two, and loses the last."""
    target = backend.asarray(np.array([[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 3, 0]]))
    prediction = backend.asarray(np.array([[4, 4, 4, 4], [4, 0, 0, 4], [9, 9, 0, 9]]))
    score = rand_score(prediction, target)
    assert score.split == (9 + 4 + 1) / (9 + 4 + 1)
    assert score.merge == (9 + 4 + 1) / (25 + 1)
    assert score.f_score == pytest.approx(2 * 14 / (14 + 26))
    # Of 15 pairs: 3 + 1 together in both, 10 in the prediction, 4 in the truth.
    chance = 10 * 4 / 15
    assert adjusted_rand_index(prediction, target) == pytest.approx((4 - chance) / (7 - chance))


def test_split_and_merge_are_not_exchanged():
    whole, halves = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 1, 2]])
    assert (rand_score(halves, whole).split, rand_score(halves, whole).merge) == (10 / 16, 1.0)
    assert (rand_score(whole, halves).split, rand_score(whole, halves).merge) == (1.0, 10 / 16)


def test_what_pieces_are_called_does_not_matter_and_membrane_in_the_truth_does_not_count():
    target = np.array([[1, 1, 0, 2, 2, 2]])
    prediction = np.array([[40, 40, 40, 3, 3, 3]])
    assert rand_score(prediction, target).f_score == 1.0
    assert adjusted_rand_index(prediction, target) == 1.0
    prediction[0, 2] = 3
    assert rand_score(prediction, target).f_score == 1.0


def test_a_wide_membrane_costs_and_a_gap_in_it_costs_more():
    target = np.zeros((9, 12), np.int64)
    target[:, :5], target[:, 6:] = 1, 2
    wide = target.copy()
    wide[:, 4] = 0
    torn = (target > 0).astype(np.int64)
    torn[4, 5] = 1
    torn = connected_pieces(torn)
    assert 1 > rand_score(wide, target).f_score > rand_score(torn, target).f_score
    assert rand_score(torn, target).split == 1.0


def test_pieces_touch_by_their_sides_not_by_their_corners(backend):
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 0]])
    pieces = backend.numpy(connected_pieces(backend.asarray(mask)))
    np.testing.assert_array_equal(pieces, [[1, 0, 2, 2], [0, 3, 0, 2], [0, 3, 0, 0]])


@pytest.mark.parametrize("score", [rand_score, adjusted_rand_index])
def test_what_is_no_segmentation_is_refused(score):
    whole = np.ones((2, 3), np.int64)
    with pytest.raises(ValueError, match=r"\(3, 2\) but target \(2, 3\)"):
        score(whole.T, whole)
    with pytest.raises(TypeError, match=r"prediction is bool: .*connected_pieces"):
        score(whole > 0, whole)
    with pytest.raises(ValueError, match="target holds a label below 0"):
        score(whole, whole - 2)


def test_a_single_pixel_is_one_piece():
    one = np.array([[3]])
    assert rand_score(one, one).f_score == 1.0
    assert adjusted_rand_index(one, one) == 1.0
    assert adjusted_rand_index(one * 0, one) == 1.0
