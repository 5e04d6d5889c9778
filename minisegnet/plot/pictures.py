"""Figures of images and masks: predictions beside the truth, several masks of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minisegnet.colours import (
    VOID_COLOUR,
    class_map,
    paint,
    palette_array,
    rgb_image,
)
from minisegnet.metrics import ConfusionMatrix
from minisegnet.plot.figures import DPI, FAINT, new_figure, style, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: An image (H, W, 3) in bytes, its true and its predicted classes (H, W).
Row: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]

_RIGHT_COLOUR = (247, 247, 244)
_WRONG_COLOUR = (190, 0, 50)
_CELL = 2.3  # the width of one picture in a row, in inches


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
    with style():
        height = sum(heights) + 0.26 * len(rows) + 0.38 + 0.25 * lines
        figure = new_figure(4 * _CELL + 0.5, height)
        grid = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
        for axes, row in zip(grid, rows, strict=True):
            _draw_row(axes, row, colours, ignore_index)
        for axes, title in zip(grid[0], ("image", "truth", "prediction", "errors"), strict=True):
            axes.set_title(title)
        _draw_legend(figure, entries, columns=-(-len(entries) // lines))
    write(figure, path)
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
    interpolation = "nearest" if max(truth.shape) < _CELL * DPI else "auto"
    for one, picture in zip(axes, (image, *masks, errors.astype(np.uint8)), strict=True):
        one.imshow(picture, interpolation=interpolation)
        one.set(xticks=[], yticks=[])
        one.grid(False)
        one.spines[:].set(visible=True, color=FAINT)
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
    with style():
        tall = min(max(_CELL * height / width, 0.5), 1.8 * _CELL) + 0.4
        figure = new_figure(columns * _CELL, lines * tall + 0.5)
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
    write(figure, path)
    return figure
