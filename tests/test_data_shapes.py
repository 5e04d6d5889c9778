"""The procedural pictures: the same whenever asked for, and not to be solved by a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import data

#: Seed, item, size, the sum of labels times places, and the mean of each channel.
RECORDED = [
    (0, 0, (24, 33), 238372, [0.316556, 0.307414, 0.168864]),
    (7, 5, (40, 31), 217914, [0.35929, 0.559308, 0.383695]),
    (2**31, 2, (19, 27), 47870, [0.342621, 0.314086, 0.380964]),
    (2**32 - 1, 3, (30, 30), 319056, [0.48699, 0.376454, 0.385099]),
]


@given(
    rows=st.integers(16, 60),
    columns=st.integers(16, 60),
    classes=st.integers(2, data.MAX_CLASSES),
    seed=st.integers(0, 2**40),
    channels=st.sampled_from([1, 3]),
)
def test_every_picture_is_a_valid_pair(
    rows: int, columns: int, classes: int, seed: int, channels: int
) -> None:
    shapes = data.Shapes(2, (rows, columns), classes, seed, channels)
    image, mask = shapes[1]
    assert image.shape == (channels, rows, columns)
    assert mask.shape == (rows, columns)
    assert image.dtype == np.float32
    assert mask.dtype == np.int64
    assert image.min() >= 0
    assert image.max() <= 1
    assert mask.min() == 0
    assert 1 <= mask.max() < classes
    assert image.std() > 0.02


def test_an_item_depends_on_seed_and_index_alone() -> None:
    forward = list(data.Shapes(6, (40, 56), 5, seed=9))
    longer = data.Shapes(99, (40, 56), 5, seed=9)
    for index in (5, 0, 3):
        again = longer[index]
        np.testing.assert_array_equal(again[0], forward[index][0])
        np.testing.assert_array_equal(again[1], forward[index][1])
    np.testing.assert_array_equal(longer[-1][0], longer[98][0])
    seen = [image.tobytes() for image, _ in forward]
    seen += [data.Shapes(6, (40, 56), 5, seed=other)[0][0].tobytes() for other in (0, 8, 2**33)]
    assert len(set(seen)) == 9
    # Items are fresh: changing one must not change the next one asked for.
    forward[0][0][:] = 0
    assert longer[0][0].max() > 0


@given(
    low=st.integers(0, 2**32 - 1),
    high=st.integers(1, 2**70),
    item=st.integers(0, 3),
)
def test_no_two_seeds_share_a_picture(low: int, high: int, item: int) -> None:
    """NumPy cuts a wide seed into words of 32 bits: none may be taken for another's item."""
    wide = data.Shapes(4, 16, seed=low + high * 2**32)
    other = high % 2**32
    taken = [data.Shapes(2**32, 16, seed=low)[i] for i in (item, other)]
    taken += [data.Shapes(4, 16, seed=seed)[item] for seed in (other, low + high * 2**33)]
    drawn = wide[item][0].tobytes()
    assert drawn not in [image.tobytes() for image, _ in taken]
    np.testing.assert_array_equal(
        data.Shapes(9, 16, seed=low + high * 2**32)[item][0], wide[item][0]
    )


def test_wide_seeds_of_a_loader_give_batches_of_their_own() -> None:
    def drawn(seed: int, epoch: int) -> list[bytes]:
        flat = data.Shapes(12, 16, seed=1)
        loader = data.DataLoader(flat, 12, True, seed, data.GaussianNoise(0.1))
        loader.epoch = epoch
        ((images, _),) = loader
        return [image.tobytes() for image in images]

    assert not set(drawn(5 + 2**32, 0)) & set(drawn(5, 1))
    wide = data.DataLoader(data.Shapes(12, 16), 12, True, 5 + 2**32)
    narrow = data.DataLoader(data.Shapes(12, 16), 12, True, 5)
    narrow.epoch = 1
    assert next(iter(wide))[0].tobytes() != next(iter(narrow))[0].tobytes()


