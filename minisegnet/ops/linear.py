"""Fully connected layers, and dropout."""

from __future__ import annotations

import math

import numpy as np

from minisegnet.arithmetic import Rule, as_float, promote
from minisegnet.autograd import op
from minisegnet.backend import Array, array_module, generator
from minisegnet.kernels.products import matmul
from minisegnet.kernels.rows import column_sums
from minisegnet.replay import drawn


@op
def linear(input: Array, weight: Array, bias: Array | None = None) -> Rule:
    r"""A fully connected layer: every output sees every input.

    .. math:: y = x W^T + b

    Parameters
    ----------
    input : Tensor (..., in_features)
    weight : Tensor (out_features, in_features)
    bias : Tensor (out_features,), optional

    Returns
    -------
    Tensor (..., out_features)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import minisegnet as ms
    >>> weight = ms.tensor([[1, 2, 3], [0, -1, 5]])
    >>> linear(ms.tensor([[1, 10, 100]]), weight, ms.tensor([1000, 0])).tolist()
    [[1321, 490]]
    """
    x, w = promote(input, weight)
    if w.ndim != 2:
        raise ValueError("weight must be (out_features, in_features)")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"input ends in {x.shape[-1:]} but weight {w.shape} takes {w.shape[1]} features: make "
            f"the input (..., {w.shape[1]}), or the weight ({w.shape[0]}, in_features)"
        )
    if bias is not None and tuple(bias.shape) != (w.shape[0],):
        raise ValueError(
            f"bias has shape {tuple(bias.shape)} but there are {w.shape[0]} output features: "
            f"make it ({w.shape[0]},)"
        )
    value = matmul(x, w.T)
    if bias is not None:
        value = value + bias.astype(value.dtype, copy=False)

    def backward(grad):
        rows = math.prod(x.shape[:-1])
        grad_rows = grad.reshape(rows, w.shape[0])
        return (
            lambda: matmul(grad, w),
            lambda: matmul(grad_rows.T, x.reshape(rows, w.shape[1])),
            lambda: column_sums(grad_rows),
        )

    return value, backward


@op
def dropout(input: Array, p: float = 0.5, training: bool = True) -> Rule:
    r"""In training, set each value to zero with probability p and divide the others by 1 - p.

    The division keeps the expected value as it is, so that evaluation needs no change. The random
    numbers come from the generator that ``ms.manual_seed`` seeds. They are drawn on the host and
    copied to the device: one seed gives the same mask everywhere.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    p : float
        The probability of a zero, 0 to 1.
    training : bool
        Otherwise the values pass unchanged.

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
    >>> import minisegnet as ms
    >>> ms.manual_seed(1)
    >>> dropout(ms.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), p=0.5).tolist()
    [[0.0, 4.0, 6.0], [8.0, 0.0, 0.0]]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}: a probability lies between 0 and 1")
    if not training or p == 0:
        return input, lambda grad: (grad,)
    x = as_float(input)
    if p == 1:
        nothing = array_module(x).zeros_like(x)
        return nothing, lambda grad: (nothing,)
    shape = tuple(x.shape)
    factor = drawn(lambda: _keep(shape, p), shape, np.bool_, x).astype(x.dtype)
    factor *= 1 / (1 - p)

    def backward(grad):
        return (grad * factor,)

    return x * factor, backward


def _keep(shape: tuple[int, ...], p: float) -> np.ndarray:
    """Which values stay, drawn in the order that maps have in memory: channels last."""
    if len(shape) < 3:
        return generator().random(shape, dtype=np.float32) >= p
    draw = generator().random((shape[0], *shape[2:], shape[1]), dtype=np.float32)
    return np.moveaxis(draw, -1, 1) >= p
