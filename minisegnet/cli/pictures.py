"""The pictures that a run leaves: its curves, and its predictions beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minisegnet import plot
from minisegnet.data.images import unpack_colours
from minisegnet.train import Epoch, Run

PICTURES_SHOWN = 6


def draw_curves(history: Sequence[Epoch], path: Path) -> None:
    """Write the history as curves."""
    plot.curves([asdict(row) for row in history], path)


def draw_predictions(run: Run, path: Path) -> None:
    """Write some of the validation pictures with truth, prediction and errors."""
    dataset = run.data("val")
    model = run.best_model(run.options["device"])
    # From all over the set: neighbours in a clip look the same.
    shown = np.linspace(0, len(dataset) - 1, min(PICTURES_SHOWN, len(dataset))).astype(int)
    rows = [dataset[int(index)] for index in shown]
    predicted = [run.classes_at_scale(model, image) for image, _ in rows]
    plot.predictions(
        [image for image, _ in rows],
        [mask for _, mask in rows],
        predicted,
        path,
        class_names=run.found["class_names"],
        ignore_index=dataset.ignore_index,
        palette=colours(run),
    )


def colours(run: Run) -> npt.NDArray[np.uint8]:
    """The colours of the classes, as the data gave them when the run began."""
    return unpack_colours([int(colour.lstrip("#"), 16) for colour in run.found["palette"]])
