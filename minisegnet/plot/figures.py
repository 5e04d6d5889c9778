"""What every figure has in common: its style, and how it is shown and written."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from minisegnet.checkpoint import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of curves and points, of text, and of lines behind them.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
INK, FAINT = "#222222", "#d9d9d9"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "svg.hashsalt": "minisegnet",
}
#: What Matplotlib writes beside the picture, its version and the date, would differ between runs.
_NO_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}
DPI = 144


@contextlib.contextmanager
def style() -> Iterator[None]:
    """minisegnet's style over Matplotlib's defaults; the reader's own settings come back after."""
    import matplotlib.style

    with matplotlib.style.context(["default", _STYLE]):
        yield


@functools.cache
def _figure_class() -> type[Figure]:
    """A figure that a notebook shows, though pyplot does not know of it."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            picture = io.BytesIO()
            _save(self, picture, ".png", dpi=100)
            return picture.getvalue()

    return NotebookFigure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches."""
    figure = _figure_class()(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    return figure


def _save(figure: Figure, file: IO[bytes], ending: str, dpi: int) -> None:
    with style():
        figure.savefig(file, format=ending[1:], dpi=dpi, metadata=_NO_METADATA[ending])


def write(figure: Figure, path: Path | str | None) -> None:
    """Write the figure, in the format of the path's ending, unless there is no path."""
    if path is None:
        return
    ending = Path(path).suffix.lower()
    if ending not in _NO_METADATA:
        raise ValueError(f"plot: {str(path)!r} must end in one of {', '.join(_NO_METADATA)}")
    with atomic_write(path, "wb") as file:
        _save(figure, file, ending, DPI)
