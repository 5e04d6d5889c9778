"""Augmentation: image and mask move together, and no label is invented."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import data

GEOMETRIC: list[Callable[[], data.Transform]] = [
    lambda: data.RandomHorizontalFlip(1.0),
    lambda: data.RandomVerticalFlip(1.0),
    lambda: data.RandomHorizontalFlip(0.5),
    lambda: data.RandomVerticalFlip(0.5),
    lambda: data.RandomRot90(),
    lambda: data.RandomCrop((3, 5)),
    lambda: data.RandomCrop(4),
    lambda: data.CentreCrop((5, 2)),
    lambda: data.Pad((13, 8), label=99, value=99 / 200),
    lambda: data.RandomScale(2.0, 2.0),
    lambda: data.RandomScaledCrop((14, 3), 1.0, 1.0, label=99, value=99 / 200),
    lambda: data.Compose(
        [
            data.RandomRot90(),
            data.RandomHorizontalFlip(),
            data.Pad(16, label=99, value=99 / 200),
            data.RandomCrop((11, 7)),
            data.RandomVerticalFlip(),
        ]
    ),
]


def encoded(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture that shows its own mask: every pixel a label of its own, seen in both channels."""
    mask = np.random.default_rng(seed).permutation(rows * columns).reshape(rows, columns)
    image = np.stack([mask / 200, mask / 200]).astype(np.float32)
    return image, mask


@given(
    which=st.integers(0, len(GEOMETRIC) - 1),
    rows=st.integers(5, 12),
    columns=st.integers(5, 12),
    seed=st.integers(0, 2**32),
)
def test_image_and_mask_move_together(which: int, rows: int, columns: int, seed: int) -> None:
    image, mask = encoded(rows, columns)
    kept = image.copy(), mask.copy()
    new_image, new_mask = GEOMETRIC[which]()(image, mask, np.random.default_rng(seed))
    assert new_image.dtype == np.float32
    assert new_mask.dtype == np.int64
    assert new_image.shape == (2, *new_mask.shape)
    assert set(new_mask.ravel()) <= set(mask.ravel()) | {99}
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])
    if which != 9:  # scaling blends the image between pixels
        np.testing.assert_array_equal(np.round(new_image[1] * 200).astype(int), new_mask)


