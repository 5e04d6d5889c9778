"""Compound losses: a cost for each pixel and a comparison of regions, added up.

The first gives every pixel a gradient from the first step on; the second does not let a small
region drown in a large background.
"""

from __future__ import annotations

from typing import Any

from minisegnet import functional as F
from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.kernels.rows import as_table, exponentials, from_table
from minisegnet.losses.region import dice_of_each_class
from minisegnet.losses.shared import (
    as_array,
    as_tensor,
    binary_mask,
    check_share,
    check_weights,
    class_map,
    is_binary,
    minus_log_sigmoid,
    pixels_of_each_class,
    reduce_costs,
    shares_of_classes,
)

#: Keeps the logarithm of an overlap of zero, and powers of it, within float32.
_TINY = 1e-20


def combo(
    logits: Any,
    target: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Combo loss: weighted cross-entropy and Dice loss, in proportion.

    .. math:: L = -\frac{\alpha}{C N} \sum_{i, c} \left( \beta \, y_{i,c} \log p_{i,c}
              + (1 - \beta) (1 - y_{i,c}) \log(1 - p_{i,c}) \right)
              + (1 - \alpha) \left( 1 - \frac{1}{C} \sum_c D_c \right)

    over the N pixels of the batch that are not void; :math:`D_c` is the overlap in :func:`dice`,
    which sums over the batch first and is averaged over the classes. In the cross-entropy each
    class is set against all others; p is the softmax of the logits. With a single channel p is the
    sigmoid, and the only class is the foreground. (The paper writes :math:`-(1 - \alpha)
    \sum_c D_c`, which orders predictions alike but ends below 0.)

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    alpha : float
        The share of the cross-entropy, from 0 to 1; 0 leaves the Dice loss alone.
    beta : float
        How much misses count in the cross-entropy, against false alarms; from 0 to 1. Because of
        the paper's beta and 1 - beta, 1/2 makes *half* of the plain cross-entropy.
    smooth : float
        Of the Dice loss, in pixels. At least 0.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If alpha or beta is no share, smooth is negative, the shapes do not fit, or the target holds
        a class that the logits do not have.

    References
    ----------
    .. [1] S. A. Taghanaki, Y. Zheng, S. K. Zhou, B. Georgescu, P. Sharma, D. Xu, D. Comaniciu and
       G. Hamarneh, "Combo loss: handling input and output imbalance in multi-organ segmentation",
       Computerized Medical Imaging and Graphics 2019.

    Examples
    --------
    All probabilities are 1/2, and one of three pixels is true:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[0.0, 0.0, 0.0]]]), ms.tensor([[[0, 1, 0]]])
    >>> loss = combo(logits, mask, alpha=0.25, beta=0.9, smooth=0.0)
    >>> round(loss.item(), 4)  # 0.25 * (0.9 + 0.1 + 0.1) / 3 * log 2 + 0.75 * (1 - 1 / 2.5)
    0.5135
    """
    name = "combo"
    check_share(name, "alpha", alpha)
    check_share(name, "beta", beta)
    overlaps = dice_of_each_class(name, logits, target, False, smooth, ignore_index)
    if is_binary(logits, target):
        scores, truth, valid = binary_mask(name, logits, target, ignore_index)
    else:
        _, truth, counted = shares_of_classes(name, logits, target, ignore_index)
        scores = _against_the_others(as_tensor(logits)).permute(0, *range(2, truth.ndim), 1)
        valid = array_module(truth).broadcast_to(counted, truth.shape)
    missed, invented = beta * truth * valid, (1 - beta) * (1 - truth) * valid
    costs = missed * minus_log_sigmoid(scores) + invented * minus_log_sigmoid(-scores)
    cross_entropy = reduce_costs(name, costs, valid, "mean")
    return alpha * cross_entropy + (1 - alpha) * (1 - overlaps.mean())


@op
def _against_the_others(logits: Array) -> Rule:
    """For each class the logit whose sigmoid is the softmax: x_c - log(sum of e^x_k, k not c).

    For any class but the largest that sum holds the largest exponential, and leaving one out is a
    subtraction that loses nothing. For the largest class itself it would lose everything: its sum
    is added up from the others.
    """
    xp = array_module(logits)
    table = as_table(logits)
    pixels, top = xp.arange(len(table)), table.argmax(axis=1)
    largest, powers, sums = exponentials(table)
    others = table.copy()
    others[pixels, top] = -xp.inf
    second, other_powers, other_sums = exponentials(others)
    rest = sums[:, None] - powers
    rest[pixels, top] = 1
    logs = xp.log(rest) + largest[:, None]
    logs[pixels, top] = xp.log(other_sums) + second

    def backward(grad):
        # d out_c / d x_k = -e^x_k / (sum of all e^x_j, j not c), for each k but c, whose is 1.
        pull = as_table(grad)
        pulls = pull / rest
        pulls[pixels, top] = 0
        of_top = pull[pixels, top] / other_sums
        gradient = pull - powers * (pulls.sum(axis=1)[:, None] - pulls)
        gradient -= other_powers * of_top[:, None]
        return (from_table(gradient, logits.shape),)

    return from_table(table - logs, logits.shape), backward


def exponential_logarithmic(
    logits: Any,
    target: Any,
    gamma_dice: float = 0.3,
    gamma_cross: float = 0.3,
    w_dice: float = 0.8,
    w_cross: float = 0.2,
    weight: Any = None,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Powers of the logarithms of Dice's coefficient and of the probabilities.

    .. math:: L = \frac{w_{\mathrm{dice}}}{C} \sum_c (-\log D_c)^{\gamma_D}
              + \frac{w_{\mathrm{cross}}}{N} \sum_i w_{t_i} (-\log p_{i,t_i})^{\gamma_C}, \qquad
              w_c = \sqrt{\frac{\sum_k n_k}{n_c}}

    over the N pixels of the batch that are not void, with their true classes t;
    :math:`n_c` is how many of them class c has and :math:`D_c` the overlap in :func:`dice`, which
    sums over the batch first and is averaged over the classes. p is the softmax of the logits.
    With a single channel it is the sigmoid; the cross-entropy then has both sides, background and
    foreground, and the Dice term the foreground alone.

    A gamma below 1 makes the loss steep where all is well already, and flat in between; one above 1
    turns to the difficult regions, as :func:`minisegnet.losses.focal` does.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    gamma_dice, gamma_cross : float
        The exponents. Above 0.
    w_dice, w_cross : float
        The weights of the two terms. At least 0.
    weight : sequence, array or Tensor (C,), optional
        The weight of each class in the second term; for binary masks (background, foreground). By
        default as in the formula, with the pixels of the batch (the paper counts the training set).
    smooth : float
        Of Dice's coefficient, in pixels. At least 0.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If an option is out of its range, the shapes do not fit, or the target holds a class that
        the logits do not have.

    References
    ----------
    .. [1] K. C. L. Wong, M. Moradi, H. Tang and T. Syeda-Mahmood, "3D segmentation with exponential
       logarithmic loss for highly unbalanced object sizes", MICCAI 2018.

    Examples
    --------
    All probabilities are 1/2, one of four pixels is true, and gamma is 1. Dice's coefficient is
    2 * 1/2 / (2 + 1), the class weights are the roots of 4/3 and 4:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[0.0, 0.0, 0.0, 0.0]]]), ms.tensor([[[0, 1, 0, 0]]])
    >>> loss = exponential_logarithmic(logits, mask, gamma_dice=1, gamma_cross=1, smooth=0.0)
    >>> round(loss.item(), 4)  # 0.8 log 3 + 0.2 * (3 * 1.1547 + 2) / 4 * log 2
    1.0683
    """
    name = "exponential_logarithmic"
    _check_exponents(name, gamma_dice, gamma_cross, w_dice, w_cross)
    overlaps = dice_of_each_class(name, logits, target, False, smooth, ignore_index)
    regions = _power(-F.clip(overlaps, min=_TINY).log(), gamma_dice)
    if is_binary(logits, target):
        scores, truth, valid = binary_mask(name, logits, target, ignore_index)
        shares = _weights(name, weight, truth, valid, 2)
        on, off = shares[1] * truth * valid, shares[0] * (1 - truth) * valid
        costs = on * _power(minus_log_sigmoid(scores), gamma_cross)
        costs = costs + off * _power(minus_log_sigmoid(-scores), gamma_cross)
    else:
        classes, valid = class_map(name, logits, target, ignore_index)
        shares = _weights(name, weight, classes, valid, logits.shape[1])
        plain = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
        costs = shares[classes] * valid * _power(plain, gamma_cross)
    return w_dice * regions.mean() + w_cross * reduce_costs(name, costs, valid, "mean")


