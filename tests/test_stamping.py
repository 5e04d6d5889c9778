"""Transposed convolutions of large stride: the stamps against the definition as loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.gradcheck import gradcheck
from minisegnet.kernels import correlate as kernels
from minisegnet.kernels import reference, stamping


@st.composite
def cases(draw):
    n, groups, per_group, out = (draw(st.integers(1, 3)) for _ in range(4))
    size = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    kernel = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    u = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    padding = tuple(draw(st.tuples(st.integers(-2, k + 2), st.integers(-2, k + 2))) for k in kernel)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-9, 10, (n, groups * per_group, *size)).astype(float)
    w = rng.integers(-9, 10, (groups * out, per_group, *kernel)).astype(float)
    return x, w, padding, u, groups


@given(cases())
def test_stamps_are_the_correlation(case):
    x, w, padding, u, groups = case
    size = tuple(
        kernels.output_size(x.shape[2 + a], w.shape[2 + a], 1, padding[a], u[a]) for a in (0, 1)
    )
    if min(size) < 1:
        return
    starts = (padding[0][0], padding[1][0])
    got = stamping.stamp(x, w, size, starts, u, groups).transpose(0, 3, 1, 2)
    expected = reference.correlate(x, w, (1, 1), padding, u, (1, 1), groups)
    np.testing.assert_array_equal(got, expected)


def test_large_maps_are_stamped_row_by_row(monkeypatch):
    rng = np.random.default_rng(1)
    x, w = rng.integers(-9, 10, (2, 3, 5, 4)) * 1.0, rng.integers(-9, 10, (2, 3, 7, 5)) * 1.0
    whole = stamping.stamp(x, w, (23, 15), (6, 4), (4, 3), 1)
    monkeypatch.setattr(stamping, "AT_ONCE", 1)
    np.testing.assert_array_equal(stamping.stamp(x, w, (23, 15), (6, 4), (4, 3), 1), whole)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_large_stride_is_stamped_and_has_its_gradients(monkeypatch, backend, groups):
    stamped = []

    def noted(*arguments):
        stamped.append(arguments[0].shape)
        return stamping.stamp(*arguments)

    monkeypatch.setattr(kernels, "stamp", noted)
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 4, 2, 3)), rng.standard_normal((4, 2, 11, 16))
    options = {"stride": (8, 9), "padding": (2, 3), "output_padding": (1, 0), "groups": groups}
    got = backend.numpy(F.conv_transpose2d(backend.tensor(x), backend.tensor(w), **options))
    np.testing.assert_allclose(got, reference.conv_transpose2d(x, w, **options), atol=1e-12)
    assert stamped == [(2, 4, 2, 3)]


def test_gradients_of_large_strides():
    rng = np.random.default_rng(3)

    def wanted(*shape):
        return tensor(rng.standard_normal(shape), requires_grad=True)

    x, w = wanted(1, 2, 2, 1), wanted(2, 1, 9, 10)
    assert gradcheck(lambda x, w: F.conv_transpose2d(x, w, stride=(8, 8), padding=1), (x, w))
    x, w = wanted(2, 1, 17, 12), wanted(2, 1, 9, 4)
    assert gradcheck(lambda x, w: F.conv2d(x, w, stride=(8, 8), padding=1), (x, w))
