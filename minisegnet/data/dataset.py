"""What every dataset offers: pairs of an image and its mask, and a description of the classes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.float32]
MaskArray = npt.NDArray[np.int64]


@runtime_checkable
class Dataset(Protocol):
    """A sequence of pairs: an image (C, H, W), float32 in 0..1, and its mask (H, W), int64.

    Attributes
    ----------
    num_classes : int
        Labels are 0 .. num_classes - 1, and so many maps must a network put out.
    ignore_index : int or None
        The label of void pixels, which take part in no loss and no score; None where there are
        none.
    class_names : list of str
        A name for each class.
    channels : int
        Channels of every image: 1 (grey) or 3 (red, green, blue).
    palette : array (num_classes, 3), uint8
        A colour to draw each class in.
    """

    num_classes: int
    ignore_index: int | None
    class_names: list[str]
    channels: int
    palette: npt.NDArray[np.uint8]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[ImageArray, MaskArray]: ...


def default_palette(num_classes: int) -> npt.NDArray[np.uint8]:
    """Colours that tell classes apart: those of the Pascal VOC challenge, black for class 0.

    The bits of the class number are dealt to red, green and blue in turn, highest colour bit first,
    so any two of the first 256 classes differ.

    Parameters
    ----------
    num_classes : int
        How many colours, 1 to 256 of them distinct; they repeat after that.

    Returns
    -------
    array (num_classes, 3), uint8

    Examples
    --------
    >>> default_palette(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    labels = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), dtype=np.uint8)
    for digit in range(8):
        bits = (labels[:, None] >> (3 * digit + np.arange(3))) & 1
        palette |= (bits << (7 - digit)).astype(np.uint8)
    return palette
