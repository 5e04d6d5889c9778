"""Figures: what is drawn where, that nothing is clipped, and that equal input gives equal bytes."""

from __future__ import annotations

import csv
import io
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from minisegnet.autograd import Tensor
from minisegnet.colours import VOID_COLOUR
from minisegnet.metrics import ConfusionMatrix
from minisegnet.plot import comparison, curves, palette, predictions, side_by_side

RIGHT, WRONG = (247, 247, 244), (190, 0, 50)
NAN = float("nan")


def history(epochs):
    rng = np.random.default_rng(epochs)
    return [
        {
            "epoch": epoch,
            "train_loss": 1.5 / epoch + 0.1 * rng.random(),
            "val_loss": 1.6 / epoch + 0.2 * rng.random(),
            "pixel_accuracy": 1 - 0.5 / epoch,
            "mean_iou": 0.9 - 0.8 / epoch - 0.1 * rng.random(),
            "seconds": 3.25,
        }
        for epoch in range(1, epochs + 1)
    ]


def batch(n, height, width, classes, seed=0, channels=3):
    """Images and two class maps that agree at about 3 pixels of 4."""
    rng = np.random.default_rng(seed)
    images = rng.random((n, channels, height, width)).astype(np.float32)
    truth = rng.integers(0, classes, (n, height, width))
    other = rng.integers(0, classes, (n, height, width))
    return images, truth, np.where(rng.random(truth.shape) < 0.7, truth, other)


