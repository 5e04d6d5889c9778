"""Scores of a segmentation, counted in one confusion matrix over the whole data set.

Entry ``n[i, j]`` of the matrix counts the pixels whose true class is ``i`` and whose predicted
class is ``j``: rows are the truth, columns the prediction. Of class ``i`` there are

    true positives    TP[i] = n[i, i]
    false negatives   FN[i] = (sum of row i)    - n[i, i]     pixels of class i that were missed
    false positives   FP[i] = (sum of column i) - n[i, i]     pixels wrongly claimed for class i

and every score below is a ratio of such counts. The matrix adds up over batches, so that a score is
computed once, from all pixels; the mean of scores per image is another number.

Two traps. Pixel accuracy flatters: where 78 % of the pixels are background, predicting background
everywhere scores 0.78. And the "class average" that CamVid's tables print is the mean *recall*
TP / (TP + FN), not the mean of (TP + TN) / all, which stays near 1 for any rare class because its
true negatives are counted in.

Sources: J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation"
(CVPR 2015), section 5, for pixel accuracy, mean accuracy, mean IU and frequency weighted IU; P.
Jaccard, "The distribution of the flora in the alpine zone" (New Phytologist, 1912); L. R. Dice,
"Measures of the amount of ecologic association between species" (Ecology, 1945).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.metrics.arguments import as_array

__all__ = ["ConfusionMatrix"]


class ConfusionMatrix:
    """Counts of true class against predicted class, and the scores that follow from them.

    Parameters
    ----------
    num_classes : int
        The number of classes K. Labels are ``0 .. K-1``.
    ignore_index : int, optional
        The label of void pixels in the *target*, inside or outside ``0 .. K-1``. Void pixels are
        not counted, whatever is predicted there. Where the void label is one of the K classes, its
        scores are nan and stay out of the means; predicting it on another class's pixel is a
        mistake like any other.
    class_names : sequence of str, optional
        K names for :meth:`table`. Default: the class numbers.

    Notes
    -----
    A class is absent when neither the truth nor the prediction holds a pixel of it. Its scores are
    0/0: they are ``nan`` and left out of every mean. A class that is predicted but not there has an
    IoU and a Dice of 0, and counts; its recall is 0/0. A mean over no class at all is ``nan``.

    Scores are fractions in 0..1: float64 NumPy arrays of shape (K,), or Python floats.

    Examples
    --------
    >>> matrix = ConfusionMatrix(3, ignore_index=255)
    >>> target = np.array([[0, 0, 0, 1], [0, 1, 1, 255]])
    >>> prediction = np.array([[0, 0, 1, 1], [0, 1, 0, 2]])
    >>> matrix.update(prediction, target)
    >>> matrix.matrix
    array([[3, 1, 0],
           [1, 2, 0],
           [0, 0, 0]])
    >>> matrix.iou()
    array([0.6, 0.5, nan])
    >>> round(matrix.mean_iou(), 4), round(matrix.pixel_accuracy(), 4)
    (0.55, 0.7143)
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.num_classes = _integer(num_classes, "num_classes")
        if self.num_classes < 1:
            raise ValueError(f"ConfusionMatrix: num_classes is {num_classes}; give at least 1")
        self.ignore_index = None if ignore_index is None else _integer(ignore_index, "ignore_index")
        names = map(str, range(self.num_classes)) if class_names is None else class_names
        self.class_names = tuple(names)
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"ConfusionMatrix: {len(self.class_names)} class_names for {self.num_classes} "
                "classes; give one name a class, in the order of the labels"
            )
        self.reset()

    def reset(self) -> None:
        """Set every count back to 0."""
        self._matrix = np.zeros((self.num_classes, self.num_classes), np.int64)

    @property
    def matrix(self) -> np.ndarray:
        """The counts, int64 (K, K), rows the truth: a read-only picture of this moment."""
        view = self._matrix.view()
        view.flags.writeable = False
        return view

    # ------------------------------------------------------------------ counting

    def update(self, prediction: Array | Tensor, target: Array | Tensor) -> None:
        """Count the pixels of one image or of one batch.

        The pixels are counted on the device the arrays are on; K*K numbers are brought back.

        Parameters
        ----------
        prediction : array or Tensor
            Class indices of the target's shape, integer or boolean; or logits (probabilities will
            do), floating, with the K classes before the last two axes, (N, K, H, W) or (K, H, W):
            the class is then the largest along them, the first one of equals.
        target : array or Tensor
            True class indices, (N, H, W), (H, W) or any shape, integer or boolean.

        Raises
        ------
        TypeError
            If an index map is not of an integer or boolean type, or if the two arrays are on
            different devices.
        ValueError
            If the shapes differ, if a label outside ``0 .. K-1`` is found at a pixel that is not
            void, or if logits hold nan. Nothing is counted then.

        Examples
        --------
        >>> matrix = ConfusionMatrix(2)
        >>> logits = np.array([[[2.0, 0.5, 1.0]], [[1.0, 3.0, 4.0]]])  # (K, H, W) = (2, 1, 3)
        >>> matrix.update(logits, np.array([[0, 1, 0]]))
        >>> matrix.matrix
        array([[1, 1],
               [0, 1]])
        """
        truth, predicted = as_array(target), as_array(prediction)
        xp = array_module(predicted, truth)
        _check_index_type(truth, "target")
        if predicted.dtype.kind == "f" and predicted.ndim == truth.ndim + 1:
            predicted = self._argmax(xp, predicted, truth)
        _check_index_type(predicted, "prediction")
        if predicted.shape != truth.shape:
            raise ValueError(
                f"ConfusionMatrix.update: prediction has shape {predicted.shape} but target "
                f"{truth.shape}; give class indices of equal shape, or logits with the "
                f"{self.num_classes} classes before the rows and columns"
            )
        self._matrix = self._matrix + self._count(xp, predicted, truth)

    def _argmax(self, xp: Any, logits: Array, truth: Array) -> Array:
        """The class of the largest logit at each pixel."""
        classes_axis = logits.ndim - 3
        spatial = logits.shape[:classes_axis] + logits.shape[classes_axis + 1 :]
        if classes_axis < 0 or spatial != truth.shape:
            raise ValueError(
                f"ConfusionMatrix.update: logits of shape {logits.shape} do not fit a target of "
                f"shape {truth.shape}; give logits (N, {self.num_classes}, H, W) with a target "
                f"(N, H, W), or ({self.num_classes}, H, W) with (H, W)"
            )
        if logits.shape[classes_axis] != self.num_classes:
            hint = "use a network with as many outputs as there are classes"
            if logits.shape[classes_axis] == 1:
                hint = "of a one-map network pass the class map `logits[:, 0] > 0`"
            raise ValueError(
                f"ConfusionMatrix.update: logits of shape {logits.shape} hold "
                f"{logits.shape[classes_axis]} maps for {self.num_classes} classes; {hint}"
            )
        if bool(to_numpy(xp.isnan(logits).any())):
            raise ValueError(
                "ConfusionMatrix.update: the logits hold nan, so no class is the largest; find "
                "where training diverged (a lower learning rate often helps)"
            )
        return logits.argmax(axis=classes_axis)

    def _count(self, xp: Any, predicted: Array, truth: Array) -> np.ndarray:
        """The (K, K) counts of one update."""
        k = self.num_classes
        if truth.size == 0:  # CuPy's bincount refuses an empty array
            return np.zeros((k, k), np.int64)
        truth, predicted = truth.astype(np.int64).ravel(), predicted.astype(np.int64).ravel()
        bad = (truth < 0) | (truth >= k) | (predicted < 0) | (predicted >= k)
        # Bin i*K + j counts the pair (i, j); two bins more collect the bad and the void pixels, so
        # that one transfer from the device tells everything.
        pair = xp.where(bad, k * k, truth * k + predicted)
        if self.ignore_index is not None:
            pair = xp.where(truth == self.ignore_index, k * k + 1, pair)
        counts = to_numpy(xp.bincount(pair, minlength=k * k + 2))
        if counts[k * k]:
            counted = to_numpy(pair) != k * k + 1
            self._refuse("target", to_numpy(truth)[counted])
            self._refuse("prediction", to_numpy(predicted)[counted])
        return counts[: k * k].reshape(k, k).astype(np.int64)

    def _refuse(self, name: str, labels: np.ndarray) -> None:
        """Raise for the first label outside 0 .. K-1, if there is one."""
        outside = labels[(labels < 0) | (labels >= self.num_classes)]
        if outside.size == 0:
            return
        hint = "check num_classes"
        if set(np.unique(labels).tolist()) <= {0, 255}:
            hint = "this is a mask stored as 0 and 255: turn it into classes with `mask > 127`"
        elif name == "target" and self.ignore_index is None:
            hint += f", or pass ignore_index={outside[0]} if that label means void"
        raise ValueError(
            f"ConfusionMatrix.update: {name} holds the label {outside[0]} at {outside.size} "
            f"pixel(s), outside 0..{self.num_classes - 1} of {self.num_classes} classes; {hint}"
        )

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix of the same classes and void label to this one.

        Raises
        ------
        ValueError
            If ``num_classes`` or ``ignore_index`` differ.
        """
        mine = (self.num_classes, self.ignore_index)
        theirs = (other.num_classes, other.ignore_index)
        if mine != theirs:
            raise ValueError(
                "ConfusionMatrix.merge: (num_classes, ignore_index) is "
                f"{mine} here but {theirs} there; merge matrices made with the same arguments"
            )
        self._matrix = self._matrix + other._matrix

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """A new matrix with the counts of both; see :meth:`merge`."""
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        total = ConfusionMatrix(self.num_classes, self.ignore_index, self.class_names)
        total.merge(self)
        total.merge(other)
        return total

    # ------------------------------------------------------------------ scores of each class

    def iou(self) -> np.ndarray:
        """Intersection over union (Jaccard's index) of each class, TP / (TP + FP + FN).

        Returns
        -------
        ndarray
            (K,) float64, nan where a class is absent.
        """
        hit, true, claimed = self._hits_rows_columns()
        return self._ratio(hit, true + claimed - hit)

    def dice(self) -> np.ndarray:
        """Dice's coefficient of each class, 2 TP / (2 TP + FP + FN) = 2 IoU / (1 + IoU).

        Returns
        -------
        ndarray
            (K,) float64, nan where a class is absent.
        """
        hit, true, claimed = self._hits_rows_columns()
        return self._ratio(2 * hit, true + claimed)

    def class_accuracy(self) -> np.ndarray:
        """Recall of each class: the share of its true pixels that were found, TP / (TP + FN).

        Returns
        -------
        ndarray
            (K,) float64, nan where the truth holds no pixel of the class.
        """
        hit, true, _ = self._hits_rows_columns()
        return self._ratio(hit, true)

    # ------------------------------------------------------------------ one number for all

    def pixel_accuracy(self) -> float:
        """The share of all counted pixels that are right: sum(TP) / sum(n).

        nan if nothing was counted. Tables of results call it global accuracy.
        """
        total = int(self._matrix.sum())
        return int(self._matrix.trace()) / total if total else float("nan")

    def mean_iou(self) -> float:
        """The mean of :meth:`iou` over the classes that are present."""
        return _mean(self.iou())

    def mean_dice(self) -> float:
        """The mean of :meth:`dice` over the classes that are present."""
        return _mean(self.dice())

    def mean_class_accuracy(self) -> float:
        """The mean of :meth:`class_accuracy` over the classes of the truth.

        The "class average" of CamVid's tables.
        """
        return _mean(self.class_accuracy())

    def frequency_weighted_iou(self) -> float:
        """The mean of :meth:`iou`, each class weighted by its number of true pixels.

        nan if nothing was counted.
        """
        pixels = self._matrix.sum(axis=1)
        there = pixels > 0
        if not there.any():
            return float("nan")
        return float((pixels[there] * self.iou()[there]).sum() / pixels.sum())

    # ------------------------------------------------------------------ helpers

    def _hits_rows_columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """TP, TP + FN (true pixels) and TP + FP (claimed pixels) of each class."""
        return self._matrix.diagonal(), self._matrix.sum(axis=1), self._matrix.sum(axis=0)

    def _ratio(self, part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """part / whole, nan for 0/0 and for a void class."""
        scores = np.full(self.num_classes, np.nan)
        np.divide(part, whole, out=scores, where=whole > 0)
        if self.ignore_index is not None and 0 <= self.ignore_index < self.num_classes:
            scores[self.ignore_index] = np.nan
        return scores

    # ------------------------------------------------------------------ reading it

    def table(self) -> str:
        """The scores as plain text: a line a class, then the means.

        Examples
        --------
        >>> matrix = ConfusionMatrix(3, class_names=["sky", "road", "sign"])
        >>> matrix.update(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1]))
        >>> print(matrix.table())
        class  pixels     IoU    Dice  recall
        sky         2  0.6667  0.8000  1.0000
        road        3  0.6667  0.8000  0.6667
        sign        0       -       -       -
        mean        5  0.6667  0.8000  0.8333
        pixel accuracy 0.8000, frequency weighted IoU 0.6667
        """
        names = ["class", *self.class_names, "mean"]
        pixels = ["pixels", *self._matrix.sum(axis=1), self._matrix.sum()]
        columns = [
            ["IoU", *map(_show, self.iou()), _show(self.mean_iou())],
            ["Dice", *map(_show, self.dice()), _show(self.mean_dice())],
            ["recall", *map(_show, self.class_accuracy()), _show(self.mean_class_accuracy())],
        ]
        name_width = max(map(len, names))
        pixel_width = max(len(str(count)) for count in pixels)
        lines = [
            f"{name:<{name_width}}  {count:>{pixel_width}}  "
            + "  ".join(f"{score:>6}" for score in scores)
            for name, count, *scores in zip(names, pixels, *columns, strict=True)
        ]
        lines.append(
            f"pixel accuracy {_show(self.pixel_accuracy())}, "
            f"frequency weighted IoU {_show(self.frequency_weighted_iou())}"
        )
        return "\n".join(lines)

    __str__ = table

    def __repr__(self) -> str:
        void = "" if self.ignore_index is None else f", ignore_index={self.ignore_index}"
        return (
            f"ConfusionMatrix(num_classes={self.num_classes}{void}: {int(self._matrix.sum())} "
            f"pixels, mean IoU {_show(self.mean_iou())}, "
            f"pixel accuracy {_show(self.pixel_accuracy())})"
        )


def _integer(value: Any, name: str) -> int:
    """``value`` as an int; TypeError for anything that is not a whole number."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"ConfusionMatrix: {name} is {value!r} of type {type(value).__name__}; give an int"
        ) from None


def _check_index_type(labels: Array, name: str) -> None:
    """Refuse class indices that are not integers or booleans."""
    if labels.dtype.kind in "iub":
        return
    hint = f"convert it with {name}.astype('int64')"
    if labels.dtype.kind == "f":
        values = set(np.unique(to_numpy(labels)).tolist())
        if 255.0 in values and values <= {0.0, 255.0}:
            hint = "this is a mask stored as 0 and 255: turn it into classes with `mask > 127`"
        elif not values <= {float(label) for label in range(256)}:
            hint = "threshold or argmax it first: these are not whole numbers"
    raise TypeError(
        f"ConfusionMatrix.update: {name} has dtype {labels.dtype} and shape {labels.shape}, but "
        f"class indices are integers or booleans; {hint}"
    )


def _mean(scores: np.ndarray) -> float:
    """The mean of the scores that are not nan; nan if all are."""
    there = scores[~np.isnan(scores)]
    return float(there.mean()) if there.size else float("nan")


def _show(score: float) -> str:
    """Four digits, or a dash for nan."""
    return "-" if np.isnan(score) else f"{score:.4f}"
