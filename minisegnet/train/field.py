"""A network's logits passed through a fully connected random field over the images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minisegnet.backend import Array, array_module, library_of
from minisegnet.crf import dense_crf

__all__ = ["by_field"]


def by_field(logits: Array, images: Array, mean: Sequence[float], std: Sequence[float]) -> Array:
    """The logarithms of the field's marginals: logits again, which follow the images' edges.

    Parameters
    ----------
    logits : array (N, K, H, W)
    images : array (N, C, H, W)
        As the network sees them: centred by ``mean`` and divided by ``std``.
    mean, std : sequence of float
        One number for each channel.

    Returns
    -------
    array (N, K, H, W)

    Examples
    --------
    The pixel in the middle is as dark as those on the left, and hears them:

    >>> image = np.array([[[[-1.0, -1, -1, 1, 1], [-1, -1, -1, 1, 1]]]])
    >>> left, right = [[3.0, 3, 0, 0, 0]] * 2, [[0, 0, 0, 3.0, 3]] * 2
    >>> logits = np.array([left, right])
    >>> by_field(logits[None], image, mean=[0.5], std=[0.3])[0].argmax(axis=0)
    array([[0, 0, 0, 1, 1],
           [0, 0, 0, 1, 1]])
    """
    xp = array_module(logits, images)
    shift, scale = (
        library_of(images).from_numpy(np.array(values, images.dtype)[:, None, None])
        for values in (mean, std)
    )
    marginals = dense_crf(logits, images * scale + shift)
    # What the field rules out keeps a finite logit, so that losses and resizing stay finite.
    return xp.log(xp.maximum(marginals, float(np.finfo(marginals.dtype).tiny)))
