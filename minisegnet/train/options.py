"""The options of a training run: one table for the command line, TOML files and config.json.

Each option has one name, one check and one line of help. Values arrive as text (command line), as
TOML or as JSON, and pass the same check, so a mistake reads the same wherever it was made.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisegnet import losses, models
from minisegnet.checks import did_you_mean

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
AUGMENTATIONS = ("none", "mirror", "turn")
SCHEDULES = ("constant", "step", "poly", "cosine", "onecycle")
DEVICES = ("auto", "cpu", "cuda")

Check = Callable[[Any], Any]
Given = dict[str, Any]


class OptionError(ValueError):
    """An option has a value that cannot be used; the message names the option."""


class _RefusedError(Exception):
    """Raised by a check: what to give instead."""


@dataclass(frozen=True)
class Option:
    """One option of a run.

    Attributes
    ----------
    name : str
        With underscores: ``batch_size`` in files, ``--batch-size`` on the command line.
    check : callable
        Value from outside -> value to use.
    metavar : str
        What stands for the value in the help; empty for an on/off switch.
    help : str
    """

    name: str
    check: Check
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return "--" + self.name.replace("_", "-")


def _whole(low: int, high: int | None = None) -> Check:
    """A whole number from ``low`` to ``high``."""
    wanted = f"give a whole number of at least {low}"
    if high is not None:
        wanted = f"give a whole number from {low} to {high}"

    def check(value: Any) -> int:
        try:
            if isinstance(value, (bool, float)):
                raise ValueError
            number = int(value)
        except (TypeError, ValueError):
            raise _RefusedError(wanted) from None
        if number < low or (high is not None and number > high):
            raise _RefusedError(wanted)
        return number

    return check


def _real(wanted: str, fits: Callable[[float], bool]) -> Check:
    """A finite number for which ``fits`` holds."""

    def check(value: Any) -> float:
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise _RefusedError(wanted) from None
        if not math.isfinite(number) or not fits(number):
            raise _RefusedError(wanted)
        return number

    return check


def _name(known: Callable[[], tuple[str, ...]]) -> Check:
    """One of a set of names, in any case, with - or _ between its words."""

    def check(value: Any) -> str:
        names = known()
        if not isinstance(value, str):
            raise _RefusedError("choose one of " + ", ".join(names))
        by_key = {name.replace("-", "_").lower(): name for name in names}
        key = value.strip().replace("-", "_").lower()
        if key not in by_key:
            raise _RefusedError(did_you_mean(value, names))
        return by_key[key]

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _RefusedError("give a path")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _RefusedError("give true or false")
    return value


@functools.cache
def loss_names() -> tuple[str, ...]:
    """The losses a run can minimise: those of ``minisegnet.losses`` on logits and a target."""
    public = ((name, f) for name, f in vars(losses).items() if not name.startswith("_"))
    return tuple(
        name
        for name, function in public
        if inspect.isfunction(function)
        and list(inspect.signature(function).parameters)[:2] == ["logits", "target"]
    )


_COUNT = _whole(1)
LARGEST_SEED = 2**31 - 1

#: Every option of a run, in the order in which the help shows them.
OPTIONS: tuple[Option, ...] = (
    Option(
        "model", _name(lambda: tuple(models.names())), "NAME", "Network, see 'minisegnet models'."
    ),
    Option("data", _text, "shapes|PATH", "Procedural shapes, or a folder of images and masks."),
    Option("classes", _whole(2, 256), "N", "Number of classes."),
    Option("size", _whole(4, 8192), "N", "Shorter side of the pictures."),
    Option(
        "crop", _whole(4, 8192), "N", "Side of the random crops to train on.  [default: to suit]"
    ),
    Option(
        "base",
        _COUNT,
        "N",
        "Width: maps of the first layer.  [default: 1/8 of the paper's; 1/4 for a folder]",
    ),
    Option("depth", _whole(1, 8), "N", "Number of poolings of a U-Net.  [default: 3]"),
    Option("epochs", _COUNT, "N", "Times through the training pictures."),
    Option("batch_size", _COUNT, "N", "Pictures in a step."),
    Option("lr", _real("give a number above 0, say 0.002", lambda x: x > 0), "X", "Learning rate."),
    Option("loss", _name(loss_names), "NAME", "Objective, one of minisegnet.losses."),
    Option("optimizer", _name(lambda: OPTIMIZERS), "NAME", " or ".join(OPTIMIZERS) + "."),
    Option(
        "weight_decay",
        _real("give a number of at least 0, say 0.0001", lambda x: x >= 0),
        "X",
        "Weight decay of the optimizer.",
    ),
    Option("schedule", _name(lambda: SCHEDULES), "NAME", " or ".join(SCHEDULES) + "."),
    Option(
        "schedule_epochs",
        _COUNT,
        "N",
        "Epochs that a falling schedule, or one step of 'step', spans.",
    ),
    Option(
        "augment",
        _name(lambda: AUGMENTATIONS),
        "NAME",
        "Vary the training pictures: none; mirror (left-right, light); turn (and all ways round).",
    ),
    Option("ignore_index", _whole(0, 65535), "N", "Mask value that means void: never counted."),
    Option(
        "val_fraction",
        _real("give a share above 0 and below 1, say 0.2", lambda x: 0 < x < 1),
        "X",
        "Share held out of a folder that has no split of its own.",
    ),
    Option("train_size", _COUNT, "N", "Procedural pictures to train on."),
    Option("val_size", _COUNT, "N", "Procedural pictures to score on."),
    Option("seed", _whole(0, LARGEST_SEED), "N", "The same seed gives the same run."),
    Option("device", _name(lambda: DEVICES), "auto|cpu|cuda", "Where to compute."),
    Option("out", _text, "DIR", "Folder of the run.  [default: runs/<model>-<data>-<n>]"),
    Option("quiet", _switch, "", "Print only the result."),
)

BY_NAME = {option.name: option for option in OPTIONS}


def check_option(name: str, value: Any, called: str | None = None) -> Any:
    """The value of an option, checked and converted.

    Parameters
    ----------
    name : str
    value : Any
        Text, or a value of TOML or JSON.
    called : str, optional
        What the message calls the option; ``--batch-size`` by default.

    Raises
    ------
    OptionError
        If the value cannot be used; the message names the option and says what to give.

    Examples
    --------
    >>> check_option("batch_size", "12"), check_option("lr", 1)
    (12, 1.0)
    >>> check_option("epochs", "2.5")
    Traceback (most recent call last):
        ...
    minisegnet.train.options.OptionError: --epochs is '2.5': give a whole number of at least 1
    """
    option = BY_NAME[name]
    try:
        return option.check(value)
    except _RefusedError as refused:
        raise OptionError(f"{called or option.flag} is {value!r}: {refused}") from None


def read_toml(path: str | Path) -> Given:
    """The options that a TOML file gives, checked.

    The keys are the names of the options, flat, with ``_`` or ``-`` between words.

    Raises
    ------
    OptionError
        If the file cannot be read, is no TOML, or holds an unknown key or a bad value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        table = tomllib.loads(text)
    except OSError as error:
        raise OptionError(f"--config {path}: {error.strerror or error}; check the path") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"--config {path} is not a TOML file ({error}): write lines such as  epochs = 20"
        ) from None
    return check_table(table, str(path))


def read_json(path: Path) -> Given:
    """The object in a JSON file.

    Raises
    ------
    OptionError
        If the file cannot be read or holds no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}; name the folder of a run") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"{path} is damaged ({error}): restore it, or train again into another folder"
        ) from None
    if not isinstance(found, dict):
        raise OptionError(f"{path} is damaged: it must hold an object of options")
    return found


def check_table(table: Mapping[str, Any], where: str) -> Given:
    """The options of a table, checked; ``where`` names the file it came from.

    Raises
    ------
    OptionError
        For an unknown key (with a suggestion) or a bad value.
    """
    given: Given = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in BY_NAME:
            raise OptionError(f"{where}: unknown key {key!r}: {did_you_mean(name, BY_NAME)}")
        if name in given:
            raise OptionError(f"{where}: {key!r} is given twice, with _ and with -: keep one")
        if isinstance(value, dict):
            raise OptionError(f"{where}: [{key}] is a table: write the options flat, {key} = VALUE")
        given[name] = check_option(name, value, f"{where}: {key}")
    return given
