"""Fully connected layers, dropout, and layers that only change the shape or nothing."""

from __future__ import annotations

import math

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.backend import generator
from minisegnet.nn import init
from minisegnet.nn.module import Module, Parameter
from minisegnet.nn.options import require_fraction, require_positive
from minisegnet.replay import drawn


class Linear(Module):
    r"""Every output is a weighted sum of all inputs: :math:`y = x W^T + b`.

    Parameters
    ----------
    in_features, out_features : int
        Length of the last dimension before and after.
    bias : bool

    Attributes
    ----------
    weight : Parameter
        (out_features, in_features), uniform within :math:`1 / \sqrt{in\_features}` at first.
    bias : Parameter or None
        (out_features,), uniform within the same bounds.

    Raises
    ------
    TypeError, ValueError
        If a number of features is not a positive integer.

    Examples
    --------
    >>> Linear(3, 5)(np.ones((2, 4, 3), dtype=np.float32)).shape
    (2, 4, 5)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        require_positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype=np.float32))
        self.bias = Parameter(np.empty(out_features, dtype=np.float32)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: uniform within 1 / sqrt(in_features), as in PyTorch."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Identity(Module):
    """The input unchanged: a place holder.

    Examples
    --------
    >>> Identity()(Tensor([[1.0, 2.0]])).tolist()
    [[1.0, 2.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input."""
        return input


class Flatten(Module):
    """The dimensions from ``start_dim`` to ``end_dim`` as one.

    Parameters
    ----------
    start_dim, end_dim : int

    Examples
    --------
    >>> Flatten()(Tensor(np.zeros((2, 3, 4, 5)))).shape
    (2, 60)
    >>> Flatten(1, 2)(Tensor(np.zeros((2, 3, 4, 5)))).shape
    (2, 12, 5)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Reshape the input.

        Raises
        ------
        ValueError
            If the input has not the dimensions, or ``end_dim`` comes before ``start_dim``.
        """
        ndim, shape = len(input.shape), tuple(input.shape)
        start, end = (d + ndim if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < ndim:
            raise ValueError(
                f"Flatten: start_dim={self.start_dim} and end_dim={self.end_dim} are no range "
                f"within the {ndim} dimensions of shape {shape}"
            )
        length = math.prod(shape[start : end + 1])
        return input.reshape((*shape[:start], length, *shape[end + 1 :]))

    def extra_repr(self) -> str:
        """The range of dimensions."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training, set each value to zero with probability p and scale the others by 1 / (1 - p).

    The expected value stays, so nothing has to change in evaluation [1]_.

    Parameters
    ----------
    p : float

    Raises
    ------
    ValueError
        If p is not between 0 and 1.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
       overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> layer = Dropout(0.4)
    >>> x = Tensor([[1.0, 2.0, 3.0]])
    >>> layer.eval()(x).tolist()
    [[1.0, 2.0, 3.0]]
    >>> dropped = layer.train()(x).numpy() / x.numpy()
    >>> bool(np.isin(dropped.round(4), np.float32([0, 1.6667])).all())
    True
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        require_fraction(type(self).__name__, p=p)
        self.p = float(p)

    def forward(self, input: Tensor) -> Tensor:
        """Drop values in training, none in evaluation."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Dropout2d(Dropout):
    """In training, set each map as a whole to zero with probability p [1]_.

    Neighbouring cells of a map tell much the same, so dropping single cells drops little.

    Parameters
    ----------
    p : float

    Raises
    ------
    ValueError
        If p is not between 0 and 1, or the input has fewer than three dimensions.

    References
    ----------
    .. [1] J. Tompson et al., "Efficient object localization using convolutional networks", CVPR
       2015, arXiv:1411.4280, section 3.2.

    Examples
    --------
    >>> maps = Dropout2d(0.5)(Tensor(np.ones((2, 3, 4, 5), dtype=np.float32))).numpy()
    >>> bool((maps == maps[:, :, :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Drop maps of (N, C, H, W) in training, none in evaluation."""
        if not self.training or self.p == 0:
            return input
        shape = tuple(input.shape)
        if len(shape) < 3:
            raise ValueError(f"Dropout2d: the input has shape {shape}: give maps (N, C, H, W)")
        one_a_map = (*shape[:2], *(1,) * (len(shape) - 2))
        scale = 1.0 / (1.0 - self.p) if self.p < 1 else 0.0
        data = input.data if isinstance(input, Tensor) else input

        def mask() -> np.ndarray:
            kept = generator().random(one_a_map, dtype=np.float32)
            return ((kept >= self.p) * scale).astype(data.dtype)

        return input * drawn(mask, one_a_map, data.dtype, data)
