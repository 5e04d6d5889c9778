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

from minisegnet.arithmetic import Rule, as_float
from minisegnet.autograd import Tensor, op, reshape
from minisegnet.backend import Array, array_module
from minisegnet.kernels.rows import (
    as_table,
    column_moments,
    column_products,
    from_table,
    mix_columns,
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
) -> Rule:
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
    moments = {"running_mean": running_mean, "running_var": running_var}
    _check_batch_norm(x, training, **moments, weight=weight, bias=bias)
    table = as_table(x)
    count = len(table)
    if training:
        mean, variance = column_moments(table)
        if running_mean is not None:
            _follow(running_mean, mean, momentum)
        if running_var is not None:
            _follow(running_var, variance * (count / (count - 1)), momentum)
    elif running_mean is None or running_var is None:
        raise ValueError(
            "in evaluation the running moments are used and there are none: give running_mean and "
            "running_var, or training=True"
        )
    else:
        # Copies: the running moments may move on before the gradient comes back.
        mean, variance = running_mean.astype(x.dtype), running_var.astype(x.dtype)
    xp = array_module(x)
    inverse = 1 / xp.sqrt(variance + eps)
    scale = inverse if weight is None else inverse * weight.astype(x.dtype, copy=False)
    shift = xp.zeros_like(mean) if bias is None else bias.astype(x.dtype, copy=False)
    out = scale_columns(table, scale, shift - mean * scale)

    def backward(grad):
        table_of_grad = as_table(grad)
        total, product = column_products(table, mean, table_of_grad)
        product *= inverse
        if not training:
            of_input = from_table(table_of_grad * scale, x.shape)
            return of_input, None, None, product, total
        # The formula at the head of this file, sorted into what multiplies x, what g, and the rest.
        pull = -scale * inverse * product / count
        level = -scale * total / count - mean * pull
        of_input = mix_columns(table, pull, table_of_grad, scale, level)
        return from_table(of_input, x.shape), None, None, product, total

    return from_table(out, x.shape), backward


def _follow(running: Array, batch: Array, momentum: float) -> None:
    running *= 1 - momentum
    running += momentum * batch.astype(running.dtype, copy=False)


def _check_batch_norm(x: Array, training: bool, **of_channels: Array | None) -> None:
    if x.ndim < 2:
        raise ValueError("input must be (N, C), (N, C, L) or (N, C, H, W)")
    for name, values in of_channels.items():
        if values is not None and tuple(values.shape) != (x.shape[1],):
            raise ValueError(
                f"{name} has shape {tuple(values.shape)} but input {x.shape} has {x.shape[1]} "
                f"channels: {name} must be ({x.shape[1]},)"
            )
    if training and x.size <= x.shape[1]:
        raise ValueError(
            f"input {x.shape} has {x.size // max(1, x.shape[1])} value for each channel, and one "
            "value has no variance: train with a larger batch or larger maps, or switch to "
            "evaluation with .eval()"
        )


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    r"""Normalise each group of channels over the pixels of one image.

    .. math:: y = \frac{x - \mu_{n,g}}{\sqrt{\sigma_{n,g}^2 + \epsilon}} \; w_c + b_c

    The moments are those of the ``C / num_groups * H * W`` values of a group, so they do not depend
    on the batch. One group makes it a layer norm over (C, H, W), C groups an instance norm.

    Parameters
    ----------
    input : Tensor (N, C, ...)
    num_groups : int
    weight, bias : Tensor (C,), optional
    eps : float
        Keeps the division finite where a group is constant.

    Raises
    ------
    ValueError
        If the channels do not divide into the groups, or weight or bias has not C values.

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    One pixel with four channels in two groups:

    >>> import minisegnet as ms
    >>> x = ms.tensor([[[[1.0]], [[3.0]], [[10.0]], [[70.0]]]])
    >>> group_norm(x, 2, eps=0.0).flatten().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    x = _floating(input)
    if x.ndim < 2:
        raise ValueError(f"group_norm: input must be (N, C, ...), and its shape is {x.shape}")
    batch, channels = x.shape[:2]
    if num_groups < 1:
        raise ValueError(f"group_norm: num_groups is {num_groups}: it must be at least 1")
    if channels % num_groups:
        raise ValueError(
            f"group_norm: {channels} channels do not divide into {num_groups} groups: "
            f"{num_groups} * {channels // num_groups} = {num_groups * (channels // num_groups)}. "
            f"Choose a divisor of {channels}"
        )
    _check_shape("group_norm", x.shape, (channels,), weight=weight, bias=bias)
    groups = reshape(x, (batch * num_groups, math.prod(x.shape[1:]) // num_groups))
    each_channel = (channels, *(1 for _ in x.shape[2:]))
    return _affine(reshape(_standardise(groups, eps), x.shape), weight, bias, each_channel)


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise over the last dimensions, for each place in the others by itself.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \; w + b

    Parameters
    ----------
    input : Tensor (...) + ``normalized_shape``
    normalized_shape : int or tuple
        The lengths of the last dimensions; their values share a mean and a variance.
    weight, bias : Tensor of shape ``normalized_shape``, optional
    eps : float
        Keeps the division finite where all values are equal.

    Raises
    ------
    ValueError
        If the input does not end in ``normalized_shape``, or weight or bias has another shape.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450.

    Examples
    --------
    >>> import minisegnet as ms
    >>> layer_norm(ms.tensor([[1.0, 3.0], [70.0, 10.0], [5.0, 9.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]
    """
    x = _floating(input)
    whole = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not whole or x.shape[-len(whole) :] != whole:
        raise ValueError(
            f"layer_norm: input {x.shape} does not end in normalized_shape {whole}: give the "
            f"lengths of its last dimensions, such as {x.shape[-1:]}"
        )
    _check_shape("layer_norm", x.shape, whole, weight=weight, bias=bias)
    count = math.prod(whole)
    rows = reshape(x, (math.prod(x.shape[: -len(whole)]), count))
    return _affine(reshape(_standardise(rows, eps), x.shape), weight, bias, whole)


