"""Objectives as modules, whose class weights move to the device with the network."""

from __future__ import annotations

from typing import Any, Literal

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.backend import Array
from minisegnet.nn.module import Module
from minisegnet.nn.options import require_choice, require_fraction

Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = ("mean", "sum", "none")


class CrossEntropyLoss(Module):
    """Softmax cross-entropy of logits and class indices.

    Parameters
    ----------
    weight : array (C,), optional
        Of each class.
    ignore_index : int
        A target that does not count (void).
    reduction : "mean", "sum" or "none"
    label_smoothing : float
        Share of the target that is spread over all classes.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.zeros((1, 5, 2, 3), dtype=np.float32)
    >>> target = np.array([[[0, 1, 2], [3, 4, -100]]])
    >>> round(CrossEntropyLoss()(logits, target).item(), 4)  # log 5
    1.6094
    """

    weight: Array | None

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        require_choice("CrossEntropyLoss", "reduction", reduction, _REDUCTIONS)
        require_fraction("CrossEntropyLoss", label_smoothing=label_smoothing)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction: Reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Compare logits (N, C, H, W) with the target (N, H, W)."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing}"
        )


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of logits and targets between 0 and 1.

    Parameters
    ----------
    weight : array, optional
        Of each element; broadcasts.
    reduction : "mean", "sum" or "none"
    pos_weight : array, optional
        Weight of the positive part; broadcasts.

    Raises
    ------
    ValueError
        If the reduction is not known.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.array([[0.0, 30.0, -30.0]], dtype=np.float32)
    >>> target = np.array([[1.0, 1.0, 0.0]], dtype=np.float32)
    >>> round(BCEWithLogitsLoss(reduction="sum")(logits, target).item(), 4)  # log 2
    0.6931
    """

    weight: Array | None
    pos_weight: Array | None

    def __init__(
        self, weight: Any = None, *, reduction: Reduction = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__()
        require_choice("BCEWithLogitsLoss", "reduction", reduction, _REDUCTIONS)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction: Reduction = reduction

    def forward(self, input: Tensor, target: Any) -> Tensor:
        """Compare logits with a target of the same shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )

    def extra_repr(self) -> str:
        """The reduction."""
        return f"reduction={self.reduction!r}"
