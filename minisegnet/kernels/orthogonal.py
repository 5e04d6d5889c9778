"""The orthogonal matrix nearest to a matrix, nearly, by matrix products alone.

Every matrix is a product ``M = U S V^T`` of three: the first to act, V^T, turns its input; S, which
has numbers on its diagonal alone, stretches it, axis by axis, by these numbers, the *singular
values*; and U turns the result. With all singular values 1 it is ``U V^T``, which turns and does
not stretch. An odd polynomial of the matrix,

    X <- a X + b (X X^T) X + c (X X^T)^2 X = Q X    with    Q = a + b A + c A^2,  A = X X^T,

does to every singular value s what ``a s + b s^3 + c s^5`` does to it, and leaves U and V alone. So
a polynomial that takes small numbers towards 1 and keeps those near 1 does, repeated, nearly what
finding U, S and V (the singular value decomposition) and dropping S would. But it takes nothing but
products, which any processor is good at. [1]_

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
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.kernels.cuda import on_gpu
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
        How often it is applied. Five bring to about 1 what is above two thousandths of the norm,
        the root of the sum of all squares.
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
    return _of_one_side([matrix], coefficients, steps, eps)[0]


def orthogonal_each(
    matrices: Sequence[Array],
    coefficients: tuple[float, float, float] = QUINTIC,
    steps: int = 5,
    eps: float = 1e-7,
) -> list[Array]:
    """:func:`orthogonal` of every matrix, those with equal shorter sides together.

    Examples
    --------
    >>> import numpy as np
    >>> [q] = orthogonal_each([np.array([[0.0, 2.0]])])
    >>> q.round(2)
    array([[0. , 0.7]])
    """
    if not matrices:
        return []
    xp = array_module(*matrices)
    # A GPU multiplies the largest stacks at once.
    stacks = _stacks(matrices, get_num_threads() if xp is np else 1)

    def work(shares: Sequence[list[int]]) -> dict[int, Array]:
        found: dict[int, Array] = {}
        for share in shares:
            for stack in (stacks[number] for number in share):
                some = [matrices[number] for number in stack]
                found.update(zip(stack, _of_one_side(some, coefficients, steps, eps), strict=True))
        return found

    costs = [sum(min(matrices[number].shape) ** 3 for number in stack) for stack in stacks]
    shares = _evenly_dealt(costs, get_num_threads())
    found: dict[int, Array] = {}
    for some in run_shares(xp, work, shares):
        found.update(some)
    return [found[number] for number in range(len(matrices))]


def _of_one_side(
    matrices: Sequence[Array], coefficients: tuple[float, float, float], steps: int, eps: float
) -> list[Array]:
    """Matrices whose shorter sides are equal: their small squares are multiplied as one stack."""
    xp = array_module(*matrices)
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    # The root of the sum of squares is no less than any singular value: now none is above 1.
    wide = [x / xp.maximum(xp.sqrt((x * x).sum()), eps).astype(x.dtype) for x in wide]
    if steps:
        side = len(wide[0])
        squared = xp.empty((len(wide), side, side), dtype=wide[0].dtype)
        for x, place in zip(wide, squared, strict=True):
            matmul(x, x.T, out=place)
        wide = [
            matmul(*pair) for pair in zip(_factors(squared, coefficients, steps), wide, strict=True)
        ]
    return [x.T if x.shape != m.shape else x for x, m in zip(wide, matrices, strict=True)]


def _factors(squared: Array, coefficients: tuple[float, float, float], steps: int) -> Array:
    """``Q_n ... Q_1`` for each of a stack of A, (matrices, rows, rows)."""
    product = factor = _factor(squared, coefficients)
    for _ in range(steps - 1):
        squared = matmul(matmul(factor, squared), factor)
        factor = _factor(squared, coefficients)
        product = matmul(factor, product)
    return product


def _factor(squared: Array, coefficients: tuple[float, float, float]) -> Array:
    """``Q = a + b A + c A^2`` for each of a stack."""
    return quadratic(squared, matmul(squared, squared), coefficients)


@on_gpu(cuda.quadratic)
def quadratic(matrix: Array, square: Array, coefficients: tuple[float, float, float]) -> Array:
    """``a + b A + c A^2`` for each of a stack of A, in the memory of their squares.

    Examples
    --------
    >>> a = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> quadratic(a, a @ a, (1000, 100, 1))
    array([[[1107.,  210.],
            [ 315., 1422.]]])
    """
    a, b, c = coefficients
    square *= c
    square += matrix * b
    # Every so many numbers there is one of the diagonal.
    diagonal = square.reshape(len(square), -1)[:, :: square.shape[1] + 1]
    diagonal += a
    return square


def _stacks(matrices: Sequence[Array], parts: int) -> list[list[int]]:
    """The numbers of matrices with equal shorter sides and dtypes, each group in so many parts.

    Examples
    --------
    >>> import numpy as np
    >>> _stacks([np.zeros(shape) for shape in [(2, 9), (4, 4), (7, 2), (2, 2)]], parts=2)
    [[0, 2], [3], [1]]
    """
    groups: dict[Any, list[int]] = {}
    for number, matrix in enumerate(matrices):
        groups.setdefault((min(matrix.shape), matrix.dtype), []).append(number)
    together = [-(-len(group) // parts) for group in groups.values()]
    return [
        group[i : i + n]
        for group, n in zip(groups.values(), together, strict=True)
        for i in range(0, len(group), n)
    ]


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
