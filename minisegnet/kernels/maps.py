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


#: Numbers of a map that are worked on together, a few images or one: half a megabyte of float32.
AT_ONCE = 1 << 17


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
    """Call ``work(*maps)``, a few images at a time on several threads where the maps are large.

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
    together = max(1, AT_ONCE * images // max(m.size for m in maps))
    bands = [(slice(i, i + together),) for i in range(0, images, together)]
    run_bands(xp, lambda some: work(*(m[some] for m in maps)), bands)