@given(
    rows=st.integers(4, 30),
    columns=st.integers(4, 30),
    low=st.floats(0.3, 1.5),
    more=st.floats(0, 1.5),
    seed=st.integers(0, 2**32),
)
def test_scaling_keeps_labels_and_alignment(
    rows: int, columns: int, low: float, more: float, seed: int
) -> None:
    mask = np.where(np.arange(rows)[:, None] < rows // 2, 7, 3) + np.zeros((1, columns), int)
    image = (mask / 10).astype(np.float32)[None]
    scale = data.RandomScale(low, low + more)
    new_image, new_mask = scale(image, mask, np.random.default_rng(seed))
    factor = np.random.default_rng(seed).uniform(low, low + more)
    assert new_mask.shape == (max(1, round(rows * factor)), max(1, round(columns * factor)))
    assert set(new_mask.ravel()) <= {3, 7}
    # Only pixels along the seam may disagree.
    wrong = np.round(new_image[0] * 10) != new_mask
    assert np.count_nonzero(wrong.any(axis=1)) <= 2 * max(1, factor) + 2


def test_flips_and_turns_do_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    image, mask = encoded(3, 5)
    flipped = data.RandomHorizontalFlip(1.0)(image, mask, rng)[1]
    np.testing.assert_array_equal(flipped, np.fliplr(mask))
    flipped = data.RandomVerticalFlip(1.0)(image, mask, rng)[1]
    np.testing.assert_array_equal(flipped, np.flipud(mask))
    for never in (data.RandomHorizontalFlip(0.0), data.RandomVerticalFlip(0.0)):
        for _ in range(20):
            np.testing.assert_array_equal(never(image, mask, rng)[1], mask)
    turned = {data.RandomRot90()(image, mask, rng)[1].tobytes() for _ in range(60)}
    assert turned == {mask.tobytes(), np.rot90(mask, 2).tobytes()}
    image, mask = encoded(4, 4)
    turned = {data.RandomRot90()(image, mask, rng)[1].tobytes() for _ in range(99)}
    assert turned == {np.rot90(mask, k).tobytes() for k in range(4)}


@given(
    rows=st.integers(3, 30),
    columns=st.integers(3, 30),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    factor=st.sampled_from([0.3, 0.5, 0.8, 1.0, 1.3, 2.0]),
    seed=st.integers(0, 2**32),
)
def test_a_scaled_crop_is_a_window_of_the_scaled_picture(
    rows: int, columns: int, size: tuple[int, int], factor: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).permutation(rows * columns).reshape(rows, columns)
    image = np.random.default_rng(seed).uniform(0.1, 1, (2, rows, columns)).astype(np.float32)
    crop = data.RandomScaledCrop(size, factor, factor, label=-1, value=(-2, -3))
    new_image, new_mask = crop(image, mask, np.random.default_rng(seed))
    assert new_image.shape == (2, *size)
    assert new_mask.shape == size
    assert (new_image.dtype, new_mask.dtype) == (np.float32, np.int64)
    # The whole picture scaled, in a wide margin: the window must lie somewhere in it.
    rng = np.random.default_rng(0)
    whole = data.RandomScale(factor, factor)(image, mask, rng)
    margins = (size[0], size[0]), (size[1], size[1])
    wide_mask = np.pad(whole[1], margins, constant_values=-1)
    wide_image = np.stack([np.pad(whole[0][k], margins, constant_values=-2 - k) for k in range(2)])
    windows = np.lib.stride_tricks.sliding_window_view(wide_mask, size)
    found = np.argwhere((windows == new_mask).all(axis=(2, 3)))
    assert len(found) > 0
    same = [
        np.allclose(wide_image[:, i : i + size[0], j : j + size[1]], new_image, atol=1e-5)
        for i, j in found
    ]
    assert any(same)
    # Padding is there only as far as the scaled picture is smaller than the window.
    inside = [min(n, m) for n, m in zip(size, whole[1].shape, strict=True)]
    assert (new_mask >= 0).sum() == inside[0] * inside[1]


def test_scaled_crops_reach_every_place_and_every_factor() -> None:
    mask = np.arange(12).reshape(3, 4)
    image = np.zeros((1, 3, 4), np.float32)
    rng = np.random.default_rng(5)
    crop = data.RandomScaledCrop((2, 2), 1.0, 1.0, label=99)
    seen = {int(crop(image, mask, rng)[1][0, 0]) for _ in range(200)}
    assert seen == {0, 1, 2, 4, 5, 6}
    small = data.RandomScaledCrop((4, 6), 1.0, 1.0, label=99)
    places = {tuple(np.argwhere(small(image, mask, rng)[1] == 0)[0]) for _ in range(200)}
    assert places == {(i, j) for i in range(2) for j in range(3)}
    # To half the size is as likely as to double: the median keeps the size.
    scaled = data.RandomScaledCrop(99, 0.25, 4.0, label=-1)
    big = np.zeros((40, 20), int)
    counts = [
        (scaled(np.zeros((1, 40, 20), np.float32), big, rng)[1] >= 0).sum() for _ in range(300)
    ]
    assert 500 < np.median(counts) < 1300
    assert min(counts) < 100
    assert max(counts) > 4000


@given(amount=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_saturation_keeps_the_grey_of_every_pixel(amount: float, seed: int) -> None:
    image = np.random.default_rng(4).uniform(0.45, 0.55, (3, 5, 4)).astype(np.float32)
    mask = np.zeros((5, 4), np.int64)
    factor = np.random.default_rng(seed).uniform(1 - amount, 1 + amount)
    new, same = data.Saturation(amount)(image, mask, np.random.default_rng(seed))
    assert same is mask
    assert new.dtype == np.float32
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    np.testing.assert_allclose(new, grey + (image - grey) * factor, atol=1e-6)
    only = image[:1]
    np.testing.assert_array_equal(
        data.Saturation(amount)(only, mask, np.random.default_rng(seed))[0], only
    )


def test_half_of_the_pictures_are_flipped() -> None:
    image, mask = encoded(2, 3)
    rng = np.random.default_rng(1)
    flip = data.RandomHorizontalFlip()
    flips = sum(int(flip(image, mask, rng)[1][0, 0] != mask[0, 0]) for _ in range(400))
    assert 160 < flips < 240


def test_crops_reach_every_place_and_the_middle() -> None:
    image, mask = encoded(4, 6)
    rng = np.random.default_rng(2)
    seen = {int(data.RandomCrop((3, 4))(image, mask, rng)[1][0, 0]) for _ in range(200)}
    assert seen == set(mask[:2, :3].ravel().tolist())
    whole = data.RandomCrop((4, 6))(image, mask, rng)
    np.testing.assert_array_equal(whole[1], mask)
    middle = data.CentreCrop((2, 3))(image, mask, rng)[1]
    np.testing.assert_array_equal(middle, mask[1:3, 1:4])
    assert data.CenterCrop is data.CentreCrop
    for crop in (data.RandomCrop((5, 2)), data.CentreCrop(5)):
        with pytest.raises(ValueError, match=r"4x6 and the window 5x.*Pad"):
            crop(image, mask, rng)


def test_padding_says_what_it_adds() -> None:
    image, mask = encoded(2, 4)
    rng = np.random.default_rng(0)
    wide, labels = data.Pad((5, 3), label=255, value=(0.25, 0.5))(image, mask, rng)
    assert labels.shape == (5, 4)
    assert set(labels[2:].ravel()) == {255}
    assert wide[0, 2:].tolist() == [[0.25] * 4] * 3
    assert wide[1, 2:].tolist() == [[0.5] * 4] * 3
    np.testing.assert_array_equal(wide[:, :2], image)
    np.testing.assert_array_equal(labels[:2], mask)
    assert data.Pad(2, label=0)(image, mask, rng)[1] is mask
    with pytest.raises(TypeError, match="label is None"):
        data.Pad(8, label=None)
    with pytest.raises(ValueError, match="value has 3 values and the image 2 channels"):
        data.Pad(8, label=0, value=(1, 2, 3))(image, mask, rng)


@given(amount=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_brightness_and_contrast(amount: float, seed: int) -> None:
    image = np.random.default_rng(4).uniform(0.3, 0.6, (3, 5, 4)).astype(np.float32)
    mask = np.zeros((5, 4), np.int64)
    factor = np.random.default_rng(seed).uniform(1 - amount, 1 + amount)
    bright, same = data.Brightness(amount)(image, mask, np.random.default_rng(seed))
    assert same is mask
    assert bright.dtype == np.float32
    np.testing.assert_allclose(bright, np.clip(image * factor, 0, 1), atol=1e-6)
    stretched, _ = data.Contrast(amount)(image, mask, np.random.default_rng(seed))
    assert stretched.dtype == np.float32
    expected = np.clip(image.mean() + (image - image.mean()) * factor, 0, 1)
    np.testing.assert_allclose(stretched, expected, atol=1e-6)


def test_noise_has_its_spread_and_stays_in_range() -> None:
    image = np.full((1, 80, 90), 0.5, np.float32)
    image[0, :4] = 1
    noisy, _ = data.GaussianNoise(0.1)(image, np.zeros((80, 90), int), np.random.default_rng(3))
    assert noisy.dtype == np.float32
    assert abs(noisy[0, 4:].std() - 0.1) < 0.005
    assert abs(noisy[0, 4:].mean() - 0.5) < 0.005
    assert noisy.max() == 1
    assert noisy.min() >= 0


def test_normalize_by_what_was_measured_gives_mean_0_and_spread_1() -> None:
    shapes = data.Shapes(5, (24, 40), 4, seed=3)
    mean, std = data.mean_std(shapes)
    rng = np.random.default_rng(0)
    images = np.stack([data.Normalize(mean, std)(*pair, rng)[0] for pair in shapes])
    assert images.dtype == np.float32
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, atol=1e-5)
    with pytest.raises(ValueError, match="2 values and the image 3 channels"):
        data.Normalize((0, 1), 1.0)(*shapes[0], rng)


def test_bad_arguments_and_pairs() -> None:
    for make, what in (
        (lambda: data.RandomHorizontalFlip(1.5), r"p is 1\.5"),
        (lambda: data.Brightness(-0.1), "amount is"),
        (lambda: data.RandomCrop(0), "size is 0"),
        (lambda: data.RandomCrop((2, 3, 4)), "rows, columns"),
        (lambda: data.RandomScale(2, 1), "low is 2"),
        (lambda: data.RandomScale(0, 1), "low is 0"),
        (lambda: data.RandomScaledCrop(3, 2, 1, label=0), "low is 2"),
        (lambda: data.RandomScaledCrop(0, 1, 2, label=0), "size is 0"),
        (lambda: data.Saturation(2), "amount is 2"),
        (lambda: data.GaussianNoise(-1), "std is -1"),
        (lambda: data.Normalize(0.5, 0), "above 0"),
    ):
        with pytest.raises(ValueError, match=what):
            make()
    rng = np.random.default_rng(0)
    for transform in (make() for make in GEOMETRIC[:-1]):
        with pytest.raises(ValueError, match="do not match"):
            transform(np.zeros((3, 8, 9), np.float32), np.zeros((9, 8), np.int64), rng)


def test_a_recipe_prints_as_it_is_written() -> None:
    recipe = data.Compose([data.RandomCrop(4), data.Normalize(0.5, 0.25)])
    assert repr(recipe) == (
        "Compose(transforms=[RandomCrop(size=(4, 4)), Normalize(mean=0.5, std=0.25)])"
    )
