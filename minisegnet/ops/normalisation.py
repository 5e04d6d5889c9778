"""Normalisation: bring values to mean 0 and variance 1, over the batch or within an image.

All follow one formula and differ in which values share a mean and a variance:

    y = (x - mean) / sqrt(variance + eps) * weight + bias

Writing z for the normalised value, n for how many values share their moments and g for the gradient
that arrives at z, the gradient with respect to x is

    (g - sum(g)/n - z * sum(g * z)/n) / sqrt(variance + eps)

because every value also moves the mean (second term) and the variance (third term).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minisegnet.arithmetic import as_float
from minisegnet.autograd import Tensor, op, reshape
from minisegnet.backend import Array, array_module
from minisegnet.kernels.rows import (
    as_table,
    column_moments,
    column_products,
    column_sums,
    combine_columns,
    from_table,
    scale_columns,
)


@op
def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
):
    r"""Normalise each channel over the batch and all pixels.

    .. math:: y = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} \; w_c + b_c

    In training the moments are those of the batch (the variance divided by the number of values),
    and the running ones follow: ``running = (1 - momentum) * running + momentum * batch``, with the
    variance divided by one less (the unbiased estimate). In evaluation the running moments are used
    and are constants for the gradient.

    Parameters
    ----------
    input : Tensor (N, C), (N, C, L) or (N, C, H, W)
    running_mean, running_var : Tensor or array (C,), or None
        Updated in place in training.
    weight, bias : Tensor (C,), optional
    training : bool
        Whether to normalise with the moments of this batch.
    momentum : float
        How much of the new moments enters the running ones.
    eps : float
        Keeps the division finite where a channel is constant.

    Raises
    ------
    ValueError
        If another argument has not C values; if in training a channel has a single value, whose
        variance is nothing; if in evaluation there are no running moments.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by
       reducing internal covariate shift", ICML 2015, algorithm 1.

    Examples
    --------
    Two images of one row; the channels have the values 1, 3, 2, 6 and 10, 10, 50, 10:

    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[1.0, 3.0]], [[10.0, 10.0]]], [[[2.0, 6.0]], [[50.0, 10.0]]]])
    >>> mean, var = ms.tensor([0.0, 0.0]), ms.tensor([1.0, 1.0])
    >>> y = batch_norm(x, mean, var, training=True, momentum=0.5)
    >>> mean.tolist()
    [1.5, 10.0]
    >>> y.numpy()[:, 1, 0].round(3).tolist()
    [[-0.577..., -0.577...], [1.731..., -0.577...]]
    """
    x = as_float(input)
    _check_batch_norm(x, running_mean, running_var, weight, bias, training)
    table = as_table(x)
    count, channels = table.shape
    if training:
        mean, variance = column_moments(table)
        if running_mean is not None:
            _follow(running_mean, mean, momentum)
        if running_var is not None:
            _follow(running_var, variance * (count / (count - 1)), momentum)
    else:
        mean, variance = (v.astype(x.dtype) for v in (running_mean, running_var))
    xp = array_module(x)
    inverse = 1 / xp.sqrt(variance + eps)
    scale = inverse if weight is None else inverse * weight.astype(x.dtype, copy=False)
    shift = xp.zeros_like(mean) if bias is None else bias.astype(x.dtype, copy=False)
    out = scale_columns(table, mean, scale, shift)

    def backward(grad):
        grad = as_table(grad)
        total = column_sums(grad)
        product = inverse * column_products(table, mean, grad)
        # The gradient that comes from moving the mean and the variance of the batch.
        by_mean, by_variance = (total / count, product / count) if training else (0.0, 0.0)

        def input_gradient():
            pull = inverse * scale * by_variance + xp.zeros_like(mean)
            moved = combine_columns(table, mean, pull, grad, scale, scale * by_mean)
            return from_table(moved, x.shape)

        return input_gradient, None, None, product, total

    return from_table(out, x.shape), backward
