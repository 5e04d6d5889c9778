"""Losses for segmentation: functions of logits and a mask.

The distribution-based ones (cross-entropy, focal) average a cost over the pixels. The region-based
ones (Dice) compare a predicted with a true region as a whole, so that a small object counts as much
as a large one.

What all of them share:

- logits are (N, C, H, W) with a mask of class indices (N, H, W); binary ones are (N, 1, H, W) or
  (N, H, W) with a mask of 0 and 1 (N, H, W), or of probabilities;
- pixels whose target is ``ignore_index`` count for nothing, and a mask that is all void gives a
  loss of 0 with a gradient of 0;
- a label outside the classes is an error that names it (on a GPU the check waits for the mask);
- loss and gradient are finite for logits of any size and for masks without foreground.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minisegnet import functional as F
from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.checks import did_you_mean
from minisegnet.kernels.rows import column_sums
from minisegnet.ops.objective import REDUCTIONS, cross_entropy_rule
from minisegnet.ops.targets import check_target_shape, check_unit, class_targets

#: Regions smaller than this many pixels are empty; the square of it is still a float32.
_NOTHING = 1e-15


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
    scores, truth, valid = _binary("binary_cross_entropy", logits, target, ignore_index)
    costs = F.binary_cross_entropy_with_logits(
        scores, truth, weight=valid, reduction="none", pos_weight=pos_weight
    )
    return _reduce("binary_cross_entropy", costs, valid, reduction)


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
    if _is_binary(logits, target):
        scores, truth, valid = _binary("focal", logits, target, ignore_index)
        costs = F.binary_cross_entropy_with_logits(scores, truth, valid, reduction="none")
        if alpha is not None:
            factors = _foreground_factors(alpha, truth)
    else:
        classes, valid = _classes("focal", logits, target, ignore_index)
        costs = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
        if alpha is not None:
            factors = _class_factors(alpha, classes, logits.shape[1], valid.dtype)
    return _reduce("focal", _focus(costs, gamma) * factors, valid, reduction)


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
    factors = array_module(classes).asarray(_as_array(alpha)).astype(dtype)
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


def dice(
    logits: Any,
    target: Any,
    squared: bool = False,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Dice loss: one minus the overlap of the predicted and the true region of each class.

    .. math:: L = 1 - \frac{1}{C} \sum_c
              \frac{2 \sum_i p_{i,c} \, y_{i,c} + s}{\sum_i p_{i,c} + \sum_i y_{i,c} + s}

    The sums run over all pixels of the batch that are not void. Each class has an overlap of its
    own, and the mean over the classes comes last, so that a small class counts as much as a large
    one. p is the softmax of the logits, y the one-hot truth. With a single channel p is the sigmoid
    and the only class is the foreground.

    With ``squared=True`` the denominator has the squares, :math:`\sum p^2 + \sum y^2 + s`.

    A class that is absent from the whole batch has the overlap :math:`s / (\sum p + s)`: 1 when it
    is not predicted anywhere, less when it is. With ``smooth=0`` that overlap is 0 without a
    gradient (and 1 where less than 1e-15 of a pixel is predicted).

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    squared : bool
        Whether the denominator adds up squares.
    smooth : float
        The constant ``s``, in pixels. At least 0.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If smooth is negative, the shapes do not fit, or the target holds a class that the logits
        do not have.

    References
    ----------
    .. [1] F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
       volumetric medical image segmentation", 3DV 2016 (the squared denominator).
    .. [2] C. H. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
       unbalanced segmentations", DLMIA 2017, equation 2 (the plain one).

    Examples
    --------
    The foreground is predicted on three pixels, true on two, and one is in both:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> round(dice(logits, mask, smooth=0.0).item(), 4)  # 1 - 2 * 1 / (3 + 2)
    0.6
    """
    if not smooth >= 0:
        raise ValueError(f"dice: smooth is {smooth}: it must be at least 0")
    region = _regions("dice", logits, target, ignore_index, squared)
    size = region.predicted + region.true + smooth
    # Nothing predicted and nothing true is a perfect overlap, also without smoothing.
    empty = size < _NOTHING
    overlap = F.where(empty, 1.0, (2 * region.both + smooth) / F.where(empty, 1.0, size))
    return 1 - overlap.mean()