@op
def _standardise(x: Array, eps: float) -> Rule:
    """Each row less its mean, divided by its standard deviation."""
    xp = array_module(x)
    normalised = x - x.mean(axis=1, keepdims=True)
    variance = (normalised * normalised).mean(axis=1, keepdims=True)
    inverse = 1 / xp.sqrt(variance + eps)
    normalised *= inverse

    def backward(grad):
        pull = grad - grad.mean(axis=1, keepdims=True)
        pull -= normalised * (grad * normalised).mean(axis=1, keepdims=True)
        pull *= inverse
        return (pull,)

    return normalised, backward


def _floating(input: Any) -> Tensor:
    x = input if isinstance(input, Tensor) else Tensor(input)
    return x if x.dtype.kind == "f" else x.float()


def _check_shape(op: str, of_input: tuple[int, ...], wanted: tuple[int, ...], **named: Any) -> None:
    for name, values in named.items():
        if values is not None and tuple(values.shape) != wanted:
            raise ValueError(
                f"{op}: {name} has shape {tuple(values.shape)} but for input {of_input} it must "
                f"have shape {wanted}"
            )


def _affine(x: Tensor, weight: Any, bias: Any, shape: tuple[int, ...]) -> Tensor:
    """``x * weight + bias``, with the factors brought to a shape that broadcasts."""
    y = x if weight is None else x * reshape(weight, shape)
    return y if bias is None else y + reshape(bias, shape)


@op
def local_response_norm(
    input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Rule:
    r"""Divide each value by a power of the mean square of its neighbours among the channels.

    .. math:: y_c = \frac{x_c}{\left(k + \frac{\alpha}{n}
              \sum_{j=c-\lfloor n/2 \rfloor}^{c+\lfloor (n-1)/2 \rfloor} x_j^2 \right)^{\beta}}

    Channels beyond the first and the last count as zeros. (The paper has no division by n.)

    Parameters
    ----------
    input : Tensor (N, C, ...)
    size : int
        How many channels the window of neighbours spans, ``n``.
    alpha, beta, k : float
        As in the formula.

    Raises
    ------
    ValueError
        If the size is below 1 or the input has no channels.

    References
    ----------
    .. [1] A. Krizhevsky, I. Sutskever and G. E. Hinton, "ImageNet classification with deep
       convolutional neural networks", NeurIPS 2012, section 3.3.

    Examples
    --------
    With the window of two channels, each divides by 1 + its own square + that of the one before:

    >>> import minisegnet as ms
    >>> x = ms.tensor([[[2.0], [1.0], [3.0]]])
    >>> local_response_norm(x, size=2, alpha=2.0, beta=1.0).flatten().tolist()
    [0.4..., 0.166..., 0.272...]
    """
    x = as_float(input)
    if size < 1:
        raise ValueError(f"size is {size}: the window must span at least 1 channel")
    if x.ndim < 2:
        raise ValueError("input must be (N, C, ...)")
    before, after = size // 2, (size - 1) // 2
    base = k + (alpha / size) * _sum_of_neighbours(x * x, before, after)
    power = base**-beta

    def backward(grad):
        shared = grad * x * power / base
        # Whoever has this channel among the neighbours: the window seen from the other side.
        spread = _sum_of_neighbours(shared, after, before)
        return (grad * power - (2 * alpha * beta / size) * x * spread,)

    return x * power, backward


def _sum_of_neighbours(x: Array, before: int, after: int) -> Array:
    """At each channel the sum from ``before`` channels earlier to ``after`` channels later."""
    channels = x.shape[1]
    total = x.copy()
    for step in range(1, min(before, channels - 1) + 1):
        total[:, step:] += x[:, :-step]
    for step in range(1, min(after, channels - 1) + 1):
        total[:, :-step] += x[:, step:]
    return total
