"""What is known of an epoch: its losses while it runs, then its row in the history."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.replay import Flags

__all__ = ["Epoch", "ExplodedError", "Losses", "Progress"]

SECONDS_BETWEEN_READINGS = 0.25
"""Reading a loss makes a GPU finish its queue: often enough to watch, too seldom to slow it."""

EXPLODED = 1000.0
"""A loss so many times the first one (or 1, if that is more) will not come down to any use."""


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss, val_loss : float
        Means over the images; ``val_loss`` is nan without validation.
    pixel_accuracy, mean_iou : float
        Of the validation, fractions; nan without one.
    seconds : float
        How long training and validation of this epoch took.
    """

    epoch: int
    train_loss: float
    val_loss: float
    pixel_accuracy: float
    mean_iou: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """Where training stands, for a progress bar.

    Attributes
    ----------
    epoch, epochs : int
        The running epoch, from 1, and the total.
    step, steps : int
        Steps done in this epoch, and how many it has.
    loss : float
        The mean of the losses of this epoch that have been read so far; nan before the first.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


class ExplodedError(Exception):
    """A loss that is no number any more, and the step (from 1) that it belongs to."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__(step, value)
        self.step, self.value = step, value


class Losses:
    """The losses of an epoch: kept on the device, read from it now and then, several at once.

    Parameters
    ----------
    usual : float or None
        A loss from the beginning of the run, if there is one already; else the first that is read.
    flags : Flags
        Tell of values that were not allowed; they are read with the losses.

    Examples
    --------
    >>> losses = Losses(usual=None, flags=Flags())
    >>> losses.add(np.float32(4.0).reshape(()), weight=3)
    >>> losses.add(np.float32(2.0).reshape(()), weight=1)
    >>> losses.read()
    >>> losses.values, losses.mean()
    ([4.0, 2.0], 3.5)
    """

    def __init__(self, usual: float | None, flags: Flags) -> None:
        self._usual, self._flags = usual, flags
        self._waiting: list[Array] = []
        self._weights: list[int] = []
        self._last_reading = -math.inf
        self.values: list[float] = []

    def add(self, loss: Array, weight: int) -> None:
        """Add the loss of a step on so many images, without reading it."""
        self._waiting.append(loss.reshape(()))
        self._weights.append(weight)

    def read_if_due(self) -> None:
        """Read, unless that was done a moment ago."""
        if time.monotonic() - self._last_reading >= SECONDS_BETWEEN_READINGS:
            self.read()

    def read(self) -> None:
        """Bring the waiting losses to the host.

        Raises
        ------
        ExplodedError
            If one is not finite, or far above the usual one.
        """
        self._flags.read()
        if self._waiting:
            values = to_numpy(array_module(self._waiting[0]).stack(self._waiting)).tolist()
            self._waiting.clear()
            for value in values:
                self.values.append(float(value))
                if not self._is_usual(value):
                    raise ExplodedError(len(self.values), value)
        self._last_reading = time.monotonic()

    def _is_usual(self, loss: float) -> bool:
        if self._usual is None:
            self._usual = loss
        return abs(loss) < EXPLODED * max(1.0, abs(self._usual))

    def mean(self) -> float:
        """The mean of what has been read, over the images; nan before the first reading."""
        if not self.values:
            return math.nan
        return float(np.average(self.values, weights=self._weights[: len(self.values)]))
