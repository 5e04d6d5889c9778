"""How walkthroughs look: in a terminal, on a page, as a figure and as a film."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageSequence

from minisegnet import explain

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(0, 300, (2, 3))

WALKS = {
    "transposed": explain.conv_transpose2d(
        [[1, 2], [3, 4]], [[1, 0, 2], [1, 1, -3], [0, 4, 1]], stride=2, padding=1, output_padding=1
    ),
    "one cell": explain.conv_transpose2d([[7]], [[5]]),
    "cropped": explain.conv_transpose2d(
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[1, 2], [3, -400]], stride=2, padding=2
    ),
    "floats": explain.conv_transpose2d(FLOATS, FLOATS[:, :2] * 1e-9, stride=(1, 2), dilation=2),
    "channels": explain.conv_transpose2d(
        RNG.integers(-9, 9, (2, 4, 2, 3)), RNG.integers(-99, 99, (4, 2, 2, 2)), [1, 2, 3, 4],
        stride=2, groups=2,
    ),
    "large": explain.conv2d(RNG.integers(0, 9, (20, 30)), RNG.integers(0, 5, (7, 7)), padding=3),
    "dilated": explain.conv2d(RNG.integers(0, 999, (4, 5)), [[1, -2], [3, 4]], dilation=2),
    "pool": explain.max_pool2d([[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1]], 3, stride=2, padding=1),
    "unpool": explain.max_unpool2d([[1, 3], [2, 4]], [[4, 3], [8, 15]], 2),
    "nails": explain.bed_of_nails([[1, 4], [3, 2]], (2, 3)),
    "nearest": explain.interpolate([[1, 3], [2, 0]], size=(3, 5)),
    "bilinear": explain.interpolate(
        [[1, 3], [2, 0]], size=(3, 7), mode="bilinear", align_corners=True
    ),
    "softmax": explain.softmax(RNG.normal(0, 9, (1, 3, 2, 2)), names=["cat", "a dog", "nothing"]),
    "cross-entropy": explain.cross_entropy([[[1, 2]], [[3, 4]]], [[0, 255]], ignore_index=255),
    "iou": explain.iou([[1, 1, 0]], [[1, 0, 255]], ignore_index=255),
    "soft dice": explain.dice([[0.9, 0.2, 0.4]], [[1, 0, 1]], squared=True),
    "empty masks": explain.dice([[0, 0]], [[0, 0]]),
    "confusion": explain.confusion_matrix([[0, 1, 1], [2, 1, 0]], [[0, 1, 2], [2, 0, 0]]),
}  # fmt: skip
WALKS |= {
    f"{name}, {view}": WALKS[name].views[view]
    for name in ("transposed", "cropped", "channels")
    for view in ("scatter", "matrix")
}
EVERY = pytest.mark.parametrize("name", WALKS)


@EVERY
def test_text_fits_and_is_aligned(name: str):
    walk = WALKS[name]
    text = str(walk)
    widest = max(map(len, text.splitlines()))
    assert widest <= 96 or "columns" in text or name == "transposed, matrix" or widest <= 130
    assert all(line == line.rstrip() for line in text.splitlines())
    for number, step in enumerate(walk.steps, 1):
        assert f"\n{number}. {step.title}\n" in text
        # One sentence: a stop at the end, and none in the middle but for those of a formula.
        assert step.sentence.endswith(".")
    text.encode("cp1252")  # what a Windows console can print


def test_at_a_prompt():
    walk = explain.conv_transpose2d([[1, 2], [3, 4]], [[1, 0], [1, 1]])
    assert repr(walk) == str(walk)
    assert repr(walk.at(1, 1)) == "result[1, 1] = 1*1 + 2*1 + 3*0 + 4*1 = 7"
    assert repr(walk.steps[0]) == "<step 'Start': input, kernel>"
    assert repr(walk.panel("padded input")) == "<panel 'padded input', 4x4>"
    assert repr(walk.views) == "<views: zero insertion, scatter, matrix>"


def test_matrices_are_aligned_to_the_right():
    text = str(explain.conv2d([[1, -22, 3], [444, 5, 6]], [[1]]))
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "input (2x3)" in line)
    assert lines[start + 1 : start + 3] == ["      1 -22   3     1", "    444   5   6"]


def test_the_window_in_brackets_and_in_colour():
    walk = explain.conv2d([[1, 2, 3], [4, 5, 6]], [[1, 0], [2, -1]])
    assert " 1 [2][3]" in walk.text(0, 1) and " 4 [6]" in walk.text(0, 1)
    assert (
        walk.text(0, 1).split("\n\n")[-1].startswith("result[0, 1] = 2*1 + 3*0 + 5*2 + 6*(-1) = 6")
    )
    coloured = walk.text(0, 1, colour=True)
    assert "\x1b[43m" in coloured and "[2]" not in coloured.replace("kernel[", "")
    plain = re.sub(r"\x1b\[\d+m", "", walk.text(colour=True))
    assert plain == walk.text()


def test_the_frame_is_drawn_around_what_stays():
    text = str(WALKS["transposed"].views["scatter"])
    start = text.index("canvas (5x5)")
    assert text[start:].splitlines()[1:8] == [
        "     (1)     (0)  (4)  (0)  (4)",
        "         +----------------------+",
        "     (1) |    1   -1    2   -6  |",
        "     (3) |    4   11    8   10  |",
        "     (3) |    3   -5    4  -12  |",
        "     (0) |   12    3   16    4  |",
        "         +----------------------+",
    ]


def test_large_matrices_show_the_part_that_matters():
    text = WALKS["large"].text(10, 25)
    assert "rows 3 to" not in text or "columns" in text
    assert "columns 6 to 29" in text
    assert len(text.splitlines()) < 200


class _Balanced(HTMLParser):
    """Follows the tags, and remembers what could reach out of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.reaching_out: list[str] = []
        self.cells = 0

    def handle_starttag(self, tag, attrs):
        self.cells += tag == "td"
        self.reaching_out += [k for k, v in attrs if k in ("src", "href", "onclick")]
        self.reaching_out += [tag] if tag in ("script", "link", "iframe") else []
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@EVERY
def test_the_page_is_well_formed_and_self_contained(name: str):
    walk = WALKS[name]
    page = walk._repr_html_()
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == [] and parser.reaching_out == []
    assert parser.cells >= walk.cells.size or walk.cells.size > 100
    assert page == walk.html(), "the same walkthrough gives the same page"
    assert len(page) < 400_000
    ledger = walk.account(walk.telling_cell())
    assert ledger.name in page
    assert "<table" in ledger._repr_html_()


