"""Panoptic quality: one score for finding every segment and for drawing each of them well.

In a panoptic segmentation every pixel belongs to one segment, and every segment has one class:
each car is a segment of its own, the sky is one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.metrics.arguments import as_array

#: The class of each segment, by its number; in a sequence, entry i is the class of segment i.
Classes = Mapping[int, Hashable] | Sequence[Hashable]


@dataclass(frozen=True)
class ClassQuality:
    """The segments of one class: matched, invented, missed.

    Attributes
    ----------
    tp : int
        Matched pairs of a predicted and a true segment.
    fp : int
        Predicted segments without a partner.
    fn : int
        True segments without a partner.
    iou : float
        The sum of the IoU of all matched pairs.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou: float = 0.0

    def __add__(self, other: ClassQuality) -> ClassQuality:
        return ClassQuality(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou + other.iou
        )

    @property
    def sq(self) -> float:
        """Segmentation quality: the mean IoU of the matched pairs; 0 if there is none."""
        return self.iou / self.tp if self.tp else 0.0

    @property
    def rq(self) -> float:
        """Recognition quality: the F1 score of finding segments, TP / (TP + FP/2 + FN/2)."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else math.nan

    @property
    def pq(self) -> float:
        """Panoptic quality, the product of both."""
        return self.sq * self.rq


@dataclass(frozen=True)
class PanopticQuality:
    """What :func:`panoptic_quality` returns; the results of several images add up.

    ``pq``, ``sq`` and ``rq`` are means over the classes that occur, nan if none does; the mean PQ
    is therefore not the product of the other two means. Iterating yields the three.

    Attributes
    ----------
    by_class : dict of class to ClassQuality
    """

    by_class: dict[Hashable, ClassQuality] = field(default_factory=dict)

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        both = dict(self.by_class)
        for name, quality in other.by_class.items():
            both[name] = both.get(name, ClassQuality()) + quality
        return PanopticQuality(both)

    def __iter__(self) -> Iterator[float]:
        return iter((self.pq, self.sq, self.rq))

    @property
    def pq(self) -> float:
        """Panoptic quality, the mean over the classes."""
        return self._mean([quality.pq for quality in self.by_class.values()])

    @property
    def sq(self) -> float:
        """Segmentation quality, the mean over the classes."""
        return self._mean([quality.sq for quality in self.by_class.values()])

    @property
    def rq(self) -> float:
        """Recognition quality, the mean over the classes."""
        return self._mean([quality.rq for quality in self.by_class.values()])

    @staticmethod
    def _mean(scores: list[float]) -> float:
        return math.fsum(scores) / len(scores) if scores else math.nan


def panoptic_quality(
    pred_segments: Array | Tensor,
    true_segments: Array | Tensor,
    pred_classes: Classes,
    true_classes: Classes,
    void: int | None = None,
) -> PanopticQuality:
    r"""Match predicted with true segments, and score both the matching and the matches.

    A predicted and a true segment of one class match if their IoU is above 1/2. As segments do not
    overlap, no segment can have two such partners. For each class then

    .. math:: PQ = \underbrace{\frac{\sum_{TP} \mathrm{IoU}}{|TP|}}_{SQ} \;
              \underbrace{\frac{|TP|}{|TP| + \frac12 |FP| + \frac12 |FN|}}_{RQ}

    Parameters
    ----------
    pred_segments, true_segments : array or Tensor of int (H, W)
        The number of the segment that each pixel belongs to. Numbers need not be consecutive, and
        those of the prediction have nothing to do with those of the truth.
    pred_classes, true_classes : mapping or sequence
        The class of each segment, ``classes[number]``.
    void : int, optional
        The number, in both maps, of pixels without a segment. True void pixels are left out of
        every IoU, and a predicted segment that lies in them with more than half of its pixels is
        no false positive. Pixels that the prediction leaves void belong to no segment.

    Returns
    -------
    PanopticQuality
        With ``pq``, ``sq``, ``rq`` and ``by_class``. Add those of all images before reading them:
        the scores of a data set come from all its segments.

    Raises
    ------
    ValueError
        If the shapes differ, or a segment has no class.
    TypeError
        If a map does not hold integers.

    References
    ----------
    .. [1] A. Kirillov, K. He, R. Girshick, C. Rother and P. Dollar, "Panoptic segmentation",
       CVPR 2019, section 4.

    Examples
    --------
    Two true cars (7 and 9) on a road (4). The first is found but for one pixel, the other missed:

    >>> true = np.array([[7, 7, 7, 4, 9], [7, 7, 4, 4, 4]])
    >>> pred = np.array([[1, 1, 1, 2, 2], [1, 2, 2, 2, 2]])
    >>> found = panoptic_quality(
    ...     pred, true, {1: "car", 2: "road"}, {7: "car", 9: "car", 4: "road"}
    ... )
    >>> found.by_class["car"]
    ClassQuality(tp=1, fp=0, fn=1, iou=0.8)
    >>> round(found.by_class["car"].pq, 4), round(found.by_class["road"].pq, 4)  # road: 4/6
    (0.5333, 0.6667)
    >>> [round(score, 4) for score in found]  # PQ, SQ, RQ
    [0.6, 0.7333, 0.8333]
    """
    pred, true = as_array(pred_segments), as_array(true_segments)
    array_module(pred, true)
    _check_maps(pred, true)
    pred_numbers, true_numbers, shared = _overlaps(pred, true)
    pred_kept, true_kept = (
        np.array([number != void for number in numbers.tolist()], dtype=bool)
        for numbers in (pred_numbers, true_numbers)
    )
    in_void = shared[~true_kept].sum(axis=0)
    pred_sizes, true_sizes = shared.sum(axis=0), shared.sum(axis=1)
    pred_names = _classes_of(pred_numbers[pred_kept], pred_classes, "pred")
    true_names = _classes_of(true_numbers[true_kept], true_classes, "true")

    shared = shared[true_kept][:, pred_kept]
    in_void, pred_sizes = in_void[pred_kept], pred_sizes[pred_kept]
    union = true_sizes[true_kept][:, None] + (pred_sizes - in_void)[None, :] - shared
    same = np.array([[a == b for b in pred_names] for a in true_names], dtype=bool)
    matches = (2 * shared > union) & same.reshape(shared.shape)

    counts: dict[Hashable, ClassQuality] = {}

    def count(name: Hashable, quality: ClassQuality) -> None:
        counts[name] = counts.get(name, ClassQuality()) + quality

    for i, j in zip(*np.nonzero(matches), strict=True):
        count(true_names[i], ClassQuality(tp=1, iou=float(shared[i, j] / union[i, j])))
    for i in np.flatnonzero(~matches.any(axis=1)):
        count(true_names[i], ClassQuality(fn=1))
    for j in np.flatnonzero(~matches.any(axis=0) & (2 * in_void <= pred_sizes)):
        count(pred_names[j], ClassQuality(fp=1))
    return PanopticQuality(counts)


def _check_maps(pred: Array, true: Array) -> None:
    for which, segments in (("pred_segments", pred), ("true_segments", true)):
        if segments.dtype.kind not in "biu":
            raise TypeError(
                f"panoptic_quality: {which} is {segments.dtype}: give the numbers of segments as "
                "integers"
            )
    if tuple(pred.shape) != tuple(true.shape):
        raise ValueError(
            f"panoptic_quality: pred_segments has shape {tuple(pred.shape)} but true_segments "
            f"{tuple(true.shape)}: give two maps of one shape"
        )


def _overlaps(pred: Array, true: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers of both maps, and how many pixels each true and predicted segment share."""
    xp = array_module(pred, true)
    pred_numbers, pred_places = xp.unique(pred.ravel(), return_inverse=True)
    true_numbers, true_places = xp.unique(true.ravel(), return_inverse=True)
    rows, columns = len(true_numbers), len(pred_numbers)
    if pred.size == 0:  # CuPy's bincount refuses an empty array
        return to_numpy(pred_numbers), to_numpy(true_numbers), np.zeros((rows, columns), np.int64)
    pairs = xp.bincount(true_places * columns + pred_places, minlength=rows * columns)
    shared = to_numpy(pairs).reshape(rows, columns).astype(np.int64)
    return to_numpy(pred_numbers), to_numpy(true_numbers), shared


def _classes_of(numbers: np.ndarray, classes: Classes, which: str) -> list[Any]:
    """The class of each segment, as Python values."""
    if not isinstance(classes, (Mapping, list, tuple)):
        classes = to_numpy(as_array(classes)).tolist()
    names: list[Any] = []
    for number in numbers.tolist():
        known = number in classes if isinstance(classes, Mapping) else 0 <= number < len(classes)
        if not known:
            raise ValueError(
                f"panoptic_quality: segment {number} of {which}_segments has no class in "
                f"{which}_classes: add it, or name it with void={number} if it is no segment"
            )
        name = classes[number]
        names.append(name.item() if isinstance(name, np.generic) else name)
    return names
