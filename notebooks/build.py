"""Build the lessons: from one source each, the notebook with blanks and the one with solutions.

    python notebooks/build.py             write every notebook
    python notebooks/build.py --check     say which notebooks are not what their source makes
    python notebooks/build.py --run 04    execute both copies of lesson 04 in a temporary folder

A source ``src/NN_slug.py`` is in the percent format that Jupytext reads. What the reader has to
find stands between ``# BEGIN SOLUTION`` and ``# END SOLUTION``, or on a line that ends with
``# SOLUTION``; lines in between that begin with ``#:`` are what the reader sees instead of ``...``.
Building needs nothing but Python; running needs ``nbclient`` and ``ipykernel``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS_A_CELL = 60

_CELL = re.compile(r"# %%(?: \[(?P<kind>markdown)\])?\s*")
_LINE = re.compile(
    r"(?P<before>\s*(?:[\w.\[\], ]+=(?!=)|[\"'][^\"']+[\"']:)\s*)(?P<answer>.*?)(?P<comma>,?)"
    r"\s*# SOLUTION(?::\s*(?P<remark>.*))?"
)
_BEGIN, _END = "# BEGIN SOLUTION", "# END SOLUTION"
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_STANDING = """\
import json, sys
if "minisegnet.lessons" in sys.modules:
    print(json.dumps(dict(sys.modules["minisegnet.lessons"].report({lesson!r}).standing)))
"""


class SourceError(ValueError):
    """A source that cannot be built; the message names the file and the line."""


@dataclass(frozen=True)
class Cell:
    """A cell of a source: its kind, "markdown" or "code", its lines, and where it begins."""

    kind: str
    lines: tuple[str, ...]
    first_line: int


@dataclass(frozen=True)
class Source:
    """A lesson's source."""

    path: Path

    @property
    def lesson(self) -> str:
        """The lesson's number, in two digits."""
        return self.path.stem[:2]

    @property
    def notebooks(self) -> dict[Path, bool]:
        """Where the notebooks go, and whether each has the solutions in it."""
        folder = self.path.parent.parent
        name = self.path.stem + ".ipynb"
        return {folder / name: False, folder / "solutions" / name: True}

    def cells(self) -> list[Cell]:
        """The cells of the source, solutions and marks in them."""
        return list(_cells(self.path))


def sources(folder: Path = HERE, lessons: list[str] | None = None) -> list[Source]:
    """The sources in ``folder/src``, those of the given lessons or all.

    Raises
    ------
    SourceError
        If there is no source of one of the lessons.
    """
    found = [Source(path) for path in sorted((folder / "src").glob("[0-9][0-9]_*.py"))]
    if not lessons:
        return found
    wanted = {lesson.zfill(2) for lesson in lessons}
    if missing := wanted - {source.lesson for source in found}:
        there = ", ".join(source.lesson for source in found)
        raise SourceError(f"no source of lesson {', '.join(sorted(missing))}: there are {there}")
    return [source for source in found if source.lesson in wanted]


# ------------------------------------------------------------------ from source to notebook


def _cells(path: Path) -> Iterator[Cell]:
    kind, lines, first = None, [], 0
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "# %%"], 1):
        match = _CELL.fullmatch(line)
        if match is None:
            if line.startswith("# %%"):
                raise SourceError(f"{path.name}:{number}: write '# %%' or '# %% [markdown]'")
            lines.append(line)
            continue
        if kind is not None:
            yield _cell(path, kind, lines, first)
        kind, lines, first = match["kind"] or "code", [], number + 1


def _cell(path: Path, kind: str, lines: list[str], first: int) -> Cell:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    if not lines:
        raise SourceError(f"{path.name}:{first}: the cell is empty: remove it")
    if kind == "code":
        return Cell(kind, tuple(lines), first)
    for number, line in enumerate(lines, first):
        if not line.startswith("# ") and line != "#":
            raise SourceError(f"{path.name}:{number}: a line of prose must begin with '# '")
    return Cell(kind, tuple(line[2:] for line in lines), first)


def cell_text(cell: Cell, path: Path, with_solutions: bool) -> str:
    """The cell as a notebook has it: with the solutions, or with the blanks.

    Raises
    ------
    SourceError
        If the marks of a solution do not match.
    """
    if cell.kind == "markdown":
        return "\n".join(cell.lines)
    out: list[str] = []
    inside: list[str] | None = None
    for number, line in enumerate(cell.lines, cell.first_line):
        where = f"{path.name}:{number}"
        mark = line.strip()
        if mark == _BEGIN:
            if inside is not None:
                raise SourceError(f"{where}: a solution begins inside another one")
            inside = [line]
        elif mark == _END:
            if inside is None:
                raise SourceError(f"{where}: a solution ends that has not begun")
            out += _solution(inside) if with_solutions else _blank(inside)
            inside = None
        elif inside is not None:
            inside.append(line)
        else:
            out.append(_line(line, where, with_solutions))
    if inside is not None:
        raise SourceError(f"{path.name}:{cell.first_line}: a solution of this cell does not end")
    return "\n".join(out)


def solution_lines(cell: Cell) -> list[str]:
    """The lines of a cell that only the copy with solutions has."""
    lines, inside = [], False
    for line in cell.lines:
        mark = line.strip()
        inside = (inside or mark == _BEGIN) and mark != _END
        if inside and mark != _BEGIN and not mark.startswith("#:"):
            lines.append(line)
    return lines


def _solution(block: list[str]) -> list[str]:
    return [line for line in block[1:] if not line.strip().startswith("#:")]