class _Regions(NamedTuple):
    """How many pixels, or fractions of pixels, of each class are predicted, true, and both."""

    both: Tensor
    predicted: Tensor
    true: Tensor


def _regions(name: str, logits: Any, target: Any, ignore_index: int, squared: bool) -> _Regions:
    """The sizes of the regions over the whole batch, one for each class."""
    if _is_binary(logits, target):
        scores, truth, valid = _binary(name, logits, target, ignore_index)
        shares = F.sigmoid(scores).reshape(-1, 1)
        truth = truth.reshape(-1, 1)
    else:
        classes, valid = _classes(name, logits, target, ignore_index)
        number = logits.shape[1]
        channels_last = (0, *range(2, len(logits.shape)), 1)
        shares = F.softmax(logits, 1).permute(channels_last).reshape(-1, number)
        truth = F.one_hot(classes, number).data.reshape(-1, number).astype(shares.dtype)
    counted = valid.reshape(-1, 1)
    truth = truth * counted
    predicted = shares * shares if squared else shares
    true = truth * truth if squared else truth
    return _Regions(
        _sum_of_each_class(shares * truth),
        _sum_of_each_class(predicted * counted),
        _sum_of_each_class(true),
    )


@op
def _sum_of_each_class(table: Array) -> Rule:
    """The sums of the columns."""
    xp = array_module(table)
    return column_sums(table), lambda grad: (xp.broadcast_to(grad, table.shape),)


def _is_binary(logits: Any, target: Any) -> bool:
    """Whether there is one map of logits, with or without a channel dimension."""
    a, b = tuple(logits.shape), tuple(target.shape)
    if len(a) == len(b):
        return len(a) <= 3 or a[1] == 1
    return len(a) == len(b) + 1 and a[1] == 1


def _binary(name: str, logits: Any, target: Any, ignore_index: int) -> tuple[Tensor, Array, Array]:
    """Logits in the shape of the target; the truth, 0 where void; 1 where the target counts."""
    a, b = tuple(logits.shape), tuple(target.shape)
    if a not in (b, (*b[:1], 1, *b[1:])):
        raise ValueError(
            f"{name}: logits have shape {a} and the target {b}: for a mask (N, H, W) the logits "
            "must be (N, 1, H, W) or (N, H, W)"
        )
    scores = _as_tensor(logits).reshape(b)
    labels = _as_array(target)
    if labels.dtype.kind == "f":
        valid = labels != ignore_index
        labels = labels * valid
        check_unit(labels, f"{name}: the target", "divide masks of 0/255 by 255")
    else:
        labels, valid = class_targets(labels, 2, ignore_index, name)
    return scores, labels.astype(scores.dtype), valid.astype(scores.dtype)


def _classes(name: str, logits: Any, target: Any, ignore_index: int) -> tuple[Array, Array]:
    """The class of each pixel, 0 where it is void, and 1 where it counts."""
    shape = tuple(logits.shape)
    labels = _as_array(target)
    check_target_shape(shape, tuple(labels.shape), 1, name)
    if labels.dtype.kind == "f":
        raise TypeError(f"{name}: the target is {labels.dtype}: class indices must be integers")
    classes, valid = class_targets(labels, shape[1], ignore_index, name)
    return classes, valid.astype(_as_tensor(logits).dtype)


def _reduce(name: str, costs: Tensor, valid: Array, reduction: str) -> Tensor:
    """The mean over what counts, 0 if nothing does; or the sum; or each cost."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{name}: reduction is {reduction!r}: {did_you_mean(reduction, REDUCTIONS)}"
        )
    if reduction == "none":
        return costs
    total = costs.sum()
    if reduction == "sum":
        return total
    return total / array_module(valid).maximum(valid.sum(), 1)


def _as_array(x: Any) -> Array:
    return x.data if isinstance(x, Tensor) else x


def _as_tensor(logits: Any) -> Tensor:
    x = logits if isinstance(logits, Tensor) else Tensor(logits)
    return x if x.dtype.kind == "f" else x.float()
