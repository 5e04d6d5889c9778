"""Activations: the nonlinear functions between layers, and softmax at the end of a classifier.

All but the two softmaxes work on each value by itself, so that the gradient with respect to a value
is the gradient that arrives there times the derivative.
"""

from __future__ import annotations

import math

from minisegnet.arithmetic import Rule, as_float
from minisegnet.autograd import op
from minisegnet.backend import Array, array_module, special
from minisegnet.checks import did_you_mean
from minisegnet.kernels.elementwise import positive_part, where_positive
from minisegnet.kernels.rows import (
    as_table,
    axis_index,
    exponentials,
    from_table,
    row_products,
    scale_rows,
)


@op
def relu(input: Array) -> Rule:
    r"""Rectified linear unit: the positive part.

    .. math:: y = \max(x, 0), \qquad \frac{dy}{dx} = 1 \text{ if } x > 0 \text{ else } 0

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of the shape of the input.

    References
    ----------
    .. [1] V. Nair and G. E. Hinton, "Rectified linear units improve restricted Boltzmann
       machines", ICML 2010.

    Examples
    --------
    >>> import minisegnet as ms
    >>> relu(ms.tensor([[-2, 3, 0], [5, -1, 4]])).tolist()
    [[0, 3, 0], [5, 0, 4]]
    """
    value = positive_part(input)

    def backward(grad):
        # The value tells as much as the input, which need not be kept for this.
        return (where_positive(grad, value),)

    return value, backward


@op
def leaky_relu(input: Array, negative_slope: float = 0.01) -> Rule:
    r"""A rectifier that lets a little of the negative part through.

    .. math:: y = \max(x, 0) + a \min(x, 0)

    Parameters
    ----------
    input : Tensor
        Of any shape.
    negative_slope : float
        The slope ``a`` for negative values.

    References
    ----------
    .. [1] A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural network
       acoustic models", ICML 2013.

    Examples
    --------
    >>> import minisegnet as ms
    >>> leaky_relu(ms.tensor([-2.0, 3.0, -5.0]), negative_slope=0.5).tolist()
    [-1.0, 3.0, -2.5]
    """
    x, slope = as_float(input), float(negative_slope)
    xp = array_module(x)
    value = xp.maximum(x, 0) + slope * xp.minimum(x, 0)

    def backward(grad):
        positive = (x > 0).astype(x.dtype)
        return (grad * (positive + slope * (1 - positive)),)

    return value, backward


@op
def elu(input: Array, alpha: float = 1.0) -> Rule:
    r"""Exponential linear unit: the negative part bends towards ``-alpha``.

    .. math:: y = x \text{ if } x > 0 \text{ else } \alpha (e^x - 1)

    Parameters
    ----------
    input : Tensor
        Of any shape.
    alpha : float
        How far below zero the values may go.

    References
    ----------
    .. [1] D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning
       by exponential linear units", ICLR 2016, equation 15.

    Examples
    --------
    >>> import minisegnet as ms
    >>> elu(ms.tensor([-1000.0, 0.0, 3.0]), alpha=2.0).tolist()
    [-2.0, 0.0, 3.0]
    """
    x, alpha = as_float(input), float(alpha)
    xp = array_module(x)
    # Also where the branch is not taken its exponential is computed, and must not overflow.
    negative = xp.minimum(x, 0)

    def backward(grad):
        return (xp.where(x > 0, grad, grad * (alpha * xp.exp(negative))),)

    return xp.where(x > 0, x, alpha * xp.expm1(negative)), backward