def test_pointing_at_a_cell_lights_its_window():
    walk = explain.conv2d([[1, 2, 3], [4, 5, 6]], [[1, 0], [2, -1]])
    page = walk.html()
    name = re.search(r'class="msn (msn-\w+)"', page).group(1)
    for number in (0, 1):
        assert f".{name}:has(td.o{number}:is(:hover,:focus)) td.w{number}" in page
    # The cell with the 2 is in both windows, the 1 only in the first.
    assert re.search(r'<td class="w0 w1[^"]*">2</td>', page)
    assert re.search(r'<td class="w0( on)?">1</td>', page)
    assert re.search(r'class="l1[^"]*">result\[0, 1\] = 2\*1 \+ 3\*0', page)


@EVERY
def test_nothing_in_a_figure_is_clipped_or_overlaps(name: str):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = WALKS[name].plot()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    boxes = [(t.get_text(), t.get_window_extent()) for t in axes.texts if t.get_text().strip()]
    width, height = figure.bbox.width, figure.bbox.height
    for words, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, words
    tallest = max(box.height for _, box in boxes)
    for (a, one), (b, other) in combinations(sorted(boxes, key=lambda item: -item[1].y1), 2):
        if one.y1 - other.y1 > 2 * tallest:
            continue
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        down = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert across <= 1 or down <= 3, f"{a!r} lies on {b!r}"


def frames_of(path) -> list[Image.Image]:
    """Every frame of a picture, in red, green and blue."""
    with Image.open(path) as film:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]


def test_a_figure_shows_the_window_that_is_asked_for(tmp_path):
    walk = WALKS["transposed"]
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    walk.plot(0, 0, path=first)
    walk.plot(3, 3, path=second)
    (a, *_), (b, *_) = frames_of(first), frames_of(second)
    assert a.size == b.size and a.tobytes() != b.tobytes()
    again = tmp_path / "c.png"
    walk.plot(0, 0, path=again)
    assert first.read_bytes() == again.read_bytes()
    words = {t.get_text().strip() for t in walk.plot(0, 0).axes[0].texts}
    assert "result[0, 0] =" in words and "= 1" in words
    assert walk.plot(0, 0)._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"must end in one of \.png"):
        walk.plot(path=tmp_path / "a.bmp")
    with pytest.raises(IndexError, match="no row 4"):
        walk.plot(4, 0)


def test_a_film_of_the_window(tmp_path):
    path = tmp_path / "window.gif"
    walk = explain.conv_transpose2d([[1, 2]], [[1, 3], [2, -1]])
    walk.animate(path, dpi=50)
    frames = frames_of(path)
    assert len(frames) == walk.result.size == 6
    assert len({frame.size for frame in frames}) == 1
    assert len({frame.tobytes() for frame in frames}) == 6, "every frame differs"


def test_a_film_of_the_stamps(tmp_path):
    path = tmp_path / "stamps.gif"
    walk = WALKS["transposed"].views["scatter"]
    moments = list(walk.moments())
    canvases = [moment.panels[-1].values for moment in moments]
    np.testing.assert_array_equal(canvases[-1], walk.outputs["canvas"])
    assert canvases[0].sum() == 7  # the first stamp alone
    assert moments[1].sentence.startswith("input[0, 1] = 2 stamps 2 * kernel on rows 0-2")
    walk.animate(path, dpi=50)
    assert len(frames_of(path)) == 4 + 1
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        walk.animate(tmp_path / "stamps.png")
    with pytest.raises(ValueError, match="more than 400 frames"):
        WALKS["large"].animate(path)


@pytest.mark.parametrize("name", ["channels", "pool", "bilinear", "softmax", "confusion", "iou"])
def test_other_films(name: str, tmp_path):
    moments = list(WALKS[name].moments())
    assert len(moments) == np.prod(WALKS[name].cells.shape[-2:])
    to_come = [moment.panels[-1].marks[explain.Mark.TO_COME].sum() for moment in moments]
    assert to_come == sorted(to_come, reverse=True)
    assert all(moment.ledger is not None for moment in moments)


@EVERY
def test_everything_as_json(name: str):
    walk = WALKS[name]
    read = json.loads(json.dumps(walk.to_dict()))
    assert [step["title"] for step in read["steps"]] == [step.title for step in walk.steps]
    ledger = json.loads(json.dumps(walk.account(walk.telling_cell()).to_dict()))
    assert ledger["equation"]
