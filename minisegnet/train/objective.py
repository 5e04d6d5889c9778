"""From the options of a run to its objective: the loss, its class weights, and the optimizer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minisegnet import losses, optim
from minisegnet.autograd import Tensor
from minisegnet.backend import Array, to_device
from minisegnet.data import Dataset, median_frequency_weights
from minisegnet.models import SegmentationModel
from minisegnet.train.inference import Loss
from minisegnet.train.options import OptionError, loss_names

__all__ = ["NO_VOID", "build_loss", "build_optimizer", "class_weights"]

NO_VOID = -100
"""The void label of data that has none: no pixel has it, except where a picture was padded."""

BINARY = frozenset({"binary_cross_entropy", "balanced_cross_entropy"})
"""Losses of one map of logits, foreground against background."""

WEIGHTED = "weighted_cross_entropy"
"""The loss that gets the median-frequency weights of the training masks, asked for or not."""


def takes_weight(name: str) -> bool:
    """Whether a loss takes a weight for each class.

    Examples
    --------
    >>> takes_weight("cross_entropy"), takes_weight("dice")
    (True, False)
    """
    return name not in BINARY and "weight" in inspect.signature(getattr(losses, name)).parameters


def class_weights(options: Mapping[str, Any], train: Dataset) -> list[float] | None:
    """The weight of each class by the training masks; None if all count alike.

    Raises
    ------
    OptionError
        If the loss takes no weights and some were asked for.
    """
    kind = options["class_weights"]
    if kind == "none" and options["loss"] != WEIGHTED:
        return None
    if not takes_weight(options["loss"]):
        weighted = ", ".join(sorted(filter(takes_weight, loss_names())))
        raise OptionError(
            f"--class-weights {kind}: the loss {options['loss']} takes no weights: choose one of "
            f"{weighted}, or no weights"
        )
    weights = median_frequency_weights(train)
    if kind == "root-median-frequency":
        weights = np.sqrt(weights)
    return [float(weight) for weight in weights]


def build_loss(
    name: str, classes: int, void: int | None, weights: list[float] | None = None
) -> Loss:
    """The function of ``minisegnet.losses``, with void label and class weights filled in.

    Of two maps of logits a binary loss gets the difference, for softmax over two classes is the
    sigmoid of that difference.
    """
    function: Callable[..., Tensor] = getattr(losses, name)
    ignore = NO_VOID if void is None else void
    if name not in BINARY:
        function = functools.partial(function, ignore_index=ignore)
        return function if weights is None else _weighted(function, weights)
    if classes != 2:
        raise OptionError(
            f"--loss {name} is for two classes and there are {classes}: choose another, such as "
            "cross_entropy"
        )

    def binary(logits: Tensor, target: Tensor) -> Tensor:
        return function(logits[:, 1] - logits[:, 0], target, ignore_index=ignore)

    return binary


def _weighted(function: Callable[..., Tensor], weights: list[float]) -> Loss:
    """The loss with class weights, which are brought to the device of the logits once."""

    @functools.cache
    def on(device: str) -> Array:
        return to_device(np.array(weights, np.float32), device)

    def weighted(logits: Tensor, target: Tensor) -> Tensor:
        return function(logits, target, weight=on(logits.device))

    return weighted


def build_optimizer(options: Mapping[str, Any], model: SegmentationModel) -> optim.Optimizer:
    """The optimizer over all the weights."""
    shared = {"lr": options["lr"], "weight_decay": options["weight_decay"]}
    momentum = options["momentum"]
    makers: dict[str, Callable[[], optim.Optimizer]] = {
        "muon": lambda: optim.Muon(model.parameters(), momentum=momentum, **shared),
        "adam": lambda: optim.Adam(model.parameters(), **shared),
        "adamw": lambda: optim.AdamW(model.parameters(), **shared),
        "sgd": lambda: optim.SGD(model.parameters(), momentum=momentum, **shared),
        "rmsprop": lambda: optim.RMSprop(model.parameters(), momentum=momentum, **shared),
    }
    return makers[options["optimizer"]]()
