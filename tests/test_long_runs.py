"""Training for long takes no more memory than training for short."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import losses, nn, optim
from minisegnet.data import DataLoader, Shapes
from minisegnet.train import Trainer
from minisegnet.train.schedules import CosineCycles

STATUS = Path("/proc/self/status")
STEPS_AN_EPOCH = 25
MOST_GROWTH = 3 * 2**20
"""Bytes; one map of 32 KiB kept at every step would be 16 MiB."""


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
    # Drawn once: what is looked at here is training, and watching memory is slow.
    return trainer, list(DataLoader(Shapes(2 * STEPS_AN_EPOCH, 32, 3, seed=1), 2))


def most_memory(epochs: int, trainer: Trainer, batches: list, leak: list | None) -> int:
    """Train on, and give the largest memory that this program has ever had, in bytes."""
    keep = (lambda progress: None) if leak is None else (lambda progress: leak.append(a_map()))
    trainer.fit(batches, batches[:1], epochs=epochs, on_step=keep)
    # Not getrusage: its maximum begins with that of the program that started this one.
    (line,) = (x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def a_map() -> np.ndarray:
    return np.ones((2, 4, 32, 32), np.float32)


def main(leak: str) -> None:
    """Print how much more memory 500 steps take after 100: in a process that did nothing else."""
    trainer, batches = trainer_and_batches()
    kept: list | None = [] if leak == "leak" else None
    early = most_memory(100 // STEPS_AN_EPOCH, trainer, batches, kept)
    late = most_memory(600 // STEPS_AN_EPOCH, trainer, batches, kept)
    print(late - early)


def growth(leak: str) -> int:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_long_runs", leak],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
        timeout=300,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="Linux tells the memory of a process")
def test_500_steps_more_take_no_more_memory():
    assert growth("honest") < MOST_GROWTH
    # One map a step is noticed: what is asserted above can fail.
    assert growth("leak") > 2 * MOST_GROWTH


def test_memory_does_not_wait_for_the_garbage_collector():
    """The maps of a step go when the step is over, for no circle of references holds them."""
    trainer, batches = trainer_and_batches()
    images, masks = batches[0]
    seen: list[weakref.ref] = []
    gc.collect()
    gc.disable()
    try:
        with nn.watch(lambda module, output: seen.append(weakref.ref(output))):
            trainer._step(images, masks)
        assert len(seen) > 10
        assert not [ref for ref in seen if ref() is not None]
    finally:
        gc.enable()


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


if __name__ == "__main__":
    main(sys.argv[1])
