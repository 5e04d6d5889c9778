"""Independent streams of random numbers, one for each purpose, seed and item."""

from __future__ import annotations

import numpy as np

_WORD = 2**32


def stream(tag: int, seed: int, *numbers: int) -> np.random.Generator:
    """The generator of a purpose (``tag``), a seed of any width, and the numbers of an item.

    NumPy's ``SeedSequence`` cuts every integer into words of 32 bits and strings them together, so
    that seed ``5 + 7 * 2**32`` and item 0 would draw what seed 5 and item 7 draw. Here the upper
    words of the seed go into the spawn key, which NumPy keeps apart.

    Parameters
    ----------
    tag : int
        Below 2**32; every purpose has its own.
    seed : int
        0 or more.
    *numbers : int
        At most two, each 0 or more; those before the last below 2**32.

    Examples
    --------
    >>> stream(9, 5, 7).random() == stream(9, 5 + 7 * 2**32, 0).random()
    False
    >>> stream(9, 5, 7).random() == np.random.default_rng([9, 5, 7]).random()
    True
    """
    high, low = divmod(seed, _WORD)
    upper = []
    while high:
        high, word = divmod(high, _WORD)
        upper.append(word)
    return np.random.default_rng(np.random.SeedSequence([tag, low, *numbers], spawn_key=upper))
