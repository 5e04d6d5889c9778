"""The progress bar, on terminals of every size."""

from __future__ import annotations

import io
import os

import pytest

from minisegnet.cli import display
from minisegnet.cli.display import Display
from minisegnet.train import Epoch, Progress

ROW = Epoch(1, 1.25, 1.5, 0.75, 0.5, 0.1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    """What a bar writes on a terminal that says it has this size."""

    def on(columns, rows, environment=None):
        terminal = Terminal()
        monkeypatch.setattr(display.sys, "stdout", terminal)
        monkeypatch.setattr(display.sys, "__stdout__", terminal)
        for name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(terminal, "fileno", lambda: 99, raising=False)
        size = os.terminal_size((columns, rows))
        monkeypatch.setattr(display.shutil.os, "get_terminal_size", lambda *_: size)
        with Display(epochs=3, history=[], quiet=False) as shown:
            for step in range(1, 5):
                shown.step(Progress(1, 3, step, 4, 1.25))
            shown._bar.refresh()
            shown.epoch(ROW)
        return terminal.getvalue()

    return on


@pytest.mark.parametrize(
    "columns, rows, environment, width",
    [
        (80, 24, None, 79),
        (200, 50, None, 199),
        (0, 0, None, 99),
        (0, 24, None, 99),
        (60, 0, None, 59),
        (132, 43, {"COLUMNS": "70", "LINES": "10"}, 69),
        (0, 0, {"COLUMNS": "0", "LINES": "x"}, 99),
    ],
)
def test_a_bar_is_drawn_as_wide_as_the_terminal(show, columns, rows, environment, width):
    """A terminal that does not know its size, 0 by 0, gets the usual bar and not none."""
    text = show(columns, rows, environment)
    bars = [part for part in text.split("\r") if "epoch 1/3" in part and "step/s" in part]
    assert bars
    assert max(len(bar.rstrip()) for bar in bars) <= width
    assert width < 60 or any("loss=1.2500" in bar for bar in bars)
    assert any(bar.startswith("epoch 1/3:  33%|") for bar in bars)


def test_a_narrow_terminal_gets_one_line(show):
    text = show(30, 10)
    bars = [part for part in text.split("\r") if part.startswith("epoch 1/3:")]
    assert bars
    assert all(len(bar.split("\n")[0]) <= 29 for bar in bars)


def test_the_line_of_an_epoch_stands_above_the_bar(show):
    text = show(80, 24)
    assert (
        "epoch 1/3  train loss 1.2500  val loss 1.5000  pixel accuracy 0.7500  mean IoU 0.5000"
        in text
    )


def test_quiet_shows_nothing(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(display.sys, "stdout", terminal)
    with Display(epochs=3, history=[], quiet=True) as shown:
        shown.step(Progress(1, 3, 1, 4, 1.25))
        shown.epoch(ROW)
    assert terminal.getvalue() == ""
