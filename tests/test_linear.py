"""Fully connected layers against loops, and the statistics of dropout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.backend import manual_seed
from minisegnet.gradcheck import gradcheck


@given(
    st.lists(st.integers(1, 3), min_size=0, max_size=3),
    st.integers(1, 4),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_linear(backend, outer, features, outputs, with_bias, seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(*outer, features)), rng.normal(size=(outputs, features))
    bias = rng.normal(size=outputs) if with_bias else None
    inputs = [
        None if v is None else backend.tensor(v, requires_grad=True) for v in (x, weight, bias)
    ]
    y = backend.numpy(F.linear(*inputs))
    assert y.shape == (*outer, outputs)
    for index in np.ndindex(*y.shape):
        wanted = sum(x[(*index[:-1], i)] * weight[index[-1], i] for i in range(features))
        wanted += bias[index[-1]] if with_bias else 0
        np.testing.assert_allclose(y[index], wanted, rtol=1e-12, atol=1e-14)
    assert gradcheck(F.linear, inputs)


def test_linear_errors_and_dtype(backend):
    x, weight = backend.tensor(np.ones((2, 3), "float32")), backend.tensor(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"linear: input ends in \(3,\).*\(5, 4\) takes 4"):
        F.linear(x, weight)
    weight = backend.tensor(np.ones((5, 3), "float32"))
    with pytest.raises(ValueError, match=r"linear: bias has shape \(3,\)"):
        F.linear(x, weight, backend.tensor(np.ones(3)))
    with pytest.raises(ValueError, match=r"linear: weight must be"):
        F.linear(x, backend.tensor(np.ones(3)))
    assert F.linear(x, weight).dtype == np.float32


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.25, 0.9, 1.0]),
    st.integers(0, 2**32),
)
def test_dropout_zeroes_or_scales(backend, shape, p, seed):
    values = np.random.default_rng(seed).uniform(1, 2, shape)
    x = backend.tensor(values, requires_grad=True)
    manual_seed(seed)
    y = F.dropout(x, p)
    y.backward(backend.asarray(np.full(shape, 3.0)))
    found, gradient = backend.numpy(y), backend.numpy(x.grad)
    kept = found != 0
    wanted = values * kept / (1 - p) if p < 1 else np.zeros(shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(gradient, 3 * kept / (1 - p) if p < 1 else 0 * kept, rtol=1e-12)
    assert kept.all() or p > 0


def test_dropout_hits_the_share_it_names(backend):
    manual_seed(1)
    x = backend.tensor(np.ones((20, 7, 30, 50), "float32"))
    y = backend.numpy(F.dropout(x, 0.3))
    assert y.dtype == np.float32
    share = (y == 0).mean(axis=(0, 2, 3))
    assert abs(share - 0.3).max() < 5 * (0.3 * 0.7 / 30000) ** 0.5
    assert abs(y.mean() - 1) < 0.01


def test_dropout_is_repeatable_and_does_not_depend_on_memory_order(backend):
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    reordered = np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    found = []
    for array in (values, reordered):
        manual_seed(11)
        found.append(backend.numpy(F.dropout(backend.tensor(array), 0.5)))
    np.testing.assert_array_equal(*found)
    assert (backend.numpy(F.dropout(backend.tensor(values), 0.5)) != found[0]).any()


def test_dropout_in_evaluation_changes_and_draws_nothing(backend):
    x = backend.tensor(np.array([[1.0, -2.0, 3.0]]), requires_grad=True)
    manual_seed(4)
    F.dropout(x, 0.5, training=False).backward(backend.asarray(np.array([[1.0, 2.0, 3.0]])))
    np.testing.assert_array_equal(backend.numpy(x.grad), [[1, 2, 3]])
    first = backend.numpy(F.dropout(x, 0.5))
    manual_seed(4)
    np.testing.assert_array_equal(backend.numpy(F.dropout(x, 0.5)), first)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(backend, p):
    with pytest.raises(ValueError, match=f"dropout: p is {p}"):
        F.dropout(backend.tensor(np.ones(3)), p)
