"""Transforms of light and colour: they change the image and leave its mask alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.images import LUMA
from minisegnet.data.pairs import Described, Pair, check_pair, per_channel, probability


class Brightness(Described):
    """Multiply the image by a factor drawn between 1 - amount and 1 + amount; clip to 0..1.

    Parameters
    ----------
    amount : float
        0 to 1. Put it before `Normalize`.
    """

    def __init__(self, amount: float) -> None:
        self.amount = probability("Brightness", amount, "amount")

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        factor = float(rng.uniform(1 - self.amount, 1 + self.amount))
        return np.clip(image * factor, 0, 1), mask


class Contrast(Described):
    """Stretch the image about its mean by a factor in 1 - amount .. 1 + amount; clip to 0..1.

    Parameters
    ----------
    amount : float
        0 to 1. Put it before `Normalize`.
    """

    def __init__(self, amount: float) -> None:
        self.amount = probability("Contrast", amount, "amount")

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        factor = float(rng.uniform(1 - self.amount, 1 + self.amount))
        mean = float(image.mean(dtype=np.float64))
        return np.clip((image - mean) * factor + mean, 0, 1), mask


class Saturation(Described):
    """Move colours away from their grey, or towards it, by a factor in 1 - amount .. 1 + amount.

    Grey is 0.299 R + 0.587 G + 0.114 B. A grey image stays as it is; values are clipped to 0..1.

    Parameters
    ----------
    amount : float
        0 to 1. Put it before `Normalize`.

    Examples
    --------
    >>> image, mask = np.zeros((3, 1, 1), np.float32), np.zeros((1, 1), np.int64)
    >>> image[2] = 0.5  # a blue, as bright as the grey 0.057
    >>> new = Saturation(0.5)(image, mask, np.random.default_rng(2))[0].ravel()
    >>> [round(float(v), 3) for v in new], round(float(new @ LUMA), 3)
    ([0.014, 0.014, 0.394], 0.057)
    """

    def __init__(self, amount: float) -> None:
        self.amount = probability("Saturation", amount, "amount")

    def __call__(self, image: ImageArray, mask: MaskArray, rng: np.random.Generator) -> Pair:
        check_pair(self, image, mask)
        factor = float(rng.uniform(1 - self.amount, 1 + self.amount))
        if len(image) != len(LUMA):
            return image, mask
        grey = np.einsum("c,chw->hw", np.array(LUMA, np.float32), image)
        return np.clip(grey + (image - grey) * factor, 0, 1), mask


class GaussianNoise(Described):
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
        check_pair(self, image, mask)
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + noise * self.std, 0, 1), mask


class Normalize(Described):
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
        check_pair(self, image, mask)
        mean = per_channel("Normalize", "mean", self.mean, image)
        return (image - mean) / per_channel("Normalize", "std", self.std, image), mask
