"""Scores of a segmentation: what share of it is right, where its edges are, what it found.

- :mod:`~minisegnet.metrics.confusion` counts pixels: accuracy, IoU, Dice;
- :mod:`~minisegnet.metrics.surface` measures edges: Hausdorff distance, surface Dice, boundary F1;
- :mod:`~minisegnet.metrics.panoptic` and :mod:`~minisegnet.metrics.instances` count objects:
  panoptic quality, average precision;
- :mod:`~minisegnet.metrics.rand` counts pairs of pixels: whether cells are merged or split.
"""

from __future__ import annotations

from minisegnet.metrics.confusion import ConfusionMatrix
from minisegnet.metrics.instances import AveragePrecision, average_precision
from minisegnet.metrics.panoptic import ClassQuality, PanopticQuality, panoptic_quality
from minisegnet.metrics.rand import (
    RandScore,
    adjusted_rand_index,
    connected_pieces,
    rand_score,
)
from minisegnet.metrics.surface import boundary_f1, hausdorff_distance, surface_dice

__all__ = [
    "AveragePrecision",
    "ClassQuality",
    "ConfusionMatrix",
    "PanopticQuality",
    "RandScore",
    "adjusted_rand_index",
    "average_precision",
    "boundary_f1",
    "connected_pieces",
    "hausdorff_distance",
    "panoptic_quality",
    "rand_score",
    "surface_dice",
]
