"""Colours for classes, and masks painted over images: plain arrays, no drawing library."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, is_array, to_numpy

__all__ = ["VOID_COLOUR", "overlay", "palette"]

#: The colour of void pixels: a grey that no class has.
VOID_COLOUR = (190, 190, 190)

_OKABE_ITO = (
    (0, 0, 0),  # black
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermillion
    (204, 121, 167),  # reddish purple
)

# What the cones of each kind of eye make of linear RGB (Machado et al. 2009, severity 1).
_VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],  # normal
        [
            [0.152286, 1.052583, -0.204868],  # protanopia
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],  # deuteranopia
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],  # tritanopia
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
)

# OKLab: linear RGB to cone responses, and their cube roots to lightness and two hues (Ottosson).
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(num_classes: int) -> np.ndarray:
    """Colours for the classes that readers with any colour vision can tell apart.

    The first eight are those of Okabe and Ito [1]_. Each one after is, of a grid of colours neither
    very dark nor very light, the farthest from all the others and from the grey of void pixels:
    farthest in OKLab [2]_ to the eye that tells it apart worst, of normal sight, protanopia,
    deuteranopia and tritanopia [3]_. A palette begins with the colours of every smaller one.

    Parameters
    ----------
    num_classes : int
        How many colours. From the 1,963rd on they repeat.

    Returns
    -------
    ndarray
        (num_classes, 3) uint8, red, green, blue.

    References
    ----------
    .. [1] M. Okabe, K. Ito, "Color Universal Design", 2008.
    .. [2] B. Ottosson, "A perceptual color space for image processing", 2020.
    .. [3] G. Machado, M. Oliveira, L. Fernandes, "A physiologically-based model for simulation of
       color vision deficiency", IEEE Trans. Visualization and Computer Graphics, 2009.

    Examples
    --------
    >>> palette(3).tolist()
    [[0, 0, 0], [230, 159, 0], [86, 180, 233]]
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)):
        raise TypeError(f"palette: num_classes is {num_classes!r}; give an integer")
    if num_classes < 1:
        raise ValueError(f"palette: num_classes is {num_classes}; give at least 1")
    colours = _distinct_colours(min(int(num_classes), _candidates().shape[0]))
    return np.resize(colours, (int(num_classes), 3))


@functools.cache
def _candidates() -> np.ndarray:
    """The colours to choose from: the eight, then a grid of middle lightness."""
    levels = np.arange(0, 256, 21)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness = _seen(grid)[:, 0, 0]
    return np.concatenate([_OKABE_ITO, grid[(lightness > 0.35) & (lightness < 0.9)]])


@functools.cache
def _distinct_colours(count: int) -> np.ndarray:
    """The first ``count`` colours: each new one the farthest from those that are taken."""
    colours = _candidates()
    seen = _seen(colours)
    nearest = _distance(seen, _seen(np.array([VOID_COLOUR])))
    chosen: list[int] = []
    for i in range(count):
        best = i if i < len(_OKABE_ITO) else int(nearest.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, _distance(seen, seen[best : best + 1]))
    return colours[chosen].astype(np.uint8)


