"""Distribution-based losses: a cost for each pixel, and the mean of the costs.

Each pixel is a small classification of its own; what differs is how much a pixel counts.
"""

from __future__ import annotations

from typing import Any

from minisegnet import functional as F
from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.losses.shared import (
    as_array,
    binary_mask,
    check_images,
    check_share,
    check_weights,
    class_map,
    is_binary,
    minus_log_sigmoid,
    pixels_of_each_class,
    reduce_costs,
)
from minisegnet.ops.objective import cross_entropy_rule


@op
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Rule:
    r"""Cross-entropy of the softmax of logits with the true classes.

    .. math:: L = -\frac{\sum_i w_{t_i} \log p_{i,t_i}}{\sum_i w_{t_i}}

    over all pixels i that are not void, with their true classes t. It is
    :func:`minisegnet.functional.cross_entropy`, except that the mean over no pixels at all is 0
    with a gradient of 0, not nan.

    Parameters
    ----------
    logits : Tensor (N, C, H, W)
    target : Tensor of int (N, H, W)
    weight : Tensor (C,), optional
        How much each class counts.
    ignore_index : int
        The void label.
    reduction : "mean", "sum" or "none"
    label_smoothing : float
        What share of the truth to spread evenly over all classes, 0 to 1.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the target holds a class that the logits do not have.

    Examples
    --------
    Two classes, one row of three pixels, the last of which is void:

    >>> import minisegnet as ms
    >>> logits = ms.tensor([[[[0.0, 8.0, 1.0]], [[0.0, -8.0, 2.0]]]])
    >>> round(cross_entropy(logits, ms.tensor([[[1, 0, -100]]])).item(), 4)  # half of log 2
    0.3466
    >>> cross_entropy(logits, ms.tensor([[[-100, -100, -100]]])).item()
    0.0
    """
    return cross_entropy_rule(
        logits, target, weight, ignore_index, reduction, label_smoothing, empty_mean=0.0
    )


def binary_cross_entropy(
    logits: Any,
    target: Any,
    pos_weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Cross-entropy of the sigmoid of one map of logits with a mask of 0 and 1.

    .. math:: L = -\frac{1}{N} \sum_i \left( v \, y_i \log \sigma(x_i)
                  + (1 - y_i) \log(1 - \sigma(x_i)) \right)

    over the N pixels that are not void.

    Parameters
    ----------
    logits : Tensor (N, 1, H, W) or (N, H, W)
    target : Tensor (N, H, W)
        0 for the background, 1 for the foreground.
    pos_weight : float or Tensor, optional
        How much more a pixel of the foreground counts, ``v``.
    ignore_index : int
        The void label.
    reduction : "mean", "sum" or "none"
        "none" returns the cost of each pixel, (N, H, W).

    Raises
    ------
    ValueError
        If the shapes do not fit, or the target holds anything but 0, 1 and the void label.

    Examples
    --------
    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[0.0, 1000.0], [-3.0, 0.0]]]]), ms.tensor([[[1, 1], [255, 0]]])
    >>> round(binary_cross_entropy(logits, mask, ignore_index=255).item(), 4)  # 2/3 of log 2
    0.4621
    """
    scores, truth, valid = binary_mask("binary_cross_entropy", logits, target, ignore_index)
    costs = F.binary_cross_entropy_with_logits(
        scores, truth, weight=valid, reduction="none", pos_weight=pos_weight
    )
    return reduce_costs("binary_cross_entropy", costs, valid, reduction)


def weighted_cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Cross-entropy in which each class counts as much as its weight says.

    .. math:: L = -\frac{\sum_i w_{t_i} \log p_{i,t_i}}{\sum_i w_{t_i}}

    over all pixels i that are not void, with their true classes t; p is the softmax of the logits,
    or for a single channel the sigmoid. Because the weights are divided out, only their ratios
    matter. (A weight for the foreground alone, without that division, is ``pos_weight`` of
    :func:`binary_cross_entropy`.)

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    weight : sequence, array or Tensor (C,), optional
        How much each class counts; for binary masks (background, foreground). By default one over
        the number of pixels of the class in the batch, so that each class that is present counts
        the same: the loss is then the mean over the classes of the mean cost of their pixels.
    ignore_index : int
        The void label.
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        If there is not one weight for each class, or one is negative, the shapes do not fit, or
        the target holds a class that the logits do not have.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for biomedical
       image segmentation", MICCAI 2015, section 3 (weights that make up for class frequencies).

    Examples
    --------
    The costs are log 2, log 2 and 8. The rare class counts three times as much as the other:

    >>> import minisegnet as ms
    >>> logits = ms.tensor([[[[0.0, 0.0, 8.0]], [[0.0, 0.0, 0.0]]]])
    >>> mask = ms.tensor([[[0, 0, 1]]])
    >>> round(weighted_cross_entropy(logits, mask, [1.0, 3.0]).item(), 4)  # (2 log 2 + 24) / 5
    5.0775
    >>> round(weighted_cross_entropy(logits, mask).item(), 4)  # (log 2 + 8) / 2
    4.3467
    """
    name = "weighted_cross_entropy"
    if not is_binary(logits, target):
        classes, valid = class_map(name, logits, target, ignore_index)
        weights = _weights(name, weight, classes, valid, logits.shape[1])
        return cross_entropy(logits, target, weights, ignore_index, reduction)
    scores, truth, valid = binary_mask(name, logits, target, ignore_index)
    weights = _weights(name, weight, truth, valid, 2)
    background, foreground = weights[0] * (1 - truth) * valid, weights[1] * truth * valid
    costs = foreground * minus_log_sigmoid(scores) + background * minus_log_sigmoid(-scores)
    return reduce_costs(name, costs, foreground + background, reduction)


