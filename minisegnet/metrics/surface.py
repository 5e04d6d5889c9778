"""Scores of where the edge of one region is drawn, whatever its area.

Each compares two masks of one class: ``prediction == 2`` against ``target == 2``. What is void must
be the same in both, so that it counts for nothing: ``(prediction == 2) & ~void``.

The surface of a mask is here the set of its boundary pixels: those that have a pixel outside the
mask beside them, above or below them (in a volume also before or behind them); the world beyond the
edge of the image is outside. Distances are Euclidean, between the centres of pixels. They come from
the exact distance transform, which tells every pixel how far it is from the nearest one of a set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, library_of, to_numpy
from minisegnet.metrics.arguments import as_array

Spacing = float | Sequence[float]


def hausdorff_distance(
    prediction: Array | Tensor,
    target: Array | Tensor,
    percentile: float = 100.0,
    spacing: Spacing = 1.0,
    boundary: bool | None = None,
) -> float:
    r"""How far the furthest pixel of one mask is from the other mask.

    .. math:: H(A, B) = \max\left( \max_{a \in A} \min_{b \in B} \|a - b\|,
              \; \max_{b \in B} \min_{a \in A} \|a - b\| \right)

    One stray pixel decides it. The 95th percentile, in place of the two outer maxima, forgives the
    worst 5 % and is what "HD95" means.

    Parameters
    ----------
    prediction, target : array or Tensor
        Two masks (H, W), or two volumes (D, H, W), of zeros and ones.
    percentile : float
        Of the distances in each direction, above 0 and up to 100; interpolated linearly. The larger
        of the two directions counts.
    spacing : float or sequence of float
        The size of a pixel, for all axes or for each, in the unit the result shall have.
    boundary : bool, optional
        Whether to compare the boundary pixels alone. By default all pixels of the masks are
        compared for a percentile of 100, as the definition has it, and the boundaries below that:
        the pixels that both masks share would enter the percentile as so many zeros.

    Returns
    -------
    float
        0 if both masks are empty, infinity if one of them is.

    Raises
    ------
    ValueError
        If the shapes differ, a mask holds anything but 0 and 1, or an option makes no sense.

    References
    ----------
    .. [1] D. P. Huttenlocher, G. A. Klanderman and W. J. Rucklidge, "Comparing images using the
       Hausdorff distance", IEEE TPAMI 1993 (also on ranks in place of the maximum).

    Examples
    --------
    The prediction has one pixel too much, 2 rows and 3 columns away from the nearest true one:

    >>> target = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    >>> prediction = target.copy()
    >>> prediction[2, 4] = 1
    >>> hausdorff_distance(prediction, target) == math.hypot(2, 3)
    True
    >>> hausdorff_distance(prediction, target, spacing=(2.0, 1.0))  # pixels twice as high as wide
    5.0
    """
    name = "hausdorff_distance"
    a, b = _masks(name, prediction, target)
    if not 0 < percentile <= 100:
        raise ValueError(f"{name}: percentile is {percentile}: give one above 0, up to 100")
    steps = _steps(name, spacing, a.ndim)
    there = bool(to_numpy(a.any())), bool(to_numpy(b.any()))
    if not all(there):
        return math.inf if any(there) else 0.0
    if percentile < 100 if boundary is None else boundary:
        a, b = _boundary(a), _boundary(b)
    percentiles = array_module(a, b).percentile
    return max(
        float(to_numpy(percentiles(distances, percentile)))
        for distances in (_distances(a, b, steps), _distances(b, a, steps))
    )


def surface_dice(
    prediction: Array | Tensor,
    target: Array | Tensor,
    tolerance: float,
    spacing: Spacing = 1.0,
) -> float:
    r"""The share of both surfaces that lies within a tolerance of the other surface.

    .. math:: \frac{|\{a \in \partial A : d(a, \partial B) \le \tau\}|
              + |\{b \in \partial B : d(b, \partial A) \le \tau\}|}{|\partial A| + |\partial B|}

    It asks how much of an outline would have to be drawn anew if an error of up to ``tolerance``
    is acceptable. Dice's coefficient of the areas cannot tell: a thick region hides errors that a
    thin one shows.

    The elements of a surface are its boundary pixels, each counted once. (The paper weighs
    elements between the pixels by their area, which makes a difference where pixels are not
    square.)

    Parameters
    ----------
    prediction, target : array or Tensor
        Two masks (H, W), or two volumes (D, H, W), of zeros and ones.
    tolerance : float
        The distance, in the unit of ``spacing``, up to which surfaces agree. At least 0.
    spacing : float or sequence of float
        The size of a pixel, for all axes or for each.

    Returns
    -------
    float
        0 to 1; 0 if one mask is empty, nan (0/0) if both are.

    Raises
    ------
    ValueError
        If the shapes differ, a mask holds anything but 0 and 1, or the tolerance is negative.

    References
    ----------
    .. [1] S. Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for
       radiotherapy: deep learning algorithm development and validation study", Journal of Medical
       Internet Research 2021 (first circulated in 2018).

    Examples
    --------
    Both pixels of the target are found; of four predicted ones the last is two away from it:

    >>> target = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    >>> prediction = np.array([[1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
    >>> surface_dice(prediction, target, tolerance=1)  # (3 + 2) / (4 + 2)
    0.833...
    """
    name = "surface_dice"
    a, b = _masks(name, prediction, target)
    found, predicted, covered, true = _near(name, a, b, tolerance, spacing)
    return (found + covered) / (predicted + true) if predicted + true else math.nan


def boundary_f1(
    prediction: Array | Tensor,
    target: Array | Tensor,
    tolerance: float | None = None,
    spacing: Spacing = 1.0,
) -> float:
    r"""The harmonic mean of precision and recall of the boundary.

    .. math:: P = \frac{|\{a \in \partial A : d(a, \partial B) \le \theta\}|}{|\partial A|}, \quad
              R = \frac{|\{b \in \partial B : d(b, \partial A) \le \theta\}|}{|\partial B|}, \quad
              F_1 = \frac{2 P R}{P + R}

    Parameters
    ----------
    prediction, target : array or Tensor
        Two masks (H, W), or two volumes (D, H, W), of zeros and ones.
    tolerance : float, optional
        The distance up to which boundaries agree, in the unit of ``spacing``. By default 0.75 % of
        the diagonal of the image, as in the paper.
    spacing : float or sequence of float
        The size of a pixel, for all axes or for each.

    Returns
    -------
    float
        0 to 1; 0 if one mask is empty, nan (0/0) if both are.

    Raises
    ------
    ValueError
        If the shapes differ, a mask holds anything but 0 and 1, or the tolerance is negative.

    References
    ----------
    .. [1] G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for semantic
       segmentation?", BMVC 2013.

    Examples
    --------
    >>> target = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    >>> prediction = np.array([[1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
    >>> boundary_f1(prediction, target, tolerance=1)  # P = 3/4, R = 1
    0.857...
    """
    name = "boundary_f1"
    a, b = _masks(name, prediction, target)
    if tolerance is None:
        sides = zip(a.shape, _steps(name, spacing, a.ndim), strict=True)
        tolerance = 0.0075 * math.hypot(*(length * step for length, step in sides))
    found, predicted, covered, true = _near(name, a, b, tolerance, spacing)
    if not predicted and not true:
        return math.nan
    if not found or not covered:
        return 0.0
    precision, recall = found / predicted, covered / true
    return 2 * precision * recall / (precision + recall)


def _near(
    name: str, a: Array, b: Array, tolerance: float, spacing: Spacing
) -> tuple[int, int, int, int]:
    """How many boundary pixels of a are near b's boundary, of how many; and the same of b."""
    if not tolerance >= 0:
        raise ValueError(f"{name}: tolerance is {tolerance}: give a distance of at least 0")
    steps = _steps(name, spacing, a.ndim)
    edge_a, edge_b = _boundary(a), _boundary(b)
    size_a, size_b = (int(to_numpy(edge.sum())) for edge in (edge_a, edge_b))
    if not size_a or not size_b:
        return 0, size_a, 0, size_b
    near_a, near_b = (
        int(to_numpy((distances <= tolerance).sum()))
        for distances in (_distances(edge_a, edge_b, steps), _distances(edge_b, edge_a, steps))
    )
    return near_a, size_a, near_b, size_b


def _boundary(mask: Array) -> Array:
    """The pixels of a mask that have a neighbour along an axis outside it."""
    return mask & ~library_of(mask).ndimage().binary_erosion(mask)


def _distances(a: Array, b: Array, steps: tuple[float, ...]) -> Array:
    """The distance of each pixel of a from the nearest pixel of b, which is not empty."""
    return library_of(a, b).ndimage().distance_transform_edt(~b, sampling=steps)[a]


def _masks(name: str, prediction: Any, target: Any) -> tuple[Array, Array]:
    """Both masks as booleans."""
    a, b = as_array(prediction), as_array(target)
    array_module(a, b)
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(
            f"{name}: prediction has shape {tuple(a.shape)} but target {tuple(b.shape)}: give two "
            "masks of one shape"
        )
    if a.ndim not in (2, 3):
        raise ValueError(
            f"{name}: the masks have shape {tuple(a.shape)}: give one mask (H, W) or one volume "
            "(D, H, W) at a time; of a batch take masks[i]"
        )
    return _boolean(name, "prediction", a), _boolean(name, "target", b)


def _boolean(name: str, which: str, mask: Array) -> Array:
    if mask.dtype == np.bool_:
        return mask
    wrong = (mask != 0) & (mask != 1)
    if bool(to_numpy(wrong.any())):
        found = to_numpy(mask[wrong])[0]
        advice = "compare it with a class first: labels == 2"
        if found == 255:
            advice = "turn a mask stored as 0 and 255 into booleans: mask > 127"
        elif mask.dtype.kind == "f":
            advice = "threshold it first: probabilities > 0.5"
        raise ValueError(f"{name}: {which} holds {found}, but a mask is 0 and 1: {advice}")
    return mask != 0


def _steps(name: str, spacing: Spacing, ndim: int) -> tuple[float, ...]:
    """The size of a pixel along each axis."""
    given: Any = (spacing,) * ndim if isinstance(spacing, Real) else spacing
    steps = tuple(float(step) for step in given)
    if len(steps) != ndim or not all(step > 0 for step in steps):
        raise ValueError(
            f"{name}: spacing is {spacing}: give one size above 0, or one for each of the {ndim} "
            "axes of the masks"
        )
    return steps
