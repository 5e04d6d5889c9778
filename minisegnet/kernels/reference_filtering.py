"""The definition of a Gaussian filter over all pairs of points: the oracle of the fast ones.

Points are rows of features, such as the place and the colour of a pixel, each already divided by
how far it reaches: a distance of 1 is one standard deviation.
"""

from __future__ import annotations

import numpy as np


def gaussian_sums(values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """At every point, the sum of all points' values, each weighted by its nearness.

    ``out[i] = sum over j of exp(-|features[i] - features[j]|² / 2) * values[j]``, with the point
    itself, whose weight is 1, among them.

    Parameters
    ----------
    values : (N, K)
    features : (N, D)

    Returns
    -------
    (N, K), float64

    Examples
    --------
    Two points near each other and one far away:

    >>> features = np.array([[0.0, 0.0], [0.6, 0.8], [30.0, 40.0]])
    >>> gaussian_sums(np.array([[1.0], [2.0], [5.0]]), features).ravel().round(3)
    array([2.213, 2.607, 5.   ])
    """
    points = range(len(features))
    out = np.zeros(values.shape)
    for i in points:
        for j in points:
            difference = features[i].astype(np.float64) - features[j]
            out[i] += np.exp(-(difference @ difference) / 2) * values[j]
    return out
