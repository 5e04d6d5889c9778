"""A procedural dataset: pictures of textured shapes, each labelled pixel by pixel with its kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minisegnet.colours import palette as distinct_colours
from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.streams import stream

Floats = npt.NDArray[Any]

SMALLEST_SIDE = 16
_TAG = 0x54A9E  # keeps the pictures' streams apart from others of the same seed


# A kind of shape is a signed distance: about how far a point (x right, y down, in units of the
# shape's radius) lies outside, negative inside.


def _disc(x: Floats, y: Floats) -> Floats:
    return np.hypot(x, y) - 0.92


def _rectangle(x: Floats, y: Floats) -> Floats:
    return np.maximum(np.abs(x) - 0.82, np.abs(y) - 0.68)


def _triangle(x: Floats, y: Floats) -> Floats:
    return _farthest_side(x, y, sides=3, inner=0.5)


def _ring(x: Floats, y: Floats) -> Floats:
    return np.abs(np.hypot(x, y) - 0.76) - 0.23


def _cross(x: Floats, y: Floats) -> Floats:
    across, down = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(across - 0.95, down - 0.3), np.maximum(across - 0.3, down - 0.95))


def _star(x: Floats, y: Floats) -> Floats:
    # A point is in the five-pointed star if it is inside four or more of its five lines.
    return np.sort(_side_distances(x, y, sides=5, inner=0.38), axis=0)[3]


def _crescent(x: Floats, y: Floats) -> Floats:
    return np.maximum(np.hypot(x, y) - 0.95, 0.66 - np.hypot(x - 0.5, y))


def _side_distances(x: Floats, y: Floats, sides: int, inner: float) -> Floats:
    """Signed distances to the sides of a regular polygon, `inner` from the middle."""
    turns = [2 * math.pi * side / sides for side in range(sides)]
    return np.stack([x * math.sin(turn) + y * math.cos(turn) - inner for turn in turns])


def _farthest_side(x: Floats, y: Floats, sides: int, inner: float) -> Floats:
    return np.asarray(_side_distances(x, y, sides, inner).max(axis=0))


KINDS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": _disc,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
    "rectangle": _rectangle,
    "star": _star,
    "crescent": _crescent,
}
#: The most classes that there are kinds of shapes for, background included.
MAX_CLASSES = len(KINDS) + 1


class Shapes:
    """Pictures of textured shapes on a textured ground, drawn when they are asked for.

    A class is a kind of shape, in the order disc, triangle, ring, cross, rectangle, star, crescent;
    class 0 is the ground. Two to five shapes of any size and angle lie about, later ones over
    earlier ones. Ground and shapes alike are plain, striped, checked, cloudy or shaded in random
    colours, the light falls unevenly and there is noise. Shapes are lighter than the ground about
    them, but not than that of other pictures, and colour says nothing of the class: a network must
    look at outlines.

    Item i depends on the seed and on i alone, not on `n` or on the order in which items are asked
    for. Take another seed for validation.

    Parameters
    ----------
    n : int
        How many pictures there are, 1 or more; none is kept in memory.
    size : int or (rows, columns)
        Of every picture, 16 or more; an int makes it square.
    num_classes : int
        The ground and the first kinds of shape: 2 to 8.
    seed : int
        0 or more.
    channels : {3, 1}
        Colour or grey.
    noise : float
        The strongest noise, as a standard deviation in units of 0..1.

    Attributes
    ----------
    num_classes, ignore_index, class_names, channels, palette :
        As for every `Dataset`; ``ignore_index`` is None, for there is no void.

    Raises
    ------
    ValueError
        An argument out of its range.
    IndexError
        An item beyond the last.

    Examples
    --------
    >>> shapes = Shapes(3, size=(48, 64), num_classes=4, seed=5)
    >>> image, mask = shapes[2]
    >>> image.shape, image.dtype, mask.shape, mask.dtype
    ((3, 48, 64), dtype('float32'), (48, 64), dtype('int64'))
    >>> shapes.class_names
    ['background', 'disc', 'triangle', 'ring']
    """

    def __init__(
        self,
        n: int,
        size: int | tuple[int, int] = 64,
        num_classes: int = 4,
        seed: int = 0,
        channels: int = 3,
        noise: float = 0.06,
    ) -> None:
        rows, columns = (size, size) if isinstance(size, (int, np.integer)) else size
        if n < 1:
            raise ValueError(f"Shapes: n is {n}: ask for 1 picture or more")
        if min(rows, columns) < SMALLEST_SIDE:
            raise ValueError(
                f"Shapes: size is {rows}x{columns}: shapes cannot be told apart below "
                f"{SMALLEST_SIDE}x{SMALLEST_SIDE}; take a larger size"
            )
        if not 2 <= num_classes <= MAX_CLASSES:
            raise ValueError(
                f"Shapes: num_classes is {num_classes}: it counts the ground and the kinds of "
                f"shape ({', '.join(KINDS)}), so give 2 to {MAX_CLASSES}"
            )
        if channels not in (1, 3):
            raise ValueError(f"Shapes: channels is {channels}: choose 3 (colour) or 1 (grey)")
        if seed < 0 or not 0 <= noise <= 1:
            raise ValueError(
                f"Shapes: seed is {seed} and noise {noise}: the seed must be 0 or more, "
                "noise 0 to 1"
            )
        self.n, self.size, self.seed, self.noise = (
            int(n),
            (int(rows), int(columns)),
            int(seed),
            noise,
        )
        self.num_classes, self.channels = int(num_classes), int(channels)
        self.ignore_index: int | None = None
        self.class_names = ["background", *KINDS][: self.num_classes]
        self.palette = distinct_colours(self.num_classes)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[ImageArray, MaskArray]:
        """Picture `index` (negative counts from the end): image (C, H, W) in 0..1, mask (H, W)."""
        if not -self.n <= index < self.n:
            raise IndexError(
                f"Shapes: there is no item {index} of {self.n}: ask for 0 to {self.n - 1}"
            )
        rng = stream(_TAG, self.seed, int(index) % self.n)
        rows, columns = self.size
        unit = float(min(rows, columns))
        y = np.arange(rows, dtype=np.float32)[:, None]
        x = np.arange(columns, dtype=np.float32)[None, :]
        level = float(rng.uniform(0.12, 0.58))
        image = _texture(rng, x, y, level + _tint(rng, self.channels), unit)
        mask = np.zeros(self.size, dtype=np.int64)
        for row, column, radius in _places(rng, rows, columns):
            kind = int(rng.integers(1, self.num_classes))
            window = _window(row, radius, rows), _window(column, radius, columns)
            x_near, y_near = x[:, window[1]], y[window[0]]
            outside = _outline(rng, kind, x_near - column, y_near - row, radius)
            colour = level + float(rng.uniform(0.2, 0.4)) + _tint(rng, self.channels)
            fill = _texture(rng, x_near, y_near, colour, unit)
            cover = np.clip(0.5 - outside, 0, 1)
            picture = image[:, window[0], window[1]]
            picture += cover * (fill - picture)
            mask[window][outside < 0] = kind
        image *= _light(rng, x / columns, y / rows)
        spread = float(rng.uniform(0.3, 1.0)) * self.noise
        image += spread * rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image, 0, 1, out=image), mask

    def __repr__(self) -> str:
        return (
            f"Shapes({self.n}, size={self.size}, num_classes={self.num_classes}, seed={self.seed}, "
            f"channels={self.channels})"
        )


def _places(rng: np.random.Generator, rows: int, columns: int) -> list[tuple[float, float, float]]:
    """(row, column, radius) of a few shapes, mostly in sight and overlapping a little at most."""
    unit = min(rows, columns)
    places: list[tuple[float, float, float]] = []
    wanted = int(rng.integers(2, 6))
    for _ in range(6 * wanted):
        radius = float(rng.uniform(0.13, 0.29)) * unit
        row = float(rng.uniform(0.7 * radius, rows - 0.7 * radius))
        column = float(rng.uniform(0.7 * radius, columns - 0.7 * radius))
        if all(math.hypot(row - r, column - c) > 0.8 * (radius + q) for r, c, q in places):
            places.append((row, column, radius))
        if len(places) == wanted:
            break
    return places


def _window(centre: float, radius: float, side: int) -> slice:
    """The rows (or columns) that a shape can reach."""
    return slice(max(0, math.floor(centre - radius) - 1), min(side, math.ceil(centre + radius) + 2))


def _outline(rng: np.random.Generator, kind: int, x: Floats, y: Floats, radius: float) -> Floats:
    """The signed distance in pixels to a shape of a kind, turned and slightly squeezed."""
    angle = float(rng.uniform(0, 2 * math.pi))
    squeeze = float(rng.uniform(0.8, 1.0))
    along = (x * math.cos(angle) + y * math.sin(angle)) / radius
    athwart = (y * math.cos(angle) - x * math.sin(angle)) / (radius * squeeze)
    distance = list(KINDS.values())[kind - 1]
    return distance(along, athwart) * (radius * squeeze)


def _tint(rng: np.random.Generator, channels: int) -> npt.NDArray[np.float64]:
    """A departure from grey; none if there is one channel."""
    tint = rng.uniform(-0.25, 0.25, channels)
    return np.asarray(tint - tint.mean())


def _texture(
    rng: np.random.Generator, x: Floats, y: Floats, colour: npt.NDArray[np.float64], unit: float
) -> Floats:
    """A patch (C, h, w): a pattern between a colour and another near it."""
    kind = int(rng.integers(5))
    angle = float(rng.uniform(0, math.pi))
    period = float(rng.uniform(0.08, 0.16)) * unit
    along = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period)
    athwart = (y * math.cos(angle) - x * math.sin(angle)) * (2 * math.pi / period)
    phase = float(rng.uniform(0, 2 * math.pi))
    if kind == 0:  # plain
        pattern = np.zeros_like(along)
    elif kind == 1:  # stripes
        pattern = np.sin(along + phase)
    elif kind == 2:  # checks
        pattern = np.sign(np.sin(along / 2 + phase) * np.sin(athwart / 2))
    elif kind == 3:  # clouds
        pattern = (np.sin(along / 3 + 2 * np.sin(athwart / 4 + phase)) + np.sin(athwart / 2.3)) / 2
    else:  # shading from one side to the other
        pattern = np.sin(along * (period / (2.5 * unit)) + phase)
    strength = rng.uniform(-0.16, 0.16, len(colour))
    tint = np.stack([colour, strength]).astype(np.float32)[:, :, None, None]
    return tint[0] + tint[1] * pattern


def _light(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Brightness (h, w) that falls off across the picture, on average 0.9; x and y in 0..1."""
    angle = float(rng.uniform(0, 2 * math.pi))
    slope = float(rng.uniform(0, 0.3))
    tilt = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    return 0.9 + slope * tilt
