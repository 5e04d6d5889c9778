"""The training loop: epochs of steps, a score after each, and everything needed to go on later."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minisegnet import backend, nn, optim
from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, to_numpy
from minisegnet.train.inference import (
    Batch,
    Evaluation,
    Loss,
    as_array,
    centre_crop,
    device_of_model,
    evaluate,
)

__all__ = ["Diverged", "Epoch", "Progress", "Trainer", "fit", "history_csv"]

SECONDS_BETWEEN_READINGS = 0.25
"""Reading a loss makes a GPU finish its queue: often enough to watch, too seldom to slow it."""


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the model has its weights of the last good epoch."""


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss, val_loss : float
        Means over the images; ``val_loss`` is nan without a validation set.
    pixel_accuracy, mean_iou : float
        On the validation set, fractions; nan without one.
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


class _Losses:
    """The losses of an epoch: kept on the device, read from it now and then, several at once."""

    def __init__(self) -> None:
        self._waiting: list[Array] = []
        self._read: list[float] = []
        self._weights: list[int] = []
        self._last_reading = -math.inf

    def add(self, loss: Array, weight: int) -> None:
        self._waiting.append(loss.reshape(()))
        self._weights.append(weight)

    def due(self) -> bool:
        return time.monotonic() - self._last_reading >= SECONDS_BETWEEN_READINGS

    def read(self) -> None:
        """Bring the waiting losses to the host.

        Raises
        ------
        _NotFinite
            If one of them is nan or infinite.
        """
        if self._waiting:
            xp = array_module(self._waiting[0])
            values = to_numpy(xp.stack(self._waiting)).astype(np.float64)
            self._waiting = []
            self._read += values.tolist()
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                raise _NotFinite(len(self._read) - len(values) + int(bad[0]), values[bad[0]])
        self._last_reading = time.monotonic()

    def mean(self) -> float:
        """The mean of what has been read, weighted by the images of each step."""
        weights = self._weights[: len(self._read)]
        return float(np.average(self._read, weights=weights)) if weights else math.nan


class _NotFinite(Exception):
    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value


class Trainer:
    """Trains a network, scores it after every epoch, and can be saved and taken up again.

    Parameters
    ----------
    model : Module
        From images (N, C, H, W) to logits (N, K, H, W). Its device is where everything happens.
        Logits smaller than the input (unpadded convolutions) are compared with the central part
        of the mask while training; see :func:`minisegnet.train.evaluate` for whole images.
    loss : callable
        From logits and target (N, H, W) to one value, such as ``losses.cross_entropy``.
    optimizer : Optimizer
    num_classes : int
    schedule : Schedule, optional
        Stepped after every epoch, or after every step of the optimizer.
    schedule_every : {"epoch", "step"}
    ignore_index : int, optional
        The label of void pixels, for the scores. A loss has its own ``ignore_index``.
    prepare : callable, optional
        Applied to every batch of images on the device, such as ``Normalize(mean, std)``.

    Attributes
    ----------
    history : list of Epoch
    best_state : dict
        The ``state_dict()`` of the epoch with the best mean IoU (the latest one without a
        validation set).
    best_epoch : int
        That epoch; 0 before the first.

    Examples
    --------
    >>> from minisegnet import losses, optim
    >>> from minisegnet.models import UNet
    >>> backend.manual_seed(7)
    >>> model = UNet(1, 2, base=2, depth=1)
    >>> image = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> batch = (image, (image[:, 0] > 0.5).astype(np.int64))
    >>> trainer = Trainer(model, losses.cross_entropy, optim.Adam(model.parameters(), lr=0.01),
    ...                   num_classes=2)
    >>> history = trainer.fit([batch], [batch], epochs=3)
    >>> len(history), history[0].train_loss > history[2].train_loss
    (3, True)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: optim.Optimizer,
        *,
        num_classes: int,
        schedule: Any = None,
        schedule_every: str = "epoch",
        ignore_index: int | None = None,
        prepare: Callable[[Array], Array] | None = None,
    ) -> None:
        if schedule_every not in ("epoch", "step"):
            raise ValueError(
                f"Trainer: schedule_every is {schedule_every!r}: choose 'epoch' or 'step'"
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.schedule, self.schedule_every = schedule, schedule_every
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.prepare = prepare
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best_state: dict[str, Any] = {}

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    def fit(
        self,
        train_batches: Iterable[Batch],
        val_batches: Iterable[Batch] | None = None,
        *,
        epochs: int,
        on_step: Callable[[Progress], object] | None = None,
        on_epoch: Callable[[Epoch], object] | None = None,
    ) -> list[Epoch]:
        """Train until ``epochs`` are done in all, those before this call included.

        Parameters
        ----------
        train_batches : iterable of (images (N, C, H, W), masks (N, H, W))
            Gone through once an epoch. If it has ``set_epoch``, that is called first with the
            number of epochs done, so that its order can depend on it.
        val_batches : the same, optional
            Scored after every epoch; whole images of any size.
        epochs : int
        on_step : callable, optional
            Gets a :class:`Progress` after every step.
        on_epoch : callable, optional
            Gets the :class:`Epoch` when it is complete: the moment to save.

        Returns
        -------
        list of Epoch
            The whole history.

        Raises
        ------
        Diverged
            If a loss is nan or infinite. The message names the step.
        """
        while self.epoch < epochs:
            start = time.perf_counter()
            train_loss = self._train_epoch(train_batches, epochs, on_step)
            scores = self._score(val_batches)
            self.history.append(
                Epoch(
                    epoch=self.epoch + 1,
                    train_loss=train_loss,
                    val_loss=scores.loss,
                    pixel_accuracy=scores.matrix.pixel_accuracy(),
                    mean_iou=scores.matrix.mean_iou(),
                    seconds=round(time.perf_counter() - start, 3),
                )
            )
            self._keep_best()
            if on_epoch is not None:
                on_epoch(self.history[-1])
        return self.history

    def _train_epoch(
        self,
        batches: Iterable[Batch],
        epochs: int,
        on_step: Callable[[Progress], object] | None,
    ) -> float:
        """The mean loss of one epoch of steps."""
        steps = _length(batches)
        losses = _Losses()
        good = _copy(self.model.state_dict())
        self.model.train()
        try:
            for step, (images, masks) in enumerate(_epoch_of(batches, self.epoch), start=1):
                losses.add(self._step(images, masks), len(images))
                if losses.due():
                    losses.read()
                if on_step is not None:
                    on_step(Progress(self.epoch + 1, epochs, step, steps, losses.mean()))
            losses.read()
        except _NotFinite as found:
            self.model.load_state_dict(good)
            raise Diverged(self._why(found.step + 1, found.value)) from None
        if not losses.steps:
            raise ValueError("fit: there is no batch to train on: give one picture or more")
        return losses.mean()

    def _step(self, images: Any, masks: Any) -> Array:
        """One step of the optimizer; the loss stays on the device."""
        device = device_of_model(self.model)
        batch, target = as_array(images, device), as_array(masks, device)
        logits = self.model(Tensor(batch if self.prepare is None else self.prepare(batch)))
        target = centre_crop(target, (logits.shape[2], logits.shape[3]))
        loss = self.loss(logits, Tensor(target))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None and self.schedule_every == "step":
            self.schedule.step()
        return loss.data
