"""The training loop: epochs of steps, a score after each, and everything needed to go on later."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import asdict, fields
from typing import Any

from minisegnet import backend, nn
from minisegnet.autograd import Tensor
from minisegnet.backend import Array
from minisegnet.optim import Optimizer, clip_grad_norm_on_device_
from minisegnet.replay import Flags, deferred
from minisegnet.train.capture import CapturedStep
from minisegnet.train.divergence import layer_to_blame
from minisegnet.train.inference import (
    Batch,
    DivergedError,
    Evaluation,
    Loss,
    as_array,
    centre_crop,
    device_of_model,
    evaluate,
)
from minisegnet.train.progress import Epoch, ExplodedError, Losses, Progress
from minisegnet.train.state import check_state, check_weights, first_not_finite

__all__ = ["Epoch", "Progress", "Trainer"]


class Trainer:
    """Trains a network, scores it after every epoch, and can be saved and taken up again.

    Parameters
    ----------
    model : Module
        From images (N, C, H, W) to logits (N, K, H, W). Everything happens on its device. One
        whose ``auxiliary_weight`` is not 0 is trained by ``forward_with_auxiliary(images)``, which
        gives its logits and then auxiliary ones: their loss is added, so many times. Logits
        smaller than the input (unpadded convolutions) are compared with the central part of the
        mask while training; when scoring, the images are mirrored outwards instead.
    loss : callable
        From logits and target (N, H, W) to one value, such as ``losses.cross_entropy``.
    optimizer : Optimizer
    num_classes : int
    schedule : schedule of ``minisegnet.optim``, optional
        Stepped after every epoch, or after every step of the optimizer.
    schedule_every : {"epoch", "step"}
    ignore_index : int, optional
        The label of void pixels, for the scores. A loss has an ``ignore_index`` of its own.
    clip_grad : float, optional
        The length to which the gradients of a step, all taken together, are shortened.
    capture : bool
        Record the step as a CUDA graph and launch that (on a GPU only): see
        :mod:`minisegnet.train.capture`.

    Attributes
    ----------
    history : list of Epoch
    best_epoch : int
        The epoch with the best mean IoU, the latest one without validation; 0 before the first.

    Examples
    --------
    >>> import numpy as np
    >>> from minisegnet import losses, optim
    >>> from minisegnet.models import UNet
    >>> backend.manual_seed(7)
    >>> model = UNet(1, 2, base=2, depth=1)
    >>> image = np.linspace(0, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)
    >>> batch = (image, (image[:, 0] > 0.5).astype(np.int64))
    >>> optimizer = optim.Adam(model.parameters(), lr=0.01)
    >>> trainer = Trainer(model, losses.cross_entropy, optimizer, num_classes=2)
    >>> history = trainer.fit([batch], [batch], epochs=3)
    >>> len(history), history[0].train_loss > history[2].train_loss
    (3, True)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: Optimizer,
        *,
        num_classes: int,
        schedule: Any = None,
        schedule_every: str = "epoch",
        ignore_index: int | None = None,
        clip_grad: float | None = None,
        capture: bool = False,
    ) -> None:
        if schedule_every not in ("epoch", "step"):
            raise ValueError(
                f"Trainer: schedule_every is {schedule_every!r}: choose 'epoch' or 'step'"
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.schedule, self.schedule_every = schedule, schedule_every
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.clip_grad = clip_grad
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self._latest: Any = None  # the batch of the last step
        self._flags = Flags()
        self._checked = False  # whether a whole step has been checked at once
        self._captured: CapturedStep | None = None
        if capture:
            device = device_of_model(model)
            self._captured = CapturedStep(self._step_on_device, model, optimizer, device)

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
            Gone through once an epoch. A ``DataLoader`` is set to the epoch that is due, so that
            its order and its augmentation are those of a run that was never interrupted.
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
        DivergedError
            If a loss, a weight or a logit is no longer finite, or a loss 1000 times the first.
            The message names the step; the model has its weights from before this epoch again.
        ValueError
            If there is no batch, or batches, model and loss do not fit each other.
        """
        while self.epoch < epochs:
            start = time.perf_counter()
            good = {name: array.copy() for name, array in self.model.state_dict().items()}
            try:
                train_loss = self._train_epoch(train_batches, epochs, on_step)
                scores = self._score(val_batches)
            except DivergedError:
                self.model.load_state_dict(good)
                raise
            self._finish_epoch(train_loss, scores, time.perf_counter() - start)
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
        if hasattr(batches, "epoch"):
            batches.epoch = self.epoch
        steps = len(batches) if isinstance(batches, Sized) else 0
        losses = Losses(self.history[0].train_loss if self.history else None, self._flags)
        step = 0
        self.model.train()
        try:
            for step, (images, masks) in enumerate(batches, start=1):
                losses.add(self._step(images, masks), len(images))
                losses.read_if_due()
                if on_step is not None:
                    on_step(Progress(self.epoch + 1, epochs, step, steps, losses.mean()))
            losses.read()
        except ExplodedError as found:
            raise self._diverged(f"the loss is {found.value:.4g} at step {found.step}") from None
        if step == 0:
            raise ValueError("fit: there is no batch to train on: give at least one")
        if first_not_finite(self.model.state_dict()) is not None:
            raise self._diverged(f"a weight is no longer finite after step {step}")
        return losses.mean()

    def _step(self, images: Any, masks: Any) -> Array:
        """One step of the optimizer; its loss stays on the device."""
        self._latest = images
        # A mask with wrong labels mostly comes first: then the message can say which. Later ones
        # are noted on the device, so that no step waits for it.
        with deferred(self._flags) if self._checked else contextlib.nullcontext():
            if self._captured is not None:
                loss = self._captured(images, masks)
            else:
                device = device_of_model(self.model)
                loss = self._step_on_device(as_array(images, device), as_array(masks, device))
        self._checked = True
        if self.schedule is not None and self.schedule_every == "step":
            self.schedule.step()
        return loss

    def _step_on_device(self, images: Array, masks: Array) -> Array:
        loss = self._objective(Tensor(images), masks)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_grad is not None:
            clip_grad_norm_on_device_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        return loss.data

    def _objective(self, images: Tensor, masks: Array) -> Tensor:
        """The loss of the logits, and that of auxiliary logits by the weight the model gives."""
        model: Any = self.model
        weight = getattr(model, "auxiliary_weight", 0.0)
        if not weight:
            return self._loss(model(images), masks)
        logits, *auxiliary = model.forward_with_auxiliary(images)
        loss = self._loss(logits, masks)
        for others in auxiliary:
            if others.shape[2:] != logits.shape[2:]:
                raise ValueError(
                    f"{type(model).__name__}: auxiliary logits are {tuple(others.shape)} and "
                    f"the logits {tuple(logits.shape)}: bring them to one height and width"
                )
            loss = loss + weight * self._loss(others, masks)
        return loss

    def _loss(self, logits: Tensor, masks: Array) -> Tensor:
        target = centre_crop(masks, (logits.shape[2], logits.shape[3]))
        return self.loss(logits, Tensor(target))

    def _diverged(self, what: str) -> DivergedError:
        epoch = self.epoch + 1
        where = layer_to_blame(self.model, self._latest)
        return DivergedError(
            f"training diverged: {what} of epoch {epoch}; {where}",
            "The weights from before that epoch are kept: go on from them, or begin anew, with a "
            "tenth of the learning rate",
        )

    def _score(self, batches: Iterable[Batch] | None) -> Evaluation:
        try:
            return evaluate(
                self.model,
                () if batches is None else batches,
                num_classes=self.num_classes,
                loss=self.loss,
                ignore_index=self.ignore_index,
            )
        except DivergedError:
            raise self._diverged(
                "the logits in validation are not finite after the last step"
            ) from None

    def _finish_epoch(self, train_loss: float, scores: Evaluation, seconds: float) -> None:
        if self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step()
        row = Epoch(
            epoch=self.epoch + 1,
            train_loss=train_loss,
            val_loss=scores.loss,
            pixel_accuracy=scores.matrix.pixel_accuracy(),
            mean_iou=scores.matrix.mean_iou(),
            seconds=round(seconds, 3),
        )
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        if best is None or math.isnan(best.mean_iou) or row.mean_iou > best.mean_iou:
            self.best_epoch = row.epoch
        self.history.append(row)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, for ``minisegnet.save``."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "generator": backend.generator().bit_generator.state,
            "history": [asdict(row) for row in self.history],
            "best_epoch": self.best_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state_dict` was taken; the next epoch is the one it would have been.

        Raises
        ------
        ValueError
            If the state is not one of a trainer, or belongs to another model or optimizer.
        """
        check_state(state, {field.name for field in fields(Epoch)})
        check_weights(state["model"], "Trainer.load_state_dict")
        if (state["schedule"] is None) != (self.schedule is None):
            having = "this trainer" if state["schedule"] is None else "the state"
            raise ValueError(
                f"Trainer.load_state_dict: of the state and this trainer only {having} has a "
                "schedule: build the trainer with the schedule that it had, or none if it had none"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        backend.generator().bit_generator.state = state["generator"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.best_epoch = int(state["best_epoch"])
