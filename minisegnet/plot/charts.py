"""Figures of numbers: learning curves, and networks by what they cost and score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minisegnet.plot.figures import BLUE, GREEN, ORANGE, PURPLE, new_figure, style, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A dict an epoch, or a list a column.
History: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]


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
    with style():
        figure = new_figure(9.0, 3.9)
        loss_axes, score_axes = figure.subplots(1, 2)
        epoch = columns["epoch"]
        _line(loss_axes, epoch, columns["train_loss"], "training", BLUE, "--")
        _line(loss_axes, epoch, columns["val_loss"], "validation", ORANGE, "-")
        _line(score_axes, epoch, columns["mean_iou"], "mean IoU", GREEN, "-")
        _line(score_axes, epoch, columns["pixel_accuracy"], "pixel accuracy", PURPLE, "--")
        loss_axes.set(title="Loss", xlabel="epoch")
        score_axes.set(title="Scores on the validation set", xlabel="epoch", ylim=(-0.03, 1.03))
        _mark_best(figure, (loss_axes, score_axes), columns)
        for axes in (loss_axes, score_axes):
            _finish_axes(axes, epoch)
    write(figure, path)
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
            columns["epoch"][best], scores[best], "*", color=GREEN, markersize=15, zorder=5,
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
    with style():
        figure = new_figure(8.0, max(3.6, 0.28 * len(ranked) + 1.2))
        axes, margin = figure.subplots(1, 2, width_ratios=(3.4, 1))
        axes.plot(costs, scores, "o", color=BLUE, markersize=7, zorder=3)
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
    write(figure, path)
    return figure
