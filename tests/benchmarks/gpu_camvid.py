"""Networks trained on CamVid on a GPU: the tutorial's table, and SegNet-Basic in full."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

from minisegnet.train import Run
from minisegnet.train.options import check_option

# What the tutorial trained with; its weight decay is 2e-4 / 2 times the squares of all variables.
# CamVid's pictures are 360 rows high here, and the shorter side was to be 400 to 600.
_TUTORIAL: dict[str, Any] = {
    "classes": 12,
    "base": 32,
    "epochs": 200,
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 1.29e-3,
    "weight_decay": 2e-4,
    "schedule": "step",
    "schedule_epochs": 100,
    "crop": "368x480",
    "augment": "scale",
    "scales": [400 / 360, 600 / 360],
}
RUNS: dict[str, dict[str, Any]] = {
    "tutorialfcn": _TUTORIAL,
    "tutorialunet": _TUTORIAL,
    "segnetbasic": {
        "base": 64,
        "epochs": 200,
        "batch_size": 12,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "schedule": "constant",
        "augment": "mirror",
        "crop": "352x480",
        "class_weights": "median-frequency",
    },
}


class _OutOfTimeError(Exception):
    pass


def train(name: str, path: str, seconds: float, device: str = "cuda") -> dict[str, Any]:
    """Train one network, for so many seconds at most; the scores of its last epoch."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        given = {**RUNS[name], "model": name, "data": path, "device": device}
        given |= {"out": str(Path(folder) / "run"), "capture": device != "cpu"}
        run = Run.start({key: check_option(key, value, key) for key, value in given.items()})
        trainer = run.trainer()

        def stop_in_time(_: Any) -> None:
            if time.monotonic() > end:
                raise _OutOfTimeError

        start = time.perf_counter()
        with contextlib.suppress(_OutOfTimeError):
            run.train(trainer, on_epoch=stop_in_time)
        minutes = (time.perf_counter() - start) / 60
    history = trainer.history
    images = run.steps_per_epoch * run.options["batch_size"] * len(history)
    return {
        "name": name,
        "epochs": len(history),
        "wanted": run.options["epochs"],
        "pixel_accuracy": history[-1].pixel_accuracy,
        "mean_iou": history[-1].mean_iou,
        "images_per_second": images / max(sum(row.seconds for row in history), 1e-9),
        "minutes": minutes,
    }