def _blank(block: list[str]) -> list[str]:
    """What the reader sees: the lines after ``#:``, or a lone ``...``."""
    indent = block[0][: len(block[0]) - len(block[0].lstrip())]
    shown = [line.strip()[2:].removeprefix(" ") for line in block if line.strip().startswith("#:")]
    return [(indent + line).rstrip() for line in shown or ["..."]]


def _line(line: str, where: str, with_solutions: bool) -> str:
    if "# SOLUTION" not in line:
        return line
    match = _LINE.fullmatch(line)
    if match is None:
        raise SourceError(f"{where}: '# SOLUTION' goes behind 'name = answer' or '\"key\": answer'")
    answer = match["answer"] if with_solutions else "..."
    remark = f"  # {match['remark']}" if match["remark"] else ""
    return match["before"] + answer + match["comma"] + remark


def notebook(source: Source, with_solutions: bool) -> str:
    """The text of the ``.ipynb`` file: the same on every run, without outputs."""
    cells, seen = [], set()
    for cell in source.cells():
        text = cell_text(cell, source.path, with_solutions)
        cells.append(_json_cell(cell.kind, text, _identity(text, seen)))
    content = {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _identity(text: str, seen: set[str]) -> str:
    """An id that depends on the cell's text, so that other cells keep theirs when one changes."""
    repeat = 0
    while True:
        identity = hashlib.sha256(f"{repeat}\n{text}".encode()).hexdigest()[:12]
        if identity not in seen:
            seen.add(identity)
            return identity
        repeat += 1


def _json_cell(kind: str, text: str, identity: str) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": identity,
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def build(chosen: list[Source]) -> list[Path]:
    """Write the notebooks; returns those that have changed."""
    changed = stale(chosen)
    for source in chosen:
        for path, with_solutions in source.notebooks.items():
            if path in changed:
                path.parent.mkdir(exist_ok=True)
                path.write_text(notebook(source, with_solutions), encoding="utf-8", newline="\n")
    return changed


def stale(chosen: list[Source]) -> list[Path]:
    """The notebooks that are missing, or are not what their source makes."""
    return [
        path
        for source in chosen
        for path, with_solutions in source.notebooks.items()
        if not path.exists()
        or path.read_bytes() != notebook(source, with_solutions).encode("utf-8")
    ]


# ------------------------------------------------------------------ running


def run(source: Source, with_solutions: bool, keep: Path | None = None) -> dict[str, Any]:
    """Execute one copy of a lesson in a temporary folder.

    Parameters
    ----------
    source : Source
    with_solutions : bool
    keep : Path, optional
        A folder for the executed notebook.

    Returns
    -------
    dict
        The ``lesson``, whether with ``solutions``, the ``seconds`` it took, the ``error`` that
        stopped it or None, the ``standing`` of the lesson's exercises at the end, the ``report``
        that the last cell shows, and the ``warnings`` that went to standard error.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.reads(notebook(source, with_solutions), as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(_STANDING.format(lesson=source.lesson)))
    error, start = None, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            book,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
        )
        try:
            client.execute(env=_environment())
        except Exception:
            error = traceback.format_exc(limit=0)
    seconds = time.perf_counter() - start
    printed = _text(book.cells.pop())
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        kind = "-solutions" if with_solutions else ""
        nbformat.write(book, keep / f"{source.path.stem}{kind}.ipynb")
    return {
        "lesson": source.lesson,
        "solutions": with_solutions,
        "seconds": round(seconds, 2),
        "error": error,
        "standing": json.loads(printed) if printed and error is None else {},
        "report": _text([cell for cell in book.cells if cell.cell_type == "code"][-1]),
        "warnings": _warnings(book),
    }


def _text(cell: Any) -> str:
    """What a cell has printed or returned, as text."""
    parts = (
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
    return "\n".join(part for part in parts if part)


def _warnings(book: Any) -> list[str]:
    """What went to standard error."""
    return [
        output.text
        for cell in book.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]


def _environment() -> dict[str, str]:
    """The kernel finds the package of this repository, installed or not."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _told(result: dict[str, Any]) -> str:
    copy = "solutions" if result["solutions"] else "blanks"
    head = f"{result['lesson']} with {copy}: {result['seconds']} s"
    if result["error"]:
        return f"{head}, FAILED\n{result['error']}"
    counts: dict[str, int] = {}
    for status in result["standing"].values():
        counts[status] = counts.get(status, 0) + 1
    return ", ".join([head, *(f"{count} {status}" for status, count in counts.items())])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("lessons", nargs="*", help="numbers of lessons; all by default")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="only say what is out of date")
    group.add_argument("--run", action="store_true", help="execute both copies")
    parser.add_argument("--json", action="store_true", help="with --run: one JSON line a copy")
    parser.add_argument("--keep", type=Path, help="with --run: a folder for executed notebooks")
    options = parser.parse_args(arguments)
    try:
        chosen = sources(HERE, options.lessons)
        if options.run:
            return _run_all(chosen, options.json, options.keep)
        paths = stale(chosen) if options.check else build(chosen)
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(f"{'out of date' if options.check else 'written'}: {path.relative_to(HERE.parent)}")
    return 1 if options.check and paths else 0


def _run_all(chosen: list[Source], as_json: bool, keep: Path | None) -> int:
    failed = False
    copies = [(source, with_solutions) for source in chosen for with_solutions in (False, True)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for result in pool.map(lambda copy: run(*copy, keep), copies):
            failed = failed or result["error"] is not None
            print(json.dumps(result) if as_json else _told(result), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
