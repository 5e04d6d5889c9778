"""Average precision: how well instances are found, boxes or masks, over all confidences.

A detector gives every instance a score. Keeping only those above some score trades precision (how
many of the kept are right) against recall (how many of the true ones are found); the average
precision is the area under that curve, so no threshold on the score has to be chosen.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.checks import did_you_mean
from minisegnet.metrics.arguments import as_array

#: The ten thresholds of COCO, 0.50, 0.55, ... 0.95.
COCO_THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))

INTERPOLATIONS = ("coco", "area")


@dataclass(frozen=True)
class AveragePrecision:
    """What :func:`average_precision` returns.

    Attributes
    ----------
    classes : tuple
        The classes, in order.
    thresholds : tuple of float
        The IoU thresholds.
    table : ndarray (classes, thresholds)
        The average precision of each; nan for a class that the truth does not have.
    """

    classes: tuple[Hashable, ...]
    thresholds: tuple[float, ...]
    table: np.ndarray

    @property
    def ap(self) -> float:
        """The mean over the classes of the truth and over the thresholds; nan if none is there."""
        return _mean(self.table)

    @property
    def by_class(self) -> dict[Hashable, float]:
        """The mean over the thresholds, of each class."""
        return {name: _mean(row) for name, row in zip(self.classes, self.table, strict=True)}

    @property
    def by_threshold(self) -> dict[float, float]:
        """The mean over the classes of the truth, at each threshold."""
        columns = zip(self.thresholds, self.table.T, strict=True)
        return {threshold: _mean(column) for threshold, column in columns}

    def __float__(self) -> float:
        return self.ap


def average_precision(
    predictions: Any,
    truths: Any,
    scores: Any,
    pred_classes: Any = None,
    true_classes: Any = None,
    iou_thresholds: float | Sequence[float] = COCO_THRESHOLDS,
    interpolation: str = "coco",
) -> AveragePrecision:
    r"""Average precision of scored instances, as COCO computes it.

    For each class and each IoU threshold t: the predictions of an image, best score first, each
    take the true instance of the largest IoU that is not taken yet, if that IoU is at least t. Then
    all predictions of all images are put in order of their scores. Among the first k, the hits are

    .. math:: \mathrm{precision}_k = \frac{\mathrm{hits}_k}{k}, \qquad
              \mathrm{recall}_k = \frac{\mathrm{hits}_k}{\text{true instances}}

    The precision at a recall r is the best that is reached at any recall of at least r, 0 beyond
    the last. Its mean over r = 0, 0.01, ... 1 is the average precision.

    Parameters
    ----------
    predictions, truths : sequence of arrays, one for each image
        Masks (instances, H, W), boolean or 0 and 1; or boxes (instances, 4), each (left, top,
        right, bottom), whose area is (right - left) * (bottom - top). An image without instances
        has an empty list.
    scores : sequence of arrays, one for each image
        The confidence of each prediction, (instances,). Equal ones keep the order they come in.
    pred_classes, true_classes : sequence of sequences, one for each image, optional
        The class of each instance. Without, all are of one class, 0.
    iou_thresholds : float or sequence of float
        Above 0 and up to 1.
    interpolation : "coco" or "area"
        The mean of 101 precisions, or the exact area under the same curve (Pascal VOC since 2010).

    Returns
    -------
    AveragePrecision
        With ``ap`` (the mean over all), ``by_class``, ``by_threshold`` and the whole ``table``.

    Raises
    ------
    ValueError
        If the arguments are not of one length for the images or for the instances of one, or boxes
        or masks have not the layout above.

    Notes
    -----
    COCO keeps the 100 best predictions of an image; here all count. There are no crowd regions.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and the
       evaluation code that goes with it.
    .. [2] M. Everingham et al., "The Pascal visual object classes challenge: a retrospective", IJCV
       2015.

    Examples
    --------
    Two images, three true boxes, four predictions. The best hits with an IoU of 4/6, the second
    hits nothing, the third exactly, the last repeats the first:

    >>> truths = [[[0, 0, 3, 2], [5, 5, 9, 8]], [[1, 1, 4, 6]]]
    >>> predictions = [[[0, 0, 2, 2], [6, 0, 8, 4], [0, 0, 3, 1]], [[1, 1, 4, 6]]]
    >>> scores = [[0.9, 0.8, 0.3], [0.6]]
    >>> found = average_precision(
    ...     predictions, truths, scores, iou_thresholds=(0.5, 0.75), interpolation="area"
    ... )
    >>> found.by_threshold  # 1/3 * 1 + 1/3 * 2/3, and 1/3 * 1/3
    {0.5: 0.555..., 0.75: 0.111...}
    >>> round(found.ap, 4)
    0.3333
    """
    if interpolation not in INTERPOLATIONS:
        hint = did_you_mean(str(interpolation), INTERPOLATIONS)
        raise ValueError(f"average_precision: interpolation is {interpolation!r}: {hint}")
    given = (iou_thresholds,) if isinstance(iou_thresholds, Real) else iou_thresholds
    thresholds = tuple(map(float, given))  # type: ignore[arg-type]
    if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(
            f"average_precision: iou_thresholds is {iou_thresholds}: give one or more, above 0 and "
            "up to 1"
        )
    images = _images(predictions, truths, scores, pred_classes, true_classes)
    names = {name for image in images for name in (*image.pred_classes, *image.true_classes)}
    classes = tuple(sorted(names, key=lambda name: (str(type(name)), name)))
    table = np.full((len(classes), len(thresholds)), np.nan)
    for row, name in enumerate(classes):
        parts = [image.of_class(name) for image in images]
        for column, threshold in enumerate(thresholds):
            table[row, column] = _area(parts, threshold, interpolation)
    return AveragePrecision(classes, thresholds, table)


@dataclass(frozen=True)
class _Image:
    """The instances of one image, predictions in descending order of their scores."""

    ious: np.ndarray
    scores: np.ndarray
    pred_classes: list[Any]
    true_classes: list[Any]

    def of_class(self, name: Hashable) -> _Image:
        pred = [i for i, other in enumerate(self.pred_classes) if other == name]
        true = [j for j, other in enumerate(self.true_classes) if other == name]
        return _Image(
            self.ious[pred][:, true], self.scores[pred], [name] * len(pred), [name] * len(true)
        )

    def hits(self, threshold: float) -> np.ndarray:
        """Which predictions get a true instance of their own."""
        free = self.ious.copy()
        hits = np.zeros(len(free), bool)
        for i in range(len(free)):
            best = int(free[i].argmax()) if free.shape[1] else -1
            if best >= 0 and free[i, best] >= threshold:
                hits[i] = True
                free[:, best] = -1.0
        return hits


def _area(images: list[_Image], threshold: float, interpolation: str) -> float:
    """The average precision of one class at one threshold; nan if there is nothing to find."""
    total = sum(len(image.true_classes) for image in images)
    if total == 0:
        return math.nan
    scores = np.concatenate([image.scores for image in images])
    hits = np.concatenate([image.hits(threshold) for image in images])
    found = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    recall = found / total
    precision = found / np.arange(1, len(found) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "area":
        return float((np.diff(recall, prepend=0.0) * best).sum())
    # The first place where the recall is reached; one past the end where it never is.
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0.0)[places].mean())


def _images(
    predictions: Any, truths: Any, scores: Any, pred_classes: Any, true_classes: Any
) -> list[_Image]:
    """The arguments, checked, image by image."""
    for name, values in (("truths", truths), ("scores", scores)):
        if len(values) != len(predictions):
            raise ValueError(
                f"average_precision: there are predictions for {len(predictions)} images but "
                f"{name} for {len(values)}: give one entry for each image, [...] for one image"
            )
    images = []
    for i in range(len(predictions)):
        pred, true = as_array(predictions[i]), as_array(truths[i])
        confidence = to_numpy(as_array(scores[i])).astype(np.float64)
        if confidence.shape != (len(pred),):
            raise ValueError(
                f"average_precision: image {i} has {len(pred)} predictions but scores of shape "
                f"{confidence.shape}: give one score for each"
            )
        order = np.argsort(-confidence, kind="stable")
        names = _names(pred_classes, i, len(pred), "pred_classes")
        images.append(
            _Image(
                _ious(pred, true, i)[order],
                confidence[order],
                [names[j] for j in order],
                _names(true_classes, i, len(true), "true_classes"),
            )
        )
    return images


def _names(classes: Any, image: int, count: int, which: str) -> list[Any]:
    if classes is None:
        return [0] * count
    given = classes[image] if image < len(classes) else ()
    names = given if isinstance(given, (list, tuple)) else to_numpy(as_array(given)).tolist()
    if len(names) != count:
        raise ValueError(
            f"average_precision: image {image} has {count} instances but {len(names)} "
            f"{which}: give one class for each"
        )
    return [name.item() if isinstance(name, np.generic) else name for name in names]


def _ious(pred: Array, true: Array, image: int) -> np.ndarray:
    """The IoU of each prediction with each true instance."""
    if len(pred) == 0 or len(true) == 0:
        return np.zeros((len(pred), len(true)))
    xp = array_module(pred, true)
    shapes = tuple(pred.shape), tuple(true.shape)
    if shapes[0][1:] == shapes[1][1:] == (4,):
        both, pred_sizes, true_sizes = _box_overlaps(xp, pred, true, image)
    elif pred.ndim == true.ndim == 3 and shapes[0][1:] == shapes[1][1:]:
        both, pred_sizes, true_sizes = _mask_overlaps(xp, pred, true)
    else:
        raise ValueError(
            f"average_precision: in image {image} the predictions have shape {shapes[0]} and the "
            f"truths {shapes[1]}: give boxes (instances, 4) or masks (instances, H, W), of one size"
        )
    both, pred_sizes, true_sizes = (to_numpy(x) for x in (both, pred_sizes, true_sizes))
    union = pred_sizes[:, None] + true_sizes[None, :] - both
    return np.divide(both, union, out=np.zeros(both.shape), where=union > 0)


def _box_overlaps(xp: Any, pred: Array, true: Array, image: int) -> tuple[Array, Array, Array]:
    """The areas that boxes share, and those they have."""
    a, b = pred.astype(np.float64), true.astype(np.float64)
    for which, boxes in (("predictions", a), ("truths", b)):
        if bool(to_numpy((boxes[:, 2:] < boxes[:, :2]).any())):
            raise ValueError(
                f"average_precision: in image {image} a box of the {which} ends before it begins: "
                "give (left, top, right, bottom)"
            )
    starts = xp.maximum(a[:, None, :2], b[None, :, :2])
    ends = xp.minimum(a[:, None, 2:], b[None, :, 2:])
    both = xp.maximum(ends - starts, 0).prod(axis=2)
    return both, (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)


def _mask_overlaps(xp: Any, pred: Array, true: Array) -> tuple[Array, Array, Array]:
    """The pixels that masks share, and those they have."""
    # Counts of up to 2^24 pixels are exact in float32, also where a GPU rounds the factors.
    exact = np.float32 if math.prod(pred.shape[1:]) <= 2**24 else np.float64
    a = (pred != 0).reshape(len(pred), -1)
    b = (true != 0).reshape(len(true), -1)
    return a.astype(exact) @ b.astype(exact).T, a.sum(axis=1), b.sum(axis=1)


def _mean(values: np.ndarray) -> float:
    """The mean of the values that are not nan; nan if all are."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else math.nan
