"""Segmentation networks, one file for each paper.

``models.build("unet", in_channels=3, num_classes=5)`` makes one by name; ``models.names()`` lists
the names. Each is the paper's network at its default width and a toy at a small ``base``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from minisegnet.checks import did_you_mean
from minisegnet.models.common import SegmentationModel
from minisegnet.models.deconvnet import DeconvNet
from minisegnet.models.deeplab_v1 import DeepLabV1
from minisegnet.models.deeplab_v2 import DeepLabV2
from minisegnet.models.deeplab_v2_vgg import DeepLabV2VGG
from minisegnet.models.deeplab_v3 import DeepLabV3
from minisegnet.models.deeplab_v3_plus import DeepLabV3Plus
from minisegnet.models.fcn import FCN8s, FCN16s, FCN32s
from minisegnet.models.pspnet import PSPNet
from minisegnet.models.refinenet import RefineNet
from minisegnet.models.resnet import ResNet
from minisegnet.models.segnet import SegNet, SegNetBasic
from minisegnet.models.summary import Block, blocks, multiply_adds
from minisegnet.models.tutorial import TutorialFCN, TutorialUNet
from minisegnet.models.unet import UNet
from minisegnet.models.weights import LoadedWeights, load_torch_weights

__all__ = [
    "TABLE",
    "Block",
    "DeconvNet",
    "DeepLabV1",
    "DeepLabV2",
    "DeepLabV2VGG",
    "DeepLabV3",
    "DeepLabV3Plus",
    "Entry",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "LoadedWeights",
    "PSPNet",
    "RefineNet",
    "ResNet",
    "SegNet",
    "SegNetBasic",
    "SegmentationModel",
    "TutorialFCN",
    "TutorialUNet",
    "UNet",
    "blocks",
    "build",
    "find",
    "load_torch_weights",
    "multiply_adds",
    "names",
]


@dataclass(frozen=True)
class Entry:
    """One row of the table of models.

    Attributes
    ----------
    name : str
        What :func:`build` calls it: small letters, figures, and "-" between words.
    make : callable
        Makes the network; without options the paper's, with the paper's number of classes.
    paper : str
    sizes : str
        The heights and widths that it takes, in words.
    parameters : int
        How many numbers the network that ``make()`` returns trains.
    toy : mapping
        Options with which ``make(**toy)`` is a small version, quick to train.
    normed : bool
        Whether every part of it has batch normalisation: others diverge at learning rates that
        suit these.
    """

    name: str
    make: Callable[..., SegmentationModel]
    paper: str
    sizes: str
    parameters: int
    toy: Mapping[str, Any]
    normed: bool = True


#: The networks by name.
TABLE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="unet",
            make=UNet,
            paper="Ronneberger et al. 2015, arXiv:1505.04597",
            sizes="multiples of 2^depth (16)",
            parameters=31_037_698,
            toy={"base": 8, "depth": 3},
        ),
        Entry(
            name="unet-valid",
            make=partial(UNet, in_channels=1, padding="valid", norm=False),
            paper="Ronneberger et al. 2015, arXiv:1505.04597",
            sizes="steps of 16 from 188 (572 gives 388)",
            parameters=31_030_658,
            toy={"base": 8, "depth": 3},
            normed=False,
        ),
        Entry(
            name="tutorialfcn",
            make=TutorialFCN,
            paper="lambda-deep-learning-demo, fcn.py",
            sizes="multiples of 16",
            parameters=1_384_652,
            toy={"base": 8},
            normed=False,
        ),
        Entry(
            name="tutorialunet",
            make=TutorialUNet,
            paper="lambda-deep-learning-demo, unet.py",
            sizes="multiples of 16",
            parameters=1_554_636,
            toy={"base": 8},
            normed=False,
        ),
        Entry(
            name="fcn32s",
            make=FCN32s,
            paper="Long et al. 2015, arXiv:1411.4038",
            sizes="any",
            parameters=134_346_581,
            toy={"base": 8, "padding": 1},
            normed=False,
        ),
        Entry(
            name="fcn16s",
            make=FCN16s,
            paper="Long et al. 2015, arXiv:1411.4038",
            sizes="any",
            parameters=134_357_354,
            toy={"base": 8, "padding": 1},
            normed=False,
        ),
        Entry(
            name="fcn8s",
            make=FCN8s,
            paper="Long et al. 2015, arXiv:1411.4038",
            sizes="any",
            parameters=134_362_751,
            toy={"base": 8, "padding": 1},
            normed=False,
        ),
        Entry(
            name="segnet",
            make=SegNet,
            paper="Badrinarayanan et al. 2017, arXiv:1511.00561",
            sizes="any",
            parameters=29_455_125,
            toy={"base": 8},
        ),
        Entry(
            name="segnetbasic",
            make=SegNetBasic,
            paper="Badrinarayanan et al. 2017, arXiv:1511.00561",
            sizes="any",
            parameters=1_417_237,
            toy={"base": 16},
        ),
        Entry(
            name="deconvnet",
            make=DeconvNet,
            paper="Noh et al. 2015, arXiv:1505.04366",
            sizes="at least 193 (224)",
            parameters=251_805_653,
            toy={"base": 8, "padding": "same"},
        ),
        Entry(
            name="deeplabv1",
            make=DeepLabV1,
            paper="Chen et al. 2015, arXiv:1412.7062",
            sizes="any",
            parameters=20_505_429,
            toy={"base": 8, "rate": 2},
            normed=False,
        ),
        Entry(
            name="deeplabv2-vgg",
            make=DeepLabV2VGG,
            paper="Chen et al. 2018, arXiv:1606.00915",
            sizes="any",
            parameters=37_877_652,
            toy={"base": 8, "rates": (1, 2, 3, 4)},
            normed=False,
        ),
        Entry(
            name="deeplabv2",
            make=DeepLabV2,
            paper="Chen et al. 2018, arXiv:1606.00915",
            sizes="any",
            parameters=44_048_532,
            toy={"base": 8, "backbone": "resnet14", "rates": (1, 2, 3, 4)},
        ),
        Entry(
            name="deeplabv3",
            make=DeepLabV3,
            paper="Chen et al. 2017, arXiv:1706.05587",
            sizes="any",
            parameters=39_638_869,
            toy={"base": 8, "backbone": "resnet14", "rates": (1, 2, 4)},
        ),
        Entry(
            name="deeplabv3plus",
            make=DeepLabV3Plus,
            paper="Chen et al. 2018, arXiv:1802.02611",
            sizes="any",
            parameters=40_352_181,
            toy={"base": 8, "backbone": "resnet14", "rates": (1, 2, 3)},
        ),
        Entry(
            name="pspnet",
            make=PSPNet,
            paper="Zhao et al. 2017, arXiv:1612.01105",
            sizes="any",
            parameters=46_716_373,
            toy={"base": 8, "backbone": "resnet14"},
        ),
        Entry(
            name="refinenet",
            make=RefineNet,
            paper="Lin et al. 2017, arXiv:1611.06612",
            sizes="any",
            parameters=118_052_437,
            toy={"base": 4, "backbone": "resnet14"},
            normed=False,
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


def find(name: str) -> Entry:
    """The row of a network; case, spaces, "-" and "_" in its name do not matter.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.

    Examples
    --------
    >>> find("U-Net").name, find("UNET_VALID").name
    ('unet', 'unet-valid')
    """
    entry = {_key(known): entry for known, entry in TABLE.items()}.get(_key(name))
    if entry is None:
        raise ValueError(f"unknown model {name!r}: {did_you_mean(name, TABLE)}")
    return entry


def _key(name: str) -> str:
    """What is left of a name when the ways to write it are taken away: "DeepLab-V3+" too."""
    return "".join(sign for sign in name.lower().replace("+", "plus") if sign.isalnum())


def build(name: str, **options: Any) -> SegmentationModel:
    """Make a network by its name.

    Parameters
    ----------
    name : str
        One of :func:`names`; case, spaces, "-" and "_" do not matter.
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
    >>> build("U-Net", in_channels=1, num_classes=2, base=4, depth=2).num_classes
    2
    """
    return find(name).make(**options)
