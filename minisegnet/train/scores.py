"""Scores that look at whole predicted masks, not at pixels one by one: boundaries and pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.metrics import (
    adjusted_rand_index,
    boundary_f1,
    connected_pieces,
    rand_score,
)

__all__ = ["BoundaryScores", "RandScores"]


class BoundaryScores:
    """Boundary F1 of each class, averaged over the pictures that have the class.

    A picture has a class if its truth or its prediction does. Void pixels belong to no class, in
    either of the two, and distances are measured as :func:`minisegnet.metrics.boundary_f1` does.

    Parameters
    ----------
    num_classes : int
    ignore_index : int, optional
        The label of void pixels.

    Examples
    --------
    >>> truth = np.array([[[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]])
    >>> scores = BoundaryScores(3)
    >>> scores.update(truth, truth)
    >>> [float(f) for f in scores.by_class()], scores.mean()
    ([1.0, 1.0, nan], 1.0)
    """

    def __init__(self, num_classes: int, ignore_index: int | None = None) -> None:
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self._sums, self._counts = np.zeros(num_classes), np.zeros(num_classes, np.int64)

    def update(self, prediction: Array, target: Array) -> None:
        """Add pictures: predicted and true classes, each (N, H, W)."""
        for mine, true in zip(prediction, target, strict=True):
            counted = true == true if self.ignore_index is None else true != self.ignore_index
            for k in _classes_in(mine[counted], true[counted], self.num_classes):
                self._sums[k] += boundary_f1((mine == k) & counted, (true == k) & counted)
                self._counts[k] += 1

    def by_class(self) -> np.ndarray:
        """The score of each class (K,), float64; nan where no picture has it."""
        scores = np.full(self.num_classes, np.nan)
        there = self._counts > 0
        scores[there] = self._sums[there] / self._counts[there]
        return scores

    def mean(self) -> float:
        """The mean over the classes that some picture has; nan if there is none."""
        return _mean([score for score in self.by_class().tolist() if not math.isnan(score)])


def _classes_in(prediction: Array, target: Array, num_classes: int) -> list[int]:
    """The classes that occur in either."""
    xp = array_module(prediction, target)
    counts = sum(
        to_numpy(xp.bincount(labels, minlength=num_classes)) for labels in (prediction, target)
    )
    return [int(k) for k in np.flatnonzero(counts)]


class RandScores:
    """Rand scores of the connected pieces of one class, averaged over the pictures.

    Parameters
    ----------
    piece : int
        The class whose connected pieces are meant, such as the inside of cells; what is of
        another class, or void, lies between them.

    Examples
    --------
    A torn membrane merges two cells of 4 and 2 pixels:

    >>> truth = np.array([[[1, 1, 0, 1], [1, 1, 0, 1]]])
    >>> torn = np.array([[[1, 1, 1, 1], [1, 1, 0, 1]]])
    >>> scores = RandScores(piece=1)
    >>> scores.update(torn, truth)
    >>> scores.f_score(), scores.split(), scores.merge(), scores.adjusted()
    (0.714..., 1.0, 0.555..., 0.0)
    """

    def __init__(self, piece: int) -> None:
        self.piece = piece
        self._rows: list[tuple[float, float, float, float]] = []

    def update(self, prediction: Array, target: Array) -> None:
        """Add pictures: predicted and true classes, each (N, H, W)."""
        for mine, true in zip(prediction, target, strict=True):
            pieces, truth = (connected_pieces(classes == self.piece) for classes in (mine, true))
            score = rand_score(pieces, truth)
            if not math.isnan(score.f_score):
                adjusted = adjusted_rand_index(pieces, truth)
                self._rows.append((score.f_score, score.split, score.merge, adjusted))

    def f_score(self) -> float:
        """The mean of the foreground-restricted Rand F-score; nan if no picture has a piece."""
        return self._column(0)

    def split(self) -> float:
        """The mean of :attr:`RandScore.split`: 1 if no true piece is split."""
        return self._column(1)

    def merge(self) -> float:
        """The mean of :attr:`RandScore.merge`: 1 if no two true pieces are merged."""
        return self._column(2)

    def adjusted(self) -> float:
        """The mean of the adjusted Rand index."""
        return self._column(3)

    def _column(self, column: int) -> float:
        return _mean([row[column] for row in self._rows])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
