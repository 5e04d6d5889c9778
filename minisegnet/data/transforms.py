"""Paired augmentation: image and mask move together, and a mask is never interpolated.

A transform is a callable ``(image, mask, rng) -> (image, mask)`` with image (C, H, W) float32, mask
(H, W) int64 and rng a `numpy.random.Generator`, from which all its chance is drawn. Arrays passed
in are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.images import resize_image, resize_mask

Pair = tuple[ImageArray, MaskArray]
#: What augments: it takes image, mask and a random generator, and returns a new image and mask.
Transform = Callable[[ImageArray, MaskArray, np.random.Generator], Pair]


class _Described:
    """A repr from the attributes, in the order in which they were set."""

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({options})"


class Compose(_Described):
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


class RandomHorizontalFlip(_Described):
    """Mirror left and right with probability `p`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability(type(self).__name__, p)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        if rng.random() >= self.p:
            return image, mask
        return image[:, :, ::-1].copy(), mask[:, ::-1].copy()


class RandomVerticalFlip(_Described):
    """Mirror top and bottom with probability `p`.

    Parameters
    ----------
    p : float
        Between 0 and 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability(type(self).__name__, p)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        if rng.random() >= self.p:
            return image, mask
        return image[:, ::-1].copy(), mask[::-1].copy()


class RandomRot90(_Described):
    """Turn by 0, 90, 180 or 270 degrees, each as likely.

    A picture that is not square is turned by 0 or 180 degrees only, so that the pictures of a batch
    keep one size: crop to a square first to have all four.
    """

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        turns = int(rng.integers(4))
        if mask.shape[0] != mask.shape[1]:
            turns = turns // 2 * 2
        return np.rot90(image, turns, axes=(1, 2)).copy(), np.rot90(mask, turns).copy()


class RandomCrop(_Described):
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
        self.size = _size(type(self).__name__, size)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        top, left = (int(rng.integers(spare + 1)) for spare in _spare(self, mask, self.size))
        return _window(image, mask, top, left, self.size)


class CentreCrop(_Described):
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
        self.size = _size(type(self).__name__, size)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        top, left = (spare // 2 for spare in _spare(self, mask, self.size))
        return _window(image, mask, top, left, self.size)


CenterCrop = CentreCrop


class Pad(_Described):
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
        self.size, self.label, self.value = _size("Pad", size), int(label), value

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        rows, columns = (max(want, have) for want, have in zip(self.size, mask.shape, strict=True))
        if (rows, columns) == mask.shape:
            return image, mask
        wide_image = np.empty((image.shape[0], rows, columns), dtype=np.float32)
        wide_image[:] = _per_channel("Pad", "value", self.value, image)
        wide_mask = np.full((rows, columns), self.label, dtype=np.int64)
        wide_image[:, : mask.shape[0], : mask.shape[1]] = image
        wide_mask[: mask.shape[0], : mask.shape[1]] = mask
        return wide_image, wide_mask


class RandomScale(_Described):
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
        _check_pair(self, image, mask)
        factor = float(rng.uniform(self.low, self.high))
        rows, columns = (max(1, round(side * factor)) for side in mask.shape)
        return resize_image(image, (rows, columns)), resize_mask(mask, (rows, columns))


class Brightness(_Described):
    """Multiply the image by a factor drawn between 1 - amount and 1 + amount; clip to 0..1.

    Parameters
    ----------
    amount : float
        0 to 1. Put it before `Normalize`.
    """

    def __init__(self, amount: float) -> None:
        self.amount = _probability("Brightness", amount, "amount")

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        factor = float(rng.uniform(1 - self.amount, 1 + self.amount))
        return np.clip(image * factor, 0, 1), mask


class Contrast(_Described):
    """Stretch the image about its mean by a factor in 1 - amount .. 1 + amount; clip to 0..1.

    Parameters
    ----------
    amount : float
        0 to 1. Put it before `Normalize`.
    """

    def __init__(self, amount: float) -> None:
        self.amount = _probability("Contrast", amount, "amount")

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        factor = float(rng.uniform(1 - self.amount, 1 + self.amount))
        mean = float(image.mean(dtype=np.float64))
        return np.clip((image - mean) * factor + mean, 0, 1), mask


class GaussianNoise(_Described):
    """Add independent normal noise to every value; clip to 0..1.

    Parameters
    ----------
    std : float
        Its standard deviation, in units of the image (0..1). Put it before `Normalize`.
    """

    def __init__(self, std: float) -> None:
        if not std >= 0:
            raise ValueError(f"GaussianNoise: std is {std}: it must be 0 or more")
        self.std = float(std)

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + noise * self.std, 0, 1), mask


class Normalize(_Described):
    """Give each channel mean 0 and standard deviation 1: (image - mean) / std.

    Parameters
    ----------
    mean, std : float or sequence of float
        For all channels or for each, as `mean_std` measures them; std above 0.

    Examples
    --------
    >>> image, mask = np.array([[[1.0, 3.0]], [[4.0, 8.0]]], np.float32), np.zeros((1, 2), np.int64)
    >>> Normalize(mean=(2, 4), std=(0.5, 2))(image, mask, np.random.default_rng(0))[0].tolist()
    [[[-2.0, 2.0]], [[0.0, 2.0]]]
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        if not np.all(np.asarray(std) > 0):
            raise ValueError(f"Normalize: std is {std}: every value must be above 0")
        self.mean, self.std = mean, std

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        _check_pair(self, image, mask)
        mean = _per_channel("Normalize", "mean", self.mean, image)
        return (image - mean) / _per_channel("Normalize", "std", self.std, image), mask


def _check_pair(transform: object, image: ImageArray, mask: MaskArray) -> None:
    if image.ndim != 3 or mask.ndim != 2 or image.shape[1:] != mask.shape:
        raise ValueError(
            f"{type(transform).__name__}: image {image.shape} and mask {mask.shape} do not match: "
            "pass image (C, H, W) and mask (H, W) of one height and width"
        )


def _probability(name: str, value: float, what: str = "p") -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {what} is {value}: it must lie in 0..1")
    return float(value)


def _size(name: str, size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name}: size is {size}: give an int or (rows, columns), 1 or more")
    return int(pair[0]), int(pair[1])


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


def _per_channel(
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
