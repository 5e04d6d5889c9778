"""Pooling, unpooling and resizing explained: ledgers against the engine."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from minisegnet import explain
from minisegnet.autograd import tensor
from minisegnet.explain.ledger import Origin
from minisegnet.ops import pooling, upsampling
from tests.geometry import integers, pairs


def all_ledgers(walk: explain.Walkthrough):
    """Every cell of the result with its ledger."""
    shape = (1, 1, *walk.result.shape)[-4:]
    for n, c, row, col in product(*map(range, shape)):
        index = (n, c, row, col)[-walk.result.ndim :]
        yield walk.result[index], walk.at(row, col, c, n)


def check_places(walk: explain.Walkthrough, ledger: explain.Ledger, x: np.ndarray) -> None:
    for term in ledger.terms:
        factor = term.factors[0]
        if factor.index is not None:
            assert x[factor.index] == factor.value
        for name, index in factor.places.items():
            if name in ("input", "padded input"):
                assert walk.panel(name).values[index] == factor.value


@settings(max_examples=100)
@given(
    kernel=pairs(1, 3),
    stride=pairs(1, 3),
    dilation=pairs(1, 2),
    size=pairs(1, 6),
    ceil_mode=st.booleans(),
    data=st.data(),
)
def test_max_pool(kernel, stride, dilation, size, ceil_mode, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    for n, k, d, p in zip(size, kernel, dilation, padding, strict=True):
        assume(n + 2 * p >= d * (k - 1) + 1)
        assume(p == 0 or n >= d)  # or a window could step over all cells
    x = integers((2, 2, *size), data.draw(st.integers(0, 99))).astype(np.int64)
    options = (kernel, stride, padding, dilation, ceil_mode)
    values, indices = pooling.max_pool2d(tensor(x), *options, return_indices=True)
    walk = explain.max_pool2d(x, *options)
    np.testing.assert_array_equal(walk.result, values.numpy())
    np.testing.assert_array_equal(walk.outputs["indices"], indices.numpy())
    for value, ledger in all_ledgers(walk):
        assert sum(term.value for term in ledger.terms) == ledger.total == value
        kept = [t for t in ledger.terms if t.factors[1].origin is Origin.KEPT]
        assert len(kept) == 1 and kept[0].factors[0].value == value
        assert len(ledger.terms) == kernel[0] * kernel[1]
        check_places(walk, ledger, x)
        inside = [t.factors[0].value for t in ledger.terms if t.is_real]
        assert max(inside) == value


def test_padding_never_wins_and_the_first_of_equals_does():
    walk = explain.max_pool2d([[-5, -3, -3]], (1, 3), stride=2, padding=(0, 1))
    assert walk.result.tolist() == [[-3, -3]]
    assert str(walk.at(0, 0)) == "max(-5, -3) = -3"
    remarks = [term.remark for term in walk.at(0, 1).terms]
    assert remarks == ["the largest", "", "never wins"]
    assert walk.panel("padded input").values.tolist() == [
        [float("-inf"), -5, -3, -3, float("-inf")]
    ]


@settings(max_examples=60)
@given(size=pairs(1, 4), kernel=pairs(1, 3), stride=pairs(1, 3), seed=st.integers(0, 999))
def test_max_unpool(size, kernel, stride, seed):
    """Also where windows overlap, so that several values name one cell."""
    whole = tuple((n - 1) * s + k for n, s, k in zip(size, stride, kernel, strict=True))
    x = integers((2, 2, *size), seed).astype(np.int64)
    indices = np.random.default_rng(seed).integers(0, whole[0] * whole[1], x.shape)
    want = pooling.max_unpool2d(tensor(x), tensor(indices), kernel, stride).numpy()
    walk = explain.max_unpool2d(x, indices, kernel, stride)
    np.testing.assert_array_equal(walk.result, want)
    for value, ledger in all_ledgers(walk):
        assert sum(term.value for term in ledger.terms) == ledger.total == value
        check_places(walk, ledger, x)


def test_unpooling_twice_the_same_place_says_so():
    walk = explain.max_unpool2d([[1, 3]], [[1, 1]], (1, 2), stride=1)
    assert walk.result.tolist() == [[0, 3, 0]]
    assert [term.remark for term in walk.at(0, 1).terms] == ["overwritten", ""]
    assert str(walk.at(0, 1)) == "input[0, 1] = 3"


@settings(max_examples=40)
@given(size=pairs(1, 4), scale=pairs(1, 3), seed=st.integers(0, 999))
def test_bed_of_nails(size, scale, seed):
    x = integers((2, 1, *size), seed).astype(np.int64)
    walk = explain.bed_of_nails(x, scale)
    np.testing.assert_array_equal(walk.result, upsampling.bed_of_nails(tensor(x), scale).numpy())
    for value, ledger in all_ledgers(walk):
        assert sum(term.value for term in ledger.terms) == ledger.total == value


SCALES = st.sampled_from([0.5, 0.75, 1.0, 1.2, 1.5, 2.0, 2.3, 3.0])


@settings(max_examples=150)
@example(size=(4, 3), wanted=(1.2, 1.5), corners=None, mode="bilinear", seed=1)  # copies the rows
@given(
    size=pairs(1, 5),
    wanted=st.one_of(pairs(1, 7), st.tuples(SCALES, SCALES)),
    corners=st.sampled_from([None, False, True]),
    mode=st.sampled_from(["nearest", "bilinear"]),
    seed=st.integers(0, 999),
)
def test_interpolate(size, wanted, corners, mode, seed):
    by_scale = isinstance(wanted[0], float)
    assume(not by_scale or all(int(n * s) > 0 for n, s in zip(size, wanted, strict=True)))
    arguments = {
        "size": None if by_scale else wanted,
        "scale_factor": wanted if by_scale else None,
        "mode": mode,
        "align_corners": corners if mode == "bilinear" else None,
    }
    x = integers((1, 2, *size), seed)
    want = upsampling.interpolate(tensor(x), **arguments).numpy()
    for given_x in (x, x.astype(np.int64)):
        walk = explain.interpolate(given_x, **arguments)
        np.testing.assert_allclose(walk.result, want, atol=1e-12)
        np.testing.assert_allclose(walk.panel("result").values.astype(float), want, atol=1e-12)
        for value, ledger in all_ledgers(walk):
            total = sum(term.value for term in ledger.terms)
            assert total == ledger.total
            assert float(total) == pytest.approx(value, abs=1e-12)
            check_places(walk, ledger, given_x)
    if mode == "bilinear":
        assert not isinstance(ledger.total, float), "fractions of integers are exact"
        for name in ("row weights", "column weights"):
            assert all(sum(row) == 1 for row in walk.panel(name).values)


def test_both_align_corners_on_paper():
    half = explain.interpolate([[1, 5]], size=(1, 4), mode="bilinear")
    corners = explain.interpolate([[1, 5]], size=(1, 4), mode="bilinear", align_corners=True)
    assert [str(half.at(0, c)) for c in range(4)] == [
        "input[0, 0] = 1",
        "1*(3/4) + 5*(1/4) = 2",
        "1*(1/4) + 5*(3/4) = 4",
        "input[0, 1] = 5",
    ]
    assert str(corners.at(0, 1)) == "1*(2/3) + 5*(1/3) = 7/3 = 2.3333"
    assert "o reads (o + 1/2) * 1/2 - 1/2, at least 0" in str(half)
    assert "o reads o * (2 - 1) / (4 - 1)" in str(corners)
