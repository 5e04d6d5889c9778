"""Training for long takes no more memory than training for short."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import losses, nn, optim
from minisegnet.data import DataLoader, Shapes, transforms
from minisegnet.train import Trainer
from minisegnet.train.schedules import CosineCycles

STEPS_AN_EPOCH = 25
MOST_GROWTH = 30_000
"""Bytes: a history row and Python's own bookkeeping, but no picture, map or gradient of any step."""


def trainer_and_batches():
    ms.manual_seed(2)
    model = ms.models.UNet(3, 3, base=2, depth=1)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    trainer = Trainer(
        model,
        losses.dice,
        optimizer,
        num_classes=3,
        schedule=CosineCycles(optimizer, 40),
        schedule_every="step",
    )
    varied = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.Brightness(0.2)])
    shapes = Shapes(2 * STEPS_AN_EPOCH, 16, 3, seed=1)
    return trainer, DataLoader(shapes, 2, shuffle=True, seed=4, transform=varied)


def held_after(epochs: int, trainer: Trainer, batches: DataLoader) -> int:
    trainer.fit(batches, [next(iter(batches))], epochs=epochs)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.slow
def test_500_steps_hold_no_more_than_100():
    trainer, batches = trainer_and_batches()
    tracemalloc.start()
    try:
        early = held_after(100 // STEPS_AN_EPOCH, trainer, batches)
        late = held_after(600 // STEPS_AN_EPOCH, trainer, batches)
    finally:
        tracemalloc.stop()
    assert trainer.epoch == 24
    assert late - early < MOST_GROWTH, f"{late - early} bytes more after 500 more steps"


@pytest.mark.slow
def test_memory_does_not_wait_for_the_garbage_collector():
    """A step's graph goes when the step is over, for there is no circle in it."""
    trainer, batches = trainer_and_batches()
    trainer.fit(batches, epochs=1)
    images, masks = next(iter(batches))
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        trainer._step(images, masks)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            trainer._step(images, masks)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    finally:
        gc.enable()
    assert after - before < MOST_GROWTH


@pytest.mark.parametrize("looked_at", [False, True])
def test_what_a_failed_step_held_is_let_go(looked_at):
    """An error in the middle of a network, caught, keeps no map alive."""

    class Failing(nn.Module):
        def forward(self, x):
            seen.append(weakref.ref(x))
            raise ValueError("no")

    seen: list[weakref.ref] = []
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Failing())

    def attempt():
        context = ms.detect_anomaly() if looked_at else ms.no_grad()
        try:
            with context:
                model(np.ones((1, 1, 6, 8), np.float32))
        except ValueError:
            return True
        return False

    assert attempt()
    gc.collect()
    assert seen[0]() is None
