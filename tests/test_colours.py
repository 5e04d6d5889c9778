"""Palettes and overlays, against their definitions as loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.autograd import Tensor
from minisegnet.colours import VOID_COLOUR
from minisegnet.plot import overlay, palette

# ------------------------------------------------------------------ palettes


def oklab(colour):
    """Lightness and two hues of an sRGB colour, written out from Ottosson's definition."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    r, g, b = linear
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def deuteranope(colour):
    """What is left of a colour without the medium cones (Machado 2009), in sRGB bytes."""
    matrix = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    mixed = [min(max(sum(m * c for m, c in zip(row, linear, strict=True)), 0), 1) for row in matrix]
    return [255 * (12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055) for c in mixed]


def smallest_distance(colours):
    seen = [oklab(colour) for colour in colours]
    return min(
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for one, other in itertools.combinations(seen, 2)
    )


def test_white_is_lightness_one():
    assert oklab((255, 255, 255)) == pytest.approx((1, 0, 0), abs=1e-6)


@pytest.mark.parametrize(("count", "least"), [(8, 0.075), (20, 0.075), (40, 0.045)])
def test_colours_can_be_told_apart(count, least):
    colours = [*palette(count).tolist(), VOID_COLOUR]
    assert smallest_distance(colours) > least
    assert smallest_distance([deuteranope(colour) for colour in colours]) > least


def test_palette_begins_with_every_smaller_one():
    whole = palette(50)
    assert whole.dtype == np.uint8 and whole.shape == (50, 3)
    for count in (1, 2, 8, 9, 21, 49):
        np.testing.assert_array_equal(palette(count), whole[:count])
    np.testing.assert_array_equal(whole[[1, 6]], [[230, 159, 0], [213, 94, 0]])


def test_palette_of_any_size():
    assert len(np.unique(palette(256), axis=0)) == 256
    many = palette(2500)
    assert many.shape == (2500, 3)
    np.testing.assert_array_equal(many[1962:1965], many[:3])
    assert len(np.unique(many[:1962], axis=0)) == 1962
    assert not (many == VOID_COLOUR).all(axis=1).any()


def test_palettes_are_the_callers_own():
    palette(5)[:] = 7
    assert palette(5).tolist()[1] == [230, 159, 0]


def test_palettes_that_are_refused():
    for count in (0, -3):
        with pytest.raises(ValueError, match=str(count)):
            palette(count)
    for count in (2.0, "3", None, True):
        with pytest.raises(TypeError, match="palette"):
            palette(count)


# ------------------------------------------------------------------ overlays


def overlay_by_loop(image, mask, colours, alpha, void, thickness):
    height, width = mask.shape
    out = np.zeros((height, width, 3), int)
    for row, column in itertools.product(range(height), range(width)):
        label = mask[row, column]
        if label == void:
            out[row, column] = image[row, column]
            continue
        near = [(row + s, column) for s in range(-thickness, thickness + 1)]
        near += [(row, column + s) for s in range(-thickness, thickness + 1)]
        inside = [(r, c) for r, c in near if 0 <= r < height and 0 <= c < width]
        if any(mask[place] != label for place in inside):
            out[row, column] = colours[label]
        else:
            mixed = (1 - alpha) * image[row, column] + alpha * np.array(colours[label])
            out[row, column] = np.rint(mixed)
    return out


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.sampled_from([None, 0, 255]),
    st.integers(0, 2**32),
)
def test_overlay_equals_its_definition(height, width, classes, alpha, void, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = rng.integers(0, classes, (height, width)).repeat(2, axis=1)[:, :width]
    if void == 255:
        mask[rng.random(mask.shape) < 0.3] = void
    before = image.copy(), mask.copy()
    result = overlay(image.transpose(2, 0, 1), mask, alpha=alpha, ignore_index=void)
    assert result.dtype == np.uint8
    expected = overlay_by_loop(image, mask, palette(classes).tolist(), alpha, void, 1)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_outlines_grow_with_the_image():
    mask = np.zeros((620, 700), np.uint8)
    mask[:, 300:] = 1
    image = np.full((620, 700), 100, np.uint8)
    own = [[0, 0, 0], [200, 40, 0]]
    result = overlay(image, mask, palette=own, alpha=0.25)
    assert (
        result[300, 297:304].tolist()
        == [[75] * 3] + [own[0]] * 2 + [own[1]] * 2 + [[125, 85, 75]] * 2
    )


def test_overlay_takes_every_layout(backend):
    rng = np.random.default_rng(2)
    image, mask = rng.random((3, 4, 6)).astype(np.float32), rng.integers(0, 3, (4, 6))
    expected = overlay(np.rint(255 * image).astype(np.uint8).transpose(1, 2, 0), mask)
    for form in (
        image,
        image.transpose(1, 2, 0),
        backend.asarray(image),
        backend.tensor(image),
        image.tolist(),
    ):
        np.testing.assert_array_equal(overlay(form, backend.asarray(mask)), expected)
    grey = overlay(image[:1], mask)
    np.testing.assert_array_equal(grey, overlay(np.repeat(image[:1], 3, axis=0), Tensor(mask)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"alpha": 1.5}, r"alpha is 1\.5"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"mask": np.zeros((5, 4), int)}, r"shape \(4, 5, 3\).*mask is 5x4"),
        ({"mask": np.zeros((4, 5))}, "float64"),
        ({"mask": np.zeros((1, 4, 5), int)}, r"shape \(1, 4, 5\)"),
        ({"mask": np.zeros((0, 5), int)}, r"shape \(0, 5\)"),
        ({"mask": np.full((4, 5), 2), "palette": [[0, 0, 0], [9, 9, 9]]}, "label 2 has no colour"),
        ({"palette": np.zeros((2, 3))}, "dtype float64"),
        ({"palette": []}, "palette has shape"),
        ({"image": np.zeros((4, 5, 4))}, "1 or 3 channels"),
    ],
)
def test_overlays_that_are_refused(changes, match):
    good = {"image": np.zeros((4, 5, 3), np.uint8), "mask": np.zeros((4, 5), int)}
    with pytest.raises(ValueError, match=match):
        overlay(**{**good, **changes})
