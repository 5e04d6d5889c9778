"""What a training run leaves in its folder after every epoch, in an order that survives a crash.

``model.safetensors`` holds the weights of the best epoch, ``last.safetensors`` everything that the
next epoch depends on, the history included, and ``history.csv`` shows that history to people. Each
file is replaced as a whole. ``last.safetensors`` is the truth: it is written before
``history.csv``, which is rewritten from it when a run is taken up again. A crash between the two
therefore costs nothing, and a row, once written, never changes.
"""

from __future__ import annotations

import contextlib
import csv
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import FrameType

from minisegnet import checkpoint
from minisegnet.train.loop import Epoch, Trainer

__all__ = [
    "BEST",
    "CONFIG",
    "CURVES",
    "HISTORY",
    "LAST",
    "PREDICTIONS",
    "remove_leftovers",
    "restore",
    "save_epoch",
    "saved_history",
    "without_interruption",
]

BEST = "model.safetensors"
LAST = "last.safetensors"
HISTORY = "history.csv"
CONFIG = "config.json"
CURVES = "curves.png"
PREDICTIONS = "predictions.png"
FILES = (BEST, LAST, HISTORY, CONFIG, CURVES, PREDICTIONS)


def save_epoch(trainer: Trainer, folder: str | Path) -> None:
    """Write the three files of a run; ``model.safetensors`` only if this epoch is the best.

    A Ctrl-C that arrives meanwhile takes effect when all is written.

    Raises
    ------
    OSError
        If a file cannot be written; those written before are whole.
    """
    folder = Path(folder)
    with without_interruption():
        if trainer.epoch and trainer.best_epoch == trainer.epoch:
            checkpoint.save(trainer.model.state_dict(), folder / BEST)
        checkpoint.save(trainer.state_dict(), folder / LAST)
        write_history(trainer.history, folder)


def restore(trainer: Trainer, folder: str | Path) -> None:
    """Load ``last.safetensors`` into a trainer and bring ``history.csv`` in line with it.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or belongs to another model or optimizer.
    """
    path = Path(folder) / LAST
    state = checkpoint.load(path)
    try:
        trainer.load_state_dict(state)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not fit this run: {error}. If {CONFIG} was changed, change it back; else "
            "train again into another folder"
        ) from error
    write_history(trainer.history, Path(folder))


def saved_history(folder: str | Path) -> list[Epoch]:
    """The epochs that ``last.safetensors`` holds; none if there is no such file."""
    path = Path(folder) / LAST
    if not path.exists():
        return []
    try:
        return [Epoch(**row) for row in checkpoint.load(path)["history"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the checkpoint of a run ({error})") from error


def remove_leftovers(folder: str | Path) -> None:
    """Remove the half-written files of a program that was killed."""
    for name in FILES:
        (Path(folder) / f".{name}.tmp").unlink(missing_ok=True)


def write_history(history: Sequence[Epoch], folder: Path) -> None:
    """Write ``history.csv``: numbers in the shortest form that reads back exactly."""
    with checkpoint.atomic_write(folder / HISTORY, newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


@contextlib.contextmanager
def without_interruption() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, and only that one may handle them
        return
    arrived: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *signal_: arrived.append(signal_))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived and callable(before):
            before(*arrived[0])
