"""The folder of a run: where a new one goes, and the ``config.json`` in it.

``config.json`` holds every option, resolved, and under ``"found"`` what was found in the data: the
classes, the names of the training and validation pictures, their mean and spread. It says what to
read. Where to write is never in question: into the folder that it lies in.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

from minisegnet import checkpoint
from minisegnet.train.defaults import with_defaults
from minisegnet.train.found import FOUND, check_found
from minisegnet.train.options import OPTIONS, Given, OptionError, check_table, read_json
from minisegnet.train.saving import BEST, CONFIG, HISTORY, LAST
from minisegnet.train.setup import Facts, is_shapes

__all__ = ["new_folder", "quoted", "read_config", "refuse_used", "require_writable", "write_config"]

RUNS = "runs"
"""The folder for the folders of runs, where none is named."""

NEEDED = ("model", "data", "classes", "size", "seed")
"""Options without which nobody can say what a run was; for the others there are defaults."""


def quoted(folder: Path) -> str:
    """A folder as it is typed after a command.

    Examples
    --------
    >>> quoted(Path("runs/my cells")), quoted(Path("-3"))
    ("'runs/my cells'", './-3')
    """
    text = str(folder)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to or made, before any work is done for it.

    Raises
    ------
    OptionError
        What is in the way.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        where = f"--out {folder}" if there == folder else f"--out {folder}: {there}"
        raise OptionError(f"{where} is a file: name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OptionError(
            f"--out {folder}: nothing can be written into {there}: name another folder, or change "
            "its permissions"
        )


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds a run already.

    Raises
    ------
    OptionError
        If it does.
    """
    held = [name for name in (CONFIG, LAST, HISTORY, BEST) if (folder / name).exists()]
    if held:
        raise OptionError(
            f"--out {folder} holds a run already ({held[0]}): name another folder, or go on with "
            f"this one: minisegnet resume {quoted(folder)}"
        )


def new_folder(options: Given) -> Path:
    """Make the run's folder: the one named, or the next free ``runs/<model>-<data>-<n>``.

    Raises
    ------
    OptionError
        If the one named holds a run already.
    OSError
        If it cannot be made.
    """
    if options["out"] is not None:
        folder = Path(options["out"])
        refuse_used(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    data = options["data"] if is_shapes(options) else Path(options["data"]).name
    stem = f"{options['model']}-{re.sub(r'[^A-Za-z0-9_.]+', '-', data).strip('-.') or 'data'}"
    parent = Path(RUNS)
    parent.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = parent / f"{stem}-{number}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def read_config(folder: Path) -> tuple[Given, Facts]:
    """The options of the run in a folder, and what it found in its data.

    Raises
    ------
    OptionError
        If there is no run, or its ``config.json`` is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise OptionError(
            f"{folder} holds no run (no {CONFIG}): give the folder that 'minisegnet train' "
            "made, such as runs/unet-shapes-1"
        )
    table = read_json(path)
    found = table.pop(FOUND, None)
    given = check_table({k: v for k, v in table.items() if v is not None}, str(path))
    missing = [name for name in NEEDED if name not in given]
    if missing:
        raise OptionError(f"{path} is damaged: it lacks {', '.join(missing)}; restore it")
    # The toys of today may have options that those of an older file did not.
    given.setdefault("model_options", {})
    try:
        options = {**with_defaults(given), **given}
    except OptionError as error:  # options that do not go together
        raise OptionError(f"{path}: {error}") from None
    check_found(found, given["classes"], path, has_split=not is_shapes(given))
    return options, found


def write_config(folder: Path, options: Given, found: Facts) -> None:
    """Write ``config.json``."""
    table = {**{option.name: options[option.name] for option in OPTIONS}, FOUND: found}
    text = json.dumps(table, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file's name that is no text: escaped, it comes back
        text = json.dumps(table, indent=2)
    with checkpoint.atomic_write(folder / CONFIG) as file:
        file.write(text + "\n")
