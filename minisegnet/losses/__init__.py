"""Losses for segmentation: functions of logits and a mask, in four families.

- distribution-based (cross-entropy and its kin, focal) average a cost over the pixels;
- region-based (Dice, Jaccard, Tversky, sensitivity-specificity, Lovász) compare a predicted with a
  true region as a whole, so that a small object counts as much as a large one;
- boundary-based (Hausdorff distance, shape-aware) look at how far the outline is off;
- compound (combo, exponential-logarithmic) add up one of the first and one of the second.

What all of them share:

- logits are (N, C, H, W) with a mask of class indices (N, H, W); binary ones are (N, 1, H, W) or
  (N, H, W) with a mask of 0 and 1 (N, H, W), or of probabilities;
- pixels whose target is ``ignore_index`` count for nothing, and a mask that is all void gives a
  loss of 0 with a gradient of 0;
- a label outside the classes is an error that names it (on a GPU the check waits for the mask);
- loss and gradient are finite for logits of any size and for masks without foreground.
"""

from __future__ import annotations

from minisegnet.losses.boundary import hausdorff_distance, shape_aware
from minisegnet.losses.compound import combo, exponential_logarithmic
from minisegnet.losses.distribution import (
    balanced_cross_entropy,
    binary_cross_entropy,
    cross_entropy,
    focal,
    weighted_cross_entropy,
)
from minisegnet.losses.region import (
    dice,
    jaccard,
    log_cosh_dice,
    lovasz_softmax,
    sensitivity_specificity,
    tversky,
)

__all__ = [
    "balanced_cross_entropy",
    "binary_cross_entropy",
    "combo",
    "cross_entropy",
    "dice",
    "exponential_logarithmic",
    "focal",
    "hausdorff_distance",
    "jaccard",
    "log_cosh_dice",
    "lovasz_softmax",
    "sensitivity_specificity",
    "shape_aware",
    "tversky",
    "weighted_cross_entropy",
]