def _check_exponents(
    name: str, gamma_dice: float, gamma_cross: float, w_dice: float, w_cross: float
) -> None:
    if not (gamma_dice > 0 and gamma_cross > 0):
        raise ValueError(
            f"{name}: gamma_dice is {gamma_dice} and gamma_cross {gamma_cross}: they must be above "
            "0"
        )
    if not (w_dice >= 0 and w_cross >= 0):
        raise ValueError(f"{name}: w_dice is {w_dice} and w_cross {w_cross}: give at least 0")


def _weights(name: str, weight: Any, classes: Array, valid: Array, number: int) -> Array:
    """The weight of each class, as given or the root of the inverse of its frequency."""
    xp = array_module(valid)
    if weight is not None:
        weights = xp.asarray(as_array(weight)).astype(valid.dtype)
        check_weights(name, weights, number)
        return weights
    pixels = pixels_of_each_class(classes, valid, number)
    return (pixels > 0) * xp.sqrt(pixels.sum() / xp.maximum(pixels, 1))


@op
def _power(cost: Array, gamma: float) -> Rule:
    """cost ** gamma, for costs of at least 0.

    Below a gamma of 1 its slope is infinite at 0. The slope of the whole loss is 0 there: a cost
    vanishes together with its own slope. Infinity times zero is what has to be avoided.
    """
    xp = array_module(cost)
    held = xp.maximum(cost, _TINY)

    def backward(grad):
        return (grad * gamma * held ** (gamma - 1) * (cost > 0),)

    return xp.maximum(cost, 0) ** gamma, backward
