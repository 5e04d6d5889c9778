"""Boundary-based losses: a mistake costs the more, the further it is from where the edge should be.

Distances are measured on the current prediction and on the truth, by exact distance transforms,
and are constants as far as the gradient is concerned: deciding a pixel has no derivative. Both
losses are meant to be added to a region-based or distribution-based one, which finds the object
before its outline can be improved.
"""

from __future__ import annotations

from typing import Any

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, library_of
from minisegnet.losses.shared import (
    as_tensor,
    binary_mask,
    check_images,
    class_map,
    is_binary,
    reduce_costs,
    shares_of_classes,
)


def hausdorff_distance(
    logits: Any, target: Any, alpha: float = 2.0, ignore_index: int = -100
) -> Tensor:
    r"""Squared errors, weighed by their distance from the true and from the predicted boundary.

    .. math:: L = \frac{1}{C N} \sum_c \sum_i (p_{i,c} - y_{i,c})^2
              \left( d_{P_c}(i)^\alpha + d_{Y_c}(i)^\alpha \right)

    over the N pixels of the batch that are not void: an estimate of the Hausdorff distance that can
    be minimised. :math:`d_{Y_c}(i)` is how many pixels pixel i is from the boundary of the true
    region of class c, seen from inside as from outside: the distance to the nearest pixel of the
    other side. :math:`d_{P_c}` is the same for the predicted region, where p is above 1/2. p is
    the softmax of the logits; with a single channel it is the sigmoid, and the only class is the
    foreground. Void pixels belong to no region.

    A region that fills the image, or is not there, has no boundary, and its distances are 0. When
    truth and prediction both have none, the loss is 0. Alone it may settle for predicting nothing,
    where only the true boundary pulls: add it to another loss, as the paper adds it to Dice.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
    alpha : float
        How much more a far mistake costs: at distance 4, with the default of 2, it is 16 times that
        at distance 1. Above 0.
    ignore_index : int
        The void label.

    Returns
    -------
    Tensor ()
        In pixels to the power alpha: it can be in the hundreds.

    Raises
    ------
    ValueError
        If alpha is not above 0, the shapes do not fit, or the target holds a class that the logits
        do not have.

    References
    ----------
    .. [1] D. Karimi and S. E. Salcudean, "Reducing the Hausdorff distance in medical image
       segmentation with convolutional neural networks", IEEE Transactions on Medical Imaging 2020
       (first circulated in 2019), the loss by distance transforms.

    Examples
    --------
    One false alarm, at distance 1, 2 or 3 of the single true pixel. Alone it would be at distance 1
    of its own boundary; beside the true pixel both make one region:

    >>> import minisegnet as ms
    >>> mask = ms.tensor([[[1, 0, 0, 0, 0]]])
    >>> for place in (1, 2, 3):
    ...     logits = ms.tensor([[[9e3, -9e3, -9e3, -9e3, -9e3]]])
    ...     logits[0, 0, place] = 9e3
    ...     print(round(hausdorff_distance(logits, mask).item(), 1))  # (1 + place ** 2) / 5
    0.4
    1.0
    2.0
    """
    name = "hausdorff_distance"
    if not alpha > 0:
        raise ValueError(f"{name}: alpha is {alpha}: it must be above 0")
    check_images(name, target)
    predicted, true, counted = shares_of_classes(name, logits, target, ignore_index)
    xp = array_module(true)
    far = [
        distances_to_boundary((region > 0.5) & (counted > 0)).astype(true.dtype) ** alpha
        for region in (predicted.data, true)
    ]
    errors = predicted - true
    weights = (far[0] + far[1]) * counted
    return (errors * errors * weights).sum() / (xp.maximum(counted.sum(), 1) * true.shape[-1])


