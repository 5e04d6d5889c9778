"""What the kernels that go over whole maps share: new maps like old ones, and work by images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels.parallel import run_bands

Pair = tuple[int, int]

# Maps of fewer numbers than this are done before a second thread has started.
WORTH_A_THREAD = 1 << 17


def like(x: Array, size: Pair, dtype: Any = None, fill: Any = 0) -> Array:
    """A map of another size, with the images, channels, device and memory order of ``x``.

    Examples
    --------
    >>> channels_last = np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2)
    >>> y = like(channels_last, (1, 2), fill=7)
    >>> y.shape, y.transpose(0, 2, 3, 1).flags.c_contiguous
    ((2, 3, 1, 2), True)
    """
    return array_module(x).full_like(x, fill, dtype=dtype, shape=(*x.shape[:2], *size))


def over_images(work: Callable[..., None], *maps: Array) -> None:
    """Call ``work(*maps)``, image by image on several threads where the maps are large.

    All maps have the same number of images, and ``work`` writes its results into some of them.

    Examples
    --------
    >>> x, y = np.arange(6.0).reshape(3, 2, 1, 1), np.zeros((3, 2, 1, 1))
    >>> over_images(lambda source, target: np.multiply(source, 2, out=target), x, y)
    >>> y.ravel()
    array([ 0.,  2.,  4.,  6.,  8., 10.])
    """
    xp = array_module(*maps)
    images = maps[0].shape[0]
    if xp is not np or images < 2 or max(m.size for m in maps) < WORTH_A_THREAD:
        work(*maps)
        return
    run_bands(xp, lambda i: work(*(m[i : i + 1] for m in maps)), [(i,) for i in range(images)])
