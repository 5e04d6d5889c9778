"""Paired augmentation: image and mask move together, and a mask is never interpolated.

A transform is a callable ``(image, mask, rng) -> (image, mask)`` with image (C, H, W) float32, mask
(H, W) int64 and rng a `numpy.random.Generator`, from which all its chance is drawn. Arrays passed
in are never changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.images import resize_image, resize_mask
from minisegnet.data.light import Brightness, Contrast, GaussianNoise, Normalize, Saturation
from minisegnet.data.pairs import (
    Described,
    Pair,
    Transform,
    check_pair,
    per_channel,
    probability,
    window_size,
)

__all__ = [
    "Brightness",
    "CenterCrop",
    "CentreCrop",
    "Compose",
    "Contrast",
    "GaussianNoise",
    "Normalize",
    "Pad",
    "Pair",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRot90",
    "RandomScale",
    "RandomScaledCrop",
    "RandomVerticalFlip",
    "Saturation",
    "Transform",
]


class Compose(Described):
    """Apply transforms one after another.

    Parameters
    ----------
    transforms : sequence of transforms
        In order; each gets the result of the one before, and the same generator.

    Examples
    --------
    >>> augment = Compose([RandomHorizontalFlip(1.0), CentreCrop((1, 2))])
    >>> image, mask = np.zeros((3, 1, 4), np.float32), np.array([[7, 2, 3, 5]])
    >>> augment(image, mask, np.random.default_rng(0))[1]
    array([[3, 2]])
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        for transform in self.transforms:
            image, mask = transform(image, mask, rng)
        return image, mask


class RandomHorizontalFlip(Described):
    """Mirror left and right with probability `p`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        if rng.random() >= self.p:
            return image, mask
        return image[:, :, ::-1].copy(), mask[:, ::-1].copy()


class RandomVerticalFlip(Described):
    """Mirror top and bottom with probability `p`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        if rng.random() >= self.p:
            return image, mask
        return image[:, ::-1].copy(), mask[::-1].copy()


class RandomRot90(Described):
    """Turn by 0, 90, 180 or 270 degrees, each as likely.

    A picture that is not square is turned by 0 or 180 degrees only, so that the pictures of a batch
    keep one size: crop to a square first to have all four.
    """

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        turns = int(rng.integers(4))
        if mask.shape[0] != mask.shape[1]:
            turns = turns // 2 * 2
        return np.rot90(image, turns, axes=(1, 2)).copy(), np.rot90(mask, turns).copy()


