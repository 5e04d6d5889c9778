"""Gaussian filters over all pairs of points, exactly: the weight of a pair is its nearness.

Each filter is made once for its points and then applied to any values:
``sums(values)[i] = sum over j of exp(-|features[i] - features[j]|² / 2) * values[j]``, the point
itself (j = i) among them. ``own`` holds the weight that each point has in its own sum.

- :class:`AllPairs` takes any features, and time in proportion to the square of their number.
- :class:`Grid` is for features that are the rows and columns of an image: there the weight of a
  pair is a product of one for the rows and one for the columns, so two small matrices do it.

:mod:`minisegnet.kernels.lattice` has the approximation that makes many points affordable, and
:mod:`minisegnet.kernels.reference_filtering` the definition.
"""

from __future__ import annotations

from typing import Any

from minisegnet.backend import Array, array_module

# Weights that are held at once: 16 MB of float32.
BLOCK = 1 << 22


def weights(features: Array, others: Array) -> Array:
    """The weight of every pair: ``exp(-|features[i] - others[j]|² / 2)``.

    The differences are taken feature by feature. Expanding the square into products would need
    one matrix product only, but what is left of two large squares is mostly rounding.

    Examples
    --------
    >>> import numpy as np
    >>> weights(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [1.0, 4.0]])).round(3)
    array([[1.   , 0.135]])
    """
    squares: Any = 0
    for a, b in zip(features.T, others.T, strict=True):
        difference = a[:, None] - b
        squares = squares + difference * difference
    return array_module(squares).exp(-squares / 2)


class AllPairs:
    """The definition, a block of rows of the matrix of weights at a time.

    Parameters
    ----------
    features : (N, D)

    Examples
    --------
    >>> import numpy as np
    >>> near = AllPairs(np.array([[0.0, 0.0], [0.6, 0.8], [30.0, 40.0]]))
    >>> near.sums(np.array([[1.0], [2.0], [5.0]])).ravel().round(3)
    array([2.213, 2.607, 5.   ])
    """

    def __init__(self, features: Array) -> None:
        self._features = features
        self.own = array_module(features).ones(len(features), dtype=features.dtype)

    def sums(self, values: Array) -> Array:
        """The weighted sums of values (N, K) at every point."""
        step = max(1, BLOCK // len(self._features))
        rows = (self._features[i : i + step] for i in range(0, len(self._features), step))
        sums = [weights(some, self._features) @ values for some in rows]
        return array_module(values).concatenate(sums)


class Grid:
    """The filter whose features are rows and columns of an image, divided by ``theta``.

    ``exp(-(r² + c²) / 2) = exp(-r²/2) * exp(-c²/2)``: one matrix along the rows and one along the
    columns, without cutting the Gaussian off anywhere.

    Parameters
    ----------
    like : Array
        An array whose library and dtype the filter shall have.
    size : (rows, columns)
    theta : float
        The standard deviation in pixels.

    Examples
    --------
    A single 1 in the top left corner of a 2x3 image:

    >>> import numpy as np
    >>> near = Grid(np.zeros(1), (2, 3), theta=1.0)
    >>> near.sums(np.array([[1.0], [0], [0], [0], [0], [0]])).reshape(2, 3).round(3)
    array([[1.   , 0.607, 0.135],
           [0.607, 0.368, 0.082]])
    """

    def __init__(self, like: Array, size: tuple[int, int], theta: float) -> None:
        xp = array_module(like)
        lines = [xp.arange(side, dtype=like.dtype)[:, None] / theta for side in size]
        self._size = size
        self._rows, self._columns = (weights(line, line) for line in lines)
        self.own = xp.ones(size[0] * size[1], dtype=like.dtype)

    def sums(self, values: Array) -> Array:
        """The weighted sums of values (rows * columns, K) at every pixel."""
        rows, columns = self._size
        down = self._rows @ values.reshape(rows, -1)
        return (self._columns @ down.reshape(rows, columns, -1)).reshape(values.shape)
