"""Directions of matrices: against the singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet.kernels.orthogonal import QUINTIC, orthogonal, orthogonal_each

sides = st.integers(1, 9)
seeds = st.integers(0, 2**32 - 1)


def through_singular_values(matrix, coefficients, steps):
    u, values, v = np.linalg.svd(matrix / np.linalg.norm(matrix), full_matrices=False)
    for _ in range(steps):
        values = sum(c * values**power for c, power in zip(coefficients, (1, 3, 5), strict=True))
    return (u * values) @ v


@given(rows=sides, columns=sides, steps=st.integers(0, 6), seed=seeds)
def test_the_polynomial_changes_singular_values_alone(rows, columns, steps, seed):
    matrix = np.random.default_rng(seed).standard_normal((rows, columns))
    for coefficients in (QUINTIC, (1.5, -0.5, 0.0), (15 / 8, -10 / 8, 3 / 8)):
        expected = through_singular_values(matrix, coefficients, steps)
        found = orthogonal(matrix, coefficients, steps)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(rows=sides, columns=sides, seed=seeds)
def test_a_polynomial_that_converges_ends_in_an_orthogonal_matrix(rows, columns, seed):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, columns)) + 4 * np.eye(rows, columns)
    q = orthogonal(matrix, coefficients=(1.5, -0.5, 0.0), steps=60)
    small = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(small, np.eye(min(rows, columns)), atol=1e-9)


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (64, 64)])
def test_float32_loses_nothing_that_matters(shape):
    """Directions a thousand times weaker than others are among them."""
    random = np.random.default_rng(0)
    matrix = random.standard_normal(shape) * np.geomspace(1, 1e-3, shape[0])[:, None]
    exact = orthogonal(matrix)
    rounded = orthogonal(matrix.astype(np.float32))
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=2e-5)


def test_zeros_stay_zeros_and_the_matrix_stays_as_it_was():
    assert not orthogonal(np.zeros((3, 5), np.float32)).any()
    matrix = np.arange(6.0).reshape(2, 3)
    orthogonal(matrix)
    np.testing.assert_array_equal(matrix, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_at_once_are_each_as_alone(threads):
    random = np.random.default_rng(1)
    matrices = [
        random.standard_normal(shape) for shape in [(2, 9), (40, 7), (3, 3), (1, 4), (8, 8)]
    ]
    before = ms.get_num_threads()
    ms.set_num_threads(threads)
    try:
        found = orthogonal_each(matrices)
    finally:
        ms.set_num_threads(before)
    assert orthogonal_each([]) == []
    for matrix, direction in zip(matrices, found, strict=True):
        np.testing.assert_array_equal(direction, orthogonal(matrix))


def test_arrays_stay_on_their_device(backend):
    matrix = np.random.default_rng(2).standard_normal((4, 6)).astype(np.float32)
    [found] = orthogonal_each([backend.asarray(matrix)])
    assert type(found) is type(backend.asarray(matrix))
    np.testing.assert_allclose(backend.numpy(found), orthogonal(matrix), atol=1e-6)
