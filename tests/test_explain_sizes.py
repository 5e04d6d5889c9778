"""The size solver: everything it lists is right, and nothing is missing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet import explain
from minisegnet.explain.size_solver import covered
from minisegnet.ops import conv


def overlap_by_stamping(size: int, k: int, s: int, d: int, p: int, extra: int) -> list[int]:
    """Along one axis, how many input cells reach each output cell: counted one by one."""
    length = (size - 1) * s - 2 * p + d * (k - 1) + extra + 1
    counts = [0] * length
    for cell, tap in product(range(size), range(k)):
        place = cell * s + tap * d - p
        if 0 <= place < length:
            counts[place] += 1
    return counts


@settings(max_examples=60)
@given(
    before=st.integers(1, 9),
    after=st.integers(1, 20),
    strides=st.sampled_from([[1], [2], [1, 2, 3]]),
    dilations=st.sampled_from([(1,), (1, 2), (2, 3)]),
)
def test_the_solutions_are_all_there_are(before, after, strides, dilations):
    found = explain.sizes(before, after, range(1, 5), strides, dilations)
    listed = {(s.kernel, s.stride, s.padding, s.output_padding, s.dilation) for s in found}
    assert len(listed) == len(found)
    expected = set()
    for k, s, d, p, e in product(range(1, 5), strides, dilations, range(12), range(4)):
        fits = (before - 1) * s - 2 * p + d * (k - 1) + e + 1 == after
        # A kernel of one tap has no dilation to choose; more padding would cut off whole stamps.
        if fits and e < max(s, d) and p <= d * (k - 1) and (k > 1 or d == min(dilations)):
            expected.add((k, s, p, e, d))
    assert listed == expected


@settings(max_examples=30)
@given(data=st.data(), before=st.integers(2, 6), after=st.integers(3, 14))
def test_every_solution_does_what_it_says(data, before, after):
    found = explain.sizes(before, after, range(1, 6), (1, 2, 3), (1, 2))
    if not found:
        return
    one = data.draw(st.sampled_from(list(found)))
    x, w = np.ones((1, 1, before, before)), np.ones((1, 1, one.kernel, one.kernel))
    out = conv.conv_transpose2d(x, w, **one.options).numpy()
    assert out.shape == (1, 1, after, after)
    # With ones everywhere, the result counts the products.
    assert one.cost == pytest.approx(out.mean())
    axis = (before, one.kernel, one.stride, one.dilation, one.padding, one.output_padding)
    counts = overlap_by_stamping(*axis)
    np.testing.assert_array_equal(out[0, 0], np.outer(counts, counts))


@settings(max_examples=60)
@given(k=st.integers(1, 6), s=st.integers(1, 4), d=st.integers(1, 3))
def test_overlap_is_what_stands_away_from_the_border(k: int, s: int, d: int):
    reach = d * (k - 1)
    counts = overlap_by_stamping(3 * (reach + s), k, s, d, 0, 0)
    inside = counts[reach + s : 2 * reach + 2 * s + s]
    period = explain.overlap_counts(k, s, d)
    assert period.shape == (s, s)
    assert {n * m for n in inside for m in inside} == set(period.ravel().tolist())
    np.testing.assert_array_equal(covered(7, k, s, 0, 0, d), overlap_by_stamping(7, k, s, d, 0, 0))


def test_the_order_is_sensible():
    found = explain.sizes(29, 57)
    ratios = [s.overlap_ratio for s in found]
    even = [r == 1 for r in ratios]
    assert even == sorted(even, reverse=True), "even overlap comes first"
    assert (found[0].kernel, found[0].stride) == (2, 2)
    assert found[-1].kernel == 1 and found[-1].overlap_ratio == float("inf")
    three = next(s for s in found if s.kernel == 3)
    assert three.options == {"stride": 2, "padding": 1, "output_padding": 0, "dilation": 1}
    assert (three.least_overlap, three.most_overlap, three.overlap_ratio) == (1, 4, 4)


def test_both_axes_and_the_table():
    found = explain.sizes((3, 5), (6, 10), kernels=[2, 4], strides=[2])
    assert [s.options["padding"] for s in found] == [0, 1]
    assert str(found).splitlines()[0] == "From 3x5 to 6x10 by a transposed convolution:"
    assert found[:1][0] == found[0]
    assert ">4</td>" in found._repr_html_()
    assert "none of the kernels" in str(explain.sizes(3, 50))
    with pytest.raises(ValueError, match="kernels is"):
        explain.sizes(3, 6, kernels=[0])
    with pytest.raises(ValueError, match="to is 0"):
        explain.sizes(3, 0)
    with pytest.raises(ValueError, match="stride is 0"):
        explain.overlap_counts(3, 0)