def _seen(colours: np.ndarray) -> np.ndarray:
    """(n, 3) sRGB bytes as each kind of eye sees them: (n, 4, 3) in OKLab."""
    fraction = colours / 255
    linear = np.where(fraction <= 0.04045, fraction / 12.92, ((fraction + 0.055) / 1.055) ** 2.4)
    by_eye = np.clip(np.einsum("vij,nj->nvi", _VISIONS, linear), 0, 1)
    return np.cbrt(by_eye @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T


def _distance(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """The distance of every colour to one, to the eye that sees the least of it."""
    return np.sqrt(np.square(seen - one).sum(axis=-1)).min(axis=-1)


def overlay(
    image: Array | Tensor,
    mask: Array | Tensor,
    palette: Any = None,
    alpha: float = 0.5,
    ignore_index: int | None = None,
) -> np.ndarray:
    """The image tinted by class, with the outline of every region in its full colour.

    Parameters
    ----------
    image : array or Tensor
        (C, H, W) or (H, W, C) with 1 or 3 channels, or (H, W); see :func:`predictions`.
    mask : array or Tensor
        (H, W), integer or boolean classes.
    palette : array, optional
        (K, 3) uint8, a colour a class. Default: :func:`palette`.
    alpha : float
        The weight of the colour, 0 (the image and the outlines) to 1 (the mask).
    ignore_index : int, optional
        Pixels of this label keep the image's own colour.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.

    Raises
    ------
    ValueError
        If the sizes differ, ``alpha`` is outside 0..1, or a label has no colour.

    Examples
    --------
    >>> image, mask = np.full((2, 5), 100, np.uint8), np.array([[0, 0, 0, 1, 1]] * 2)
    >>> overlay(image, mask, palette=[[0, 0, 0], [200, 40, 0]], alpha=0.25)[0].tolist()
    [[75, 75, 75], [75, 75, 75], [0, 0, 0], [200, 40, 0], [125, 85, 75]]
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"overlay: alpha is {alpha}; choose a weight in 0..1")
    labels = class_map(mask, "overlay: mask")
    base = rgb_image(image, labels.shape, "overlay: image")
    void = np.zeros(labels.shape, bool) if ignore_index is None else labels == ignore_index
    highest = int(labels[~void].max(initial=0))
    colours = palette_array(palette, highest + 1, "overlay")
    if highest >= len(colours):
        raise ValueError(
            f"overlay: label {highest} has no colour: the palette has {len(colours)}; give more "
            "colours, or ignore_index if the label means void"
        )
    tint = paint(labels, colours, ignore_index)
    mixed = np.rint((1 - alpha) * base + alpha * tint).astype(np.uint8)
    outline = _outline(labels, thickness=max(1, round(min(labels.shape) / 300)))
    mixed[outline] = tint[outline]
    mixed[void] = base[void]
    return mixed


def _outline(labels: np.ndarray, thickness: int) -> np.ndarray:
    """Whether a pixel has another class within ``thickness`` steps along its row or column."""
    edge = np.zeros(labels.shape, bool)
    for step in range(1, thickness + 1):
        for a, b in (
            (np.s_[step:, :], np.s_[:-step, :]),
            (np.s_[:, step:], np.s_[:, :-step]),
        ):
            differs = labels[a] != labels[b]
            edge[a] |= differs
            edge[b] |= differs
    return edge


# ---------------------------------------------------------------------------- what plot uses too


def palette_array(colours: Any, num_classes: int, op: str) -> np.ndarray:
    """The given palette as (K, 3) uint8, or the default one for ``num_classes`` if it is None."""
    if colours is None:
        return palette(num_classes)
    values = host_array(colours)
    fits = values.ndim == 2 and values.shape[1:] == (3,) and len(values) > 0
    if not fits or values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise ValueError(
            f"{op}: the palette has shape {values.shape} and dtype {values.dtype}; give (K, 3) "
            "integers in 0..255, red, green, blue"
        )
    return values.astype(np.uint8)


def host_array(value: Any) -> np.ndarray:
    """An array, a tensor or a list as a NumPy array."""
    if isinstance(value, Tensor):
        value = value.data
    return to_numpy(value) if is_array(value) else np.asarray(value)


def class_map(mask: Any, name: str) -> np.ndarray:
    """A mask as (H, W) int64, none of its labels negative but for a void one."""
    labels = host_array(mask)
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or labels.size == 0:
        hint = "take the argmax over the classes first" if labels.dtype.kind == "f" else "drop axes"
        raise ValueError(
            f"{name} has shape {labels.shape} and dtype {labels.dtype}; give one map (H, W) of "
            f"integer or boolean classes: {hint}"
        )
    return labels.astype(np.int64)


def rgb_image(image: Any, size: tuple[int, ...], name: str) -> np.ndarray:
    """An image of any layout as (H, W, 3) uint8, H and W being those of its mask."""
    pixels = host_array(image)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[1:] == size:
        pixels = pixels.transpose(1, 2, 0)
    grey = pixels.ndim == 2
    if pixels.shape[:2] != size or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))):
        raise ValueError(
            f"{name} has shape {pixels.shape}, but its mask is {size[0]}x{size[1]}; give "
            "(C, H, W) or (H, W, C) with 1 or 3 channels, or (H, W), of the mask's size"
        )
    pixels = _bytes(pixels, name)
    return np.broadcast_to(pixels[..., None] if grey else pixels, (*size, 3))


def _bytes(pixels: np.ndarray, name: str) -> np.ndarray:
    """Pixel values of any type as bytes 0..255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iubf":
        raise ValueError(f"{name} has dtype {pixels.dtype}; give real numbers")
    values = np.nan_to_num(pixels.astype(np.float64), posinf=1.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if pixels.dtype.kind in "iu" and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    if low < 0 or high > 1:
        values = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.rint(255 * values).astype(np.uint8)


def paint(labels: np.ndarray, colours: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """(H, W, 3) uint8: each pixel in the colour of its class, void and unknown ones in grey."""
    known = (labels >= 0) & (labels < len(colours))
    if ignore_index is not None:
        known &= labels != ignore_index
    return np.where(known[..., None], colours[np.where(known, labels, 0)], VOID_COLOUR).astype(
        np.uint8
    )
