"""The lessons' notebooks: built byte for byte from their sources, and run from top to bottom.

The tests run over every source in ``notebooks/src``.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from minisegnet.lessons import registry

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
if not NOTEBOOKS.is_dir():
    pytest.skip("the notebooks are not here", allow_module_level=True)


def _module(path: Path):
    spec = importlib.util.spec_from_file_location("notebooks_build", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


build = _module(NOTEBOOKS / "build.py")
SOURCES = build.sources(NOTEBOOKS)
sources = pytest.mark.parametrize(
    "source", [pytest.param(source, id=source.path.stem) for source in SOURCES]
)
can_run = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="running notebooks needs nbclient and ipykernel: pip install 'minisegnet[notebooks]'",
)


def code(source) -> str:
    """The code of the copy with solutions."""
    return "\n".join(
        build.cell_text(cell, source.path, True) for cell in source.cells() if cell.kind == "code"
    )


@cache
def run(lesson: str) -> dict[bool, dict]:
    """Both copies of a lesson, executed: by whether the solutions are in it."""
    command = [sys.executable, str(NOTEBOOKS / "build.py"), "--run", lesson, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 2, done.stderr
    return {result["solutions"]: result for result in results}


# ------------------------------------------------------------------ the sources


def test_every_lesson_has_a_source_and_every_source_a_lesson():
    assert [int(source.lesson) for source in SOURCES] == list(registry.numbers())


@sources
def test_the_notebooks_are_what_their_source_makes(source):
    for path, with_solutions in source.notebooks.items():
        made = build.notebook(source, with_solutions)
        assert made == build.notebook(source, with_solutions)
        assert path.read_bytes() == made.encode(), f"{path.name}: run python notebooks/build.py"


def test_no_notebook_is_left_without_a_source():
    there = {*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("solutions/*.ipynb")}
    assert there == {path for source in SOURCES for path in source.notebooks}


@sources
def test_the_reader_gets_no_solution_and_no_mark(source):
    for with_solutions in (False, True):
        text = build.notebook(source, with_solutions)
        assert "SOLUTION" not in text and "#:" not in text
    for cell in source.cells():
        for line in build.solution_lines(cell):
            if len(line.strip()) > 20:
                assert json.dumps(line)[1:-1] not in build.notebook(source, False), line


@sources
def test_a_lesson_is_of_readable_length(source):
    cells = source.cells()
    words = sum(
        len(re.findall(r"[\w'-]+", " ".join(cell.lines))) for cell in cells if cell.kind != "code"
    )
    assert 600 <= words <= 1200, f"{words} words of prose"
    assert sum(cell.kind == "code" for cell in cells) <= 25
    assert cells[0].lines[0].startswith(f"# {int(source.lesson)}. ")
    head = " ".join(cells[0].lines)
    assert "You will be able to" in head and "Before this" in head and "minutes" in head


@sources
def test_everything_the_lesson_asks_is_in_its_notebook(source):
    lesson, text = registry.lesson(source.lesson), code(source)
    for exercise in lesson.exercises:
        assert f'"{exercise.name}"' in text, f"{exercise.name} is never checked"
    for prediction in lesson.predictions:
        guess = text.find(f'lessons.predict("{prediction.name}"')
        assert 0 <= guess < text.find(f'lessons.reveal("{prediction.name}"'), prediction.name
    if int(source.lesson) - 2 in registry.numbers():
        assert f"lessons.look_back({int(source.lesson) - 2})" in text
    last = [cell for cell in source.cells() if cell.kind == "code"][-1]
    assert last.lines[-1] == f"lessons.report({int(source.lesson)})"
    named = set(re.findall(r'"(\d\d/[\w-]+)"', text))
    known = {item.name for item in (*lesson.exercises, *lesson.predictions)}
    assert {name for name in named if name.startswith(source.lesson)} <= known


@sources
def test_jupytext_reads_the_same_cells(source):
    jupytext = pytest.importorskip("jupytext")
    theirs = jupytext.read(source.path, fmt="py:percent").cells
    ours = source.cells()
    assert [cell.cell_type for cell in theirs] == [cell.kind for cell in ours]
    assert [cell.source for cell in theirs] == ["\n".join(cell.lines) for cell in ours]


@sources
def test_the_format_is_valid(source):
    nbformat = pytest.importorskip("nbformat")
    for path in source.notebooks:
        nbformat.validate(nbformat.read(path, as_version=4))


# ------------------------------------------------------------------ running


@can_run
@sources
@pytest.mark.parametrize("with_solutions", [True, False], ids=["solutions", "blanks"])
def test_a_notebook_runs_through(source, with_solutions):
    result = run(source.lesson)[with_solutions]
    assert result["error"] is None, result["error"]
    assert result["seconds"] < 60
    wanted = "right" if with_solutions else "not attempted"
    names = [exercise.name for exercise in registry.lesson(source.lesson).exercises]
    assert result["standing"] == dict.fromkeys(names, wanted)
    assert not result["warnings"], result["warnings"]
    report = result["report"]
    assert all(name in report for name in names)
    assert f"{len(names) if with_solutions else 0} of {len(names)} exercises done" in report


@can_run
def test_running_leaves_nothing_behind(tmp_path):
    before = sorted(NOTEBOOKS.rglob("*"))
    run(SOURCES[0].lesson)
    after = [path for path in NOTEBOOKS.rglob("*") if "__pycache__" not in path.parts]
    assert sorted(after) == [path for path in before if "__pycache__" not in path.parts]


# ------------------------------------------------------------------ the tool, on a small source

SMALL = """\
# %% [markdown]
# # 7. Small
#
# Prose with an umlaut: ü.

