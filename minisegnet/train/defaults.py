"""The defaults of a run's options: some for any data, some by the kind of data.

None of them depends on ``epochs``, so that training to 2 and resuming to 4 is training to 4.
"""

from __future__ import annotations

import os
from typing import Any

from minisegnet import models
from minisegnet.train.network import model_defaults
from minisegnet.train.options import BY_NAME, OPTIONS, Given, OptionError
from minisegnet.train.schedules import RISING
from minisegnet.train.setup import SHAPES, is_shapes

__all__ = ["absolute", "described_default", "typed_over", "with_defaults"]

LEARNING_RATES = {"muon": 4e-2, "adam": 1e-2, "adamw": 1e-2, "rmsprop": 1e-3, "sgd": 5e-2}
WITHOUT_NORM = 0.3
"""The share of these rates for networks without batch normalisation."""

ANY_DATA: Given = {
    "model": "unet",
    "data": SHAPES,
    "loss": "cross_entropy",
    "class_weights": "none",
    "optimizer": "muon",
    "weight_decay": 0.0,
    "schedule": "cosine",
    "seed": 0,
    "device": "auto",
    "precision": "float32",
    "capture": False,
    "quiet": False,
}
PROCEDURAL: Given = {
    "classes": 3,
    "size": 64,
    "epochs": 4,
    "schedule_epochs": 4,
    "batch_size": 8,
    "augment": "none",
    "train_size": 640,
    "val_size": 200,
}
FOLDER: Given = {
    "epochs": 30,
    "schedule_epochs": 30,
    "batch_size": 4,
    "augment": "mirror",
    "val_fraction": 0.2,
}
FOLDER_WIDTH = 2
"""The width for a folder, in widths of the toy."""

DEPENDENT: tuple[tuple[str, str, Given], ...] = (
    ("momentum", "optimizer", {"muon": 0.95, "sgd": 0.9, "rmsprop": 0.0}),
    ("warm_up", "schedule", RISING),
    ("power", "schedule", {"poly": 0.9}),
    ("scales", "augment", {"scale": [0.5, 2.0]}),
)
"""An option, the choice that it belongs to, and its default under each value of that choice."""

PROCEDURAL_ONLY = ("train_size", "val_size")
FOLDER_ONLY = ("ignore_index", "val_fraction")


def with_defaults(given: Given) -> Given:
    """Every option: those given, and the defaults of the others.

    What the data decide (``classes`` and ``size`` of a folder, ``crop``) stays None.

    Raises
    ------
    OptionError
        If an option is given that does not go with the kind of data.

    Examples
    --------
    >>> options = with_defaults({"optimizer": "sgd", "epochs": 3})
    >>> options["data"], options["epochs"], options["lr"]
    ('shapes', 3, 0.05)
    """
    options: Given = {option.name: given.get(option.name) for option in OPTIONS}
    _fill(options, ANY_DATA)
    shapes = is_shapes(options)
    for name in FOLDER_ONLY if shapes else PROCEDURAL_ONLY:
        if options[name] is not None:
            kind = "a folder (--data PATH)" if shapes else "procedural shapes (--data shapes)"
            raise OptionError(f"{BY_NAME[name].flag} is for {kind} only: drop it")
    _fill(options, PROCEDURAL if shapes else FOLDER)
    if not shapes:
        options["data"] = absolute(options["data"])
    if options["weights"] is None:
        _fill_model(options, 1 if shapes else FOLDER_WIDTH)
    else:
        options["weights"] = absolute(options["weights"])
        _fill(options, {"model_options": {}})
    rate = LEARNING_RATES[options["optimizer"]]
    normed = models.TABLE[options["model"]].normed
    _fill(options, {"lr": rate if normed else rate * WITHOUT_NORM})
    for name, choice, values in DEPENDENT:
        if options[choice] in values:
            _fill(options, {name: values[options[choice]]})
        elif options[name] is not None:
            with_it = " or ".join(f"--{choice} {value}" for value in values)
            raise OptionError(
                f"{BY_NAME[name].flag} goes with {with_it}, not with {options[choice]}: drop it"
            )
    return options


def typed_over(file: Given, typed: Given) -> Given:
    """The options of a file with those typed over them.

    What the file says and does not go with a choice that is typed otherwise, as a momentum with
    Adam, is left out. So are the network's options under another network.

    Examples
    --------
    >>> file = {"optimizer": "sgd", "momentum": 0.8, "lr": 0.1}
    >>> typed_over(file, {"optimizer": "adam"})
    {'optimizer': 'adam', 'lr': 0.1}
    """
    options = {**file, **typed}
    for name, choice, values in DEPENDENT:
        if name in file and name not in typed and choice in typed and typed[choice] not in values:
            del options[name]
    if typed.get("model", file.get("model")) != file.get("model"):
        for name in ("base", "depth", "model_options", "weights"):
            if name in file and name not in typed:
                del options[name]
    return options


def _fill_model(options: Given, width: int) -> None:
    """The options of the network that were not given, from its toy."""
    defaults = model_defaults(options["model"], width)
    _fill(options, {"base": defaults["base"], "depth": defaults["depth"]})
    options["model_options"] = {**defaults["model_options"], **(options["model_options"] or {})}


def _fill(options: Given, defaults: Given) -> None:
    for name, value in defaults.items():
        if options[name] is None:
            options[name] = value


def absolute(path: str) -> str:
    """A path that means the same from every working folder."""
    return os.path.abspath(os.path.expanduser(path))


def described_default(name: str) -> str:
    """The default of an option for the help; empty where there is none to name.

    Examples
    --------
    >>> described_default("optimizer"), described_default("size")
    ('muon', '64; its own for a folder')
    >>> described_default("scales")
    '0.5:2'
    """
    if name in ANY_DATA:
        value = ANY_DATA[name]
        return "" if isinstance(value, bool) else _as_typed(value)
    if name == "lr":
        rate = LEARNING_RATES[ANY_DATA["optimizer"]]
        return f"{rate:g}, by the optimizer; {WITHOUT_NORM * rate:g} for a network without norms"
    for dependent, _, values in DEPENDENT:
        if name == dependent:
            (_, usual), *others = values.items()
            differing = (f"; {_as_typed(v)} for {c}" for c, v in others if v != usual)
            return _as_typed(usual) + "".join(differing)
    shapes, folder = PROCEDURAL.get(name), FOLDER.get(name)
    if name in ("classes", "size"):
        folder = "its own"
    if shapes is None or folder is None or shapes == folder:
        return str(shapes or folder or "")
    return f"{shapes}; {folder} for a folder"


def _as_typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, list):
        return ":".join(map(_as_typed, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
