"""Scores of a partition: which pixels belong together, whatever the pieces are called.

A picture of cells is good if every cell is one piece: a hole of a pixel in a membrane merges two
cells, and hardly changes the share of right pixels. Both scores here ask of every pair of pixels
whether it lies in one piece of the truth, and in one piece of the prediction.

A segmentation is an array of labels: 0 is what lies between the pieces (the membrane), and every
other number names a piece. Only pixels that are in a piece of the truth count (the scores are
"foreground-restricted" [1]_), and a pixel that the prediction has at 0 is a piece of its own: so
wide membranes in the prediction cost something, and where exactly the true membrane ends does not
matter.

.. [1] I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for
   connectomics", Frontiers in Neuroanatomy 2015, section 2.4. (The challenge thins the membranes of
   the prediction first and takes the best of many thresholds; here the prediction is scored as it
   is.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, library_of, to_numpy
from minisegnet.metrics.arguments import as_array


def connected_pieces(mask: Array | Tensor) -> Array:
    """Number the connected pieces of a mask, from 1; what is outside the mask is 0.

    Parameters
    ----------
    mask : array or Tensor (H, W) or (D, H, W)
        Of zeros and ones, or booleans. Pixels that share a side are connected, those that only
        share a corner are not: a membrane one pixel wide that runs diagonally keeps cells apart.

    Returns
    -------
    array of int, of the same shape

    Examples
    --------
    >>> connected_pieces(np.array([[1, 1, 0, 1], [0, 0, 1, 1]]))
    array([[1, 1, 0, 2],
           [0, 0, 2, 2]], dtype=int32)
    """
    array = as_array(mask)
    pieces, _ = library_of(array).ndimage().label(array != 0)
    return pieces


@dataclass(frozen=True)
class RandScore:
    r"""How well two partitions agree, over all ordered pairs of pixels, each with itself too.

    Attributes
    ----------
    split : float
        Of the pairs in one piece of the truth, the share that is in one piece of the prediction:
        1 if no true piece is split.
    merge : float
        Of the pairs in one piece of the prediction, the share in one piece of the truth: 1 if no
        two true pieces are merged.
    f_score : float
        :math:`V^{Rand}`, their harmonic mean.
    """

    split: float
    merge: float
    f_score: float


def rand_score(prediction: Array | Tensor, target: Array | Tensor) -> RandScore:
    r"""The foreground-restricted Rand F-score.

    With :math:`p_{ij}` the share of the counted pixels that lie in piece i of the prediction and
    piece j of the truth, :math:`s_i = \sum_j p_{ij}` and :math:`t_j = \sum_i p_{ij}`,

    .. math:: V^{Rand}_{split} = \frac{\sum_{ij} p_{ij}^2}{\sum_j t_j^2}, \quad
              V^{Rand}_{merge} = \frac{\sum_{ij} p_{ij}^2}{\sum_i s_i^2}, \quad
              V^{Rand} = \frac{\sum_{ij} p_{ij}^2}
                         {\frac{1}{2} \sum_i s_i^2 + \frac{1}{2} \sum_j t_j^2}

    which is the paper's :math:`V^{Rand}_\alpha` at :math:`\alpha = 1/2` [1]_.

    Parameters
    ----------
    prediction, target : array or Tensor of int (H, W) or (D, H, W)
        Labels of pieces, 0 between them. Of masks, :func:`connected_pieces` makes them.

    Returns
    -------
    RandScore
        All nan where the truth has no piece.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes differ, or a label is negative.

    References
    ----------
    .. [1] I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms
       for connectomics", Frontiers in Neuroanatomy 2015, section 2.4.

    Examples
    --------
    The truth has a cell of 2 pixels and one of 4; the prediction merges the first with one pixel
    of the second, and takes another one of it for membrane. Counts: 2, 1, 2 and 1.

    >>> target = np.array([[1, 1, 0, 2], [0, 2, 2, 2]])
    >>> prediction = np.array([[5, 5, 5, 7], [0, 5, 0, 7]])
    >>> score = rand_score(prediction, target)
    >>> score.split, score.merge  # (4 + 1 + 4 + 1) / (4 + 16), and / (9 + 4 + 1)
    (0.5, 0.714...)
    >>> score.f_score
    0.588...
    """
    both, predicted, true = _pieces("rand_score", prediction, target)
    if not true.size:
        return RandScore(math.nan, math.nan, math.nan)
    shared, in_prediction, in_truth = (_squares(sizes) for sizes in (both, predicted, true))
    return RandScore(
        shared / in_truth, shared / in_prediction, 2 * shared / (in_prediction + in_truth)
    )


def adjusted_rand_index(prediction: Array | Tensor, target: Array | Tensor) -> float:
    r"""The share of pairs of pixels that two partitions treat alike, chance subtracted.

    Of the pairs of different pixels let a be those in one piece of both partitions, s and t those
    in one piece of the prediction and of the truth, and n all of them. Then

    .. math:: ARI = \frac{a - s t / n}{\frac{1}{2} (s + t) - s t / n}

    where s t / n is what a would be if pieces of the same sizes were drawn at random [1]_.

    Parameters
    ----------
    prediction, target : array or Tensor of int (H, W) or (D, H, W)
        As for :func:`rand_score`, and restricted as there.

    Returns
    -------
    float
        1 for equal partitions, 0 for what chance gives, below 0 for worse; nan where the truth has
        no piece.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes differ, or a label is negative.

    References
    ----------
    .. [1] L. Hubert and P. Arabie, "Comparing partitions", Journal of Classification 1985,
       equation 5.

    Examples
    --------
    >>> target = np.array([[1, 1, 0, 2], [0, 2, 2, 2]])
    >>> prediction = np.array([[5, 5, 5, 7], [0, 5, 0, 7]])
    >>> adjusted_rand_index(prediction, target)  # a = 2, s = 4, t = 7, n = 15
    0.0366...
    """
    both, predicted, true = _pieces("adjusted_rand_index", prediction, target)
    if not true.size:
        return math.nan
    together, in_prediction, in_truth = (_pairs(sizes) for sizes in (both, predicted, true))
    pixels = int(true.sum())
    if pixels == 1:
        return 1.0
    by_chance = in_prediction * in_truth / (pixels * (pixels - 1) // 2)
    most = (in_prediction + in_truth) / 2
    # Both are one piece, or all pixels apart in both: the same partition, and 0/0.
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)


def _pieces(name: str, prediction: Any, target: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in each pair of pieces, in each piece of the prediction, in each of the truth."""
    a, b = as_array(prediction), as_array(target)
    xp = array_module(a, b)
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(
            f"{name}: prediction has shape {tuple(a.shape)} but target {tuple(b.shape)}: give two "
            "segmentations of one shape"
        )
    for which, labels in (("prediction", a), ("target", b)):
        if labels.dtype.kind not in "iu":
            raise TypeError(
                f"{name}: {which} is {labels.dtype}: labels are integers; of a mask, "
                "connected_pieces(mask) makes them"
            )
        if labels.size and int(to_numpy(labels.min())) < 0:
            raise ValueError(f"{name}: {which} holds a label below 0: labels are 0 and above")
    counted = b > 0
    mine, true = a[counted].astype(np.int64), b[counted].astype(np.int64)
    alone = int(to_numpy((mine == 0).sum()))
    pairs = mine[mine > 0] * (int(to_numpy(b.max())) + 1 if b.size else 1) + true[mine > 0]
    ones = np.ones(alone, np.int64)
    return (
        np.concatenate([_sizes(xp, pairs), ones]),
        np.concatenate([_sizes(xp, mine[mine > 0]), ones]),
        _sizes(xp, true),
    )


def _sizes(xp: Any, labels: Array) -> np.ndarray:
    """How many pixels each label has."""
    return to_numpy(xp.unique(labels, return_counts=True)[1]).astype(np.int64)


def _squares(sizes: np.ndarray) -> int:
    return int((sizes**2).sum())


def _pairs(sizes: np.ndarray) -> int:
    return int((sizes * (sizes - 1) // 2).sum())
