"""The page of what was measured on a GPU, between two marks of ``docs/results/gpu.md``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
NOT_MEASURED = "Not measured yet: no GPU was at hand."

_STEPS = [f"{p} {how}" for p in ("float32", "tf32") for how in ("eager", "captured", "PyTorch")]
_OPERATIONS = ["float32", "float32 PyTorch", "tf32", "tf32 PyTorch"]


@dataclass
class Results:
    """What has been measured so far; milliseconds, or the name of an error in their place."""

    about: list[tuple[str, str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    camvid: list[dict[str, Any]] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def empty() -> str:
    """The page before anything was measured."""
    return f"{BEGIN}\n\n{NOT_MEASURED}\n\n{END}\n"


def write(page: Path, results: Results) -> None:
    """Put the results between the marks of the page; it is made if it is not there.

    Raises
    ------
    ValueError
        If the page is there and has not both marks.
    """
    whole = page.read_text(encoding="utf-8") if page.exists() else empty()
    if BEGIN not in whole or END not in whole:
        raise ValueError(f"{page} has no place for the tables: it needs {BEGIN} and {END}")
    before, rest = whole.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text(results)}\n{END}{after}", encoding="utf-8")


def text(results: Results) -> str:
    """The results as Markdown."""
    parts = ["; ".join(f"{name}: {value}" for name, value in results.about) + "."]
    if results.steps:
        parts += ["### Training steps", _steps(results.steps)]
    if results.operations:
        parts += ["### One operation, forward and back", _operations(results.operations)]
    if results.camvid:
        parts += ["### CamVid", _camvid(results.camvid)]
    if results.tests:
        parts += ["### Tests marked gpu", "\n".join(f"    {line}" for line in results.tests)]
    parts += [f"- {note}" for note in results.notes]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _steps(found: list[dict[str, Any]]) -> str:
    head = ["ms a step", *_STEPS, "best to PyTorch, float32", "tf32", "images/s", "memory"]
    rows = []
    for row in found:
        ours = {p: _least(row, f"{p} eager", f"{p} captured") for p in ("float32", "tf32")}
        against = [_ratio(ours[p], row.get(f"{p} PyTorch")) for p in ("float32", "tf32")]
        best = _least(ours, *ours)
        rate = f"{1e3 * row['images'] / best:.0f}" if best else "-"
        memory = " / ".join(_megabytes(row.get(key)) for key in ("memory", "memory PyTorch"))
        times = [_milliseconds(row.get(column)) for column in _STEPS]
        rows.append([row["name"], *times, *against, rate, memory])
    return _table(head, rows)


def _operations(found: list[dict[str, Any]]) -> str:
    rows = [
        [
            row["name"],
            *(_milliseconds(row.get(column)) for column in _OPERATIONS),
            *(_ratio(row.get(p), row.get(f"{p} PyTorch")) for p in ("float32", "tf32")),
        ]
        for row in found
    ]
    return _table(["ms", *_OPERATIONS, "ratio, float32", "ratio, tf32"], rows)


def _camvid(found: list[dict[str, Any]]) -> str:
    rows = [
        [
            row["name"],
            f"{row['epochs']} of {row['wanted']}",
            f"{100 * row['pixel_accuracy']:.1f} %",
            f"{100 * row['mean_iou']:.1f} %",
            f"{row['images_per_second']:.0f}",
            f"{row['minutes']:.1f}",
        ]
        for row in found
    ]
    head = ["network", "epochs", "pixel accuracy", "mean IoU", "images/s with scoring", "minutes"]
    return _table(head, rows)


def _least(row: dict[str, Any], *columns: str) -> float | None:
    numbers = [row[c] for c in columns if isinstance(row.get(c), (int, float))]
    return min(numbers, default=None)


def _milliseconds(found: Any) -> str:
    if found is None:
        return "-"
    return f"{found:.3g}" if isinstance(found, (int, float)) else str(found)


def _ratio(ours: Any, theirs: Any) -> str:
    numbers = isinstance(ours, (int, float)) and isinstance(theirs, (int, float))
    return f"{ours / theirs:.2f}" if numbers else "-"


def _megabytes(found: int | None) -> str:
    return "-" if found is None else f"{found / 2**20:.0f} MiB"
