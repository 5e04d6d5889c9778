"""Nonlinearities as layers; :mod:`minisegnet.functional` has their formulas and gradients."""

from __future__ import annotations

from typing import Literal

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.nn.module import Module
from minisegnet.nn.options import require_choice


class ReLU(Module):
    """max(x, 0).

    Examples
    --------
    >>> ReLU()(Tensor([[-1.0, 2.0, 3.0]])).tolist()
    [[0.0, 2.0, 3.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.relu(input)


class LeakyReLU(Module):
    """x where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float

    Examples
    --------
    >>> LeakyReLU(0.5)(Tensor([[-1.0, 2.0, 3.0]])).tolist()
    [[-0.5, 2.0, 3.0]]
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere.

    Parameters
    ----------
    alpha : float

    Examples
    --------
    >>> ELU(2.0)(Tensor([[-40.0, 2.0, 3.0]])).tolist()
    [[-2.0, 2.0, 3.0]]
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        """The scale of the negative part."""
        return f"alpha={self.alpha}"


class GELU(Module):
    """x times the probability that a normal number is smaller than x.

    Parameters
    ----------
    approximate : "none" or "tanh"

    Raises
    ------
    ValueError
        If ``approximate`` is something else.

    Examples
    --------
    >>> GELU()(Tensor([[-40.0, 0.0, 30.0]])).tolist()
    [[-0.0, 0.0, 30.0]]
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        require_choice("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The approximation."""
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> Sigmoid()(Tensor([[0.0, 200.0, -200.0]])).tolist()
    [[0.5, 1.0, 0.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    Examples
    --------
    >>> Tanh()(Tensor([[0.0, 20.0, -30.0]])).tolist()
    [[0.0, 1.0, -1.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.tanh(input)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta; x itself where ``beta * x`` is larger than the threshold.

    Parameters
    ----------
    beta, threshold : float

    Examples
    --------
    >>> Softplus(threshold=20.0)(Tensor([[-200.0, 30.0]])).tolist()
    [[0.0, 30.0]]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply the function to every value."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The options."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """exp(x) divided by its sum over ``dim``.

    Parameters
    ----------
    dim : int

    Examples
    --------
    >>> Softmax(dim=1)(Tensor([[2.0, 30.0]])).numpy().round(6).tolist()
    [[0.0, 1.0]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Turn scores into shares that sum to one over ``dim``."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax, accurate where softmax itself would be 0.

    Parameters
    ----------
    dim : int

    Examples
    --------
    >>> LogSoftmax(dim=1)(Tensor([[2.0, 30.0]])).tolist()
    [[-28.0, 0.0]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Turn scores into logarithms of shares over ``dim``."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"
