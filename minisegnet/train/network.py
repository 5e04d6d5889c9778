"""From the options of a run to its network, and the sizes of picture that it can train on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from minisegnet import models
from minisegnet.checks import did_you_mean
from minisegnet.models import SegmentationModel
from minisegnet.train.options import OptionError

__all__ = [
    "build_model",
    "check_crop",
    "crop_size",
    "default_crop",
    "model_defaults",
    "takes",
]

LARGEST_CROP = 256
OWN = ("base", "depth")
"""What of a network's options is an option of the run; the others are its ``model_options``."""

GIVEN_BY_DATA = ("in_channels", "num_classes")


def takes(name: str) -> list[str]:
    """The options of a network, by its name, other than what the data decide.

    Examples
    --------
    >>> takes("unet")
    ['base', 'depth', 'padding', 'norm', 'up']
    """
    parameters = inspect.signature(models.TABLE[name].make).parameters
    return [option for option in parameters if option not in GIVEN_BY_DATA]


def model_defaults(name: str, width: int = 1) -> dict[str, Any]:
    """The options of a network's toy, its ``base`` so many times as wide.

    Examples
    --------
    >>> model_defaults("unet", 2)
    {'base': 16, 'depth': 3, 'model_options': {}}
    """
    toy = dict(models.TABLE[name].toy)
    base = toy.pop("base", None)
    if base is None and "base" in takes(name):
        base = inspect.signature(models.TABLE[name].make).parameters["base"].default
    return {
        "base": None if base is None else base * width,
        "depth": toy.pop("depth", None),
        # A tuple would come back from config.json as a list.
        "model_options": {
            option: list(each) if isinstance(each, tuple) else each for option, each in toy.items()
        },
    }


def build_model(options: Mapping[str, Any], channels: int) -> SegmentationModel:
    """The network, its weights drawn from the one generator.

    Raises
    ------
    OptionError
        If the network does not have an option that was given, or refuses its value.
    """
    name, known = options["model"], takes(options["model"])
    chosen = {own: options[own] for own in OWN if options[own] is not None}
    for own in chosen:
        if own not in known:
            raise OptionError(f"--{own}: the model {name} has no such option: drop it")
    for option in options["model_options"] or {}:
        if option in OWN or option in GIVEN_BY_DATA:
            raise OptionError(
                f"--model-options {option}: give it as {_OPTION_OF.get(option, '--' + option)}"
            )
        if option not in known:
            others = [each for each in known if each not in OWN]
            advice = did_you_mean(option, others) if others else "it has none"
            raise OptionError(
                f"--model-options {option}: the model {name} has no such option: {advice}"
            )
    try:
        return models.build(
            name,
            in_channels=channels,
            num_classes=options["classes"],
            **chosen,
            **(options["model_options"] or {}),
        )
    except TypeError as error:  # a list where the network wants a number, and the like
        raise OptionError(f"--model-options: the model {name} cannot be made: {error}") from error


_OPTION_OF = {"num_classes": "--classes", "in_channels": "pictures of so many channels"}


def crop_size(crop: int | list[int]) -> tuple[int, int]:
    """Rows and columns of ``--crop``.

    Examples
    --------
    >>> crop_size(48), crop_size([48, 64])
    ((48, 48), (48, 64))
    """
    return (crop, crop) if isinstance(crop, int) else (crop[0], crop[1])


def default_crop(model: SegmentationModel, side: int) -> int:
    """The largest side that the network takes of pictures whose shortest side is ``side``."""
    largest = min(side, LARGEST_CROP)
    accepted = (size for size in range(largest, 0, -1) if model.accepts(size))
    return next(accepted, model.next_size(largest))


def check_crop(model: SegmentationModel, crop: int | list[int]) -> None:
    """Refuse a crop that the network does not take.

    Raises
    ------
    OptionError
        With the nearest sizes that it does take.
    """
    for side in crop_size(crop):
        if not model.accepts(side):
            near = sorted({default_crop(model, side), model.next_size(side)})
            raise OptionError(
                f"--crop is {side}: {type(model).__name__} of this depth does not halve it "
                f"evenly: give {' or '.join(map(str, near))}"
            )
