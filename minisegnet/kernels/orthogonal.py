"""The orthogonal matrix nearest to a matrix, nearly, by matrix products alone.

A matrix ``M = U S V^T`` stretches its input by each singular value in S. With all of them 1 it is
``U V^T``, which turns and does not stretch. An odd polynomial of the matrix,

    X <- a X + b (X X^T) X + c (X X^T)^2 X = Q X    with    Q = a + b A + c A^2,  A = X X^T,

does to every singular value s what ``a s + b s^3 + c s^5`` does to it, and leaves U and V alone. So
a polynomial that takes small numbers towards 1 and keeps those near 1 does, repeated, what a
singular value decomposition would, by products, which any processor is good at. [1]_

The factors ``Q_5 ... Q_1`` are small square matrices, and so are the A of the next repetition,
``Q A Q``. X itself, which is nine times as wide for a kernel of 3x3, is multiplied only twice: for
the first A, and by the product of all factors in the end.

References
----------
.. [1] K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse and J. Bernstein, "Muon: an
   optimizer for hidden layers in neural networks", 2024, https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections.abc import Sequence

from minisegnet.backend import Array, array_module
from minisegnet.kernels.parallel import get_num_threads, run_shares
from minisegnet.kernels.products import matmul

__all__ = ["QUINTIC", "orthogonal", "orthogonal_each"]

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b and c of the polynomial of [1]_: steep at 0, and within 0.7 to 1.2 for what is near 1."""


def orthogonal(
    matrix: Array,
    coefficients: tuple[float, float, float] = QUINTIC,
    steps: int = 5,
    eps: float = 1e-7,
) -> Array:
    """The matrix with its singular values brought near 1: between 0.7 and 1.2, mostly.

    Parameters
    ----------
    matrix : array (rows, columns)
    coefficients : (a, b, c)
        Of the polynomial at the head of this file.
    steps : int
        How often it is applied. Five bring to about 1 what is above a thousandth of the norm.
    eps : float
        The least length that the matrix is divided by; zeros stay zeros.

    Examples
    --------
    Stretched by 100 and by 1 along its axes, and turned by a quarter:

    >>> import numpy as np
    >>> orthogonal(np.array([[0.0, 100.0], [-1.0, 0.0]])).round(2)
    array([[ 0. ,  0.7],
           [-0.7,  0. ]])
    """
    xp = array_module(matrix)
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    # The root of the sum of squares is no less than any singular value: now none is above 1.
    x = x / xp.maximum(xp.sqrt((x * x).sum()), eps).astype(x.dtype)
    squared, product = matmul(x, x.T), None
    for step in range(steps):
        factor = _factor(squared, coefficients)
        product = factor if product is None else matmul(factor, product)
        if step < steps - 1:
            squared = matmul(matmul(factor, squared), factor)
    x = x if product is None else matmul(product, x)
    return x.T if tall else x


def _factor(squared: Array, coefficients: tuple[float, float, float]) -> Array:
    """``a + b A + c A^2``."""
    a, b, c = coefficients
    factor = matmul(squared, squared)
    factor *= c
    factor += squared * b
    # Every so many numbers there is one of the diagonal.
    factor.reshape(-1)[:: len(factor) + 1] += a
    return factor


def orthogonal_each(
    matrices: Sequence[Array],
    coefficients: tuple[float, float, float] = QUINTIC,
    steps: int = 5,
    eps: float = 1e-7,
) -> list[Array]:
    """:func:`orthogonal` of every matrix, several of them at once.

    Examples
    --------
    >>> import numpy as np
    >>> [q] = orthogonal_each([np.array([[0.0, 2.0]])])
    >>> q.round(2)
    array([[0. , 0.7]])
    """
    if not matrices:
        return []

    def work(shares: Sequence[list[int]]) -> dict[int, Array]:
        return {
            number: orthogonal(matrices[number], coefficients, steps, eps)
            for share in shares
            for number in share
        }

    shares = _evenly_dealt([min(m.shape) ** 2 * max(m.shape) for m in matrices], get_num_threads())
    found: dict[int, Array] = {}
    for some in run_shares(array_module(*matrices), work, shares):
        found.update(some)
    return [found[number] for number in range(len(matrices))]


def _evenly_dealt(costs: Sequence[int], shares: int) -> list[list[int]]:
    """The numbers of the items in shares that cost about the same.

    Examples
    --------
    >>> _evenly_dealt([1, 2, 9, 7], shares=2)
    [[2, 0], [3, 1]]
    """
    dealt: list[list[int]] = [[] for _ in range(shares)]
    totals = [0] * shares
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):
        least = totals.index(min(totals))
        dealt[least].append(number)
        totals[least] += costs[number]
    return dealt
