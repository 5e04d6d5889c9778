"""Surface scores against their definitions: every distance as a minimum over all pairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.metrics import boundary_f1, hausdorff_distance, surface_dice
from tests import strict


def pixels_of(mask):
    return {tuple(map(int, i)) for i in np.argwhere(mask)}


def boundary_of(mask):
    """The pixels of a mask that have a neighbour, or the edge of the image, outside it."""
    inside = pixels_of(mask)
    steps = [
        tuple(sign * (axis == k) for k in range(mask.ndim))
        for axis in range(mask.ndim)
        for sign in (1, -1)
    ]
    return {
        i
        for i in inside
        if any(tuple(a + b for a, b in zip(i, step, strict=True)) not in inside for step in steps)
    }


def gaps(some, others, spacing):
    """How far each of some pixels is from the nearest of the others."""
    return [
        min(
            math.hypot(*((a - b) * s for a, b, s in zip(i, j, spacing, strict=True)))
            for j in others
        )
        for i in sorted(some)
    ]


@st.composite
def two_masks(draw, empty=True):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low = 0.0 if empty else 0.1
    a, b = (rng.random(shape) < draw(st.sampled_from([low, 0.15, 0.5, 1.0])) for _ in range(2))
    if not empty:
        a.flat[rng.integers(a.size)] = b.flat[rng.integers(a.size)] = True
    spacing = draw(st.sampled_from([1.0, 2, "each"]))
    spacing = rng.uniform(0.3, 3, len(shape)).tolist() if spacing == "each" else spacing
    return a, b, spacing


def each(spacing, mask):
    return [spacing] * mask.ndim if isinstance(spacing, (int, float)) else spacing


@given(two_masks())
def test_hausdorff_distance_over_all_pairs(backend, case):
    a, b, spacing = case
    found = hausdorff_distance(backend.asarray(a), backend.tensor(b), spacing=spacing)
    assert type(found) is float
    if not a.any() or not b.any():
        assert found == (math.inf if a.any() or b.any() else 0)
        return
    some, others = pixels_of(a), pixels_of(b)
    wanted = max(gaps(some, others, each(spacing, a)) + gaps(others, some, each(spacing, a)))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@given(
    two_masks(empty=False), st.sampled_from([50.0, 95, 99.9, 100]), st.sampled_from([0, 1, None])
)
def test_percentiles_and_boundaries(backend, case, percentile, boundary):
    a, b, spacing = case
    choice = None if boundary is None else bool(boundary)
    found = hausdorff_distance(
        backend.asarray(a), backend.asarray(b), percentile, spacing, boundary=choice
    )
    of_edges = percentile < 100 if choice is None else choice
    some, others = (boundary_of(m) if of_edges else pixels_of(m) for m in (a, b))
    wanted = max(
        np.percentile(gaps(*pair, each(spacing, a)), percentile)
        for pair in ((some, others), (others, some))
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_one_stray_pixel_decides_the_maximum_and_not_the_95th_percentile(backend):
    target = np.zeros((20, 30), int)
    target[3:10, 4:16] = 1
    prediction = target.copy()
    prediction[17, 28] = 1
    arguments = backend.asarray(prediction), backend.asarray(target)
    assert hausdorff_distance(*arguments) == pytest.approx(math.hypot(17 - 9, 28 - 15))
    assert hausdorff_distance(*arguments, percentile=95) == 0
    # Of all 85 pixels of the prediction one is off; of its 35 boundary pixels as well.
    assert hausdorff_distance(*arguments, percentile=98, boundary=True) > 0
    assert hausdorff_distance(*arguments, percentile=98, boundary=False) == 0


def test_regions_and_boundaries_differ_inside(backend):
    """A disc in a larger one: no pixel of the small is away from the large, but its edge is."""
    large = np.ones((7, 9), int)
    small = np.zeros((7, 9), int)
    small[3, 4] = 1
    arguments = backend.asarray(small), backend.asarray(large)
    assert hausdorff_distance(*arguments) == pytest.approx(math.hypot(3, 4))
    assert hausdorff_distance(*arguments, boundary=True) == pytest.approx(math.hypot(3, 4))
    hollow = large.copy()
    hollow[2:5, 3:6] = 0
    arguments = backend.asarray(hollow), backend.asarray(large)
    assert hausdorff_distance(*arguments) == 2  # the middle of the hole
    # The hole's edge is at (2..4, 2), (2..4, 6), (1, 3..5), (5, 3..5): 2 from the image's edge.
    assert hausdorff_distance(*arguments, boundary=True) == 2
    assert hausdorff_distance(*arguments, percentile=60, boundary=True) == 0


@given(two_masks(), st.sampled_from([0, 0.5, 1.0, 1.7]))
def test_surface_dice_and_boundary_f1_over_all_pairs(backend, case, tolerance):
    a, b, spacing = case
    arguments = backend.asarray(a), backend.asarray(b)
    edges = boundary_of(a), boundary_of(b)
    found = surface_dice(*arguments, tolerance, spacing)
    score = boundary_f1(*arguments, tolerance, spacing)
    if not (edges[0] and edges[1]):
        wanted = 0.0 if edges[0] or edges[1] else math.nan
        np.testing.assert_equal([found, score], [wanted, wanted])
        return
    near = [
        [gap <= tolerance for gap in gaps(*pair, each(spacing, a))] for pair in (edges, edges[::-1])
    ]
    np.testing.assert_allclose(found, sum(map(sum, near)) / sum(map(len, near)), rtol=1e-12)
    precision, recall = (sum(values) / len(values) for values in near)
    wanted = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    np.testing.assert_allclose(score, wanted, rtol=1e-12)


def test_a_shift_within_the_tolerance_is_perfect(backend):
    target = np.zeros((12, 15), int)
    target[2:7, 3:9] = 1
    shifted = np.roll(target, (2, 1), axis=(0, 1))
    arguments = backend.asarray(shifted), backend.asarray(target)
    values = [surface_dice(*arguments, tolerance) for tolerance in (0, 1, 2, 2.3)]
    assert values == sorted(values) and values[0] < values[2] < values[3] == 1
    assert boundary_f1(*arguments, 2.3) == 1
    assert surface_dice(*arguments, 2, spacing=(0.5, 0.5)) == 1


def test_the_default_tolerance_is_a_share_of_the_diagonal(backend):
    """300 x 400 has a diagonal of 500, and 0.75 % of that is 3.75."""
    target = np.zeros((300, 400), int)
    target[100:180, 50] = 1
    for shift, score in [(3, 1.0), (4, 0.0)]:
        prediction = np.roll(target, shift, axis=1)
        arguments = backend.asarray(prediction), backend.asarray(target)
        assert boundary_f1(*arguments) == score
        assert boundary_f1(*arguments, spacing=2.0) == score


@given(two_masks())
def test_symmetry(backend, case):
    a, b, spacing = case
    a, b = backend.asarray(a), backend.asarray(b)
    for score in (hausdorff_distance, boundary_f1):
        np.testing.assert_equal(score(a, b, spacing=spacing), score(b, a, spacing=spacing))
    np.testing.assert_equal(surface_dice(a, b, 1, spacing), surface_dice(b, a, 1, spacing))
    if bool(a.any()):
        assert hausdorff_distance(a, a) == 0
        assert surface_dice(a, a, 0) == boundary_f1(a, a) == 1


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_masks_of_any_type_and_lists(backend, dtype):
    a, b = np.zeros((4, 7), dtype), np.zeros((4, 7), dtype)
    a[1, 2] = b[3, 5] = 1
    assert hausdorff_distance(backend.tensor(a), backend.asarray(b)) == math.hypot(2, 3)
    assert hausdorff_distance(a.tolist(), b.tolist()) == math.hypot(2, 3)


SCORES = {
    "hausdorff_distance": hausdorff_distance,
    "surface_dice": lambda *a, **k: surface_dice(*a, tolerance=1, **k),
    "boundary_f1": boundary_f1,
}


@pytest.mark.parametrize("name", SCORES)
def test_wrong_masks(name):
    score = SCORES[name]
    good = np.zeros((3, 4), int)
    with pytest.raises(ValueError, match=rf"^{name}: .*\(3, 4\).*\(4, 3\)"):
        score(good, good.T)
    with pytest.raises(ValueError, match=rf"^{name}: .*\(2, 2, 3, 4\).*masks\[i\]"):
        score(np.zeros((2, 2, 3, 4)), np.zeros((2, 2, 3, 4)))
    with pytest.raises(ValueError, match=f"^{name}: target holds 255.*mask > 127"):
        score(good, good + 255)
    with pytest.raises(ValueError, match=f"^{name}: prediction holds 2.*labels == 2"):
        score(good + 2, good)
    with pytest.raises(ValueError, match=f"^{name}: prediction holds 0.5.*probabilities > 0.5"):
        score(good + 0.5, good)
    with pytest.raises(ValueError, match=f"^{name}: spacing is .*2 axes"):
        score(good, good, spacing=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match=f"^{name}: spacing is 0"):
        score(good, good, spacing=0)
    with pytest.raises(TypeError, match="'cpu' and another on 'strict'"):
        score(good, strict.xp.asarray(good))


def test_wrong_options():
    good = np.zeros((3, 4), int)
    for percentile in (0, 101, -5):
        with pytest.raises(ValueError, match=f"hausdorff_distance: percentile is {percentile}"):
            hausdorff_distance(good, good, percentile)
    for score in (surface_dice, boundary_f1):
        with pytest.raises(ValueError, match=f"{score.__name__}: tolerance is -1"):
            score(good, good, -1)


def test_numbers_of_numpy_are_numbers():
    a = np.zeros((3, 5), int)
    a[0, 0] = 1
    b = np.roll(a, 2, axis=1)
    for spacing, percentile in itertools.product((np.float32(2), np.int64(2)), (np.int64(100),)):
        assert hausdorff_distance(a, b, percentile, spacing) == 4
