"""The explorer: its file and its command; and, in a real browser, its numbers and its manners."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import explain
from minisegnet.cli import main
from minisegnet.explain import explorer
from minisegnet.lessons import lesson_04

F = ms.functional
#: The options, named as in Python and as in the scripts of the page.
OPTIONS = {
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
    "output_padding": "outputPadding",
}
LEAST = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}

# ------------------------------------------------------------------ the file and the command


def test_page_is_self_contained():
    page = explain.explorer_page()
    for part in explorer.SCRIPTS + explorer.STYLES:
        assert (Path(explorer.__file__).parent / part).read_text("utf-8") in page
    assert "{{" not in page
    assert (
        re.findall(r"https?://|//\w+\.\w|\bsrc=|@import|url\(|<link(?! rel=\"icon\")", page) == []
    )
    assert re.findall(r"\b(?:fetch|XMLHttpRequest|WebSocket|sendBeacon|import)\(", page) == []
    assert "default-src 'none'" in page


def test_every_part_is_in_the_page_once():
    folder = Path(explorer.__file__).parent
    assert sorted(explorer.SCRIPTS) == sorted(path.name for path in folder.glob("*.js"))
    assert sorted(explorer.STYLES) == sorted(path.name for path in folder.glob("*.css"))


def test_command_writes_the_page_and_writes_it_again(tmp_path, capsys):
    path = tmp_path / "play.html"
    for _ in range(2):
        assert main(["explore", "--no-open", "--out", str(path)]) == 0
    assert path.read_text("utf-8") == explain.explorer_page()
    assert [entry.name for entry in tmp_path.iterdir()] == ["play.html"]
    assert str(path) in capsys.readouterr().out


def test_command_has_a_usual_name_and_opens_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    assert main(["explore"]) == 0
    assert opened == [(tmp_path / "transposed-convolution.html").as_uri()]
    assert "open the file in one" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["notes.html", ".", "missing/page.html"])
def test_command_leaves_what_is_not_its_own(tmp_path, name, capsys):
    (tmp_path / "notes.html").write_text("<p>mine</p>", encoding="utf-8")
    assert main(["explore", "--no-open", "--out", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"error: .+\n", captured.err)
    assert (tmp_path / "notes.html").read_text("utf-8") == "<p>mine</p>"


DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.skipif(not (DOCS / "conf.py").is_file(), reason="the documentation is not here")
def test_documentation_has_the_page_where_it_links_to_it(tmp_path):
    spec = importlib.util.spec_from_file_location("docs_explorer", DOCS / "_ext" / "explorer.py")
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    extension.write_page(app, None)
    (written,) = tmp_path.iterdir()
    assert written.read_text("utf-8") == explain.explorer_page()
    page = (DOCS / "verify_transposed_convolution.md").read_text("utf-8")
    assert f'<a href="{written.name}">' in page
    assert '"explorer"' in (DOCS / "conf.py").read_text("utf-8")


# ------------------------------------------------------------------ in a browser

Settings = dict[str, Any]


def convolved(s: Settings) -> np.ndarray:
    """What the engine makes of settings: the truth for the page."""
    x, w = (ms.tensor(np.array(s[name])[None, None]) for name in ("input", "kernel"))
    return F.conv_transpose2d(x, w, **{name: tuple(s[name]) for name in OPTIONS}).numpy()[0, 0]


def settings(x: Any, w: Any, **options: Any) -> Settings:
    pairs = {name: np.broadcast_to(options.get(name, LEAST[name]), 2).tolist() for name in OPTIONS}
    return {"input": np.array(x).tolist(), "kernel": np.array(w).tolist(), **pairs}


def in_script(s: Settings) -> Settings:
    return {OPTIONS.get(name, name): value for name, value in s.items()}


def fragment(s: Settings, **more: Any) -> str:
    def rows(m: Any) -> str:
        return ";".join(",".join(map(str, row)) for row in m)

    parts = {name: rows(s[name]) for name in ("input", "kernel")}
    parts |= {name: ",".join(map(str, s[name])) for name in OPTIONS}
    return "#" + "&".join(f"{key}={value}" for key, value in (parts | more).items())


def drawn(rng: np.random.Generator, sides: int = 5) -> Settings:
    """Random settings, whether they fit or not."""
    x, w = (rng.integers(1, sides, 2) for _ in range(2))
    options = {
        "stride": rng.integers(1, 5, 2),
        "padding": rng.integers(0, 5, 2),
        "dilation": rng.integers(1, 4, 2),
        "output_padding": rng.integers(0, 4, 2) * rng.integers(0, 2, 2),
    }
    return settings(rng.integers(-9, 10, x), rng.integers(-9, 10, w), **options)


def fitting(count: int, seed: int, sides: int = 5) -> list[Settings]:
    """Random settings that the engine accepts."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        s = drawn(rng, sides)
        try:
            size = convolved(s).shape
        except ValueError:
            continue
        if size[0] * size[1] <= 400:
            found.append(s)
    return found


