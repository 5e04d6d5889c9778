"""Region-based losses: the predicted and the true region of a class, compared as a whole.

A small object counts as much as a large one, because each class has a quotient of its own.

All sum over the batch first, class by class, and take the mean over the classes last. ``smooth`` is
added to both sides of a quotient: it keeps the quotient of an absent class away from 0/0, and lets
a class of a few pixels not swing from 0 to 1.
"""

from __future__ import annotations

from typing import Any

from minisegnet.arithmetic import Rule
from minisegnet.autograd import Tensor, op
from minisegnet.backend import Array, array_module
from minisegnet.kernels.rows import column_sums
from minisegnet.losses.shared import (
    check_share,
    check_smooth,
    quotient,
    regions,
    shares_of_classes,
    sum_of_each_class,
)


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
    return 1 - dice_of_each_class("dice", logits, target, squared, smooth, ignore_index).mean()


def dice_of_each_class(
    name: str, logits: Any, target: Any, squared: bool, smooth: float, ignore_index: int
) -> Tensor:
    """Dice's coefficient of each class, (C,), of probabilities: the other half of many losses."""
    check_smooth(name, smooth)
    region = regions(shares_of_classes(name, logits, target, ignore_index), squared)
    # Nothing predicted and nothing true is a perfect overlap, also without smoothing.
    return quotient(2 * region.both + smooth, region.predicted + region.true + smooth, empty=1.0)


def jaccard(logits: Any, target: Any, smooth: float = 1.0, ignore_index: int = -100) -> Tensor:
    r"""Jaccard (soft IoU) loss: one minus intersection over union of each class.

    .. math:: L = 1 - \frac{1}{C} \sum_c \frac{\sum_i p_{i,c} \, y_{i,c} + s}
              {\sum_i p_{i,c} + \sum_i y_{i,c} - \sum_i p_{i,c} \, y_{i,c} + s}

    over the pixels of the batch that are not void, class by class; the mean over the classes comes
    last. With J the quotient, :func:`dice` has D = 2J / (1 + J) in its place: both order
    predictions of one class alike, and Jaccard punishes a bad overlap harder.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
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
    .. [1] M. A. Rahman and Y. Wang, "Optimizing intersection-over-union in deep neural networks for
       image segmentation", ISVC 2016.

    Examples
    --------
    The foreground is predicted on three pixels, true on two, and one is in both:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> jaccard(logits, mask, smooth=0.0).item()  # 1 - 1 / (3 + 2 - 1)
    0.75
    """
    return 1 - _tversky_of_each_class("jaccard", logits, target, 1, 1, smooth, ignore_index).mean()


