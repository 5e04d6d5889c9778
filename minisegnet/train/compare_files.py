"""What a comparison leaves: a table as CSV and as Markdown, and the words of its columns."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from minisegnet import checkpoint
from minisegnet.train.compare import Result

__all__ = ["CSV", "FIGURE", "MARKDOWN", "PREDICTIONS", "table_rows", "write_csv", "write_markdown"]

CSV, MARKDOWN = "comparison.csv", "comparison.md"
FIGURE, PREDICTIONS = "comparison.png", "predictions.png"

Shown = Callable[[Result], str]


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _number(value: float | None, form: str = ",") -> str:
    return "-" if value is None else format(value, form)


def _millions(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.1f}M"


#: Heading and text of each column of the table for people.
COLUMNS: tuple[tuple[str, Shown], ...] = (
    ("model", lambda row: row.model),
    ("base", lambda row: _base(row.options)),
    ("parameters", lambda row: _number(row.parameters)),
    ("multiply-adds", lambda row: _millions(row.multiply_adds)),
    ("epochs", lambda row: _number(row.epochs)),
    ("mean IoU", lambda row: _fraction(row.mean_iou)),
    ("pixel accuracy", lambda row: _fraction(row.pixel_accuracy)),
    ("boundary F1", lambda row: _fraction(row.boundary_f1)),
    ("training s", lambda row: _number(row.seconds, ".0f")),
    ("ms a picture", lambda row: _number(row.milliseconds, ".1f")),
    ("memory MiB", lambda row: _number(row.memory, ",.0f")),
)


def _base(options: str) -> str:
    """The width out of ``base=6 depth=3``."""
    return next((word[5:] for word in options.split() if word.startswith("base=")), "-")


def table_rows(results: Sequence[Result]) -> list[list[str]]:
    """A heading and a row a network, the best mean IoU first and those that failed last.

    Examples
    --------
    >>> rows = table_rows([Result("fcn", error="too small"), Result("unet", mean_iou=0.5)])
    >>> [row[0] for row in rows]
    ['model', 'unet', 'fcn']
    """
    ranked = sorted(results, key=lambda row: -1.0 if row.mean_iou is None else row.mean_iou)
    return [
        [heading for heading, _ in COLUMNS],
        *([shown(row) for _, shown in COLUMNS] for row in reversed(ranked)),
    ]


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Every figure of every network, numbers as they are, in the order of the comparison."""
    with checkpoint.atomic_write(path, newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in results)


def write_markdown(results: Sequence[Result], path: Path, told: str) -> None:
    """The table for people, after a paragraph on how it came about; then what failed, and why."""
    heading, *rows = table_rows(results)
    lines = [told, "", _line(heading), _line(["---", *["---:"] * (len(heading) - 1)])]
    lines += [_line(row) for row in rows]
    failed = [f"- {row.model}: {row.error}" for row in results if row.error]
    if failed:
        lines += ["", "Failed:", "", *failed]
    with checkpoint.atomic_write(path) as file:
        file.write("\n".join(lines) + "\n")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
