"""The pages in ``docs/``, as far as it can be told without building them: nothing is left out."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import minisegnet as ms
from minisegnet.cli import cli

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
if not (DOCS / "conf.py").is_file():
    pytest.skip("the pages are not here", allow_module_level=True)

PAGES = [path for path in DOCS.rglob("*") if path.suffix in (".md", ".rst", ".css", ".svg")]
PAGES = [path for path in PAGES if "_build" not in path.parts]


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def directives(kind: str) -> list[str]:
    pages = (path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.rst"))
    return re.findall(rf"^\.\. {kind}:: (\S+)$", "\n".join(pages), re.MULTILINE)


def test_every_public_room_has_a_page_of_the_reference():
    rooms = {f"minisegnet.{name}" for name in ms.__all__ if inspect.ismodule(getattr(ms, name))} | {
        "minisegnet",
        "minisegnet.nn.init",
    }
    assert len(rooms) > 10
    assert rooms - set(directives("room")) == set()


def test_the_reference_names_only_modules_that_there_are():
    names = directives("room") + directives("overview")
    assert len(names) == len(set(names))
    for name in names:
        assert importlib.import_module(name).__doc__


def test_every_page_of_the_reference_is_in_its_table_of_contents():
    contents = text("api/index.md").rsplit("```{toctree}", 1)[1].split()
    assert {path.stem for path in (DOCS / "api").glob("*.rst")} <= set(contents)


def test_every_command_is_on_the_page_of_the_command_line():
    shown = re.findall(
        r"^## (\S+)\n\n```\{command\} (\S+)\n", text("command_line.md"), re.MULTILINE
    )
    assert [heading for heading, _ in shown] == [name for _, name in shown]
    assert {name for _, name in shown} == set(cli.commands)


def test_every_room_stands_on_its_floor():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = contracts["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {room for layer in layers for room in re.split(r"\W+", layer)}
    floors = re.findall(r"^\| (\d) \| (.*?) \|", text("house.md"), re.MULTILINE)
    shown = [set(re.findall(r"`(\w+)/?`", row)) for _, row in floors]
    assert set.union(*shown) == rooms
    height = {room: floor for floor, names in enumerate(shown) for room in names}
    from_the_bottom = [
        {height[room] for room in re.split(r"\W+", layer)} for layer in reversed(layers)
    ]
    for lower, upper in pairwise(from_the_bottom):
        assert max(lower) <= min(upper)


def test_terms_are_defined_once_and_those_used_are_defined():
    defined = re.findall(
        r"^(\w.*)\n  \S", text("glossary.md").split("```{glossary}")[1], re.MULTILINE
    )
    assert len(defined) == len({term.lower() for term in defined}) > 50
    assert [term.lower() for term in defined] == sorted(term.lower() for term in defined)
    for page in DOCS.glob("*.md"):
        for used in re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", page.read_text("utf-8")):
            term = " ".join(used.split()).lower()
            assert term in {each.lower() for each in defined}, (page.name, used)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_pages_ask_no_other_host_for_anything(path):
    hosts = set(re.findall(r"https?://([^/\s\"')]+)", path.read_text(encoding="utf-8")))
    assert hosts <= {"www.w3.org"}  # the name of a namespace, never fetched


def _lesson_pages():
    spec = importlib.util.spec_from_file_location("lesson_pages", DOCS / "_ext" / "lesson_pages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_pages_of_lessons_fold_every_solution_away_and_nothing_else():
    pages = _lesson_pages()
    build = pages._build_module()
    sources = build.sources(REPOSITORY / "notebooks")
    assert sources
    for source in sources:
        cells = json.loads(pages.page(source, build))["cells"]
        solved = json.loads(build.notebook(source, with_solutions=True))["cells"]
        blank = json.loads(build.notebook(source, with_solutions=False))["cells"]
        made = {"".join(cell["source"]) for cell in solved}
        shown = ["".join(cell["source"]) for cell in cells]
        assert [each for each in shown if each in made] == ["".join(c["source"]) for c in solved]
        for cell, with_blanks in zip(solved, blank, strict=True):
            place = shown.index("".join(cell["source"]))
            tags = cells[place]["metadata"].get("tags", [])
            is_guess = "lessons.predict(" in shown[place]
            folded = tags == ["hide-cell" if is_guess else "hide-input"]
            assert folded == (cell["source"] != with_blanks["source"])
            if folded:
                assert shown[place - 1] == f"```python\n{''.join(with_blanks['source'])}\n```"
        assert sum(f"notebooks/{source.path.stem}.ipynb" in each for each in shown) == 1
        assert not any(cell.get("outputs") for cell in cells)