def shape_aware(
    logits: Any, target: Any, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    r"""Cross-entropy in which wrong pixels cost more, the further the outline is off.

    .. math:: L = \frac{1}{N} \sum_i \left( 1 + E_n \, [\hat y_i \ne y_i] \right) \ell_i, \qquad
              E_n = \frac{1}{|\hat C_n|} \sum_{j \in \hat C_n} \min_{k \in C_n} \|j - k\|

    over the N pixels that are not void. :math:`\ell_i` is the cross-entropy of pixel i and
    :math:`\hat y_i` its predicted class. :math:`E_n` is how far the predicted outline of image n is
    from the true one, :math:`C_n`, on average, in pixels: the distance of a point from a curve. The
    outline consists of the pixels that have another class beside them, above or below them.

    This is the loss of Al Arif et al. (Surveys also print a form in which all pixels get the second
    term, and cite other work of the name.) The paper has two classes and sums over the pixels.
    Where an image has no outline, in the truth or in the prediction, E is 0, and the loss of that
    image is the plain cross-entropy.

    Parameters
    ----------
    logits : Tensor (N, C, H, W), or (N, 1, H, W) or (N, H, W) for binary masks
    target : Tensor of int (N, H, W)
        A binary mask of probabilities has its outline at 1/2.
    ignore_index : int
        The void label. No outline runs along void pixels.
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        If the shapes do not fit, or the target holds a class that the logits do not have.

    References
    ----------
    .. [1] S. M. M. R. Al Arif, K. Knapp and G. Slabaugh, "Shape-aware deep convolutional neural
       network for vertebrae segmentation", MSKI 2017 (LNCS 10734, 2018).

    Examples
    --------
    True is a strip of two pixels, predicted one of four: the outlines have two pixels at each end,
    and one end of the prediction is two pixels off.

    >>> import minisegnet as ms
    >>> mask = ms.tensor([[[0, 0, 1, 1, 0, 0, 0, 0]]])
    >>> logits = ms.tensor([[[-1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0]]])
    >>> costs = shape_aware(logits, mask, reduction="none")  # E = (0 + 0 + 1 + 2) / 4
    >>> costs.numpy()[0, 0].round(3)  # right pixels cost 0.313, wrong ones 1.313 (1 + E)
    array([0.313, 0.313, 0.313, 0.313, 2.298, 2.298, 0.313, 0.313], dtype=float32)
    """
    name = "shape_aware"
    check_images(name, target)
    if is_binary(logits, target):
        scores, truth, valid = binary_mask(name, logits, target, ignore_index)
        costs = F.binary_cross_entropy_with_logits(scores, truth, valid, reduction="none")
        found, labels = scores.data > 0, truth > 0.5
    else:
        logits = as_tensor(logits)
        labels, valid = class_map(name, logits, target, ignore_index)
        costs = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
        found = logits.data.argmax(axis=1)
    gaps = _outline_gaps(_outline(found, valid > 0), _outline(labels, valid > 0))
    gap = gaps.astype(valid.dtype).reshape(-1, *(1,) * (valid.ndim - 1))
    return reduce_costs(name, costs * (1 + gap * (found != labels)), valid, reduction)


def distances_to_boundary(masks: Array) -> Array:
    """How far each pixel is from the nearest one on the other side, in masks (N, H, W, C).

    0 everywhere for a mask that fills its image, or is empty.

    Examples
    --------
    >>> import numpy as np
    >>> distances_to_boundary(np.array([[[[0], [1], [1], [1]]]], dtype=bool))[0, 0, :, 0]
    array([1., 1., 2., 3.])
    """
    xp, transform = array_module(masks), library_of(masks).ndimage().distance_transform_edt
    maps = []
    for image in masks:
        # The transform of a mask without any other side is meaningless, not zero.
        sides = xp.moveaxis(image, -1, 0)
        far = xp.stack([transform(side) + transform(~side) for side in sides], axis=-1)
        places = tuple(range(image.ndim - 1))
        maps.append(far * (image.any(axis=places) & ~image.all(axis=places)))
    return xp.stack(maps)


def _outline(labels: Array, valid: Array) -> Array:
    """The pixels that have a pixel of another class next to them along an axis."""
    edge = array_module(labels).zeros_like(valid)
    for axis in range(1, labels.ndim):
        before: list[slice] = [slice(None)] * labels.ndim
        after = list(before)
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        one, other = tuple(before), tuple(after)
        differ = (labels[one] != labels[other]) & valid[one] & valid[other]
        edge[one] |= differ
        edge[other] |= differ
    return edge


def _outline_gaps(found: Array, true: Array) -> Array:
    """For each image the mean distance of the found outline from the true one; 0 without either."""
    xp, transform = array_module(found), library_of(found).ndimage().distance_transform_edt
    gaps = []
    for one, other in zip(found, true, strict=True):
        total = xp.where(one & other.any(), transform(~other), 0).sum()
        gaps.append(total / xp.maximum(one.sum(), 1))
    return xp.stack(gaps)