def test_the_pictures_of_a_seed_stay_what_they_are() -> None:
    """Whoever names a seed gets the same pictures from every version."""
    for seed, item, size, total, colour in RECORDED:
        image, mask = data.Shapes(6, size, 5, seed)[item]
        assert int((mask * np.arange(1, mask.size + 1).reshape(mask.shape)).sum()) == total
        np.testing.assert_allclose(image.mean(axis=(1, 2)), colour, atol=1e-5)


def test_every_kind_has_its_own_outline() -> None:
    """Area over squared width tells the kinds apart, so labels and shapes cannot be exchanged."""
    classes = data.MAX_CLASSES
    shapes = data.Shapes(150, 64, classes, seed=2)
    assert shapes.class_names == [
        *("background", "disc", "triangle", "ring", "cross", "rectangle", "star", "crescent")
    ]
    filled: dict[str, list[float]] = {name: [] for name in shapes.class_names}
    for _, mask in shapes:
        for kind in range(1, classes):
            rows, columns = np.nonzero(mask == kind)
            inside = rows.size and rows.min() > 0 and columns.min() > 0
            if not inside or rows.max() == 63 or columns.max() == 63:
                continue
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            if max(height, width) <= 36:  # one shape, not two far apart
                filled[shapes.class_names[kind]].append(rows.size / (height * width))
    share = {name: float(np.median(parts)) for name, parts in filled.items() if parts}
    assert share["disc"] > 0.72
    for name in ("triangle", "ring", "cross", "star", "crescent"):
        assert share[name] < 0.6, name
    assert 0.5 < share["rectangle"] < share["disc"]
    assert share["star"] < share["triangle"]
    counts = data.class_counts(shapes).pixels
    assert counts[0] > counts[1:].sum()
    assert np.all(counts[1:] > 0.005 * counts.sum())


def test_the_centre_of_a_ring_is_ground_and_of_a_disc_is_disc() -> None:
    for name, expected in (("disc", 1), ("ring", 0)):
        kind = ["background", "disc", "triangle", "ring"].index(name)
        hits = []
        for _, mask in data.Shapes(120, 64, 4, seed=4):
            rows, columns = np.nonzero(mask == kind)
            if rows.size and np.ptp(rows) < 30 and np.ptp(columns) < 30 and rows.min() > 0:
                hits.append(mask[int(rows.mean()), int(columns.mean())] == kind)
        assert len(hits) > 20
        assert abs(np.mean(hits) - expected) < 0.3


def test_no_threshold_solves_it() -> None:
    """Neither one brightness for all pictures nor the mean colour tells the classes."""
    shapes = data.Shapes(150, 48, 4, seed=6)
    images, masks = (np.stack(arrays) for arrays in zip(*shapes, strict=True))
    light = images.mean(axis=1)
    best = 0.0
    for threshold in np.linspace(0.1, 0.9, 33):
        found, truth = light > threshold, masks > 0
        best = max(best, (found & truth).sum() / (found | truth).sum())
    assert best < 0.75
    colours = [images.transpose(0, 2, 3, 1)[masks == kind].mean(axis=0) for kind in (1, 2, 3)]
    assert np.ptp(colours, axis=0).max() < 0.05


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="give 2 to 8"):
        data.Shapes(3, num_classes=9)
    with pytest.raises(ValueError, match="give 2 to 8"):
        data.Shapes(3, num_classes=1)
    with pytest.raises(ValueError, match="12x40"):
        data.Shapes(3, size=(12, 40))
    with pytest.raises(ValueError, match="n is 0"):
        data.Shapes(0)
    with pytest.raises(ValueError, match="channels is 2"):
        data.Shapes(3, channels=2)
    with pytest.raises(ValueError, match="seed is -1"):
        data.Shapes(3, seed=-1)
    shapes = data.Shapes(3)
    for index in (3, -4):
        with pytest.raises(IndexError, match="0 to 2"):
            shapes[index]
    assert isinstance(shapes, data.Dataset)
    assert shapes.ignore_index is None