def _weights(name: str, weight: Any, classes: Array, valid: Array, number: int) -> Array:
    """The weight of each class, as given or one over its number of pixels."""
    xp = array_module(valid)
    if weight is None:
        pixels = pixels_of_each_class(classes, valid, number)
        return (pixels > 0) / xp.maximum(pixels, 1)
    weights = xp.asarray(as_array(weight)).astype(valid.dtype)
    check_weights(name, weights, number)
    if (weights < 0).any():
        raise ValueError(f"{name}: weight is {to_numpy(weights)}: no class can count below 0")
    return weights


def balanced_cross_entropy(
    logits: Any,
    target: Any,
    beta: float | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Binary cross-entropy in which both sides count the same, however few pixels one has.

    .. math:: L = -\frac{1}{N} \sum_i \left( \beta \, y_i \log \sigma(x_i)
                  + (1 - \beta) (1 - y_i) \log(1 - \sigma(x_i)) \right), \qquad
              \beta = \frac{|Y_-|}{|Y_-| + |Y_+|}

    over the N pixels that are not void. Beta is the share of the background in each image, so that
    its foreground together weighs as much as its background. (The paper sums over the pixels where
    the mean is taken here.)

    An image without foreground has a beta of 1 and costs nothing, one without background has a beta
    of 0 and costs nothing either: there is no balance to keep.

    Parameters
    ----------
    logits : Tensor (N, 1, H, W) or (N, H, W)
    target : Tensor (N, H, W)
        0 for the background, 1 for the foreground.
    beta : float, optional
        The weight of the foreground, from 0 to 1, for all images; 1/2 is half of
        :func:`binary_cross_entropy`. By default from the target, image by image.
    ignore_index : int
        The void label.
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        If beta is no share, the shapes do not fit, or the target holds anything but 0, 1 and the
        void label.

    References
    ----------
    .. [1] S. Xie and Z. Tu, "Holistically-nested edge detection", ICCV 2015, equation 2.

    Examples
    --------
    One pixel of four is foreground: beta is 3/4, and (3/4 + 3 * 1/4) log 2 is shared by four:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[0.0, 0.0, 0.0, 0.0]]]), ms.tensor([[[0, 1, 0, 0]]])
    >>> round(balanced_cross_entropy(logits, mask).item(), 4)
    0.2599
    """
    name = "balanced_cross_entropy"
    check_images(name, target)
    scores, truth, valid = binary_mask(name, logits, target, ignore_index)
    share: Any = beta
    if beta is None:
        xp, axes = array_module(valid), tuple(range(1, valid.ndim))
        background = ((1 - truth) * valid).sum(axis=axes, keepdims=True)
        share = background / xp.maximum(valid.sum(axis=axes, keepdims=True), 1)
    else:
        check_share(name, "beta", beta)
    foreground, background = share * truth * valid, (1 - share) * (1 - truth) * valid
    costs = foreground * minus_log_sigmoid(scores) + background * minus_log_sigmoid(-scores)
    return reduce_costs(name, costs, valid, reduction)


def focal(
    logits: Any,
    target: Any,
    gamma: float = 2.0,
    alpha: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Focal loss: cross-entropy that turns away from the pixels already classified well.

    .. math:: L = -\frac{1}{N} \sum_i \alpha_{t_i} (1 - p_{i,t_i})^\gamma \log p_{i,t_i}

    over the N pixels that are not void; p is the softmax of the logits, or for a single channel
    the sigmoid. A gamma of 0 makes it the cross-entropy. The mean divides by the number of pixels,
    whatever alpha is.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    gamma : float
        How strongly to turn away. At least 0.
    alpha : float or Tensor (C,), optional
        One factor for each class. For binary masks a number is the factor of the foreground, and
        one minus it that of the background, as in the paper.
    ignore_index : int
        The void label.
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        If gamma is negative, alpha has not one value for each class, the shapes do not fit, or the
        target holds a class that the logits do not have.

    References
    ----------
    .. [1] T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollar, "Focal loss for dense object
       detection", ICCV 2017, equation 5.

    Examples
    --------
    A pixel of probability 1/2 costs (1/2)^2 log 2:

    >>> import minisegnet as ms
    >>> logits = ms.tensor([[[[0.0, 9.0]], [[0.0, -9.0]]]])
    >>> focal(logits, ms.tensor([[[1, 0]]]), reduction="none").numpy().round(4).tolist()
    [[[0.173..., 0.0]]]
    """
    if not gamma >= 0:
        raise ValueError(f"focal: gamma is {gamma}: it must be at least 0")
    factors: Any = 1.0
    if is_binary(logits, target):
        scores, truth, valid = binary_mask("focal", logits, target, ignore_index)
        costs = F.binary_cross_entropy_with_logits(scores, truth, valid, reduction="none")
        if alpha is not None:
            factors = _foreground_factors(alpha, truth)
    else:
        classes, valid = class_map("focal", logits, target, ignore_index)
        costs = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
        if alpha is not None:
            factors = _class_factors(alpha, classes, logits.shape[1], valid.dtype)
    return reduce_costs("focal", _focus(costs, gamma) * factors, valid, reduction)


