"""Pictures of a run: learning curves, predictions beside the truth, masks over images.

The drawing functions return a Matplotlib figure, which a notebook shows by itself, and write it to
``path`` if one is given (PNG, PDF or SVG; equal input gives equal bytes).
No figure touches pyplot's global state or the reader's own Matplotlib settings. Matplotlib is
imported when the first figure is drawn.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minisegnet.checkpoint import atomic_write
from minisegnet.colours import (
    VOID_COLOUR,
    class_map,
    overlay,
    paint,
    palette,
    palette_array,
    rgb_image,
)
from minisegnet.metrics import ConfusionMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A dict an epoch, or a list a column.
History: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]

#: An image (H, W, 3) in bytes, its true and its predicted classes (H, W).
Row: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]

__all__ = ["comparison", "curves", "overlay", "palette", "predictions", "side_by_side"]

_RIGHT_COLOUR = (247, 247, 244)
_WRONG_COLOUR = (190, 0, 50)

_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#AA4499"
_INK, _FAINT = "#222222", "#d9d9d9"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "text.color": _INK,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": _INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _FAINT,
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
_DPI = 144
_CELL = 2.3  # the width of one picture in a row, in inches


# ---------------------------------------------------------------------------- learning curves


def curves(history: History, path: Path | str | None = None) -> Figure:
    """Losses, mean IoU and pixel accuracy by epoch, the best epoch marked.

    The best epoch is the first with the highest mean IoU; where there is none, the one with the
    lowest validation loss.

    Parameters
    ----------
    history : list of dict or dict of list
        One entry an epoch, of the columns ``epoch``, ``train_loss``, ``val_loss``,
        ``pixel_accuracy``, ``mean_iou`` (those of ``history.csv``; text is read as numbers, others
        are ignored). A value that is missing, empty, nan or infinite leaves a gap.
    path : str or path, optional
        Where to write the figure: PNG, PDF or SVG by its ending.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the history is empty, its columns have different lengths, a value is not a number, or
        the ending of ``path`` is unknown.

    Examples
    --------
    >>> history = {"epoch": [1, 2, 3], "train_loss": [0.9, 0.5, 0.3], "mean_iou": [0.2, 0.7, 0.6]}
    >>> figure = curves(history)
    >>> figure.get_suptitle()
    'Best: epoch 2, mean IoU 0.700'
    """
    columns = _columns(history)
    with _style():
        figure = _new_figure(9.0, 3.9)
        loss_axes, score_axes = figure.subplots(1, 2)
        epoch = columns["epoch"]
        _line(loss_axes, epoch, columns["train_loss"], "training", _BLUE, "--")
        _line(loss_axes, epoch, columns["val_loss"], "validation", _ORANGE, "-")
        _line(score_axes, epoch, columns["mean_iou"], "mean IoU", _GREEN, "-")
        _line(score_axes, epoch, columns["pixel_accuracy"], "pixel accuracy", _PURPLE, "--")
        loss_axes.set(title="Loss", xlabel="epoch")
        score_axes.set(title="Scores on the validation set", xlabel="epoch", ylim=(-0.03, 1.03))
        _mark_best(figure, (loss_axes, score_axes), columns)
        for axes in (loss_axes, score_axes):
            _finish_axes(axes, epoch)
    _write(figure, path)
    return figure


def _columns(history: History) -> dict[str, np.ndarray]:
    """The columns to draw, float64, nan where there is no finite number."""
    names = ("epoch", "train_loss", "val_loss", "pixel_accuracy", "mean_iou")
    if isinstance(history, Mapping):
        lengths = {name: len(history[name]) for name in names if name in history}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"curves: the columns have different lengths, {lengths}")
        count = max(lengths.values(), default=0)
        rows: dict[str, Sequence[Any]] = {name: history.get(name, [None] * count) for name in names}
    else:
        count = len(history)
        rows = {name: [row.get(name) for row in history] for name in names}
    if count == 0:
        raise ValueError("curves: the history holds no epoch; train for one epoch first")
    columns = {name: np.array([_number(value, name) for value in rows[name]]) for name in names}
    if not np.isfinite(columns["epoch"]).all():
        columns["epoch"] = np.arange(1.0, count + 1)
    return columns


def _number(value: Any, name: str) -> float:
    """A finite float, or nan."""
    try:
        number = float(value) if value not in (None, "") else float("nan")
    except (TypeError, ValueError):
        raise ValueError(f"curves: {name} holds {value!r}, which is not a number") from None
    return number if np.isfinite(number) else float("nan")


def _line(
    axes: Axes, epoch: np.ndarray, values: np.ndarray, label: str, colour: str, dashes: str
) -> None:
    """A curve with gaps at nan; a value between two gaps still shows, as a dot."""
    there = np.isfinite(values)
    if not there.any():
        return
    alone = there & ~np.r_[False, there[:-1]] & ~np.r_[there[1:], False]
    dots = there if len(values) <= 30 else alone
    axes.plot(
        epoch,
        values,
        dashes,
        color=colour,
        label=label,
        marker="o" if dots.any() else "",
        markersize=4,
        markevery=np.flatnonzero(dots).tolist(),
    )


def _mark_best(figure: Figure, panels: Sequence[Axes], columns: dict[str, np.ndarray]) -> None:
    """Name the best epoch above the figure and draw a line through it."""
    scores, losses = columns["mean_iou"], columns["val_loss"]
    if np.isfinite(scores).any():
        best = int(np.nanargmax(scores))
        what = f"mean IoU {scores[best]:.3f}"
        panels[1].plot(
            columns["epoch"][best], scores[best], "*", color=_GREEN, markersize=15, zorder=5,
            markeredgecolor="white",
        )  # fmt: skip
    elif np.isfinite(losses).any():
        best = int(np.nanargmin(losses))
        what = f"validation loss {losses[best]:.4g}"
    else:
        return
    epoch = columns["epoch"][best]
    figure.suptitle(f"Best: epoch {epoch:g}, {what}", fontsize=10, color="#555555")
    for axes in panels:
        axes.axvline(epoch, color="#888888", linewidth=1, linestyle=":", zorder=1)


def _finish_axes(axes: Axes, epoch: np.ndarray) -> None:
    """Whole epochs on the x axis, and a legend or a word about why there is no curve."""
    from matplotlib.ticker import MaxNLocator

    margin = max(0.5, 0.03 * float(np.ptp(epoch)))
    axes.set_xlim(float(epoch.min()) - margin, float(epoch.max()) + margin)
    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    else:
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color="#888888")
        axes.set_yticks([])
        axes.grid(False)


# ---------------------------------------------------------------------------- predictions


def predictions(
    images: Any,
    targets: Any,
    predictions: Any,
    path: Path | str | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    palette: Any = None,
    limit: int = 6,
) -> Figure:
    """A row an image: the image, the truth, the prediction, and where they disagree.

    Under each error map stand the mean IoU of that one image over the classes it holds, and the
    share of its pixels that are wrong; void pixels are left out of both.

    Parameters
    ----------
    images : array, Tensor or list of them
        Each (C, H, W) or else (H, W, C), of 1 or 3 channels, or (H, W). Bytes are shown as is,
        floats in 0..1 too; floats outside 0..1 are stretched over their own range.
    targets, predictions : array, Tensor or list of them
        Each (H, W), integer or boolean classes.
    path : str or path, optional
        Where to write the figure: PNG, PDF or SVG by its ending.
    class_names : sequence of str, optional
        For the legend. Default: the class numbers.
    ignore_index : int, optional
        The label of void pixels in the targets.
    palette : array, optional
        (K, 3) uint8, a colour a class. Default: :func:`palette`.
    limit : int
        Draw this many images at most: the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no image, the numbers of images, targets and predictions differ, the sizes of
        one row differ, or a label has no name or colour.

    Examples
    --------
    >>> image = np.linspace(0, 1, 12).reshape(1, 3, 4)  # one grey image of 3 rows and 4 columns
    >>> truth = np.array([[[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]]])
    >>> figure = predictions(image, truth, truth[:, ::-1], class_names=["sky", "road"])
    >>> figure.axes[3].get_xlabel()
    'mean IoU 0.500, 33.3 % wrong'
    """
    rows = _rows(images, targets, predictions, limit)
    colours, names = _colours_and_names(rows, class_names, ignore_index, palette)
    shapes = [truth.shape for _, truth, _ in rows]
    heights = [min(max(_CELL * height / width, 0.3), 1.8 * _CELL) for height, width in shapes]
    entries = _legend_entries(rows, colours, names, ignore_index)
    longest = max(len(name) for _, name in entries)
    per_line = min(7, int(4 * _CELL / (0.6 + 0.08 * longest)))
    lines = -(-len(entries) // per_line)
    with _style():
        height = sum(heights) + 0.26 * len(rows) + 0.38 + 0.25 * lines
        figure = _new_figure(4 * _CELL + 0.5, height)
        grid = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
        for axes, row in zip(grid, rows, strict=True):
            _draw_row(axes, row, colours, ignore_index)
        for axes, title in zip(grid[0], ("image", "truth", "prediction", "errors"), strict=True):
            axes.set_title(title)
        _draw_legend(figure, entries, columns=-(-len(entries) // lines))
    _write(figure, path)
    return figure


def _rows(images: Any, targets: Any, predictions: Any, limit: int) -> list[Row]:
    """The first images as (H, W, 3) bytes with their class maps."""
    counts = len(images), len(targets), len(predictions)
    if len(set(counts)) > 1:
        raise ValueError(
            f"predictions: there are {counts[0]} images, {counts[1]} targets and {counts[2]} "
            "predictions; give one of each a row"
        )
    if counts[0] == 0 or limit < 1:
        raise ValueError(f"predictions: {counts[0]} images and limit={limit} leave nothing to draw")
    rows = []
    for i in range(min(limit, counts[0])):
        truth = class_map(targets[i], f"predictions: targets[{i}]")
        predicted = class_map(predictions[i], f"predictions: predictions[{i}]")
        if truth.shape != predicted.shape:
            raise ValueError(
                f"predictions: targets[{i}] is {truth.shape} but predictions[{i}] is "
                f"{predicted.shape}; give both in the size of the image"
            )
        rows.append(
            (rgb_image(images[i], truth.shape, f"predictions: images[{i}]"), truth, predicted)
        )
    return rows


def _colours_and_names(
    rows: Sequence[Row],
    class_names: Sequence[str] | None,
    ignore_index: int | None,
    colours: Any,
) -> tuple[np.ndarray, list[str]]:
    """A colour and a name for every class."""
    highest = 0
    for _, truth, predicted in rows:
        for labels in (truth, predicted):
            counted = labels[truth != ignore_index] if ignore_index is not None else labels
            highest = max(highest, int(counted.max(initial=0)))
    count = highest + 1 if class_names is None else len(class_names)
    colours = palette_array(colours, max(count, 1), "predictions")
    names = [str(n) for n in (range(len(colours)) if class_names is None else class_names)]
    if highest >= min(len(names), len(colours)):
        raise ValueError(
            f"predictions: label {highest} has no name or colour: there are {len(names)} names "
            f"and {len(colours)} colours; pass ignore_index if it means void"
        )
    return colours[: len(names)], names


def _draw_row(
    axes: Sequence[Axes], row: Row, colours: np.ndarray, ignore_index: int | None
) -> None:
    """The four pictures of one image, and the scores under the last."""
    image, truth, predicted = row
    void = np.zeros(truth.shape, bool) if ignore_index is None else truth == ignore_index
    errors = np.where((truth == predicted)[..., None], _RIGHT_COLOUR, _WRONG_COLOUR)
    errors[void] = VOID_COLOUR
    masks = paint(truth, colours, ignore_index), paint(predicted, colours, ignore_index)
    # Pixels of a small picture show as squares; a large one is smoothed, or thin things vanish.
    interpolation = "nearest" if max(truth.shape) < _CELL * _DPI else "auto"
    for one, picture in zip(axes, (image, *masks, errors.astype(np.uint8)), strict=True):
        one.imshow(picture, interpolation=interpolation)
        one.set(xticks=[], yticks=[])
        one.grid(False)
        one.spines[:].set(visible=True, color=_FAINT)
    label = "all void"
    if not void.all():
        matrix = ConfusionMatrix(len(colours), ignore_index)
        matrix.update(predicted, truth)
        wrong = 100 * (1 - matrix.pixel_accuracy())
        label = f"mean IoU {matrix.mean_iou():.3f}, {wrong:.1f} % wrong"
    axes[3].set_xlabel(label, fontsize=9)


def _legend_entries(
    rows: Sequence[Row],
    colours: np.ndarray,
    names: Sequence[str],
    ignore_index: int | None,
) -> list[tuple[Sequence[int], str]]:
    """Colour and name of each class (of many, those in the picture), then of right and wrong."""
    shown = [c for c in range(len(names)) if c != ignore_index]
    if len(shown) > 20:
        there = {int(c) for _, *maps in rows for labels in maps for c in np.unique(labels)}
        shown = [c for c in shown if c in there][:40]
    entries: list[tuple[Sequence[int], str]] = [(colours[c].tolist(), names[c]) for c in shown]
    entries += [(_RIGHT_COLOUR, "right"), (_WRONG_COLOUR, "wrong")]
    if ignore_index is not None:
        entries.append((VOID_COLOUR, "void"))
    return [(c, name if len(name) <= 40 else name[:39] + "…") for c, name in entries]


def _draw_legend(
    figure: Figure, entries: Sequence[tuple[Sequence[int], str]], columns: int
) -> None:
    from matplotlib.patches import Patch

    # Matplotlib fills a legend column by column; it is read line by line.
    order = sorted(range(len(entries)), key=lambda i: (i % columns, i // columns))
    handles = [
        Patch(
            facecolor="#{:02x}{:02x}{:02x}".format(*entries[i][0]),
            edgecolor="#888888",
            linewidth=0.5,
            label=entries[i][1],
        )
        for i in order
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)


# ---------------------------------------------------------------------------- comparisons


def comparison(
    networks: Sequence[tuple[str, float, float]],
    path: Path | str | None = None,
    xlabel: str = "seconds",
    ylabel: str = "mean IoU",
) -> Figure:
    """A point a network: what it costs to the right, what it scores upwards, its name beside it.

    Parameters
    ----------
    networks : sequence of (name, cost, score)
    path : str or path, optional
        Where to write the figure: PNG, PDF or SVG by its ending.
    xlabel, ylabel : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no network.

    Examples
    --------
    >>> figure = comparison([("unet", 3.5, 0.81), ("fcn8s", 1.25, 0.62)], xlabel="ms a picture")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['fcn8s 0.620', 'unet 0.810']
    """
    if not networks:
        raise ValueError("comparison: there is no network to show: give (name, cost, score)")
    ranked = sorted(networks, key=lambda each: each[2])
    names, costs, scores = zip(*ranked, strict=True)
    with _style():
        figure = _new_figure(8.0, max(3.6, 0.28 * len(ranked) + 1.2))
        axes, margin = figure.subplots(1, 2, width_ratios=(3.4, 1))
        axes.plot(costs, scores, "o", color=_BLUE, markersize=7, zorder=3)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        margin.set_axis_off()
        # Names in a column of their own, in the order of the scores, cannot cover one another.
        places = np.linspace(0.02, 0.98, len(ranked)) if len(ranked) > 1 else [0.5]
        for name, cost, score, place in zip(names, costs, scores, places, strict=True):
            axes.annotate(
                f"{name} {score:.3f}",
                (cost, score),
                (0.0, float(place)),
                textcoords=margin.transAxes,
                va="center",
                fontsize=9,
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.6},
                annotation_clip=False,
            ).set_in_layout(False)
    _write(figure, path)
    return figure


def side_by_side(
    image: Any,
    masks: Mapping[str, Any],
    path: Path | str | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    palette: Any = None,
    columns: int = 6,
) -> Figure:
    """One image, and several masks of it in the colours of their classes, each under its name.

    Parameters
    ----------
    image : array or Tensor
        (C, H, W) or else (H, W, C), of 1 or 3 channels, or (H, W).
    masks : mapping
        From a title to classes (H, W).
    path : str or path, optional
        Where to write the figure: PNG, PDF or SVG by its ending.
    class_names : sequence of str, optional
        For the legend. Default: the class numbers.
    ignore_index : int, optional
        The label of void pixels.
    palette : array, optional
        (K, 3) uint8, a colour a class. Default: :func:`palette`.
    columns : int
        Pictures in a line, at most.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no mask, or a label has no name or colour.

    Examples
    --------
    >>> image = np.linspace(0, 1, 12).reshape(3, 4)
    >>> truth = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]])
    >>> figure = side_by_side(image, {"truth": truth, "unet": truth[:, ::-1]})
    >>> [axes.get_title() for axes in figure.axes]
    ['image', 'truth', 'unet']
    """
    if not masks:
        raise ValueError("side_by_side: there is no mask to show: give a title and classes")
    maps = [class_map(mask, f"side_by_side: {title}") for title, mask in masks.items()]
    shown = rgb_image(image, maps[0].shape, "side_by_side: image")
    rows: list[Row] = [(shown, mask, mask) for mask in maps]
    colours, names = _colours_and_names(rows, class_names, ignore_index, palette)
    pictures = [shown, *(paint(mask, colours, ignore_index) for mask in maps)]
    lines = -(-len(pictures) // columns)
    columns = -(-len(pictures) // lines)
    height, width = maps[0].shape
    entries = [e for e in _legend_entries(rows, colours, names, ignore_index)
               if e[1] not in ("right", "wrong")]  # fmt: skip
    with _style():
        tall = min(max(_CELL * height / width, 0.5), 1.8 * _CELL) + 0.4
        figure = _new_figure(columns * _CELL, lines * tall + 0.5)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, title, picture in zip(grid, ["image", *masks], pictures, strict=False):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(title, fontsize=9)
        for axes in grid:
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set(visible=False)
        for axes in grid[len(pictures) :]:
            axes.remove()
        _draw_legend(figure, entries, columns=min(len(entries), 2 * columns))
    _write(figure, path)
    return figure


# ---------------------------------------------------------------------------- figures and files


@contextlib.contextmanager
def _style() -> Iterator[None]:
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


def _new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches."""
    figure = _figure_class()(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    return figure


def _save(figure: Figure, file: IO[bytes], ending: str, dpi: int) -> None:
    with _style():
        figure.savefig(file, format=ending[1:], dpi=dpi, metadata=_NO_METADATA[ending])


def _write(figure: Figure, path: Path | str | None) -> None:
    """Write the figure, in the format of the path's ending, unless there is no path."""
    if path is None:
        return
    ending = Path(path).suffix.lower()
    if ending not in _NO_METADATA:
        raise ValueError(f"plot: {str(path)!r} must end in one of {', '.join(_NO_METADATA)}")
    with atomic_write(path, "wb") as file:
        _save(figure, file, ending, _DPI)
