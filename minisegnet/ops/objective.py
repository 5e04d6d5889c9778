"""Objectives: how far logits or probabilities are from the truth.

The targets are looked at before anything is computed: a mask of 0 and 255, or a void label that
nobody declared, would otherwise train a network on nonsense.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minisegnet.arithmetic import Rule, as_float
from minisegnet.autograd import op
from minisegnet.backend import Array, array_module
from minisegnet.checks import did_you_mean
from minisegnet.kernels.rows import as_table, exponentials, from_table, row_products, scale_rows
from minisegnet.ops.activation import logistic
from minisegnet.ops.targets import check_target_shape, check_unit, class_targets

REDUCTIONS = ("mean", "sum", "none")


@op
def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Rule:
    r"""Cross-entropy of the softmax of logits with the true classes.

    With the probabilities :math:`p = \operatorname{softmax}(x)` of the C classes, a pixel of the
    true class t costs

    .. math:: \ell = -(1 - s) \, w_t \log p_t - \frac{s}{C} \sum_c w_c \log p_c

    where s is the label smoothing and w the weights of the classes. The mean is the sum of all
    :math:`\ell` divided by the sum of all :math:`w_t`. The gradient, for w = 1 and s = 0, is what
    makes the softmax and the logarithm such a pair: the probability, less 1 at the true class.

    Parameters
    ----------
    input : Tensor (N, C, ...) or (C,)
        Logits: any real numbers, before the softmax.
    target : Tensor (N, ...) or ()
        Class indices, 0 to C - 1; or floating class probabilities of the shape of the input, whose
        mean divides by the number of pixels.
    weight : Tensor (C,), optional
        How much each class counts.
    ignore_index : int
        Pixels with this target count for nothing (class indices only).
    reduction : "mean", "sum" or "none"
        "none" returns the cost of every pixel, in the shape of the target.
    label_smoothing : float
        What share of the truth to spread evenly over all classes, 0 to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the target holds a class that the logits do not have. On a GPU
        this check waits until the target has been computed.

    Notes
    -----
    When every pixel is ignored, the mean is 0/0 and therefore nan, as in PyTorch;
    ``ms.losses.cross_entropy`` gives 0.

    References
    ----------
    .. [1] C. Szegedy et al., "Rethinking the Inception architecture for computer vision",
       CVPR 2016, section 7 (label smoothing).

    Examples
    --------
    Three classes, one row of two pixels, the second of which is void:

    >>> import minisegnet as ms
    >>> logits = ms.tensor([[[[0.0, 5.0]], [[0.0, -2.0]], [[0.0, 7.0]]]])
    >>> mask = ms.tensor([[[2, 255]]])
    >>> round(cross_entropy(logits, mask, ignore_index=255).item(), 4)  # log 3
    1.0986
    """
    return cross_entropy_rule(
        input, target, weight, ignore_index, reduction, label_smoothing, empty_mean=math.nan
    )


def cross_entropy_rule(
    input: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    empty_mean: float,
) -> Rule:
    """The value and the rule of :func:`cross_entropy`; ``empty_mean`` is the mean of no pixels."""
    x = as_float(input)
    xp = array_module(x, target)
    target = xp.asarray(target)
    _check_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}: it is a share, from 0 to 1")
    if x.ndim == 0:
        raise ValueError("input must be logits (N, C, ...) or (C,)")
    axis = min(1, x.ndim - 1)
    weights = None if weight is None else _class_weights(xp.asarray(weight), x, axis)
    if target.dtype.kind == "f":
        return _from_probabilities(x, axis, target, weights, label_smoothing, reduction)
    check_target_shape(x.shape, tuple(target.shape), axis, "cross_entropy")
    classes, valid = class_targets(target.reshape(-1), x.shape[axis], ignore_index, "cross_entropy")
    counts = valid.astype(x.dtype)
    shares = counts if weights is None else counts * weights[classes]
    costs, input_gradient = (
        _from_smoothed(x, axis, classes, shares, weights, counts, label_smoothing)
        if label_smoothing
        else _from_classes(x, axis, classes, shares)
    )
    value, spread = _reduce(costs.reshape(target.shape), shares.sum(), reduction, empty_mean)
    return value, lambda grad: (input_gradient(spread(grad).reshape(-1)), None, None)


def _from_classes(x: Array, axis: int, classes: Array, shares: Array) -> Any:
    """The cost of each pixel, ``-share * log(p of its class)``, and its rule."""
    xp = array_module(x)
    table = as_table(x, axis)
    # Where the number of each pixel's class is, counted from the first number of the table.
    chosen = xp.arange(0, table.size, table.shape[1]) + classes
    largest, powers, sums = exponentials(table)
    costs = shares * (xp.log(sums) - (table.reshape(-1).take(chosen) - largest))

    def input_gradient(pull):
        pull = pull * shares
        gradient = scale_rows(powers, pull / sums)
        gradient.reshape(-1)[chosen] -= pull
        return from_table(gradient, x.shape, axis)

    return costs, input_gradient


def _from_smoothed(
    x: Array,
    axis: int,
    classes: Array,
    shares: Array,
    weights: Array | None,
    counts: Array,
    smoothing: float,
) -> Any:
    """As :func:`_from_classes`, with some of the truth spread evenly over all classes."""
    xp = array_module(x)
    number = x.shape[axis]
    even = counts[:, None] * (xp.ones_like(counts[:1]) if weights is None else weights)
    truth = xp.broadcast_to((smoothing / number) * even, (len(counts), number)).copy()
    truth[xp.arange(len(counts)), classes] += (1 - smoothing) * shares
    costs, input_gradient, _ = _from_distribution(as_table(x, axis), truth)
    return costs, lambda pull: from_table(input_gradient(pull), x.shape, axis)


def _from_probabilities(
    x: Array, axis: int, target: Array, weights: Array | None, smoothing: float, reduction: str
) -> Rule:
    """Cross-entropy with a target that gives every class a probability."""
    if target.shape != x.shape:
        raise ValueError(
            f"target is {target.dtype} of shape {tuple(target.shape)}: class probabilities must "
            f"have the shape of the input, {x.shape}; class indices must be integers"
        )
    xp = array_module(x)
    scale = (1 - smoothing) * (xp.ones((1,), dtype=x.dtype) if weights is None else weights)
    truth = as_table(target.astype(x.dtype, copy=False), axis)
    truth = truth * scale + (smoothing / x.shape[axis]) * (1 if weights is None else weights)
    costs, input_gradient, logs = _from_distribution(as_table(x, axis), truth)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    value, spread = _reduce(costs.reshape(shape), len(costs), reduction, math.nan)

    def backward(grad):
        pull = spread(grad).reshape(-1)
        return (
            lambda: from_table(input_gradient(pull), x.shape, axis),
            lambda: from_table(-logs * scale * pull[:, None], x.shape, axis),
            None,
        )

    return value, backward


def _from_distribution(table: Array, truth: Array) -> Any:
    """``-sum(truth * log p)`` of each row, its rule, and the log p."""
    largest, powers, sums = exponentials(table)
    logs = table - largest[:, None]
    logs -= array_module(table).log(sums)[:, None]

    def input_gradient(pull):
        return scale_rows(powers, pull * truth.sum(axis=1) / sums) - scale_rows(truth, pull)

    return -row_products(truth, logs), input_gradient, logs


def _reduce(costs: Array, count: Any, reduction: str, empty_mean: float = math.nan) -> Any:
    """The reduced costs, and how a gradient spreads from there to each of them.

    ``count`` is what a mean divides by: a Python number, or one on the device.
    """
    xp = array_module(costs)
    if reduction == "none":
        return costs, lambda grad: grad
    if reduction == "sum":
        return costs.sum(), lambda grad: xp.broadcast_to(grad, costs.shape)
    if isinstance(count, int):
        divisor = count or math.nan
        return costs.sum() / divisor, lambda grad: xp.broadcast_to(grad / divisor, costs.shape)
    inverse = (count != 0) / xp.where(count == 0, 1, count)
    value = xp.where(count == 0, empty_mean, costs.sum() * inverse)
    return value, lambda grad: xp.broadcast_to(grad * inverse, costs.shape)


def _class_weights(weight: Array, x: Array, axis: int) -> Array:
    if tuple(weight.shape) != (x.shape[axis],):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}, but there are {x.shape[axis]} classes: give "
            f"one weight for each, ({x.shape[axis]},)"
        )
    return weight.astype(x.dtype, copy=False)


def _check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}: {did_you_mean(str(reduction), REDUCTIONS)}")


@op
def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Rule:
    r"""Cross-entropy of probabilities with a truth of 0 or 1.

    .. math:: \ell = -w \left( y \log p + (1 - y) \log(1 - p) \right)

    The logarithms are held above -100 and the denominator of the gradient,
    :math:`w (p - y) / (p (1 - p))`, above 1e-12, as in PyTorch. From logits, the other function
    (:func:`binary_cross_entropy_with_logits`) is more accurate.

    Parameters
    ----------
    input : Tensor
        Probabilities, 0 to 1.
    target : Tensor
        Of the shape of the input, 0 to 1.
    weight : Tensor, optional
        A factor for each cost; broadcasts to the input.
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        If the shapes differ, or a probability or a target lies outside 0 to 1. On a GPU this check
        waits until both have been computed.

    Examples
    --------
    >>> import minisegnet as ms
    >>> p, y = ms.tensor([[0.5, 1.0, 0.0]]), ms.tensor([[1, 1, 1]])
    >>> binary_cross_entropy(p, y, reduction="none").numpy().round(4).tolist()
    [[0.693..., 0.0, 100.0]]
    """
    p, y = _binary_arguments(input, target, reduction)
    xp = array_module(p)
    check_unit(p, "input", "logits belong into binary_cross_entropy_with_logits")
    factor = _factor(weight, p)
    with np.errstate(divide="ignore"):
        cost_of_1, cost_of_0 = xp.minimum(-xp.log(p), 100), xp.minimum(-xp.log1p(-p), 100)
    value, spread = _reduce(factor * (y * cost_of_1 + (1 - y) * cost_of_0), p.size, reduction)

    def backward(grad):
        pull = spread(grad) * factor
        return (
            lambda: pull * (p - y) / xp.maximum(p * (1 - p), 1e-12),
            lambda: pull * (cost_of_1 - cost_of_0),
            None,
        )

    return value, backward


@op
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Rule:
    r"""Cross-entropy of the sigmoid of logits with a truth of 0 or 1.

    .. math:: \ell = w \left( v \, y \log(1 + e^{-x}) + (1 - y) \log(1 + e^{x}) \right), \qquad
              \log(1 + e^{x}) = \max(x, 0) + \log(1 + e^{-|x|})

    which no logit overflows. The gradient, for w = v = 1, is :math:`\sigma(x) - y`.

    Parameters
    ----------
    input : Tensor
        Logits: any real numbers, before the sigmoid.
    target : Tensor
        Of the shape of the input, 0 to 1.
    weight : Tensor, optional
        A factor ``w`` for each cost; broadcasts to the input.
    reduction : "mean", "sum" or "none"
    pos_weight : Tensor or float, optional
        How much more the truth 1 counts than the truth 0, ``v``; broadcasts to the input.

    Raises
    ------
    ValueError
        If the shapes differ, or a target lies outside 0 to 1. On a GPU this check waits until the
        target has been computed.

    Examples
    --------
    >>> import minisegnet as ms
    >>> logits, y = ms.tensor([[0.0, 1000.0, -1000.0]]), ms.tensor([[0, 1, 1]])
    >>> costs = binary_cross_entropy_with_logits(logits, y, reduction="none", pos_weight=2.0)
    >>> costs.numpy().round(4).tolist()
    [[0.693..., 0.0, 2000.0]]
    """
    x, y = _binary_arguments(input, target, reduction)
    xp = array_module(x)
    factor, emphasis = _factor(weight, x), _factor(pos_weight, x)
    bend = xp.log1p(xp.exp(-xp.abs(x)))
    cost_of_1 = emphasis * (bend + xp.maximum(-x, 0))
    cost_of_0 = bend + xp.maximum(x, 0)
    value, spread = _reduce(factor * (y * cost_of_1 + (1 - y) * cost_of_0), x.size, reduction)

    def backward(grad):
        pull = spread(grad) * factor
        return (
            # Each sigmoid is small where it matters, so neither side loses its digits.
            lambda: pull * ((1 - y) * logistic(x) - emphasis * y * logistic(-x)),
            lambda: pull * (cost_of_1 - cost_of_0),
            None,
            None,
        )

    return value, backward


def _binary_arguments(input: Array, target: Array, reduction: str) -> tuple[Array, Array]:
    _check_reduction(reduction)
    x = as_float(input)
    y = array_module(x, target).asarray(target).astype(x.dtype, copy=False)
    if y.shape != x.shape:
        raise ValueError(
            f"target has shape {tuple(y.shape)} but input {tuple(x.shape)}: they must be the same; "
            "a channel dimension of one is dropped by input[:, 0] and added by target[:, None]"
        )
    check_unit(y, "target", "divide masks of 0/255 by 255")
    return x, y


def _factor(value: Any, x: Array) -> Any:
    """A Python number, or an array of the dtype of x."""
    if value is None or isinstance(value, (int, float)):
        return 1.0 if value is None else float(value)
    return array_module(x).asarray(value).astype(x.dtype, copy=False)


@op
def one_hot(index: Array, num_classes: int) -> Rule:
    """Write class indices as rows of zeros with a single 1.

    Parameters
    ----------
    index : Tensor of int (...)
        Class indices, 0 to ``num_classes - 1``.
    num_classes : int

    Returns
    -------
    Tensor of int64 (..., num_classes)

    Raises
    ------
    TypeError
        If the indices are not integers.
    ValueError
        If an index is out of range. On a GPU this check waits until they have been computed.

    Examples
    --------
    >>> import minisegnet as ms
    >>> one_hot(ms.tensor([2, 0, 1, 2]), 4).tolist()
    [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    """
    xp = array_module(index)
    labels = xp.asarray(index)
    if labels.dtype.kind not in "biu":
        raise TypeError(f"the indices are {labels.dtype}: give integers")
    labels, _ = class_targets(labels, num_classes, None, "one_hot")
    value = (labels[..., None] == xp.arange(num_classes)).astype(np.int64)
    return value, lambda grad: (None,)