# %%
import minisegnet.lessons

guess = (4, 5)  # SOLUTION: rows, columns


# %%
def f(x):
    # BEGIN SOLUTION
    y = x + 1
    return y
    # END SOLUTION


# %%
table = [
    # BEGIN SOLUTION
    #: [..., ...],  # first row
    [1, 2],
    # END SOLUTION
]
answers = {
    "07/word": "size",  # SOLUTION
    '07/other': 5,  # SOLUTION: a number
}
"""


@pytest.fixture
def small(tmp_path):
    def make(text: str = SMALL):
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "src" / "07_small.py").write_text(text, encoding="utf-8")
        (source,) = build.sources(tmp_path)
        return source

    return make


def texts(source, with_solutions):
    return [build.cell_text(cell, source.path, with_solutions) for cell in source.cells()]


def test_blanks_and_solutions(small):
    source = small()
    assert texts(source, True) == [
        "# 7. Small\n\nProse with an umlaut: ü.",
        "import minisegnet.lessons\n\nguess = (4, 5)  # rows, columns",
        "def f(x):\n    y = x + 1\n    return y",
        'table = [\n    [1, 2],\n]\nanswers = {\n    "07/word": "size",\n'
        "    '07/other': 5,  # a number\n}",
    ]
    assert texts(source, False) == [
        "# 7. Small\n\nProse with an umlaut: ü.",
        "import minisegnet.lessons\n\nguess = ...  # rows, columns",
        "def f(x):\n    ...",
        'table = [\n    [..., ...],  # first row\n]\nanswers = {\n    "07/word": ...,\n'
        "    '07/other': ...,  # a number\n}",
    ]


def test_building_writes_once_and_tells_what_is_stale(small):
    source = small()
    book, solved = source.notebooks
    assert build.stale([source]) == [book, solved]
    assert build.build([source]) == [book, solved]
    first = book.read_bytes()
    assert build.build([source]) == [] and build.stale([source]) == []
    book.write_bytes(first.replace(b"Small", b"Large"))
    assert build.stale([source]) == [book]
    build.build([source])
    assert book.read_bytes() == first and b"\r" not in first and "ü".encode() in first
    content = json.loads(first)
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert all(cell.get("outputs", []) == [] for cell in content["cells"])


def test_ids_stay_when_another_cell_changes(small):
    def ids(text):
        cells = json.loads(build.notebook(small(text), False))["cells"]
        return [cell["id"] for cell in cells]

    before = ids(SMALL + "\n# %%\n1 + 1\n\n# %%\n1 + 1\n")
    after = ids(SMALL.replace("Prose", "Words") + "\n# %%\n1 + 1\n\n# %%\n1 + 1\n")
    assert before[1:] == after[1:] and before[0] != after[0]
    assert len(set(before)) == len(before) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %%\n# BEGIN SOLUTION\nx = 1\n", "07_small.py:2: a solution of this cell does not end"),
        ("# %%\nx = 1\n# END SOLUTION\n", "07_small.py:3: a solution ends that has not begun"),
        (
            "# %%\n# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION\n",
            "07_small.py:3: a solution begins inside another one",
        ),
        ("# %%\nprint(5)  # SOLUTION\n", "07_small.py:2: '# SOLUTION' goes behind"),
        ("# %% [markdown]\nprose\n", "07_small.py:2: a line of prose must begin with '# '"),
        ("# %% [raw]\nx\n", "07_small.py:1: write '# %%' or"),
        ("# %%\n\n# %%\nx = 1\n", "07_small.py:2: the cell is empty"),
    ],
)
def test_a_broken_source_is_named_with_its_line(small, text, message):
    with pytest.raises(build.SourceError, match=re.escape(message)):
        build.notebook(small(text), False)


def test_the_command_line(small, monkeypatch, capsys, tmp_path):
    small()
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.count("out of date") == 2
    assert build.main([]) == 0
    assert capsys.readouterr().out.count("written") == 2
    assert build.main(["--check", "7"]) == 0
    assert build.main(["12"]) == 2
    assert "error: no source of lesson 12: there are 07" in capsys.readouterr().err


@can_run
def test_a_notebook_that_fails_is_told(small):
    source = small("# %%\nx = 1\n\n# %%\nx.nonsense\n")
    done = run_in_subprocess(source)
    assert "'int' object has no attribute 'nonsense'" in done["error"]
    assert done["standing"] == {}


def run_in_subprocess(source) -> dict:
    """Apart from this process: what asyncio and sockets leave behind is none of these tests'."""
    program = (
        f"import json, runpy; tool = runpy.run_path({str(NOTEBOOKS / 'build.py')!r});"
        f"print(json.dumps(tool['run'](tool['Source'](tool['Path']({str(source.path)!r})), False)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
