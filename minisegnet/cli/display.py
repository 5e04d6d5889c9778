"""What training shows: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from minisegnet.train import Epoch, Progress


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "epoch"), counted(12, "picture")
    ('1 epoch', '12 pictures')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def score(value: float) -> str:
    """A score to four places; a dash where there was nothing to score.

    Examples
    --------
    >>> score(0.87654), score(math.nan)
    ('0.8765', '-')
    """
    return f"{value:.4f}" if math.isfinite(value) else "-"


class Display:
    """Shows the progress of a run of training on standard output.

    On a terminal, one bar over all epochs with the running loss, the last mean IoU and the time
    left, and a line above it for every finished epoch; elsewhere only those lines.

    Parameters
    ----------
    epochs : int
        Of the run in all.
    history : sequence of Epoch
        The epochs done before.
    quiet : bool
        Show nothing.
    """

    def __init__(self, epochs: int, history: Sequence[Epoch], quiet: bool) -> None:
        self.epochs, self.quiet = epochs, quiet
        self._done_before = len(history)
        self._last_iou = history[-1].mean_iou if history else math.nan
        self._on_terminal = sys.stdout.isatty() and not quiet
        self._bar: Any = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, progress: Progress) -> None:
        """Advance the bar by one step."""
        if not self._on_terminal:
            return
        if self._bar is None:
            self._bar = self._new_bar(progress.steps)
        shown = {"loss": f"{progress.loss:.4f}"}
        if not math.isnan(self._last_iou):
            shown["IoU"] = f"{self._last_iou:.4f}"
        self._bar.set_description(f"epoch {progress.epoch}/{self.epochs}", refresh=False)
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def epoch(self, row: Epoch) -> None:
        """A line for a finished epoch."""
        self._last_iou = row.mean_iou
        if self.quiet:
            return
        width = len(str(self.epochs))
        line = (
            f"epoch {row.epoch:{width}}/{self.epochs}  train loss {row.train_loss:.4f}  "
            f"val loss {score(row.val_loss)}  pixel accuracy {score(row.pixel_accuracy)}  "
            f"mean IoU {score(row.mean_iou)}  {row.seconds:.1f} s"
        )
        if self._bar is not None:
            self._bar.write(line, file=sys.stdout)
        else:
            print(line, flush=True)

    def _new_bar(self, steps: int) -> Any:
        from tqdm import tqdm  # imported here because only a terminal needs it

        # Told the size by tqdm's own way, a terminal that does not know it would show no bar.
        columns, rows = shutil.get_terminal_size((100, 24))
        return tqdm(
            total=self.epochs * steps,
            initial=self._done_before * steps,
            file=sys.stdout,
            leave=False,
            ncols=columns - 1,
            nrows=rows,
            unit="step",
        )
