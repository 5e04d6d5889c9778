"""Networks brought to one size: the width for a number of parameters, and a crop for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minisegnet.models import SegmentationModel
from minisegnet.nn import init
from minisegnet.train import network
from minisegnet.train.options import Given

__all__ = ["Sized", "common_crop", "described", "sized", "skeleton"]

WIDEST = 4096


@dataclass(frozen=True)
class Sized:
    """A network brought near a number of parameters.

    Attributes
    ----------
    options : dict
        ``base``, ``depth`` and ``model_options`` of a run.
    parameters : int
        How many there are.
    """

    options: Given
    parameters: int


def skeleton(name: str, options: Given, channels: int, classes: int) -> SegmentationModel:
    """A network whose weights hold nothing yet: to count them, and to ask which sizes it takes."""
    with init.skip():
        return network.build_model({"model": name, "classes": classes, **options}, channels)


def sized(name: str, parameters: int, channels: int, classes: int) -> Sized:
    """The width at which a network's toy has the number of parameters nearest to the one wanted.

    Parameters
    ----------
    name : str
        One of ``models.names()``.
    parameters : int
        The number wanted.
    channels, classes : int
        Of the pictures.

    Examples
    --------
    >>> found = sized("unet", 20_000, channels=3, classes=4)
    >>> found.options["base"], found.parameters
    (3, 17284)
    >>> sized("unet", 25_000, channels=3, classes=4).options["base"]
    4
    """
    options = network.model_defaults(name)

    def count(base: int | None) -> int:
        model = skeleton(name, {**options, "base": base}, channels, classes)
        return sum(parameter.size for parameter in model.parameters())

    if options["base"] is None:
        return Sized(options, count(None))
    low, high = 1, 2
    while count(high) < parameters and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    base = min((low, high), key=lambda width: abs(count(width) - parameters))
    return Sized({**options, "base": base}, count(base))


def described(options: Given) -> str:
    """The options of a network in a line.

    Examples
    --------
    >>> described({"base": 6, "depth": 3, "model_options": {"norm": False}})
    'base=6 depth=3 norm=False'
    """
    flat = {"base": options["base"], "depth": options["depth"], **options["model_options"]}
    return " ".join(f"{name}={value}" for name, value in flat.items() if value is not None)


def common_crop(candidates: Sequence[SegmentationModel], side: int) -> int:
    """The largest crop that most of the networks take, of pictures with this shortest side.

    Examples
    --------
    >>> from minisegnet.models import UNet
    >>> networks = [UNet(3, 2, base=1, depth=depth) for depth in (2, 4, 3)]
    >>> common_crop(networks, 60)
    48
    """
    largest = min(side, network.LARGEST_CROP)
    crops = range(max(4, largest // 2), largest + 1)
    return max(crops, key=lambda crop: (sum(m.accepts(crop) for m in candidates), crop))
