"""Segmentation networks, one file for each paper.

``models.build("unet", in_channels=3, num_classes=5)`` makes one by name; ``models.names()`` lists
the names. Each is the paper's network at its default width and a toy at a small ``base``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minisegnet.checks import did_you_mean
from minisegnet.models.common import SegmentationModel
from minisegnet.models.unet import UNet

__all__ = ["TABLE", "Entry", "SegmentationModel", "UNet", "build", "names"]


@dataclass(frozen=True)
class Entry:
    """One row of the table of models."""

    name: str
    make: Callable[..., SegmentationModel]
    paper: str
    sizes: str


#: The networks by name, each with how it is made, its paper, and the sizes it takes.
TABLE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "unet", UNet, "Ronneberger et al. 2015, arXiv:1505.04597", "multiples of 2^depth (16)"
        ),
    )
}


def names() -> list[str]:
    """The names that :func:`build` knows.

    Examples
    --------
    >>> "unet" in names()
    True
    """
    return list(TABLE)


def build(name: str, **options: Any) -> SegmentationModel:
    """Make a network by its name.

    Parameters
    ----------
    name : str
        One of :func:`names`, in any case.
    **options
        ``in_channels``, ``num_classes``, ``base`` and what else the network takes.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.
    TypeError
        If the network has no such option.

    Examples
    --------
    >>> build("unet", in_channels=1, num_classes=2, base=4, depth=2).num_classes
    2
    """
    entry = TABLE.get(name.lower())
    if entry is None:
        raise ValueError(f"unknown model {name!r}: {did_you_mean(name, TABLE)}")
    return entry.make(**options)