class RandomCrop(Described):
    """Cut out a window at a place drawn at random.

    Parameters
    ----------
    size : int or (rows, columns)
        Of the window; an int makes it square.

    Raises
    ------
    ValueError
        When applied to a picture smaller than the window: put a `Pad` before.

    Examples
    --------
    >>> image, mask = np.zeros((1, 4, 5), np.float32), np.arange(20).reshape(4, 5)
    >>> RandomCrop((2, 3))(image, mask, np.random.default_rng(7))[1]
    array([[11, 12, 13],
           [16, 17, 18]])
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = window_size(type(self).__name__, size)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        top, left = (int(rng.integers(spare + 1)) for spare in _spare(self, mask, self.size))
        return _window(image, mask, top, left, self.size)


class CentreCrop(Described):
    """Cut out the window in the middle (half a pixel up and left of it if it cannot be exact).

    Parameters
    ----------
    size : int or (rows, columns)
        Of the window; an int makes it square.

    Raises
    ------
    ValueError
        When applied to a picture smaller than the window: put a `Pad` before.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = window_size(type(self).__name__, size)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        top, left = (spare // 2 for spare in _spare(self, mask, self.size))
        return _window(image, mask, top, left, self.size)


CenterCrop = CentreCrop


class Pad(Described):
    """Add rows below and columns to the right until the picture has a size or more.

    Parameters
    ----------
    size : int or (rows, columns)
        To reach; a picture that is as large already stays as it is.
    label : int
        What the added pixels are in the mask: the dataset's ``ignore_index``, so that they count
        for nothing, or a class such as 0. There is no default, for a wrong one trains the edges
        wrong.
    value : float or sequence of float
        What they are in the image, for all channels or for each.

    Raises
    ------
    TypeError
        The label is None, as where a dataset has no void: choose a class.

    Examples
    --------
    >>> image, mask = np.zeros((1, 1, 2), np.float32), np.array([[3, 1]])
    >>> Pad((2, 3), label=255)(image, mask, np.random.default_rng(0))[1]
    array([[  3,   1, 255],
           [255, 255, 255]])
    """

    def __init__(
        self, size: int | tuple[int, int], label: int, value: float | Sequence[float] = 0.0
    ) -> None:
        if not isinstance(label, (int, np.integer)):
            raise TypeError(
                f"Pad: label is {label!r}: give the void label (the dataset's ignore_index) or a "
                "class, such as 0"
            )
        self.size, self.label, self.value = window_size("Pad", size), int(label), value

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        rows, columns = (max(want, have) for want, have in zip(self.size, mask.shape, strict=True))
        if (rows, columns) == mask.shape:
            return image, mask
        wide_image = np.empty((image.shape[0], rows, columns), dtype=np.float32)
        wide_image[:] = per_channel("Pad", "value", self.value, image)
        wide_mask = np.full((rows, columns), self.label, dtype=np.int64)
        wide_image[:, : mask.shape[0], : mask.shape[1]] = image
        wide_mask[: mask.shape[0], : mask.shape[1]] = mask
        return wide_image, wide_mask


class RandomScale(Described):
    """Resize by a factor drawn evenly between two: the image bilinear, the mask nearest neighbour.

    Parameters
    ----------
    low, high : float
        The smallest and largest factor, 0 < low <= high; both sides are scaled alike.
    """

    def __init__(self, low: float, high: float) -> None:
        if not 0 < low <= high:
            raise ValueError(
                f"RandomScale: low is {low} and high {high}: they must be 0 < low <= high"
            )
        self.low, self.high = float(low), float(high)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        factor = float(rng.uniform(self.low, self.high))
        rows, columns = (max(1, round(side * factor)) for side in mask.shape)
        return resize_image(image, (rows, columns)), resize_mask(mask, (rows, columns))


class RandomScaledCrop(Described):
    """Resize by a factor drawn at random and cut out a window at a place drawn at random.

    The image is resized bilinearly and the mask by nearest neighbour, as `RandomScale` and
    `RandomCrop` one after the other would, but nothing is computed outside the window. Where the
    resized picture is smaller than the window it lies somewhere in it, and the rest is padding.

    Parameters
    ----------
    size : int or (rows, columns)
        Of the window; an int makes it square.
    low, high : float
        The smallest and largest factor, 0 < low <= high; both sides are scaled alike. The logarithm
        of the factor is drawn evenly: to half the size is as likely as to double.
    label : int
        What padding is in the mask: the dataset's ``ignore_index``, or a class.
    value : float or sequence of float
        What padding is in the image, for all channels or for each.

    Examples
    --------
    >>> image, mask = np.zeros((1, 2, 3), np.float32), np.array([[0, 7, 9], [1, 2, 3]])
    >>> crop = RandomScaledCrop((2, 5), 2.0, 2.0, label=255)  # of the 4x6 picture
    >>> crop(image, mask, np.random.default_rng(6))[1]
    array([[0, 0, 7, 7, 9],
           [1, 1, 2, 2, 3]])
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        low: float,
        high: float,
        label: int,
        value: float | Sequence[float] = 0.0,
    ) -> None:
        RandomScale(low, high)  # refuses a wrong range
        Pad(size, label)  # and a label that is none
        self.size, self.low, self.high = window_size("RandomScaledCrop", size), low, high
        self.label, self.value = int(label), value

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        factor = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        whole = [max(1, round(side * factor)) for side in mask.shape]
        seen = [min(sides) for sides in zip(whole, self.size, strict=True)]
        starts = [int(rng.integers(a - b + 1)) for a, b in zip(whole, seen, strict=True)]
        places = [int(rng.integers(a - b + 1)) for a, b in zip(self.size, seen, strict=True)]
        at = tuple(slice(p, p + n) for p, n in zip(places, seen, strict=True))
        new_image = np.empty((len(image), *self.size), dtype=np.float32)
        new_mask = np.full(self.size, self.label, dtype=np.int64)
        if seen != list(self.size):
            new_image[:] = per_channel("RandomScaledCrop", "value", self.value, image)
        _resize_window(image, whole, starts, new_image[:, at[0], at[1]])
        rows, columns = (
            (2 * np.arange(start, start + n) + 1) * old // (2 * new)
            for start, n, old, new in zip(starts, seen, mask.shape, whole, strict=True)
        )
        new_mask[at] = mask[rows[:, None], columns]
        return new_image, new_mask


def _resize_window(
    image: ImageArray, whole: Sequence[int], starts: Sequence[int], out: ImageArray
) -> None:
    """Fill ``out`` with a window of the image resized to ``whole``; the window begins at starts."""
    from PIL import Image

    scales = [old / new for old, new in zip(image.shape[1:], whole, strict=True)]
    top, left = (start * scale for start, scale in zip(starts, scales, strict=True))
    bottom, right = (
        min((start + n) * scale, old)
        for start, n, scale, old in zip(starts, out.shape[1:], scales, image.shape[1:], strict=True)
    )
    for plane, target in zip(np.ascontiguousarray(image, dtype=np.float32), out, strict=True):
        target[:] = Image.fromarray(plane).resize(
            (out.shape[2], out.shape[1]), Image.Resampling.BILINEAR, (left, top, right, bottom)
        )


def _spare(transform: object, mask: MaskArray, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns by which a picture exceeds the window."""
    rows, columns = mask.shape[0] - size[0], mask.shape[1] - size[1]
    if rows < 0 or columns < 0:
        raise ValueError(
            f"{type(transform).__name__}: the picture is {mask.shape[0]}x{mask.shape[1]} and the "
            f"window {size[0]}x{size[1]}: make the window smaller, or put Pad({size}, label=...) "
            "before"
        )
    return rows, columns


def _window(image: ImageArray, mask: MaskArray, top: int, left: int, size: tuple[int, int]) -> Pair:
    rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
    return image[:, rows, columns].copy(), mask[rows, columns].copy()
