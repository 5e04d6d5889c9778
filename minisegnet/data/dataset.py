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