def tversky(
    logits: Any,
    target: Any,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Tversky loss: an overlap in which misses and false alarms have a price each.

    .. math:: L = 1 - \frac{1}{C} \sum_c \frac{\mathit{TP}_c + s}
              {\mathit{TP}_c + \alpha \, \mathit{FP}_c + \beta \, \mathit{FN}_c + s}, \quad
              \mathit{TP}_c = \sum_i p_{i,c} \, y_{i,c}, \;
              \mathit{FP}_c = \sum_i p_{i,c} (1 - y_{i,c}), \;
              \mathit{FN}_c = \sum_i (1 - p_{i,c}) \, y_{i,c}

    over the pixels of the batch that are not void, class by class; the mean over the classes comes
    last. Alpha and beta of 1 make it :func:`jaccard`; of 1/2, :func:`dice` with twice the
    ``smooth``.

    A beta above alpha favours recall: finding too much rather than too little. It does so for each
    class, and with several classes the false alarm of one is the miss of another; what then
    changes most is how the rare classes fare. For one foreground, use a single map of logits.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    alpha : float
        The price of false positives. At least 0.
    beta : float
        The price of false negatives. At least 0. The defaults are those that did best in the paper.
    smooth : float
        The constant ``s``, in pixels. At least 0.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If alpha, beta or smooth is negative, the shapes do not fit, or the target holds a class
        that the logits do not have.

    References
    ----------
    .. [1] S. S. M. Salehi, D. Erdogmus and A. Gholipour, "Tversky loss function for image
       segmentation using 3D fully convolutional deep networks", MLMI 2017.

    Examples
    --------
    Two false positives, one false negative, one true positive:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> round(tversky(logits, mask, alpha=0.25, beta=2.0, smooth=0.0).item(), 4)  # 1 - 1 / 3.5
    0.7143
    """
    if not (alpha >= 0 and beta >= 0):
        raise ValueError(f"tversky: alpha is {alpha} and beta {beta}: they must be at least 0")
    index = _tversky_of_each_class("tversky", logits, target, alpha, beta, smooth, ignore_index)
    return 1 - index.mean()


def _tversky_of_each_class(
    name: str,
    logits: Any,
    target: Any,
    alpha: float,
    beta: float,
    smooth: float,
    ignore_index: int,
) -> Tensor:
    """Tversky's index of each class, (C,)."""
    check_smooth(name, smooth)
    both, predicted, true = regions(shares_of_classes(name, logits, target, ignore_index))
    wrong, missed = predicted - both, true - both
    whole = both + alpha * wrong + beta * missed + smooth
    return quotient(both + smooth, whole, empty=1.0)


def sensitivity_specificity(
    logits: Any,
    target: Any,
    ratio: float = 0.05,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""Squared errors on the foreground and on the background, each divided by its own size.

    .. math:: L = \frac{1}{C} \sum_c \left(
              r \, \frac{\sum_i (y_{i,c} - p_{i,c})^2 \, y_{i,c}}{\sum_i y_{i,c} + s}
              + (1 - r) \, \frac{\sum_i (y_{i,c} - p_{i,c})^2 (1 - y_{i,c})}
              {\sum_i (1 - y_{i,c}) + s} \right)

    over the pixels of the batch that are not void, class by class; the mean over the classes comes
    last. The first quotient is what is missed, near 1 - sensitivity; the second is the false alarm,
    near 1 - specificity. For a binary mask p is the sigmoid, and the only class the foreground.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    ratio : float
        The weight ``r`` of sensitivity, from 0 to 1. The paper's is small because dividing by the
        few pixels of the foreground makes its errors so large already.
    smooth : float
        The constant ``s``, in pixels. At least 0; with 0, a side that has no pixel costs nothing.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If ratio is no share, smooth is negative, the shapes do not fit, or the target holds a class
        that the logits do not have.

    References
    ----------
    .. [1] T. Brosch, Y. Yoo, L. Y. W. Tang, D. K. B. Li, A. Traboulsee and R. Tam, "Deep
       convolutional encoder networks for multiple sclerosis lesion segmentation", MICCAI 2015.

    Examples
    --------
    One of two foreground pixels is missed, two of two background pixels are false alarms:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> loss = sensitivity_specificity(logits, mask, ratio=0.25, smooth=0.0)
    >>> loss.item()  # 0.25 * 1/2 + 0.75 * 2/2
    0.875
    """
    name = "sensitivity_specificity"
    check_share(name, "ratio", ratio)
    check_smooth(name, smooth)
    predicted, true, counted = shares_of_classes(name, logits, target, ignore_index)
    number = true.shape[-1]
    inside, outside = (side.reshape(-1, number) for side in (true, counted - true))
    errors = (predicted - true).reshape(-1, number)
    squares = errors * errors
    missed = sum_of_each_class(squares * inside)
    invented = sum_of_each_class(squares * outside)
    miss = quotient(missed, sum_of_each_class(inside) + smooth, empty=0.0)
    alarm = quotient(invented, sum_of_each_class(outside) + smooth, empty=0.0)
    return (ratio * miss + (1 - ratio) * alarm).mean()


def log_cosh_dice(
    logits: Any,
    target: Any,
    squared: bool = False,
    smooth: float = 1.0,
    ignore_index: int = -100,
) -> Tensor:
    r"""The logarithm of the hyperbolic cosine of the Dice loss.

    .. math:: L = \log \cosh(L_{\mathrm{dice}})

    It is near :math:`L^2 / 2` for a small Dice loss, so that the gradient, :math:`\tanh(L)` times
    that of :func:`dice`, fades out at the optimum.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    squared, smooth, ignore_index
        As for :func:`dice`, which sums over the batch first and averages over the classes last.

    Raises
    ------
    ValueError
        If smooth is negative, the shapes do not fit, or the target holds a class that the logits
        do not have.

    References
    ----------
    .. [1] S. Jadon, "A survey of loss functions for semantic segmentation", CIBCB 2020.

    Examples
    --------
    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> round(log_cosh_dice(logits, mask, smooth=0.0).item(), 4)  # log cosh 0.6
    0.1701
    """
    overlaps = dice_of_each_class("log_cosh_dice", logits, target, squared, smooth, ignore_index)
    return _log_cosh(1 - overlaps.mean())


@op
def _log_cosh(x: Array) -> Rule:
    """log(cosh(x)) = log(1 + 2 sinh(x / 2)^2), which keeps the digits of a small x."""
    xp = array_module(x)
    half = xp.sinh(x / 2)
    return xp.log1p(2 * half * half), lambda grad: (grad * xp.tanh(x),)


def lovasz_softmax(
    logits: Any,
    target: Any,
    classes: str = "present",
    ignore_index: int = -100,
) -> Tensor:
    r"""Lovász-softmax loss: the Jaccard loss itself, extended from masks to probabilities.

    The Jaccard loss of a class, :math:`\Delta_J(M) = |M| \, / \, |T \cup M|`, is a function of the
    set M of pixels where prediction and truth T disagree. It is defined for hard decisions only;
    its Lovász extension is the tightest convex function that agrees with it there. With the errors

    .. math:: m_i = \begin{cases} 1 - p_{i,c} & \text{if } y_i = c \\ p_{i,c} & \text{otherwise}
              \end{cases}

    in descending order :math:`m_{(1)} \ge m_{(2)} \ge \dots` and the sets :math:`M_k` of the k
    pixels of the largest errors, the loss of the class is

    .. math:: \sum_k m_{(k)} \left( \Delta_J(M_k) - \Delta_J(M_{k-1}) \right)

    The loss is the mean over the classes. The Jaccard loss is that of the whole batch, without its
    void pixels. The gradient of an error is its bracket, what the pixel adds to the Jaccard loss if
    it is wrong as well as all that are more wrong. Where errors are equal, the loss does not depend
    on their order but the gradient does: the pixel that comes first in memory order (image, row,
    column) is taken first, which is one of many valid subgradients.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    classes : "present" or "all"
        Whether only the classes that the batch's target holds count. An absent class that is
        predicted somewhere costs its largest probability if all count. For a binary mask the only
        class is the foreground, and it always counts.
    ignore_index : int
        The void label.

    Raises
    ------
    ValueError
        If classes is neither of the two, the shapes do not fit, or the target holds a class that
        the logits do not have.

    References
    ----------
    .. [1] M. Berman, A. R. Triki and M. B. Blaschko, "The Lovász-softmax loss: a tractable
       surrogate for the optimization of the intersection-over-union measure in neural networks",
       CVPR 2018.

    Examples
    --------
    On hard predictions it is 1 - IoU; here the foreground has an IoU of 1/4:

    >>> import minisegnet as ms
    >>> logits, mask = ms.tensor([[[[99.0, 99.0, 99.0, -99.0]]]]), ms.tensor([[[0, 0, 1, 1]]])
    >>> round(lovasz_softmax(logits, mask).item(), 4)
    0.75
    """
    name = "lovasz_softmax"
    if classes not in ("present", "all"):
        raise ValueError(f"{name}: classes is {classes!r}: choose 'present' or 'all'")
    predicted, true, counted = shares_of_classes(name, logits, target, ignore_index)
    number = true.shape[-1]
    truth = true.reshape(-1, number)
    errors = (true + predicted * (1 - 2 * true)).reshape(-1, number)
    losses = _lovasz_extension(errors, truth > 0.5, counted.reshape(-1, 1) > 0)
    if classes == "all" or number == 1:
        return losses.mean()
    present = (truth.sum(axis=0) > 0).astype(truth.dtype)
    return (losses * present).sum() / array_module(present).maximum(present.sum(), 1)


@op
def _lovasz_extension(errors: Array, truth: Array, counted: Array) -> Rule:
    """The Lovász extension of the Jaccard loss of each column, at errors from 0 to 1."""
    xp = array_module(errors)
    order = xp.argsort(-xp.where(counted, errors, -1), axis=0, kind="stable")  # void comes last
    true = xp.take_along_axis(truth, order, axis=0)
    found = xp.cumsum(true, axis=0)  # true pixels up to and with the k-th
    total = true.sum(axis=0)
    rank = xp.arange(1, len(errors) + 1)[:, None]
    # With the first k pixels wrong: |T without M_k|, and |T or M_k|.
    left, union = (n.astype(errors.dtype) for n in (total - found, total + rank - found))
    # A true pixel leaves the union as it was; any other adds itself to it. Written as one fraction,
    # because the difference of two Jaccard losses that are nearly equal would lose its digits.
    step = xp.where(true, 1 / union, left / (union * xp.maximum(union - 1, 1)))
    step = xp.where(union > 1, step, 1) * (rank <= counted.sum())

    def backward(grad):
        slope = xp.zeros_like(errors)
        xp.put_along_axis(slope, order, step, axis=0)
        return (grad * slope, None, None)

    return column_sums(xp.take_along_axis(errors, order, axis=0) * step), backward
