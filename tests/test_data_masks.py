"""What the stored values of masks mean: classes, void, and masks that no class can be read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from minisegnet import data
from minisegnet.data.masks import FileScan, decide_labels, value_counts

RNG = np.random.default_rng(12)
BLOCKS = np.kron(np.array([[0, 1, 2, 3], [2, 3, 0, 1], [1, 0, 3, 2]]), np.ones((4, 5), int))


def folder_of(root: Path, *masks: np.ndarray | Image.Image, suffix: str = "png") -> Path:
    """A folder with these masks and some image for each."""
    for index, mask in enumerate(masks):
        picture = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        for kind in ("images", "masks"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        picture.save(root / "masks" / f"m{index}.{suffix}")
        grey = RNG.integers(0, 256, picture.size[::-1], dtype=np.uint8)
        Image.fromarray(grey).save(root / "images" / f"m{index}.png")
    return root


def blocks(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """The block pattern with class i stored as values[i], cut to that many classes."""
    return np.asarray(values, dtype=dtype)[BLOCKS % len(values)]


def palette_picture(indices: np.ndarray, colours: list[int]) -> Image.Image:
    picture = Image.fromarray(indices.astype(np.uint8)).convert("P")
    picture.putpalette(colours)
    return picture


@pytest.mark.parametrize(
    ("values", "classes", "void"),
    [
        ((0, 255), 2, None),
        ((0, 1), 2, None),
        ((0, 128, 255), 3, None),
        ((0, 85, 170, 255), 4, None),
        ((3, 200), 2, None),
        ((1, 255), 2, None),
        ((0, 15), 2, None),
        ((10, 90, 200), 3, None),
    ],
)
def test_values_become_classes_in_order(
    tmp_path: Path, values: tuple[int, ...], classes: int, void: int | None
) -> None:
    folder = data.Folder(folder_of(tmp_path, blocks(*values)))
    assert (folder.num_classes, folder.ignore_index, folder.values) == (classes, void, values)
    mask = folder[0][1]
    assert mask.dtype == np.int64
    np.testing.assert_array_equal(mask, BLOCKS % len(values))
    assert folder.palette.shape == (classes, 3)


def test_class_names_are_the_values_where_these_are_not_the_labels(tmp_path: Path) -> None:
    assert data.Folder(folder_of(tmp_path / "a", blocks(0, 255))).class_names == ["0", "255"]
    index = data.Folder(folder_of(tmp_path / "b", blocks(0, 1, 2)))
    assert index.class_names == ["class 0", "class 1", "class 2"]
    own = data.Folder(tmp_path / "b", class_names=["sky", "sea", "sand"])
    assert own.class_names == ["sky", "sea", "sand"]


@pytest.mark.parametrize("values", [(0, 1, 2, 255), (0, 1, 255), (0, 5, 15, 255)])
def test_255_is_void_in_index_masks(tmp_path: Path, values: tuple[int, ...]) -> None:
    stored = blocks(*values)
    folder = data.Folder(folder_of(tmp_path, stored))
    assert folder.ignore_index == 255
    assert folder.num_classes == max(values[:-1]) + 1
    np.testing.assert_array_equal(folder[0][1], stored)


def test_labels_missing_from_every_mask_still_count(tmp_path: Path) -> None:
    folder = data.Folder(folder_of(tmp_path, blocks(0, 2, 5, 255)), num_classes=21)
    assert (folder.num_classes, folder.ignore_index) == (21, 255)
    np.testing.assert_array_equal(folder[0][1], blocks(0, 2, 5, 255))


def test_void_that_is_named(tmp_path: Path) -> None:
    grey = data.Folder(folder_of(tmp_path / "g", blocks(0, 128, 255)), ignore_index=128)
    assert (grey.num_classes, grey.ignore_index, grey.values) == (2, 128, (0, 255))
    np.testing.assert_array_equal(grey[0][1], np.array([0, 128, 1])[BLOCKS % 3])

    index = data.Folder(folder_of(tmp_path / "i", blocks(0, 1, 2, 3)), ignore_index=0)
    assert (index.num_classes, index.ignore_index) == (4, 0)
    np.testing.assert_array_equal(index[0][1], BLOCKS)

    last = data.Folder(tmp_path / "i", ignore_index=3)
    assert (last.num_classes, last.ignore_index) == (3, 3)

    none = data.Folder(folder_of(tmp_path / "n", blocks(0, 1, 2)), ignore_index=-100)
    assert (none.num_classes, none.ignore_index) == (3, -100)

    # Void is stored as 0, which a class needs: it moves to 255, and void_value tells.
    moved = data.Folder(folder_of(tmp_path / "m", blocks(0, 90, 200)), ignore_index=0)
    assert (moved.values, moved.ignore_index, moved.void_value) == ((90, 200), 255, 0)
    expected = np.array([255, 0, 1])[BLOCKS % 3]
    np.testing.assert_array_equal(moved[0][1], expected)
    again = data.Folder(tmp_path / "m", values=moved.values, ignore_index=moved.void_value)
    np.testing.assert_array_equal(again[0][1], expected)


def test_classes_are_those_of_the_whole_folder_in_every_split(tmp_path: Path) -> None:
    root = folder_of(tmp_path, *[blocks(0, 100 + 50 * (i % 3)) for i in range(9)])
    for split in ("train", "val"):
        assert data.Folder(root, split).values == (0, 100, 150, 200)
    only = data.Folder(root, names=["m2"])
    np.testing.assert_array_equal(only[0][1], np.array([0, 3])[BLOCKS % 2])


def test_palettes_count_by_index_and_give_the_colours(tmp_path: Path) -> None:
    colours = [200, 190, 10, 0, 0, 0, 5, 90, 210, 128, 0, 0]
    folder = data.Folder(folder_of(tmp_path, palette_picture(BLOCKS, colours)))
    assert folder.num_classes == 4
    np.testing.assert_array_equal(folder[0][1], BLOCKS)
    assert folder.palette.tolist() == np.reshape(colours, (4, 3)).tolist()


def test_palettes_that_disagree_are_refused(tmp_path: Path) -> None:
    first = palette_picture(BLOCKS, [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    second = palette_picture(BLOCKS, [0, 0, 0, 0, 255, 0, 255, 0, 0, 0, 0, 255])
    root = folder_of(tmp_path, first, second)
    with pytest.raises(data.ImageError, match=r"index 1 is #ff0000 in .*m0.*#00ff00 in .*m1"):
        data.Folder(root)


def test_coloured_masks_sort_by_colour(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [0, 0, 255], [64, 128, 3], [255, 0, 0]], np.uint8)
    root = folder_of(tmp_path, colours[BLOCKS], np.zeros((12, 20), np.uint8))
    folder = data.Folder(root)
    assert folder.values == (0x000000, 0x0000FF, 0x408003, 0xFF0000)
    np.testing.assert_array_equal(folder[0][1], BLOCKS)
    assert folder[1][1].max() == 0
    assert folder.palette.tolist() == colours.tolist()
    assert folder.class_names[2] == "#408003"
    void = data.Folder(root, ignore_index=0x408003)
    assert (void.num_classes, void.ignore_index) == (3, 255)
    np.testing.assert_array_equal(void[0][1], np.array([0, 1, 255, 2])[BLOCKS])
    again = data.Folder(root, values=folder.values)
    np.testing.assert_array_equal(again[0][1], BLOCKS)


def test_grey_stored_as_colour_is_grey(tmp_path: Path) -> None:
    stored = blocks(0, 255)
    alpha = np.dstack([stored, stored, stored, np.full_like(stored, 255)])
    root = folder_of(tmp_path, np.dstack([stored] * 3), stored, alpha)
    folder = data.Folder(root)
    assert folder.values == (0, 255)
    for index in range(3):
        np.testing.assert_array_equal(folder[index][1], BLOCKS % 2)


def test_one_bit_masks_alone_and_among_others(tmp_path: Path) -> None:
    bits = BLOCKS % 2 > 0
    alone = data.Folder(folder_of(tmp_path / "a", bits))
    assert alone.values == (0, 1)
    np.testing.assert_array_equal(alone[0][1], bits)
    mixed = data.Folder(folder_of(tmp_path / "m", bits, blocks(255, 0)))
    assert mixed.values == (0, 255)
    np.testing.assert_array_equal(mixed[0][1], bits)
    np.testing.assert_array_equal(mixed[1][1], ~bits)


def test_16_bit_masks(tmp_path: Path) -> None:
    sparse = data.Folder(folder_of(tmp_path / "s", blocks(0, 65535, dtype=np.uint16)))
    np.testing.assert_array_equal(sparse[0][1], BLOCKS % 2)
    stored = blocks(0, 1, 2, 65535, dtype=np.uint16)
    index = data.Folder(folder_of(tmp_path / "i", stored))
    assert (index.num_classes, index.ignore_index) == (3, 65535)
    np.testing.assert_array_equal(index[0][1], stored)


def refused(root: Path, what: str, **options: object) -> None:
    with pytest.raises(data.ImageError, match=what):
        data.Folder(root, **options)


def disc(side: int = 48, factor: int = 1) -> np.ndarray:
    rows, columns = np.indices((side * factor, side * factor)) / factor - side / 2
    return np.where(np.hypot(rows, columns * 1.3) < side / 3, 255, 0).astype(np.uint8)


def test_blended_edges_are_refused_by_name(tmp_path: Path) -> None:
    hard = Image.fromarray(disc())
    fine = Image.fromarray(disc(factor=4))
    soft = {
        "antialiased": fine.resize((48, 48), Image.Resampling.BOX),
        "smooth": fine.resize((48, 48), Image.Resampling.BILINEAR),
        "enlarged": hard.resize((96, 96), Image.Resampling.BICUBIC),
        "blurred": hard.filter(ImageFilter.GaussianBlur(3)),
        "halved": Image.fromarray(disc(factor=2)).resize((48, 48), Image.Resampling.BOX),
    }
    for name, picture in soft.items():
        refused(folder_of(tmp_path / name, hard, picture), r"m1\.png holds \d+ .*blended.*127")


def test_jpeg_masks_are_refused_unless_they_kept_two_values(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "lossy", disc(), suffix="jpg")
    refused(root, r"m0\.jpg is a JPEG with \d+ different values")
    flat = folder_of(tmp_path / "flat", np.zeros((8, 9), np.uint8), suffix="jpg")
    folder = data.Folder(folder_of(flat, np.zeros((8, 9), np.uint8), suffix="jpg"), num_classes=2)
    assert folder[0][1].max() == 0


def test_a_lossy_mask_saved_again_as_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(disc()).save(tmp_path / "x.jpg", quality=80)
    refused(folder_of(tmp_path, Image.open(tmp_path / "x.jpg")), r"m0\.png holds .*blended")


def test_grey_levels_side_by_side_are_refused_even_in_areas(tmp_path: Path) -> None:
    levels = np.kron(np.array([[0, 1, 2], [253, 254, 255]], np.uint8), np.ones((5, 4), np.uint8))
    refused(folder_of(tmp_path, levels), r"m0\.png holds 6 different values")
    assert data.Folder(tmp_path, values=[0, 1, 2, 253, 254, 255]).num_classes == 6


def test_photographs_as_masks_are_refused(tmp_path: Path) -> None:
    noise = RNG.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    refused(folder_of(tmp_path / "colour", noise), r"m0\.png has \d+ different colours")
    refused(folder_of(tmp_path / "grey", noise[..., 0]), "photograph")


def test_random_labels_are_not_taken_for_blended_edges(tmp_path: Path) -> None:
    labels = RNG.integers(0, 7, (12, 10), dtype=np.uint8)
    assert data.Folder(folder_of(tmp_path / "i", labels)).num_classes == 7
    grey = RNG.choice(np.array([0, 60, 120, 180, 240], np.uint8), (12, 10))
    assert data.Folder(folder_of(tmp_path / "g", grey)).num_classes == 5


def test_a_hundred_and_fifty_classes_are_classes(tmp_path: Path) -> None:
    labels = np.kron(np.arange(150, dtype=np.uint8).reshape(10, 15), np.ones((3, 4), np.uint8))
    folder = data.Folder(folder_of(tmp_path, labels))
    assert folder.num_classes == 150
    np.testing.assert_array_equal(folder[0][1], labels)


def test_numbers_of_classes_that_do_not_fit(tmp_path: Path) -> None:
    refused(folder_of(tmp_path / "one", np.zeros((8, 9), np.uint8)), "2 or more")
    three = folder_of(tmp_path / "three", blocks(0, 128, 255))
    refused(three, "that is not 2 classes", num_classes=2)
    index = folder_of(tmp_path / "index", blocks(0, 1, 2, 7))
    refused(index, r"0, 1, 2, 7: that is not 5 classes", num_classes=5)
    refused(index, r"m0\.png holds 7", values=[0, 1, 2])


def test_a_value_that_turns_up_later_is_refused_by_name(tmp_path: Path) -> None:
    folder = data.Folder(folder_of(tmp_path, blocks(0, 255), blocks(0, 255)))
    Image.fromarray(blocks(0, 254)).save(tmp_path / "masks" / "m1.png")
    np.testing.assert_array_equal(folder[0][1], BLOCKS % 2)
    with pytest.raises(data.ImageError, match=r"m1\.png holds 254"):
        folder[1]


@given(st.lists(st.lists(st.integers(0, 4), min_size=5, max_size=5), min_size=1, max_size=6))
def test_value_counts_count(rows: list[list[int]]) -> None:
    values = np.array(rows, np.uint8)
    assert value_counts(values) == {int(v): int((values == v).sum()) for v in np.unique(values)}


@given(
    labels=st.sets(st.integers(0, 33), min_size=3, max_size=20),
    void=st.booleans(),
    extra=st.integers(0, 3),
)
def test_index_masks_keep_their_labels(labels: set[int], void: bool, extra: int) -> None:
    counts = dict.fromkeys(labels, 10) | ({255: 5} if void else {})
    scans = [FileScan(Path("x.png"), "grey", counts, None)]
    decided = decide_labels(scans)
    assert decided.values == tuple(range(max(labels) + 1))
    assert decided.ignore_index == (255 if void else None)
    told = decide_labels(scans, num_classes=max(labels) + 1 + extra)
    assert len(told.values) == max(labels) + 1 + extra
