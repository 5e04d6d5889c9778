"""The lessons' pages: notebooks made of the sources in ``notebooks/src`` when the site is built.

A page is the copy with solutions, executed; but a reader should have a chance to think first. So
above each solution stands what the learner's copy has there, and the solution is folded away; so is
what a prediction is compared with.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REPOSITORY = Path(__file__).resolve().parents[2]
_DOWNLOADS = """\
:::{{admonition}} This page is the lesson, run
:class: tip
To work through it yourself, take {{download}}`your copy <{root}/notebooks/{name}.ipynb>`, with
blanks to fill in, and open it in Jupyter beside an installed minisegnet. Here the solutions are
folded away; they are also {{download}}`a notebook <{root}/notebooks/solutions/{name}.ipynb>`.
:::
"""


def _build_module() -> ModuleType:
    """``notebooks/build.py``, which is no part of a package."""
    path = REPOSITORY / "notebooks" / "build.py"
    spec = importlib.util.spec_from_file_location("notebooks_build", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded: build the pages in a whole clone")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def page(source: Any, build: ModuleType) -> str:
    """The notebook of a lesson's page, not executed."""
    book = json.loads(build.notebook(source, with_solutions=True))
    made = list(zip(source.cells(), book["cells"], strict=True))
    cells: list[dict[str, Any]] = []
    for cell, shown in made:
        text = "".join(shown["source"])
        with_blanks = build.cell_text(cell, source.path, with_solutions=False)
        if shown["cell_type"] == "code":
            if with_blanks != text:
                cells.append(_prose(shown["id"] + "-b", f"```python\n{with_blanks}\n```"))
                if "lessons.predict(" in text:  # its output would tell
                    _fold(shown, "hide-cell", "Show the guess that was made here")
                else:
                    _fold(shown, "hide-input", "Show the solution")
            elif text.startswith("lessons.reveal"):
                _fold(shown, "hide-output", "Show what turns out")
        cells.append(shown)
        if len(cells) == 1:
            links = _DOWNLOADS.format(root="../..", name=source.path.stem)
            cells.append(_prose("downloads", links))
    return json.dumps(book | {"cells": cells}, indent=1, ensure_ascii=False) + "\n"


def _fold(cell: dict[str, Any], tag: str, prompt: str) -> None:
    shown = {"code_prompt_show": prompt, "code_prompt_hide": prompt.replace("Show", "Hide")}
    cell["metadata"] = {"tags": [tag], "mystnb": shown}


def _prose(identity: str, text: str) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    return {"cell_type": "markdown", "id": identity, "metadata": {}, "source": lines}


def write_pages(app: Sphinx, config: Any) -> None:
    """Write the lessons into ``docs/lessons``, and remove those that no source makes."""
    folder = Path(app.srcdir) / "lessons"
    build = _build_module()
    pages = {
        folder / f"{source.path.stem}.ipynb": page(source, build)
        for source in build.sources(REPOSITORY / "notebooks")
    }
    for path in {*folder.glob("*.ipynb")} - pages.keys():
        path.unlink()
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


def forget_predictions(app: Sphinx, name: str, content: list[str]) -> None:
    """Before a lesson runs again: its predictions have not been made; those of others have."""
    path = Path(app.srcdir) / "lessons" / "my_predictions.json"
    if not name.startswith("lessons/") or not path.exists():
        return
    lesson = name.removeprefix("lessons/")[:2]
    records = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in records.items() if not key.startswith(f"{lesson}/")}
    path.write_text(json.dumps(kept), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("config-inited", write_pages)
    app.connect("source-read", forget_predictions)
    # Lessons look back at predictions of earlier ones, so they are read in their order.
    return {"parallel_read_safe": False, "parallel_write_safe": True}