def _foreground_factors(alpha: Any, truth: Array) -> Array:
    if not isinstance(alpha, (int, float)) or not 0 <= alpha <= 1:
        raise ValueError(
            f"focal: alpha is {alpha!r}: for a binary mask it is one number, from 0 to 1"
        )
    return alpha * truth + (1 - alpha) * (1 - truth)


def _class_factors(alpha: Any, classes: Array, number: int, dtype: Any) -> Any:
    """The factor of the true class of each pixel."""
    if isinstance(alpha, (int, float)):
        return float(alpha)
    factors = array_module(classes).asarray(as_array(alpha)).astype(dtype)
    if tuple(factors.shape) != (number,):
        raise ValueError(
            f"focal: alpha has shape {tuple(factors.shape)}, but there are {number} classes: give "
            f"one factor for each, ({number},), or one number for all"
        )
    return factors[classes]


@op
def _focus(cost: Array, gamma: float) -> Rule:
    """(1 - p)^gamma * cost, where cost = -log p is what the pixel costs in cross-entropy.

    The derivative is (1 - p)^gamma * (1 + gamma * p * cost / (1 - p)). For p towards 1 the last
    quotient goes to 1, which keeps all finite where (1 - p)^(gamma - 1) alone would not be.
    """
    xp = array_module(cost)
    miss = -xp.expm1(-cost)
    power = miss**gamma

    def backward(grad):
        quotient = xp.where(miss > 0, cost / xp.where(miss > 0, miss, 1), 1)
        return (grad * power * (1 + gamma * xp.exp(-cost) * quotient),)

    return power * cost, backward
