"""Recipes: options that have proved themselves on a kind of picture, in TOML files of the package.

A recipe is a file for ``--config`` like any other. The comment at its head says what it is for; its
first line is what ``minisegnet recipes`` shows.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from minisegnet.checks import did_you_mean
from minisegnet.train.options import Given, OptionError, check_text, read_toml

__all__ = ["names", "options_of", "summary", "text"]

_FOLDER = files("minisegnet") / "recipes"
_ENDING = ".toml"


def names() -> list[str]:
    """The recipes that there are, in alphabetical order.

    Examples
    --------
    >>> "camvid" in names()
    True
    """
    found = (entry.name for entry in _FOLDER.iterdir())
    return sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING))


def text(name: str) -> str:
    """The file of a recipe.

    Raises
    ------
    OptionError
        If there is no such recipe; the message suggests the nearest.
    """
    if name not in names():
        raise OptionError(f"no recipe {name!r}: {did_you_mean(name, names())}")
    return (_FOLDER / f"{name}{_ENDING}").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """What a recipe is for: the first line of its file."""
    return text(name).splitlines()[0].removeprefix("#").strip()


def options_of(config: str) -> Given:
    """The options of a recipe by its name, or of a TOML file by its path.

    What has a suffix or a folder in it, or is there, is a path; anything else is a name.

    Raises
    ------
    OptionError
        If there is neither, or the file cannot be used.

    Examples
    --------
    >>> options_of("shapes")["data"]
    'shapes'
    """
    path = Path(config)
    if path.suffix or len(path.parts) != 1 or path.is_file():
        return read_toml(path)
    if config not in names():
        raise OptionError(
            f"--config {config}: no recipe of that name: {did_you_mean(config, names())} "
            "('minisegnet recipes' lists them; a file of your own ends in .toml)"
        )
    return check_text(text(config), f"recipe {config}")