@op
def gelu(input: Array, approximate: str = "none") -> Rule:
    r"""Gaussian error linear unit: each value times the probability of a smaller normal one.

    .. math:: y = x \, \Phi(x) = \frac{x}{2} \left(1 + \operatorname{erf}(x / \sqrt 2)\right),
              \qquad \frac{dy}{dx} = \Phi(x) + x \, \frac{e^{-x^2/2}}{\sqrt{2\pi}}

    or, with ``approximate="tanh"``,

    .. math:: y = \frac{x}{2} \left(1 + \tanh \sqrt{2/\pi} \, (x + 0.044715 \, x^3) \right)

    Parameters
    ----------
    input : Tensor
        Of any shape.
    approximate : "none" or "tanh"

    Raises
    ------
    ValueError
        If ``approximate`` is neither.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> import minisegnet as ms
    >>> gelu(ms.tensor([-1.0, 0.0, 2.0])).numpy().round(4)
    array([-0.1587,  0.    ,  1.9545], dtype=float32)
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(
            f"approximate is {approximate!r}: {did_you_mean(str(approximate), ('none', 'tanh'))}"
        )
    x = as_float(input)
    return (_gelu_by_erf if approximate == "none" else _gelu_by_tanh)(x)


def _gelu_by_erf(x: Array) -> Rule:
    xp = array_module(x)
    below = 0.5 * (1 + special(x).erf(x * math.sqrt(0.5)))

    def backward(grad):
        density = xp.exp(-0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi))
        return (grad * (below + x * density),)

    return x * below, backward


def _gelu_by_tanh(x: Array) -> Rule:
    xp = array_module(x)
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    bend = xp.tanh(factor * (x + cubic * (x * x * x)))

    def backward(grad):
        inner_slope = factor * (1 + 3 * cubic * (x * x))
        return (grad * (0.5 * (1 + bend) + 0.5 * x * (1 - bend * bend) * inner_slope),)

    return 0.5 * x * (1 + bend), backward


@op
def sigmoid(input: Array) -> Rule:
    r"""The logistic function, which squeezes a logit into a probability.

    .. math:: y = \frac{1}{1 + e^{-x}}, \qquad \frac{dy}{dx} = y (1 - y)

    Computed from :math:`e^{-|x|}`, so that no logit overflows.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Examples
    --------
    >>> import minisegnet as ms
    >>> sigmoid(ms.tensor([0.0, 1000.0, -1000.0])).tolist()
    [0.5, 1.0, 0.0]
    """
    value = logistic(as_float(input))

    def backward(grad):
        return (grad * (value * (1 - value)),)

    return value, backward


def logistic(x: Array) -> Array:
    """The logistic function of an array: 1 / (1 + e^-x) where x >= 0, else e^x / (1 + e^x)."""
    xp = array_module(x)
    small = xp.exp(-xp.abs(x))
    # The numerator is 1 or `small`, which is at most 1: whichever is larger with the mask as 0/1.
    return xp.maximum(small, x >= 0) / (1 + small)


@op
def tanh(input: Array) -> Rule:
    r"""The hyperbolic tangent; its derivative is :math:`1 - y^2`.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Examples
    --------
    >>> import minisegnet as ms
    >>> tanh(ms.tensor([0.0, 1000.0, -1000.0])).tolist()
    [0.0, 1.0, -1.0]
    """
    value = array_module(input).tanh(as_float(input))
    return value, lambda grad: (grad * (1 - value * value),)


@op
def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Rule:
    r"""A smooth rectifier, whose derivative is the sigmoid.

    .. math:: y = \frac{1}{\beta} \log(1 + e^{\beta x})
                = \max(x, 0) + \frac{1}{\beta} \log(1 + e^{-|\beta x|})

    Parameters
    ----------
    input : Tensor
        Of any shape.
    beta : float
        The larger, the sharper the bend. Not 0.
    threshold : float
        Where ``beta * x`` is above it, y is x itself.

    Raises
    ------
    ValueError
        If ``beta`` is 0.

    Examples
    --------
    >>> import minisegnet as ms
    >>> softplus(ms.tensor([0.0, 1000.0, -1000.0])).numpy().round(4)
    array([6.931e-01, 1.000e+03, 0.000e+00], dtype=float32)
    """
    if beta == 0:
        raise ValueError("beta is 0, and the formula divides by it: give another number")
    x, beta = as_float(input), float(beta)
    xp = array_module(x)
    scaled = beta * x
    linear = scaled > threshold
    value = (xp.maximum(scaled, 0) + xp.log1p(xp.exp(-xp.abs(scaled)))) / beta

    def backward(grad):
        return (xp.where(linear, grad, grad * logistic(scaled)),)

    return xp.where(linear, x, value), backward


@op
def softmax(input: Array, dim: int) -> Rule:
    r"""Turn the logits along one dimension into probabilities that sum to one.

    .. math:: y_i = \frac{e^{x_i - m}}{\sum_j e^{x_j - m}}, \qquad m = \max_j x_j

    Taking the largest logit off changes nothing in exact arithmetic and keeps every exponential
    at most 1. The gradient is :math:`y_i (g_i - \sum_j g_j y_j)`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The dimension of the classes: 1 for maps (N, C, H, W).

    Raises
    ------
    IndexError
        If there is no such dimension.

    Examples
    --------
    A cat's logit of 2 against a background's of 30:

    >>> import minisegnet as ms
    >>> softmax(ms.tensor([[2.0, 30.0]]), dim=1).tolist()
    [[6.914...e-13, 1.0]]
    """
    x = as_float(input)
    axis = axis_index(dim, x.ndim)
    _, powers, sums = exponentials(as_table(x, axis))
    shares = scale_rows(powers, 1 / sums)

    def backward(grad):
        pull = as_table(grad, axis)
        pull = pull - row_products(pull, shares)[:, None]
        pull *= shares
        return (from_table(pull, x.shape, axis),)

    return from_table(shares, x.shape, axis), backward


@op
def log_softmax(input: Array, dim: int) -> Rule:
    r"""The logarithm of :func:`softmax`, without the detour that would round it to -inf.

    .. math:: y_i = (x_i - m) - \log \sum_j e^{x_j - m}, \qquad m = \max_j x_j

    The gradient is :math:`g_i - e^{y_i} \sum_j g_j`.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    dim : int
        The dimension of the classes: 1 for maps (N, C, H, W).

    Raises
    ------
    IndexError
        If there is no such dimension.

    Examples
    --------
    >>> import minisegnet as ms
    >>> log_softmax(ms.tensor([[2.0, 30.0, -10000.0]]), dim=1).tolist()
    [[-28.0, 0.0, -10030.0]]
    """
    x = as_float(input)
    axis = axis_index(dim, x.ndim)
    table = as_table(x, axis)
    largest, powers, sums = exponentials(table)
    value = table - largest[:, None]
    value -= array_module(x).log(sums)[:, None]

    def backward(grad):
        pull = as_table(grad, axis)
        pull = pull - scale_rows(powers, pull.sum(axis=1) / sums)
        return (from_table(pull, x.shape, axis),)

    return from_table(value, x.shape, axis), backward