def _launched(api: Any) -> Any:
    named = os.environ.get("MINISEGNET_CHROMIUM")
    known = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    for path in [named] if named else [*filter(None, known), None]:
        try:
            return api.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Exception as error:
            problem = str(error).strip().splitlines()[0]
    return pytest.skip(f"no Chromium: {problem}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as api:
        launched = _launched(api)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    path.write_text(explain.explorer_page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; afterwards nothing may have been asked for, and nothing have gone wrong."""
    contexts, complaints = [], []

    def open_page(fragment: str = "", width: int = 1440, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.split("#")[0] == address
                or request.url.startswith("data:")
                or complaints.append(request.url)
            ),
        )
        page.goto(address + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def cells(page: Any, view: str) -> np.ndarray:
    """The numbers that a view shows."""
    script = """view => [...document.querySelectorAll(`td[data-view="${view}"]`)].map(
        cell => [Number(cell.dataset.r), Number(cell.dataset.c), Number(cell.textContent || 0)])"""
    rows, columns, values = np.array(page.evaluate(script, view)).T
    out = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    out[rows, columns] = values
    return out


def go(page: Any, fragment: str) -> None:
    script = "hash => { history.replaceState(null, '', hash); loadAddress(); }"
    page.evaluate(script, fragment)


def said(page: Any) -> str:
    return " ".join(page.inner_text("#readout .sum, #readout .says").split())


def problem(page: Any) -> str:
    return page.inner_text("#problem") if page.is_visible("#problem") else ""


@pytest.mark.browser
def test_scripts_agree_with_the_engine_on_hundreds_of_settings(opened):
    sets = fitting(600, seed=1) + fitting(60, seed=2, sides=8)
    script = """sets => sets.map(s => {
        const { size, input } = geometry(s);
        const weight = (tap) => (tap ? s.kernel[tap[0]][tap[1]] : 0);
        const row = (r, c) => table(input, (i, j) => weight(matrixTap(s, [r, c], [i, j])));
        const times = (weights) =>
            table(input, (i, j) => ({ value: weights[i][j] * s.input[i][j] }));
        return [
            convTranspose2d(s),
            table(size, (r, c) => sum(windowTerms(s, r, c))),
            table(size, (r, c) => sum(times(row(r, c)).flat())),
        ];
    })"""
    for s, found in zip(sets, opened().evaluate(script, list(map(in_script, sets))), strict=True):
        expected = convolved(s)
        for values in found:
            np.testing.assert_array_equal(values, expected, err_msg=str(s))
    assert len({tuple(s["stride"] + s["padding"] + s["dilation"]) for s in sets}) > 500


@pytest.mark.browser
def test_page_refuses_just_what_the_engine_refuses(opened):
    rng = np.random.default_rng(3)
    sets = [drawn(rng) for _ in range(600)]
    script = """sets => sets.map(s => {
        try { refuseWhatDoesNotFit(s); return null; } catch (problem) { return problem.message; }
    })"""
    verdicts = []
    for s, found in zip(sets, opened().evaluate(script, list(map(in_script, sets))), strict=True):
        try:
            size = convolved(s).shape
            expected = size[0] * size[1] > 400
        except ValueError:
            expected = True
        assert (found is not None) == expected, (s, found)
        verdicts.append(expected)
    assert 100 < sum(verdicts) < 500


@pytest.mark.browser
def test_rendered_cells_are_those_of_the_engine(opened):
    page = opened()
    for s in fitting(28, seed=4):
        expected = convolved(s)
        go(page, fragment(s, at="0,0"))
        walk = explain.conv_transpose2d(
            s["input"], s["kernel"], **{name: tuple(s[name]) for name in OPTIONS}
        )
        np.testing.assert_array_equal(cells(page, "result"), expected)
        np.testing.assert_array_equal(cells(page, "overlap"), walk.outputs["overlap counts"])
        np.testing.assert_array_equal(cells(page, "flipped"), walk.panel(_slid(s)).values)
        canvas = walk.views["scatter"].outputs["canvas"]
        np.testing.assert_array_equal(cells(page, "canvas"), canvas)
        np.testing.assert_array_equal(cells(page, "frame"), canvas)
        if np.size(s["input"]) * expected.size <= 1600:
            matrix = page.evaluate(
                """() => [...document.querySelectorAll('td[data-view="matrix"]')].map(
                    cell => cell.textContent === "\\u00b7" ? 0 : Number(cell.textContent))"""
            )
            product = np.reshape(matrix, (expected.size, -1)) @ np.ravel(s["input"])
            np.testing.assert_array_equal(product.reshape(expected.shape), expected)
            np.testing.assert_array_equal(cells(page, "answer").ravel(), expected.ravel())


def _slid(s: Settings) -> str:
    return "dilated flipped kernel" if s["dilation"] != [1, 1] else "flipped kernel"


@pytest.mark.browser
def test_sum_of_every_cell_is_that_of_the_walkthrough(opened):
    page = opened()
    for s in fitting(8, seed=5, sides=4):
        options = {name: tuple(s[name]) for name in OPTIONS}
        walk = explain.conv_transpose2d(s["input"], s["kernel"], **options)
        go(page, fragment(s, at="0,0", zeros="yes"))
        shown = page.evaluate(
            """() => [...document.querySelectorAll('td[data-view="result"]')].map(cell => {
                point(cell);
                return document.querySelector("#readout .sum").textContent;
            })"""
        )
        places = np.ndindex(walk.result.shape)
        expected = [f"result[{r}, {c}] = {walk.at(r, c)}" for r, c in places]
        assert shown == expected


@pytest.mark.browser
def test_worked_examples_are_those_of_the_lessons(opened):
    page = opened()
    K = np.arange(1, 10).reshape(3, 3)
    known = {
        "stride-1": [[1, 2, 0], [4, 7, 2], [3, 7, 4]],
        "scatter": [[0, 0, 2], [0, 7, 7], [6, 11, 3]],
        "output-padding": 2 * K[1:, 1:],
        "nearest": np.kron([[1, 3], [2, 0]], np.ones((2, 2), int)),
        "bed-of-nails": np.kron([[1, 4], [3, 2]], [[1, 0], [0, 0]]),
    }
    ratios = {"k2s2": "1 product", "k3s2": "of 4:", "k4s2": "4 products", "k5s2": "of 2.25:"}
    ratios |= {"k4s3": "of 4:"}
    names = page.evaluate("EXAMPLES.map(each => each.key)")
    assert set(known) | set(ratios) <= set(names)
    for name in names:
        page.select_option("#example", name)
        s = page.evaluate("key => EXAMPLES.find(each => each.key === key).settings", name)
        expected = convolved({name: s.get(OPTIONS.get(name, name)) for name in [*s, *OPTIONS]})
        np.testing.assert_array_equal(cells(page, "result"), known.get(name, expected))
        np.testing.assert_array_equal(cells(page, "result"), expected)
        assert ratios.get(name, "") in page.inner_text("#overlap .quiet")
        assert page.inner_text("#example-says")


@pytest.mark.browser
def test_pointing_lights_the_same_factors_everywhere(opened):
    page = opened(fragment(settings([[1, 2], [3, 4]], [[1, 0], [1, 1]]), at="0,0"))
    page.hover('td[data-view="result"][data-r="1"][data-c="1"]')
    assert said(page) == "result[1, 1] = 1*1 + 2*1 + 3*0 + 4*1 = 7"
    lit = """() => [...document.querySelectorAll(".lit-factor")].map(
        cell => `${cell.dataset.view} ${cell.dataset.r},${cell.dataset.c}`).sort()"""
    views = {view: [] for view in ("input", "kernel", "whole", "flipped", "matrix", "spread")}
    for view, place in (each.split() for each in page.evaluate(lit)):
        views.setdefault(view, []).append(place)
    corners = ["0,0", "0,1", "1,0", "1,1"]
    assert views["input"] == views["kernel"] == views["spread"] == views["flipped"] == corners
    assert views["whole"] == ["1,1", "1,2", "2,1", "2,2"]
    assert views["matrix"] == ["4,0", "4,1", "4,2", "4,3"]
    assert [views[f"stamp-{n}"] for n in range(4)] == [["1,1"], ["1,0"], ["0,1"], ["0,0"]]
    page.hover('td[data-view="whole"][data-r="0"][data-c="2"]')
    assert said(page) == "0: a zero of the padding. It adds nothing to any sum."
    page.hover("#kernel-0-1")
    assert said(page).endswith("by every input cell; in the flipped kernel it stands at [1, 0].")
    places = [each.split() for each in page.evaluate(lit)]
    assert [place for view, place in places if view == "flipped"] == ["1,0"]
    # kernel[0, 1] leads from input[r, c] to result[r, c + 1]
    steps = [place for view, place in places if view == "matrix"]
    assert steps == ["1,0", "2,1", "4,2", "5,3"]
    page.hover('td[data-view="matrix"][data-r="7"][data-c="3"]')
    assert said(page) == "input[1, 1] * kernel[1, 0] = 4*1 = 4 is added to result[2, 1]."
    page.mouse.move(1, 1)
    assert said(page) == "result[0, 0] = 0*1 + 0*1 + 0*0 + 1*1 = 1"
    page.hover(".term:nth-of-type(3)")
    assert page.inner_text(".detail") == "a zero of the padding * kernel[0, 1] = 0."
    assert "flipped 1,0" in page.evaluate(lit)
    assert "whole 1,0" in page.evaluate(lit)
    page.hover(".term:nth-of-type(4)")
    assert page.inner_text(".detail") == (
        "input[0, 0] * kernel[0, 0] = 1*1 = 1 is added to result[0, 0]."
    )


@pytest.mark.browser
def test_what_is_lit_adds_up_to_the_cell_in_every_view(opened):
    page = opened()
    script = """() => {
        const lit = (view, kind) => [...document.querySelectorAll(
            `td[data-view^="${view}"].lit-${kind}`)];
        const number = (cell) => Number(cell.textContent);
        const add = (values) => values.reduce((total, value) => total + value, 0);
        return [...document.querySelectorAll('td[data-view="result"]')].map((cell) => {
            goTo(placeOf(cell));
            const [r, c] = placeOf(cell).map((n, a) => n + page.model.s.padding[a]);
            const window = [...lit("whole", "factor"), ...lit("whole", "zero")];
            const targets = ["canvas", "frame", "result", "answer"].flatMap(
                (view) => lit(view, "target"));
            return {
                places: targets.slice(0, 2).map(placeOf).concat([[r, c]]),
                sums: [
                    ...targets.map(number),
                    add(window.map((each) => number(each) * Number(each.dataset.tap))),
                    add(lit("stamp", "factor").map(number)),
                    add(lit("matrix", "factor").map((each) => number(each) *
                        number(cellAt("column", 0, each.dataset.c)))),
                ],
            };
        });
    }"""
    for s in fitting(10, seed=10, sides=4):
        go(page, fragment(s, at="0,0"))
        for total, found in zip(convolved(s).ravel(), page.evaluate(script), strict=True):
            assert found["sums"] == [total] * 7, s
            assert found["places"][0] == found["places"][1] == found["places"][2], s


@pytest.mark.browser
def test_python_line_makes_the_result(opened):
    page = opened()
    for s in fitting(5, seed=6):
        go(page, fragment(s))
        line = page.inner_text("#python-line")
        made = eval(line, {"F": F, "ms": ms})  # what a reader would do with it
        np.testing.assert_array_equal(made.numpy()[0, 0], cells(page, "result"))


@pytest.mark.browser
def test_terminal_line_makes_the_result(opened, capsys):
    page = opened(fragment(fitting(1, seed=7)[0], at="0,0"))
    words = re.findall(r'"[^"]*"|\S+', page.inner_text("#terminal-line"))
    assert words.pop(0) == "minisegnet"
    assert main([word.strip('"') for word in words]) == 0
    printed = capsys.readouterr().out
    assert said(page).removeprefix("result[0, 0] = ").split(" = ")[1] in printed


# ------------------------------------------------------------------ predictions

_EVERYTHING = settings(
    [[2, 7, -1, 6], [4, 5, 8, 3], [9, 1, -2, 10]],
    [[1, 9, 3], [6, -4, 5]],
    stride=(1, 2),
    padding=(1, 2),
    dilation=(2, 1),
    output_padding=(1, 0),
)


def _with(s: Settings, **changes: Any) -> Settings:
    return s | {
        name: value if name in ("input", "kernel") else np.broadcast_to(value, 2).tolist()
        for name, value in changes.items()
    }


def _overwritten(s: Settings) -> np.ndarray:
    x, w = np.array(s["input"]), np.array(s["kernel"])
    board = np.zeros((50, 50), int)
    for (r, c), (i, j) in ((a, b) for a in np.ndindex(x.shape) for b in np.ndindex(w.shape)):
        at = (r * s["stride"][0] + i * s["dilation"][0], c * s["stride"][1] + j * s["dilation"][1])
        board[at] = x[r, c] * w[i, j]
    rows, columns = s["padding"]
    return board[rows:, columns:]


def _zeros_appended(s: Settings) -> np.ndarray:
    return np.pad(convolved(_with(s, output_padding=0)), [(0, n) for n in s["output_padding"]])


def _padding_added(s: Settings) -> np.ndarray:
    return np.pad(convolved(_with(s, padding=0)), [(n, n) for n in s["padding"]])


def _gathered(s: Settings) -> np.ndarray:
    x, w = (ms.tensor(np.array(s[name])[None, None]) for name in ("input", "kernel"))
    options = {name: tuple(s[name]) for name in ("stride", "padding", "dilation")}
    return F.conv2d(x, w, **options).numpy()[0, 0]


def _flipped(s: Settings, rows: int, columns: int) -> np.ndarray:
    return convolved(_with(s, kernel=np.array(s["kernel"])[::rows, ::columns].tolist()))


def _on_the_other_side(s: Settings) -> np.ndarray:
    whole = convolved(_with(s, padding=0, output_padding=0))
    (top, left), (rows, columns) = s["padding"], s["output_padding"]
    return np.pad(whole, [(rows, 0), (columns, 0)])[top:, left:]


#: There is no such cell.
_NONE = 10**6

WRONG = {
    "The kernel is not flipped": lambda s: _flipped(s, -1, -1),
    "flipped upside down only": lambda s: _flipped(s, 1, -1),
    "flipped left to right only": lambda s: _flipped(s, -1, 1),
    "You overwrote": _overwritten,
    "Output padding appended a zero": _zeros_appended,
    "Output padding went to the top": _on_the_other_side,
    "You forgot the stride": lambda s: convolved(_with(s, stride=1, output_padding=(1, 0))),
    "Padding was added": _padding_added,
    "You forgot the padding": lambda s: convolved(_with(s, padding=0)),
    "You ignored the dilation": lambda s: convolved(_with(s, dilation=1, output_padding=0)),
    "That is the convolution": _gathered,
    "columns of the input changed": lambda s: convolved(
        _with(s, input=np.transpose(s["input"]).tolist())
    ),
    "columns of the kernel changed": lambda s: convolved(
        _with(s, kernel=np.transpose(s["kernel"]).tolist())
    ),
    "Input and kernel changed": lambda s: convolved(_with(s, input=s["kernel"], kernel=s["input"])),
    "rows and columns count from 0": lambda s: np.pad(
        convolved(s), [(1, 0), (1, 0)], constant_values=_NONE
    ),
    "the row comes first": lambda s: convolved(s).T,
}


def _telling_cell(words: str) -> tuple[int, int]:
    """A cell at which at most one other mistake gives the same value, and it is not right."""
    right = convolved(_EVERYTHING)
    tables = {name: wrong(_EVERYTHING) for name, wrong in WRONG.items()}
    for r, c in np.ndindex(right.shape):
        values = {
            name: int(table[r, c])
            for name, table in tables.items()
            if r < table.shape[0] and c < table.shape[1]
        }
        others = [value for name, value in values.items() if name != words]
        is_wrong = values.get(words, _NONE) not in (_NONE, right[r, c])
        if is_wrong and others.count(values[words]) <= 1:
            return r, c
    raise AssertionError(f"no cell tells of: {words}")


def predict(page: Any, s: Settings, cell: tuple[int, int], answer: Any) -> str:
    go(page, fragment(s, at=f"{cell[0]},{cell[1]}", ask="value"))
    page.fill("#answer", str(answer))
    page.press("#answer", "Enter")
    return page.inner_text(".verdict")


@pytest.mark.browser
def test_every_mistake_with_a_value_is_named(opened):
    page = opened()
    for words, wrong in WRONG.items():
        cell = _telling_cell(words)
        verdict = predict(page, _EVERYTHING, cell, wrong(_EVERYTHING)[cell])
        assert words in verdict, (words, cell, verdict)
        assert page.is_hidden("#recipe")


@pytest.mark.browser
def test_slips_in_a_sum_are_named(opened):
    page = opened()
    s = settings([[2, -3], [5, 7]], [[4, 11], [13, 9]])
    assert convolved(s)[1, 1] == 2 * 9 - 3 * 13 + 5 * 11 + 7 * 4 == 62
    assert "One product is missing: 5*11 = 55." in predict(page, s, (1, 1), 62 - 55)
    assert "A sign is lost: (-3)*13 = -39." in predict(page, s, (1, 1), 62 + 2 * 39)
    assert "no usual mistake" in predict(page, s, (1, 1), 1000)
    assert "give a whole number" in predict(page, s, (1, 1), "x")
    zeros = settings([[3, 1, 6]], [[2, 5, 7]], stride=2)
    wider = convolved(_with(zeros, stride=3))[0, 2]
    assert "insert one fewer" in predict(page, zeros, (0, 2), wider)
    dilated = settings([[1, 3, 4]], [[2, 5, 9]], dilation=2, padding=(0, 2))
    shifted = convolved(_with(dilated, padding=0))[0, 2 + 2]
    assert "as if the kernel were not dilated" in predict(page, dilated, (0, 0), shifted)


@pytest.mark.browser
def test_a_right_value_is_revealed_and_the_others_stay_questions(opened):
    page = opened()
    right = convolved(_EVERYTHING)
    assert predict(page, _EVERYTHING, (1, 2), right[1, 2]) == f"Right: {right[1, 2]}."
    shown = page.locator('td[data-view="result"]').all_inner_texts()
    expected = ["?"] * right.size
    expected[right.shape[1] + 2] = str(right[1, 2])
    assert shown == expected
    frame = page.locator('td[data-view="frame"]:not(.cut)').all_inner_texts()
    assert [text for text in frame if text != "?"] == [str(right[1, 2])]
    assert said(page).endswith(f"= {right[1, 2]}")
    page.click("#next")
    assert "result[1, 3]" in page.inner_text("#question")
    page.click("#reveal")
    assert page.inner_text(".verdict") == f"It is {right[1, 3]}."
    page.click("#next")
    for answer in (int(right[1, 4]) + 1000, right[1, 4]):
        page.fill("#answer", str(answer))
        page.press("#answer", "Enter")
    assert page.inner_text(".verdict") == f"Right: {right[1, 4]}."
    assert "right at once: 1 of 3" in page.inner_text("#question")


@pytest.mark.browser
def test_every_mistake_with_a_size_is_named(opened):
    page = opened()
    s = settings([[1] * 4] * 5, [[1] * 4] * 3, stride=(3, 2), padding=(2, 3))
    s = _with(s, dilation=(3, 2), output_padding=(2, 1))
    names = ["input", "kernel", "stride", "padding", "output_padding", "dilation"]
    named = set()
    for mistake in lesson_04.SIZE.mistakes:
        sides = [[len(s["input"]), 4], [3, 4], *(s[name] for name in names[2:])]
        wrong = [mistake.answer(*(side[axis] for side in sides)) for axis in (0, 1)]
        go(page, fragment(s, ask="size"))
        assert page.is_hidden("#result")
        assert page.is_hidden("#step")
        page.fill("#answer", str(wrong[0]))
        page.fill("#answer-columns", str(convolved(s).shape[1]))
        page.press("#answer", "Enter")
        verdict = page.inner_text(".verdict")
        assert re.fullmatch(rf"Rows: not {wrong[0]}; .+\. Columns: \d+ is right\.", verdict)
        assert "where does" not in verdict
        named.add(verdict)
    assert len(named) == len(lesson_04.SIZE.mistakes)
    page.fill("#answer", str(convolved(s).shape[0]))
    page.press("#answer", "Enter")
    assert page.inner_text(".verdict").startswith("Right: ")
    np.testing.assert_array_equal(cells(page, "result"), convolved(s))


# ------------------------------------------------------------------ typing


@pytest.mark.browser
@pytest.mark.parametrize(
    "field, text, words",
    [
        ("stride-0", "0", "The stride of the rows is 0: give a whole number from 1 to 8."),
        ("dilation-1", "1.5", "The dilation of the columns is 1.5: give a whole number"),
        ("padding-0", "-1", "The padding of the rows is -1: give a whole number from 0"),
        ("padding-1", "9", "No columns are left: (2 - 1)*1 - 2*9 + 1*(2 - 1) + 0 + 1 = -15"),
        ("outputPadding-0", "1", "is 1: it must be smaller than the stride 1 or the dilation 1."),
        ("input-0-1", "two", "Cell [0, 1] of the input is two: give a whole number from -999"),
        ("kernel-1-0", "", "Cell [1, 0] of the kernel is empty: give a whole number from -999"),
        ("kernel-1-0", "<b>1", "Cell [1, 0] of the kernel is <b>1: give a whole number"),
        ("input-1-1", "1000", "is 1000: give a whole number from -999 to 999."),
        ("size-input-0", "0", "rows of the input is 0: give a whole number from 1 to 8."),
        ("size-kernel-1", "", "The number of columns of the kernel is empty"),
    ],
)
def test_bad_input_gets_one_sentence_and_breaks_nothing(opened, field, text, words):
    page = opened()
    before = cells(page, "result")
    kept = page.input_value(f"#{field}")
    page.fill(f"#{field}", text)
    page.press(f"#{field}", "Tab")
    assert words in problem(page)
    assert problem(page).count(". ") == 0
    assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
    assert page.get_attribute(f"#{field}", "aria-describedby") == "problem"
    np.testing.assert_array_equal(cells(page, "result"), before)
    page.fill(f"#{field}", kept)
    assert problem(page) == ""
    np.testing.assert_array_equal(cells(page, "result"), before)
    assert page.get_attribute(f"#{field}", "aria-invalid") is None


@pytest.mark.browser
def test_cells_that_cannot_be_shown_yet_can_be_pointed_at(opened):
    page = opened(fragment(settings([[1, 2], [3, 4]], [[1, 0], [1, 1]], padding=1), at="0,0"))
    before = said(page)
    page.fill("#padding-1", "20")
    page.fill("#size-input-1", "4")
    page.hover("#input-1-3")
    assert said(page) == before
    page.fill("#padding-1", "1")
    page.hover("#input-0-0")
    page.hover("#input-1-3")
    assert said(page).startswith("input[1, 3] = ")


@pytest.mark.browser
def test_too_much_is_refused_in_one_sentence(opened):
    page = opened()
    x, w = np.ones((8, 7), int).tolist(), np.ones((3, 2), int).tolist()
    for options, words in [({"stride": 8}, "padded rows"), ({"stride": 3}, "cells, more than")]:
        go(page, fragment(settings(x, w, **options)))
        assert words in problem(page)
        assert "here is an example instead" in problem(page)


@pytest.mark.browser
def test_typing_and_resizing_change_everything(opened):
    page = opened()
    page.fill("#size-kernel-1", "3")
    page.fill("#kernel-0-2", "-7")
    page.fill("#stride-1", "2")
    page.press("#padding-0", "ArrowUp")
    kernel = page.evaluate("page.model.s.kernel")
    assert [row[:2] for row in kernel] == [[1, 0], [1, 1]]
    assert kernel[0][2] == -7
    s = settings([[1, 2], [3, 4]], kernel, stride=(1, 2), padding=(1, 0))
    np.testing.assert_array_equal(cells(page, "result"), convolved(s))
    equation = " ".join(page.inner_text("#equations").split("columns")[1].split())
    assert equation == "(2 - 1)*2 - 2*0 + 1*(3 - 1) + 0 + 1 = 5"
    page.click("#random")
    matrices = page.evaluate("[page.model.s.input, page.model.s.kernel]")
    for m in map(np.array, matrices):
        assert not any(np.array_equal(m, m[::i, ::j]) for i, j in [(-1, 1), (1, -1), (-1, -1)])


# ------------------------------------------------------------------ the address


@pytest.mark.browser
def test_address_restores_everything(opened):
    page = opened()
    for s in fitting(8, seed=8):
        r, c = (n - 1 for n in convolved(s).shape)
        go(page, fragment(s, at=f"{r},{c}", stamps="1", zeros="no", ask="value", seen="0"))
        page.evaluate("writeAddress()")
        link = page.evaluate("location.href")
        state = """() => [page.model.s, [...page.look.seen], toFragment(page.model.s, page.look),
            ...[...document.querySelectorAll(".side, .bar > :not(#spoken), .views")].map(
                (part) => part.innerText + [...part.querySelectorAll("input")].map(
                    (field) => [field.value, field.checked]))]"""
        again = opened("#" + link.split("#")[1])
        assert again.evaluate(state) == page.evaluate(state)
        assert again.evaluate("page.model.s") == in_script(s)
        assert again.evaluate("page.look.at") == [r, c]


@pytest.mark.browser
@pytest.mark.parametrize(
    "fragment",
    ["#x=1", "#input=1,2;3&kernel=1", "#input=1&kernel=a", "#input=1&kernel=1&at=5,5", "#%E0%A4%A"],
)
def test_address_that_says_nothing_gives_a_sentence_and_an_example(opened, fragment):
    page = opened(fragment)
    assert re.fullmatch(
        r"This link cannot be read \(.+\): here is an example instead\.", problem(page)
    )
    np.testing.assert_array_equal(cells(page, "result"), [[1, 2, 0], [4, 7, 2], [3, 7, 4]])


@pytest.mark.browser
def test_address_cannot_bring_in_markup(opened):
    page = opened("#input=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&kernel=1")
    assert "This link cannot be read" in problem(page)
    assert page.locator("img").count() == 0


# ------------------------------------------------------------------ keyboard, eyes, small screens


@pytest.mark.browser
def test_walk_with_the_keyboard_alone(opened):
    page = opened()
    stops = _stops(page)
    for wanted in ("example", "random", "input-0-0", "kernel-1-1", "stride-0", "outputPadding-1"):
        assert wanted in stops
    for view in ("spread", "whole", "flipped", "result", "canvas", "frame", "answer", "overlap"):
        assert stops.count(view) == 1, (view, stops)
    page.focus("#skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.view") == "result"
    assert problem(page) == ""
    page.focus("#step")
    page.keyboard.press("Home")
    assert said(page).startswith("result[0, 0] =")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert said(page) == "result[2, 1] = 3*1 + 4*1 + 0*0 + 0*1 = 7"
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.focus('td[data-view="overlap"][tabindex="0"]')
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("page.look.at") == [1, 0]
    page.focus("[name=ask]:checked")
    page.keyboard.press("ArrowRight")
    for key in ("Tab", "Tab", "4", "Enter"):
        page.keyboard.press(key)
    assert page.inner_text(".verdict") == "Right: 4."
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"
    assert page.evaluate("page.look.at") == [1, 1]


def _stops(page: Any) -> list[str]:
    """Where Tab leads, once around; each place is named, visible, marked, and not covered."""
    script = """() => {
        const it = document.activeElement;
        if (it === document.body) return null;
        const box = it.getBoundingClientRect();
        const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        const shown = it.matches("[type=radio]") ? it.nextSibling : it;
        return {
            key: it.id || it.dataset.view || it.className,
            name: it.getAttribute("aria-label") || it.labels?.[0]?.textContent || it.textContent,
            marked: getComputedStyle(shown).outlineStyle !== "none",
            covered: !top || !(it.contains(top) || it.parentElement.contains(top)),
        };
    }"""
    stops = []
    page.evaluate("document.activeElement.blur()")
    for _ in range(120):
        page.keyboard.press("Tab")
        stop = page.evaluate(script)
        if stop is None:
            break
        assert stop["name"].strip(), stop
        assert stop["marked"], stop
        assert not stop["covered"], stop
        stops.append(stop["key"])
    assert 20 < len(stops) < 120
    return stops


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(360, 740), (1440, 900)])
def test_text_can_be_read_and_nothing_is_wider_than_the_screen(opened, scheme, width, height):
    page = opened(fragment(_EVERYTHING, at="1,2"), width, height, color_scheme=scheme)
    for s in [_EVERYTHING, *fitting(1, seed=9, sides=8)]:
        go(page, fragment(s, at="0,0"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        low = page.evaluate(_CONTRAST)
        assert low == []
        go(page, fragment(s, at="0,0", ask="value"))
        page.press("#answer", "Enter")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(_CONTRAST) == []


#: Texts with a contrast below 4.5:1 to what is behind them; hatched cells are left out.
_CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour, below) => {
        canvas.fillStyle = below;
        canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const css = (parts) => `rgb(${parts.join(" ")})`;
    const behind = (it) => {
        if (!it) return "white";
        const style = getComputedStyle(it);
        return css(rgb(style.backgroundColor, behind(it.parentElement)));
    };
    const light = (parts) => parts.map((n) => n / 255)
        .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
        .reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
    const low = [];
    for (const it of document.querySelectorAll("body *")) {
        const own = [...it.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        const isShown = it.checkVisibility({ checkVisibilityCSS: true });
        if (!own || !isShown || it.matches("script, option, :disabled, .unseen, .skip")) continue;
        if (getComputedStyle(it).backgroundImage !== "none") continue;
        const ground = behind(it);
        const pair = [rgb(getComputedStyle(it).color, ground), rgb(ground, "white")].map(light);
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) low.push([it.className, it.textContent.slice(0, 20), ratio.toFixed(2)]);
    }
    return low;
}"""


@pytest.mark.browser
def test_what_a_finger_taps_stays_shown(opened):
    page = opened("", 360, 740, has_touch=True, is_mobile=True)
    page.tap('td[data-view="whole"][data-r="0"][data-c="0"]')
    assert said(page) == "0: a zero of the padding. It adds nothing to any sum."
    page.tap('td[data-view="result"][data-r="2"][data-c="0"]')
    assert said(page) == "result[2, 0] = 0*1 + 3*1 + 0*0 + 0*1 = 3"


@pytest.mark.browser
def test_motion_is_left_out_where_the_reader_wants_none(opened):
    moving = """() => { point(null);
        return getComputedStyle(document.querySelector(".outline.moving")).transitionProperty; }"""
    assert "left" in opened().evaluate(moving)
    assert opened(reduced_motion="reduce").evaluate(moving) == "none"


@pytest.mark.browser
def test_playing_goes_from_cell_to_cell_and_stops_at_the_end(opened):
    page = opened(fragment(settings([[1, 2], [3, 4]], [[1, 0], [1, 1]]), at="2,1"))
    page.clock.install()
    page.click("#play")
    page.clock.run_for(1000)
    assert page.evaluate("page.look.at") == [2, 2]
    page.clock.run_for(1000)
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.click("#play")
    assert page.evaluate("page.look.at") == [0, 0]
    page.click("#play")


@pytest.mark.browser
def test_stamps_are_added_one_by_one(opened):
    page = opened(fragment(settings([[0, 2], [3, 1]], [[0, 1], [2, 3]]), stamps="2"))
    assert page.inner_text("#stamps-says") == "Stamps added: 2 of 4"
    np.testing.assert_array_equal(cells(page, "canvas"), [[0, 0, 2], [0, 4, 6], [0, 0, 0]])
    page.focus("#stamps")
    page.keyboard.press("ArrowRight")
    np.testing.assert_array_equal(cells(page, "canvas"), [[0, 0, 2], [0, 7, 6], [6, 9, 0]])
    assert said(page).startswith("input[1, 0] = 3 stamps 3 * kernel on rows 1 to 2 and columns 0")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#stamps-says") == "Stamps added: all 4"
    np.testing.assert_array_equal(cells(page, "canvas"), [[0, 0, 2], [0, 7, 7], [6, 11, 3]])
