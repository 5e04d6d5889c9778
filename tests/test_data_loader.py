"""Batches: every item once, and the same batches whenever seed and epoch are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import colours, data


class Numbers:
    """Item i is a 2x3 picture filled with i."""

    num_classes, ignore_index, class_names, channels = 99, None, ["?"] * 99, 1
    palette = colours.palette(99)

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = np.full((1, 2, 3), index, np.float32)
        return image, np.full((2, 3), index, np.int64)


def order_of(loader: data.DataLoader) -> list[int]:
    """The items of an epoch in the order in which they come."""
    return [int(mask[0, 0]) for _, masks in loader for mask in masks]


@given(
    n=st.integers(1, 23),
    batch=st.integers(1, 9),
    shuffle=st.booleans(),
    drop=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_every_item_comes_once(n: int, batch: int, shuffle: bool, drop: bool, seed: int) -> None:
    if drop and n < batch:
        with pytest.raises(ValueError, match="drop_last"):
            data.DataLoader(Numbers(n), batch, shuffle, seed, drop_last=drop)
        return
    loader = data.DataLoader(Numbers(n), batch, shuffle, seed, drop_last=drop)
    batches = list(loader)
    assert len(batches) == len(loader)
    sizes = [len(images) for images, _ in batches]
    assert set(sizes[:-1]) <= {batch}
    assert sum(sizes) == (n // batch * batch if drop else n)
    for images, masks in batches:
        assert images.dtype == np.float32
        assert masks.dtype == np.int64
        assert images.shape == (len(masks), 1, 2, 3)
        np.testing.assert_array_equal(images[:, 0], masks)
    items = [int(mask[0, 0]) for _, masks in batches for mask in masks]
    assert len(set(items)) == len(items)
    if not shuffle:
        assert items == list(range(len(items)))


def test_epochs_differ_and_seeds_differ() -> None:
    loader = data.DataLoader(Numbers(20), 4, shuffle=True, seed=3)
    epochs = [order_of(loader) for _ in range(3)]
    assert loader.epoch == 3
    assert len({tuple(order) for order in epochs}) == 3
    assert order_of(data.DataLoader(Numbers(20), 4, shuffle=True, seed=4)) != epochs[0]
    # Epoch 1 of seed 3 is not epoch 3 of seed 1.
    other = data.DataLoader(Numbers(20), 4, shuffle=True, seed=1)
    other.epoch = 3
    assert order_of(other) != epochs[1]


def test_resuming_at_an_epoch_gives_the_same_batches_bit_for_bit() -> None:
    def make() -> data.DataLoader:
        augment = data.Compose(
            [data.RandomCrop((20, 24)), data.RandomHorizontalFlip(), data.GaussianNoise(0.1)]
        )
        return data.DataLoader(data.Shapes(7, (24, 40), seed=2), 3, True, 5, augment)

    straight = make()
    epochs = [list(straight) for _ in range(3)]
    first = make()
    list(first)
    resumed = make()
    resumed.load_state_dict(first.state_dict())
    assert resumed.epoch == 1
    for epoch in (1, 2):
        for (images, masks), (again, labels) in zip(epochs[epoch], resumed, strict=True):
            np.testing.assert_array_equal(images, again)
            np.testing.assert_array_equal(masks, labels)
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])


def test_augmentation_depends_on_the_item_not_on_the_batch() -> None:
    noise = data.GaussianNoise(0.2)
    shapes = data.Shapes(6, (16, 20), seed=8)
    alone = [images[0] for images, _ in data.DataLoader(shapes, 1, seed=4, transform=noise)]
    ((together, _),) = data.DataLoader(shapes, 6, seed=4, transform=noise)
    np.testing.assert_array_equal(np.stack(alone), together)


def test_every_item_and_every_epoch_has_chance_of_its_own() -> None:
    loader = data.DataLoader(
        Numbers(5), seed=4, transform=lambda image, mask, rng: (image * 0 + rng.random(), mask)
    )
    drawn = [float(images[0, 0, 0, 0]) for _ in range(3) for images, _ in loader]
    assert len(set(drawn)) == 15


def test_an_epoch_broken_off_does_not_count() -> None:
    loader = data.DataLoader(Numbers(9), 2, shuffle=True, seed=1)
    first = next(iter(loader))[0]
    assert loader.epoch == 0
    np.testing.assert_array_equal(next(iter(loader))[0], first)
    loader.epoch = 5
    order_of(loader)
    assert loader.state_dict() == {"seed": 1, "epoch": 6}


def test_items_of_different_sizes_are_named() -> None:
    class Mixed(Numbers):
        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rows = 4 + index // 2
            return np.zeros((1, rows, 7), np.float32), np.zeros((rows, 7), np.int64)

    with pytest.raises(ValueError, match=r"item 0 is \(1, 4, 7\) and item 2 is \(1, 5, 7\).*Crop"):
        list(data.DataLoader(Mixed(4), 3))
    assert len(list(data.DataLoader(Mixed(4), 1))) == 4
    cropped = data.DataLoader(Mixed(4), 3, transform=data.RandomCrop((4, 5)))
    assert [images.shape for images, _ in cropped] == [(3, 1, 4, 5), (1, 1, 4, 5)]


def test_a_transform_that_moves_only_the_image_is_caught() -> None:
    loader = data.DataLoader(Numbers(2), transform=lambda image, mask, rng: (image[:, :1], mask))
    with pytest.raises(ValueError, match=r"item 0 has an image \(1, 1, 3\) and a mask \(2, 3\)"):
        list(loader)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        data.DataLoader(Numbers(3), 0)
    with pytest.raises(TypeError, match=r"batch_size is 2\.5"):
        data.DataLoader(Numbers(3), 2.5)
    with pytest.raises(ValueError, match="empty"):
        data.DataLoader(Numbers(0))
    with pytest.raises(ValueError, match="seed is -1"):
        data.DataLoader(Numbers(3), seed=-1)
    loader = data.DataLoader(Numbers(3))
    with pytest.raises(ValueError, match="epoch is -2"):
        loader.epoch = -2
    with pytest.raises(ValueError, match="holds 'seed' and 'epoch'"):
        loader.load_state_dict({"epoch": 3})
