"""One-hot masks, pixel counts, class weights, mean and standard deviation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import colours, data


class Given:
    """A dataset of these masks, with random colour images."""

    channels = 3

    def __init__(
        self, masks: list[np.ndarray], num_classes: int, ignore_index: int | None = None
    ) -> None:
        rng = np.random.default_rng(5)
        self.pairs = [
            (rng.random((3, *mask.shape), dtype=np.float32) * (i + 1) / 9, mask)
            for i, mask in enumerate(masks)
        ]
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.class_names = [f"c{i}" for i in range(num_classes)]
        self.palette = colours.palette(num_classes)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pairs[index]


@given(
    shape=st.sampled_from([(3, 4), (2, 3, 4), (1, 5, 2)]),
    classes=st.integers(2, 6),
    void=st.sampled_from([None, 255, -1, 0]),
    seed=st.integers(0, 999),
)
def test_one_hot_is_one_where_the_class_is(
    shape: tuple[int, ...], classes: int, void: int | None, seed: int
) -> None:
    mask = np.random.default_rng(seed).integers(0, classes, shape)
    if void is not None:
        mask.flat[seed % mask.size] = void
    maps = data.one_hot(mask, classes, void)
    assert maps.dtype == np.float32
    assert maps.shape == (*shape[:-2], classes, *shape[-2:])
    for place in np.ndindex(*shape):
        expected = np.zeros(classes)
        if mask[place] != void:
            expected[mask[place]] = 1
        np.testing.assert_array_equal(maps[(*place[:-2], slice(None), *place[-2:])], expected)


def test_one_hot_refuses_bad_labels() -> None:
    mask = np.array([[0, 3, 255]])
    with pytest.raises(ValueError, match=r"labels 3, 255 are outside 0\.\.2"):
        data.one_hot(mask, 3)
    with pytest.raises(ValueError, match=r"labels 3 are outside 0\.\.2 and void is 255"):
        data.one_hot(mask, 3, 255)
    with pytest.raises(ValueError, match="labels -1"):
        data.one_hot(mask - 1, 4, 254)
    with pytest.raises(ValueError, match=r"pass \(N, H, W\)"):
        data.one_hot(mask[0], 4, 255)
    with pytest.raises(TypeError, match="float64"):
        data.one_hot(mask * 1.0, 4, 255)


def test_counts_leave_void_out() -> None:
    first = np.array([[0, 0, 1], [1, 1, 255]])
    second = np.array([[0, 0, 0, 0], [255, 255, 3, 0]])
    counts = data.class_counts(Given([first, second], 4, 255))
    assert counts.pixels.tolist() == [7, 3, 0, 1]
    assert counts.image_pixels.tolist() == [11, 5, 0, 6]
    assert counts.void == 3
    with pytest.raises(ValueError, match=r"item 1: labels 3 are outside 0\.\.2"):
        data.class_counts(Given([first, second], 3, 255))


def test_median_frequency_weights_by_hand() -> None:
    first = np.array([[0, 0, 1], [1, 1, 255]])
    second = np.array([[0, 0, 0, 0], [255, 255, 3, 0]])
    dataset = Given([first, second], 4, 255)
    # Frequencies 7/11, 3/5 and 1/6, of which 3/5 is the median; class 2 never occurs.
    expected = [3 / 5 * 11 / 7, 1, 0, 3 / 5 * 6]
    for source in (dataset, data.class_counts(dataset)):
        weights = data.median_frequency_weights(source)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, expected, rtol=1e-6)
    # With two frequencies the median lies half way.
    halves = data.median_frequency_weights(Given([np.array([[0, 0, 0, 1]])], 2))
    np.testing.assert_allclose(halves, [2 / 3, 2], rtol=1e-6)
    with pytest.raises(ValueError, match="no pixel"):
        data.median_frequency_weights(Given([np.full((2, 3), 255)], 2, 255))


def test_mean_and_spread_over_pixels_of_all_images() -> None:
    dataset = Given([np.zeros((4, 7), int), np.zeros((9, 2), int), np.zeros((3, 3), int)], 2)
    pixels = np.concatenate([image.reshape(3, -1) for image, _ in dataset.pairs], axis=1)
    mean, std = data.mean_std(dataset)
    np.testing.assert_allclose(mean, pixels.mean(axis=1, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(std, pixels.std(axis=1, dtype=np.float64), rtol=1e-6)
    assert all(type(value) is float for value in (*mean, *std))
    with pytest.raises(ValueError, match="empty"):
        data.mean_std(Given([], 2))