def lines_of(figure):
    """Every curve's points, by its label."""
    return {
        line.get_label(): line.get_xydata()
        for axes in figure.axes
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def shown(axes):
    """The picture that the axes show."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def assert_nothing_is_clipped(figure):
    """All text lies within the figure, and titles and labels of a row do not run together."""
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    drawn, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) >= -0.005, drawn
    assert drawn.x1 <= width + 0.005 and drawn.y1 <= height + 0.005, drawn
    texts = [
        (t.get_text(), t.get_window_extent(renderer))
        for axes in figure.axes
        for t in (axes.title, axes.xaxis.label)
        if t.get_text()
    ]
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)):
        if legend is not None:
            texts += [(t.get_text(), t.get_window_extent(renderer)) for t in legend.get_texts()]
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        assert not a.overlaps(b), f"{one!r} and {other!r} overlap"


# ------------------------------------------------------------------ learning curves


@pytest.mark.parametrize("epochs", [1, 2, 14, 60, 400])
def test_curves_show_the_history(epochs):
    rows = history(epochs)
    figure = curves(rows)
    drawn = lines_of(figure)
    for label, name in [
        ("training", "train_loss"),
        ("validation", "val_loss"),
        ("mean IoU", "mean_iou"),
        ("pixel accuracy", "pixel_accuracy"),
    ]:
        expected = [(row["epoch"], row[name]) for row in rows]
        np.testing.assert_array_equal(drawn[label], expected)
    best = max(rows, key=lambda row: row["mean_iou"])
    assert figure.get_suptitle() == f"Best: epoch {best['epoch']}, mean IoU {best['mean_iou']:.3f}"
    (star,) = (line for line in figure.axes[1].lines if line.get_marker() == "*")
    assert star.get_xydata().tolist() == [[best["epoch"], best["mean_iou"]]]
    for axes in figure.axes:
        ticks = [t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
        assert ticks
        assert all(float(t).is_integer() for t in ticks)
    assert_nothing_is_clipped(figure)


def test_forms_of_the_history_are_alike(tmp_path):
    rows = history(5)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=rows[0])
    writer.writeheader()
    writer.writerows(rows)
    forms = {
        "rows.png": rows,
        "columns.png": {name: [row[name] for row in rows] for name in rows[0]},
        "csv.png": list(csv.DictReader(io.StringIO(text.getvalue()))),
        "arrays.png": {name: np.array([row[name] for row in rows]) for name in rows[0]},
    }
    for name, form in forms.items():
        curves(form, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in forms}) == 1


def test_gaps_and_values_alone():
    losses = [0.9, NAN, 0.7, None, 0.6, 0.5, "", 0.4, float("inf"), 0.3]
    rows = {"epoch": list(range(3, 13)), "val_loss": losses, "mean_iou": [NAN] * 10}
    figure = curves(rows)
    drawn = lines_of(figure)
    assert list(drawn) == ["validation"]
    expected = [0.9, NAN, 0.7, NAN, 0.6, 0.5, NAN, 0.4, NAN, 0.3]
    np.testing.assert_array_equal(drawn["validation"][:, 1], expected)
    assert figure.get_suptitle() == "Best: epoch 12, validation loss 0.3"
    assert [text.get_text() for text in figure.axes[1].texts] == ["no values"]
    assert_nothing_is_clipped(figure)


def test_values_alone_in_a_long_history_are_dots():
    losses = np.full(100, NAN)
    losses[[4, 40, 41, 99]] = [1.0, 0.5, 0.4, 0.3]
    (line,) = (
        line
        for line in curves({"epoch": range(100), "train_loss": losses}).axes[0].lines
        if line.get_label() == "training"
    )
    assert line.get_markevery() == [4, 99]
    assert line.get_marker() == "o"


def test_nan_is_never_best():
    figure = curves({"epoch": [1, 2, 3, 4], "mean_iou": [0.2, NAN, 0.7, 0.7]})
    assert figure.get_suptitle() == "Best: epoch 3, mean IoU 0.700"


def test_history_without_a_validation_has_no_best():
    figure = curves([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    assert figure.get_suptitle() == ""
    np.testing.assert_array_equal(lines_of(figure)["training"], [[1, 0.5], [2, 0.25]])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([], "no epoch"),
        ({}, "no epoch"),
        ({"epoch": [], "train_loss": []}, "no epoch"),
        ({"epoch": [1, 2], "train_loss": [0.5]}, r"different lengths.*'epoch': 2.*'train_loss': 1"),
        ([{"epoch": 1, "train_loss": "low"}], "train_loss holds 'low'"),
    ],
)
def test_histories_that_cannot_be_drawn(rows, match):
    with pytest.raises(ValueError, match=match):
        curves(rows)


# ------------------------------------------------------------------ predictions


def test_each_row_shows_image_truth_prediction_and_errors():
    images, truth, predicted = batch(3, 7, 11, 4)
    truth[:, 2, 3:6] = 255
    colours = palette(4)
    figure = predictions(images, truth, predicted, ignore_index=255)
    assert len(figure.axes) == 12
    for i in range(3):
        image, true, guess, errors = (shown(axes) for axes in figure.axes[4 * i : 4 * i + 4])
        np.testing.assert_array_equal(image, np.rint(255 * images[i].transpose(1, 2, 0)))
        void = truth[i] == 255
        np.testing.assert_array_equal(true[~void], colours[truth[i][~void]])
        assert (true[void] == VOID_COLOUR).all()
        np.testing.assert_array_equal(guess, colours[predicted[i]])
        right = ~void & (truth[i] == predicted[i])
        assert (errors[right] == RIGHT).all()
        assert (errors[~void & ~right] == WRONG).all()
        assert (errors[void] == VOID_COLOUR).all()

        matrix = ConfusionMatrix(4, 255)
        matrix.update(predicted[i], truth[i])
        wrong = 100 * (1 - matrix.pixel_accuracy())
        label = f"mean IoU {matrix.mean_iou():.3f}, {wrong:.1f} % wrong"
        assert figure.axes[4 * i + 3].get_xlabel() == label
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["image", "truth", "prediction", "errors"] + [""] * 8


def legend_of(figure):
    """Names and byte colours of the legend's entries, in the order they are read."""
    (legend,) = figure.legends
    figure.draw_without_rendering()
    entries = [
        (
            tuple(np.rint(255 * np.array(patch.get_facecolor()[:3])).astype(int).tolist()),
            text.get_text(),
            text.get_window_extent(),
        )
        for patch, text in zip(legend.get_patches(), legend.get_texts(), strict=True)
    ]
    entries.sort(key=lambda entry: (-round(entry[2].y0 / 5), entry[2].x0))
    return [(name, colour) for colour, name, _ in entries]


def test_legend_names_the_classes_in_reading_order():
    names = [f"class {c}" for c in range(12)]
    images, truth, predicted = batch(1, 6, 9, 11)
    truth[0, 0, :4] = 11
    predicted[0, 0, 0] = 11  # a void label that is predicted shows as void, not as a class
    figure = predictions(images, truth, predicted, class_names=names, ignore_index=11)
    expected = [(names[c], tuple(palette(12)[c].tolist())) for c in range(11)]
    expected += [("right", RIGHT), ("wrong", WRONG), ("void", VOID_COLOUR)]
    assert legend_of(figure) == expected
    np.testing.assert_array_equal(shown(figure.axes[2])[0, 0], VOID_COLOUR)


def test_legend_of_many_classes_names_those_in_the_picture():
    truth = np.array([[[3, 70, 3], [70, 3, 99]]])
    figure = predictions(np.zeros((1, 2, 3)), truth, np.full_like(truth, 12), palette=palette(100))
    assert [name for name, _ in legend_of(figure)] == ["3", "12", "70", "99", "right", "wrong"]


def test_own_palette_and_limit():
    images, truth, predicted = batch(5, 4, 6, 2)
    own = [[10, 200, 30], [250, 0, 90]]
    figure = predictions(images, truth, predicted, palette=own, limit=2)
    assert len(figure.axes) == 8
    np.testing.assert_array_equal(shown(figure.axes[1]), np.array(own)[truth[0]])
    assert [name for name, _ in legend_of(figure)] == ["0", "1", "right", "wrong"]


def test_layouts_and_types_of_images_are_alike(backend):
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    truth = rng.integers(0, 3, (5, 8))
    forms = [
        pixels,
        pixels.transpose(2, 0, 1),
        (pixels / 255).astype(np.float32),
        pixels.astype(np.int64),
        backend.asarray(pixels.transpose(2, 0, 1) / 255),
        Tensor(pixels),
    ]
    here = backend.asarray(truth)
    figure = predictions(forms, [here] * 6, [here] * 6)
    for i in range(6):
        np.testing.assert_array_equal(shown(figure.axes[4 * i]), pixels)
    assert figure.axes[3].get_xlabel() == "mean IoU 1.000, 0.0 % wrong"


def test_grey_boolean_and_stretched_images():
    grey = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
    forms = [grey, grey[None], grey[..., None], grey / 255, grey * 2.0 - 100, grey > 99]
    truth = np.array([[True, False, True], [False, False, True]])
    figure = predictions(forms, [truth] * 6, [~truth] * 6)
    expected = np.repeat(grey[..., None], 3, axis=2)
    for i in range(5):
        np.testing.assert_array_equal(shown(figure.axes[4 * i]), expected)
    np.testing.assert_array_equal(shown(figure.axes[20])[..., 0], [[0, 0, 255], [255, 255, 255]])
    assert figure.axes[3].get_xlabel() == "mean IoU 0.000, 100.0 % wrong"


def test_rows_of_different_sizes():
    sizes = [(5, 9), (12, 4), (3, 30)]
    rows = [batch(1, *size, 3, seed) for seed, size in enumerate(sizes)]
    columns = [[row[column][0] for row in rows] for column in range(3)]
    figure = predictions(*columns)
    assert [shown(axes).shape[:2] for axes in figure.axes[::4]] == sizes
    assert_nothing_is_clipped(figure)


def test_image_that_is_all_void():
    images, truth, predicted = batch(1, 4, 5, 2)
    figure = predictions(images, np.full_like(truth, 255), predicted, ignore_index=255)
    assert figure.axes[3].get_xlabel() == "all void"
    assert (shown(figure.axes[3]) == VOID_COLOUR).all()


@pytest.mark.parametrize(
    ("n", "height", "width", "classes", "names"),
    [
        (1, 40, 50, 2, None),
        (6, 64, 64, 2, ["background", "cell"]),
        (3, 36, 48, 12, [f"a rather long name {c}" for c in range(12)]),
        (2, 20, 160, 4, None),
        (2, 160, 20, 30, None),
        (1, 30, 40, 3, ["short", "x" * 200, "y"]),
    ],
)
def test_no_text_of_predictions_is_clipped(n, height, width, classes, names):
    images, truth, predicted = batch(n, height, width, classes, channels=1)
    truth[0, 0, 0] = 255
    figure = predictions(images, truth, predicted, class_names=names, ignore_index=255)
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"images": np.zeros((2, 3, 5, 6))}, "2 images, 1 targets and 1 predictions"),
        ({"predictions": np.zeros((1, 6, 5), int)}, r"targets\[0\] is \(5, 6\) but.*\(6, 5\)"),
        ({"images": np.zeros((1, 3, 6, 5))}, r"images\[0\] has shape \(3, 6, 5\).*mask is 5x6"),
        ({"images": np.zeros((1, 2, 5, 6))}, r"images\[0\] has shape \(2, 5, 6\).*1 or 3 channels"),
        ({"images": np.zeros((1, 5, 6), complex)}, "complex128"),
        ({"targets": np.zeros((1, 5, 6))}, r"targets\[0\] .*float64.*argmax"),
        ({"predictions": np.zeros((1, 2, 5, 6), int)}, r"predictions\[0\] has shape \(2, 5, 6\)"),
        ({"targets": np.full((1, 5, 6), 7), "class_names": ["a", "b"]}, "label 7 .* 2 names"),
        ({"predictions": np.full((1, 5, 6), 3), "palette": np.zeros((2, 3), int)}, "2 colours"),
        ({"palette": np.zeros((2, 4), int)}, r"palette has shape \(2, 4\)"),
        ({"palette": [[0, 0, 256]]}, r"0\.\.255"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_predictions_that_cannot_be_drawn(changes, match):
    good = {
        "images": np.zeros((1, 3, 5, 6)),
        "targets": np.zeros((1, 5, 6), int),
        "predictions": np.zeros((1, 5, 6), int),
    }
    with pytest.raises(ValueError, match=match):
        predictions(**{**good, **changes})


# ------------------------------------------------------------------ files and settings


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_equal_input_gives_equal_bytes(tmp_path, ending, monkeypatch):
    import matplotlib

    images, truth, predicted = batch(2, 9, 14, 3)
    contents = []
    for i in range(2):
        curves(history(7), tmp_path / f"c{i}.{ending}")
        predictions(images, truth, predicted, str(tmp_path / f"p{i}.{ending}"))
        contents.append([(tmp_path / f"{name}{i}.{ending}").read_bytes() for name in "cp"])
        # The reader's own settings must not show, and the clock neither.
        monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
        monkeypatch.setitem(matplotlib.rcParams, "font.size", 23.0)
        monkeypatch.setitem(matplotlib.rcParams, "savefig.bbox", "tight")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert contents[0] == contents[1]
    assert matplotlib.rcParams["font.size"] == 23.0
    assert sorted(os.listdir(tmp_path)) == [f"{name}{i}.{ending}" for name in "cp" for i in (0, 1)]


def test_written_picture_is_opaque_and_of_a_readable_size(tmp_path):
    curves(history(3), tmp_path / "curves.PNG")
    with Image.open(tmp_path / "curves.PNG") as picture:
        assert picture.format == "PNG"
        assert 1000 <= picture.width <= 1500 and 400 <= picture.height <= 800
        assert "Software" not in picture.info
        assert np.asarray(picture.convert("RGBA"))[..., 3].min() == 255


def test_unknown_endings_are_refused(tmp_path):
    for name in ("curves", "curves.txt", "curves.png.exe"):
        with pytest.raises(ValueError, match=name):
            curves(history(2), tmp_path / name)
    with pytest.raises(OSError, match="create the folder"):
        curves(history(2), tmp_path / "missing" / "curves.png")
    assert os.listdir(tmp_path) == []


def test_notebooks_show_the_figure():
    picture = curves(history(3))._repr_png_()
    assert picture.startswith(b"\x89PNG")
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.size == (900, 390)


def test_matplotlib_is_imported_late_and_pyplot_never():
    code = (
        "import sys, minisegnet.plot as plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.palette(12); plot.overlay([[0.5, 0.1]], [[0, 1]])\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.curves([{'epoch': 1, 'train_loss': 0.5}])._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- comparisons


def test_networks_are_points_with_their_names_in_the_order_of_the_scores():
    networks = [("b", 3.0, 0.5), ("a", 1.0, 0.75), ("c", 2.0, 0.25)]
    figure = comparison(networks, xlabel="ms a picture", ylabel="score")
    axes = figure.axes[0]
    (points,) = axes.lines
    assert sorted(zip(*points.get_data(), strict=True)) == [(1, 0.75), (2, 0.25), (3, 0.5)]
    assert [text.get_text() for text in axes.texts] == ["c 0.250", "b 0.500", "a 0.750"]
    assert [tuple(text.xy) for text in axes.texts] == [(2, 0.25), (3, 0.5), (1, 0.75)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("ms a picture", "score")
    with pytest.raises(ValueError, match="no network"):
        comparison([])


@pytest.mark.parametrize("count", [1, 2, 17])
def test_names_of_networks_are_inside_and_apart(count):
    figure = comparison([(f"network{i:02}-vgg", 1.0 + i % 3, 0.5) for i in range(count)])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # The words alone: an annotation's own extent includes its line.
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in figure.axes[0].texts]
    for box in boxes:
        assert box.x1 <= figure.bbox.x1
        assert box.x0 > figure.axes[0].bbox.x1
    for below, above in itertools.pairwise(boxes):
        assert below.y1 <= above.y0 + 1


def test_masks_stand_beside_the_image_in_their_colours(tmp_path):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (6, 9, 3)).astype(np.uint8)
    masks = {name: rng.integers(0, 3, (6, 9)) for name in ("truth", "a\nIoU 0.5", "b")}
    masks["truth"][0] = 9
    own = np.array([[1, 2, 3], [40, 50, 60], [200, 100, 0]], np.uint8)
    figure = side_by_side(
        image, masks, tmp_path / "x.png", class_names=["sky", "road", "car"], ignore_index=9,
        palette=own, columns=3,
    )  # fmt: skip
    assert [axes.get_title() for axes in figure.axes] == ["image", *masks]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown[0], image)
    for picture, mask in zip(shown[1:], masks.values(), strict=True):
        inside = mask < 9
        np.testing.assert_array_equal(picture[inside], own[mask[inside]])
    assert (shown[1][0] == VOID_COLOUR).all()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(legend) == {"sky", "road", "car", "void"}
    with Image.open(tmp_path / "x.png") as picture:
        assert min(picture.size) > 200
    with pytest.raises(ValueError, match="no mask"):
        side_by_side(image, {})
