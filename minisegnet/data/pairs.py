"""What all paired transforms share: their form, and the checks of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minisegnet.data.dataset import ImageArray, MaskArray

Pair = tuple[ImageArray, MaskArray]
#: What augments: it takes image, mask and a random generator, and returns a new image and mask.
Transform = Callable[[ImageArray, MaskArray, np.random.Generator], Pair]


class Described:
    """A repr from the attributes, in the order in which they were set."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


def check_pair(transform: object, image: ImageArray, mask: MaskArray) -> None:
    """Refuse an image and a mask that do not belong together."""
    if image.ndim != 3 or mask.ndim != 2 or image.shape[1:] != mask.shape:
        raise ValueError(
            f"{type(transform).__name__}: image {image.shape} and mask {mask.shape} do not match: "
            "pass image (C, H, W) and mask (H, W) of one height and width"
        )


def probability(name: str, value: float, what: str = "p") -> float:
    """The value, refused outside 0..1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {what} is {value}: it must lie in 0..1")
    return float(value)


def window_size(name: str, size: int | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a window; an int makes it square."""
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name}: size is {size}: give an int or (rows, columns), 1 or more")
    return int(pair[0]), int(pair[1])


def per_channel(
    name: str, what: str, value: float | Sequence[float], image: ImageArray
) -> ImageArray:
    """A number or one for each channel, shaped to go with the image."""
    values = np.asarray(value, dtype=np.float32).reshape(-1, 1, 1)
    if len(values) not in (1, len(image)):
        raise ValueError(
            f"{name}: {what} has {len(values)} values and the image {len(image)} channels: give "
            "one value, or one for each channel"
        )
    return values
