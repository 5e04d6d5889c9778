"""The options of a training run: one table for the command line, TOML files and config.json.

Each option has one name, one check and one line of help. Values arrive as text (command line), as
TOML or as JSON, and pass the same check, so a mistake reads the same wherever it was made.
"""

from __future__ import annotations

import functools
import inspect
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minisegnet import losses
from minisegnet.checks import did_you_mean
from minisegnet.train.option_checks import (
    Check,
    RefusedError,
    crop,
    model_name,
    model_options,
    one_of,
    path_text,
    real,
    scales,
    switch,
    whole,
)

OPTIMIZERS = ("muon", "adam", "adamw", "sgd", "rmsprop")
AUGMENTATIONS = ("none", "mirror", "turn", "scale")
CLASS_WEIGHTS = ("none", "median-frequency", "root-median-frequency")
SCHEDULES = ("constant", "step", "poly", "cosine", "onecycle")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "tf32")

Given = dict[str, Any]


class OptionError(ValueError):
    """An option has a value that cannot be used; the message names the option."""


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


_COUNT = whole(1)
LARGEST_SEED = 2**31 - 1

#: Every option of a run, in the order in which the help shows them.
OPTIONS: tuple[Option, ...] = (
    Option("model", model_name, "NAME", "Network, see 'minisegnet models'."),
    Option("data", path_text, "shapes|PATH", "Procedural shapes, or a folder of images and masks."),
    Option("classes", whole(2, 256), "N", "Number of classes."),
    Option("size", whole(4, 8192), "N", "Shorter side of the pictures."),
    Option(
        "crop",
        crop,
        "N|RxC",
        "Side of the random crops to train on, or rows x columns.  [default: to suit]",
    ),
    Option(
        "base",
        _COUNT,
        "N",
        "Width: maps of the first layer.  [default: a toy's; twice that for a folder]",
    ),
    Option("depth", whole(1, 8), "N", "Number of poolings of a U-Net.  [default: 3]"),
    Option(
        "model_options",
        model_options,
        "NAME=VALUE,...",
        "Other options of the network, such as norm=false.  [default: a toy's]",
    ),
    Option(
        "weights",
        path_text,
        "FILE",
        "Published weights for the encoder, a safetensors file; the network is then the paper's "
        "and no toy.",
    ),
    Option("epochs", _COUNT, "N", "Times through the training pictures."),
    Option("batch_size", _COUNT, "N", "Pictures in a step."),
    Option("lr", real("give a number above 0, say 0.002", lambda x: x > 0), "X", "Learning rate."),
    Option("loss", one_of(loss_names), "NAME", "Objective, one of minisegnet.losses."),
    Option(
        "class_weights",
        one_of(lambda: CLASS_WEIGHTS),
        "NAME",
        "How much classes count in a loss that takes weights: none (all alike); median-frequency "
        "(rare ones more); root-median-frequency (the roots of those weights).",
    ),
    Option("optimizer", one_of(lambda: OPTIMIZERS), "NAME", " or ".join(OPTIMIZERS) + "."),
    Option(
        "weight_decay",
        real("give a number of at least 0, say 0.0001", lambda x: x >= 0),
        "X",
        "Weight decay of the optimizer.",
    ),
    Option(
        "momentum",
        real("give a share from 0 to below 1, say 0.9", lambda x: 0 <= x < 1),
        "X",
        "Momentum of muon, sgd or rmsprop. The schedule 'onecycle' moves that of muon and sgd "
        "itself, whatever is given.",
    ),
    Option(
        "clip_grad",
        real("give a number above 0, say 1", lambda x: x > 0),
        "X",
        "Longest gradient of a step; a longer one is shortened.  [default: no limit]",
    ),
    Option("schedule", one_of(lambda: SCHEDULES), "NAME", " or ".join(SCHEDULES) + "."),
    Option(
        "schedule_epochs",
        _COUNT,
        "N",
        "Epochs that a falling schedule, or one step of 'step', spans; then 'cosine' begins anew, "
        "'poly' and 'onecycle' keep their last rate.",
    ),
    Option(
        "warm_up",
        real("give a share from 0 to below 1, say 0.1", lambda x: 0 <= x < 1),
        "X",
        "Share of the schedule in which the rate rises.",
    ),
    Option(
        "power",
        real("give a number above 0, say 0.9", lambda x: x > 0),
        "X",
        "How 'poly' falls: as this power of what is left.",
    ),
    Option(
        "augment",
        one_of(lambda: AUGMENTATIONS),
        "NAME",
        "Vary the training pictures: none; mirror (left-right, light); turn (and all ways round); "
        "scale (mirror, size, light and colour).",
    ),
    Option(
        "scales",
        scales,
        "LOW:HIGH",
        "Smallest and largest factor of '--augment scale'.",
    ),
    Option("ignore_index", whole(0, 65535), "N", "Mask value that means void: never counted."),
    Option(
        "val_fraction",
        real("give a share above 0 and below 1, say 0.2", lambda x: 0 < x < 1),
        "X",
        "Share held out of a folder that has no split of its own.",
    ),
    Option("train_size", _COUNT, "N", "Procedural pictures to train on."),
    Option("val_size", _COUNT, "N", "Procedural pictures to score on."),
    Option("seed", whole(0, LARGEST_SEED), "N", "The same seed gives the same run."),
    Option("device", one_of(lambda: DEVICES), "auto|cpu|cuda", "Where to compute."),
    Option(
        "precision",
        one_of(lambda: PRECISIONS),
        "|".join(PRECISIONS),
        "What a GPU rounds the factors of its matrix products to: tf32 is faster.",
    ),
    Option("capture", switch, "", "Record the training step as a CUDA graph (on a GPU only)."),
    Option("out", path_text, "DIR", "Folder of the run.  [default: runs/<model>-<data>-<n>]"),
    Option("quiet", switch, "", "Print only the result."),
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
    except RefusedError as refused:
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
    except OSError as error:
        raise OptionError(f"--config {path}: {error.strerror or error}; check the path") from None
    except ValueError as error:
        raise OptionError(f"--config {path} is not a TOML file ({error}): give a text") from None
    return check_text(text, str(path))


def check_text(text: str, where: str) -> Given:
    """The options of a TOML text, checked; ``where`` names what it came from.

    Raises
    ------
    OptionError
        If it is no TOML, or holds an unknown key or a bad value.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"--config {where} is not a TOML file ({error}): write lines such as  epochs = 20"
        ) from None
    return check_table(table, where)


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
        if isinstance(value, dict) and name != "model_options":
            raise OptionError(f"{where}: [{key}] is a table: write the options flat, {key} = VALUE")
        given[name] = check_option(name, value, f"{where}: {key}")
    return given
