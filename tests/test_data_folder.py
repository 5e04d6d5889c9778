"""Folders of images and masks: layouts, pairing, splits, sizes, the cache."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minisegnet import data

RNG = np.random.default_rng(8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_pairs(
    images: Path, masks: Path, names: list[str], labels: int = 3, suffix: str = ""
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random pairs 6x9; every mask shows every label."""
    made = {}
    for name in names:
        image = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        mask = RNG.integers(0, labels, (6, 9), dtype=np.uint8)
        mask.flat[:labels] = np.arange(labels)
        save(images / f"{name}.png", image)
        save(masks / f"{name}{suffix}.png", mask)
        made[name] = image, mask
    return made


@pytest.mark.parametrize(
    ("images", "masks"),
    [("images", "masks"), ("image", "label"), ("Images", "Labels"), ("imgs", "annotations")],
)
def test_images_beside_masks(tmp_path: Path, images: str, masks: str) -> None:
    made = write_pairs(tmp_path / images, tmp_path / masks, ["b10", "b9", "a1"])
    folder = data.Folder(tmp_path)
    assert folder.names == ["a1", "b9", "b10"]
    assert (folder.layout, folder.num_classes, folder.ignore_index) == ("folders", 3, None)
    assert folder.channels == 3
    assert isinstance(folder, data.Dataset)
    for _ in range(2):  # the second time from memory
        for index, name in enumerate(folder.names):
            image, mask = folder[index]
            assert image.dtype == np.float32
            assert mask.dtype == np.int64
            expected = made[name][0].transpose(2, 0, 1) / 255
            np.testing.assert_allclose(image, expected, atol=1e-7)
            np.testing.assert_array_equal(mask, made[name][1])
            image[:], mask[:] = 7, 7
    np.testing.assert_array_equal(folder[-1][1], made["b10"][1])
    for index in (3, -4):
        with pytest.raises(IndexError, match="0 to 2"):
            folder[index]


def test_camvid_has_its_own_split_classes_and_void(tmp_path: Path) -> None:
    train = write_pairs(tmp_path / "train", tmp_path / "trainannot", ["s2", "s1"], labels=9)
    write_pairs(tmp_path / "val", tmp_path / "valannot", ["s1"], labels=5)
    void = train["s1"][1].copy()
    void[2, 3] = 11
    save(tmp_path / "trainannot" / "s1.png", void)
    folder = data.Folder(tmp_path, split="train")
    assert (folder.layout, folder.num_classes, folder.ignore_index) == ("camvid", 11, 11)
    assert folder.class_names[3] == "Road"
    assert folder.palette.shape == (11, 3)
    assert folder.palette[8].tolist() == [64, 0, 128]
    np.testing.assert_array_equal(folder[0][1], void)
    assert data.Folder(tmp_path, split="val").names == ["s1"]
    everything = data.Folder(tmp_path)
    assert everything.names == ["train/s1", "train/s2", "val/s1"]
    assert data.Folder(tmp_path, names=["val/s1"]).pairs[0].image == tmp_path / "val" / "s1.png"
    with_void = data.Folder(tmp_path, split="train", num_classes=12)
    assert (with_void.num_classes, with_void.ignore_index) == (12, None)
    assert with_void.class_names[11] == "Unlabelled"
    again = data.Folder(tmp_path, "train", values=folder.values, ignore_index=folder.void_value)
    np.testing.assert_array_equal(again[0][1], void)
    assert again.class_names == folder.class_names
    with pytest.raises(ValueError, match=r"no split 'test'.*train, val"):
        data.Folder(tmp_path, split="test")


def test_other_data_in_camvids_layout_is_not_taken_for_camvid(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train", tmp_path / "trainannot", ["x"], labels=14)
    folder = data.Folder(tmp_path, split="train", val_fraction=0.5, names=["x"])
    assert (folder.num_classes, folder.ignore_index) == (14, None)


@pytest.mark.parametrize("order", ["{split}/{kind}", "{kind}/{split}"])
def test_splits_with_folders_of_their_own(tmp_path: Path, order: str) -> None:
    for split, names in (("train", ["a", "b", "c"]), ("val", ["d"]), ("test", ["e", "f"])):
        parts = (tmp_path / order.format(split=split, kind=kind) for kind in ("images", "masks"))
        write_pairs(*parts, names)
    assert data.Folder(tmp_path, "train").names == ["a", "b", "c"]
    assert data.Folder(tmp_path, "val").names == ["d"]
    assert data.Folder(tmp_path, "test").names == ["e", "f"]
    assert len(data.Folder(tmp_path)) == 6


def test_val_is_cut_out_of_train_where_there_is_none(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train/image", tmp_path / "train/label", list("abcdefghij"))
    (tmp_path / "test").mkdir()
    save(tmp_path / "test" / "0.png", np.zeros((3, 4), np.uint8))
    train, val = (data.Folder(tmp_path, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (8, 2)
    assert sorted(train.names + val.names) == list("abcdefghij")


def test_seeded_split_and_recorded_names(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(10)]
    write_pairs(tmp_path / "images", tmp_path / "masks", names)
    parts = {seed: data.Folder(tmp_path, "val", seed=seed).names for seed in range(4)}
    assert len({tuple(part) for part in parts.values()}) > 1
    train = data.Folder(tmp_path, "train", val_fraction=0.3, seed=1)
    val = data.Folder(tmp_path, "val", val_fraction=0.3, seed=1)
    assert len(val) == 3
    assert set(train.names) | set(val.names) == set(names)
    assert not set(train.names) & set(val.names)
    chosen = data.Folder(tmp_path, "val", names=["n7", "n2"])
    assert chosen.names == ["n7", "n2"]
    with pytest.raises(ValueError, match="no pair named n99"):
        data.Folder(tmp_path, names=["n1", "n99"])


@given(
    count=st.integers(2, 40),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
    shuffle=st.randoms(),
)
def test_split_names_is_a_partition_that_order_does_not_change(
    count: int, fraction: float, seed: int, shuffle: object
) -> None:
    names = [f"x{i}" for i in range(count)]
    train, val = data.split_names(names, fraction, seed)
    assert sorted(train + val) == sorted(names)
    assert train
    assert abs(len(val) - min(max(fraction * count, 1), count - 1)) <= 0.5
    shuffle.shuffle(names)
    assert data.split_names(names, fraction, seed) == (train, val)
    assert val == sorted(val, key=lambda name: int(name[1:]))


def test_split_names_refuses_what_cannot_be_split() -> None:
    for names, fraction, what in (
        (["a"], 0.5, "two or more"),
        (["a", "a"], 0.5, "each once"),
        (["a", "b"], 0.0, "fraction is 0"),
        (["a", "b"], 1.0, "fraction is 1"),
    ):
        with pytest.raises(ValueError, match=what):
            data.split_names(names, fraction)


@pytest.mark.parametrize("suffix", ["_mask", "-label", "_gt", "_seg", ".mask"])
def test_mask_names_with_a_word_for_their_role(tmp_path: Path, suffix: str) -> None:
    made = write_pairs(tmp_path / "images", tmp_path / "masks", ["x1", "x2"], suffix=suffix)
    folder = data.Folder(tmp_path)
    np.testing.assert_array_equal(folder[1][1], made["x2"][1])
    flat = tmp_path / "flat"
    made = write_pairs(flat, flat, ["x1", "x2"], suffix=suffix)
    folder = data.Folder(flat)
    assert (folder.layout, folder.names) == ("flat", ["x1", "x2"])
    np.testing.assert_array_equal(folder[0][1], made["x1"][1])


def test_prefixes_extensions_and_accents_pair(tmp_path: Path) -> None:
    pixels = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
    save(tmp_path / "images" / "img_7.JPG", np.dstack([pixels] * 3))
    save(tmp_path / "masks" / "mask_7.png", pixels)
    save(tmp_path / "images" / (unicodedata.normalize("NFD", "é") + ".bmp"), pixels)
    save(tmp_path / "masks" / "é.png", pixels)
    assert data.Folder(tmp_path).names == ["img_7", "é"]


def test_files_that_are_no_pictures_are_left_out(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    for name in (".hidden.png", "._a.png", "Thumbs.db", ".DS_Store", "readme.txt", "sizes.csv"):
        (tmp_path / "images" / name).write_bytes(b"?")
    (tmp_path / "masks" / "old.png").mkdir()
    (tmp_path / ".cache").mkdir()
    assert data.Folder(tmp_path).names == ["a", "b"]


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b", "c"])
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(ValueError, match=r"b\.png.*mask"):
        data.Folder(tmp_path)
    assert data.Folder(tmp_path, names=["a"]).names == ["a"]
    (tmp_path / "images" / "b.png").unlink()
    (tmp_path / "images" / "c.png").unlink()
    with pytest.raises(ValueError, match=r"masks.c\.png"):
        data.Folder(tmp_path)
    (tmp_path / "masks" / "c.png").unlink()
    save(tmp_path / "masks" / "a_mask.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(ValueError, match=r"a_mask\.png"):
        data.Folder(tmp_path)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a"])
    save(tmp_path / "images" / "a.bmp", np.zeros((6, 9), np.uint8))
    with pytest.raises(ValueError, match=r"a\.bmp and .*a\.png.*'a'"):
        data.Folder(tmp_path)


def test_folders_that_hold_nothing_useful(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.Folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        data.Folder(tmp_path / "file")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="found: nothing"):
        data.Folder(empty)
    (empty / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"pictures/.*images/ and masks/"):
        data.Folder(empty)
    (empty / "images").mkdir()
    (empty / "masks").mkdir()
    with pytest.raises(ValueError, match="images holds no image files"):
        data.Folder(empty)
    write_pairs(empty / "images", empty / "masks", ["a"])
    (empty / "labels").mkdir()
    with pytest.raises(ValueError, match="two folders for masks, masks and labels"):
        data.Folder(empty)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"split": "dev"}, "split is 'dev'"),
        ({"size": 0}, "size is 0"),
        ({"size": (3, 4)}, "size is"),
        ({"num_classes": 1}, "2 or more"),
        ({"channels": 2}, "channels is 2"),
        ({"class_names": ["a", "b"]}, "2 names for 3 classes"),
        ({"values": [0, 1, 2], "num_classes": 4}, "values lists 3"),
        ({"values": [0, 0, 2]}, "each once"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict, what: str) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    with pytest.raises(ValueError, match=what):
        data.Folder(tmp_path, **options)


def test_size_scales_image_and_mask_alike(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "images", tmp_path / "masks", ["a"])
    image, mask = made["a"]
    for size, shape in ((3, (3, 4)), (12, (12, 18)), (6, (6, 9))):
        folder = data.Folder(tmp_path, size=size)
        for _ in range(2):
            small, labels = folder[0]
            assert small.shape == (3, *shape)
            planes = np.float32(image.transpose(2, 0, 1)) / np.float32(255)
            np.testing.assert_array_equal(small, data.resize_image(planes, size))
            np.testing.assert_array_equal(labels, data.resize_mask(mask, size))
            small[:] = 0


def test_channels_grey_colour_and_mixed(tmp_path: Path) -> None:
    made = write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", made[name][0][..., 0])
    assert data.Folder(tmp_path).channels == 1
    assert data.Folder(tmp_path, channels=3)[0][0].shape == (3, 6, 9)
    save(tmp_path / "images" / "b.png", made["b"][0])
    mixed = data.Folder(tmp_path)
    assert mixed.channels == 3
    np.testing.assert_array_equal(mixed[0][0][0], mixed[0][0][2])
    grey = data.Folder(tmp_path, channels=1, size=3)
    assert grey[1][0].shape == (1, 3, 4)
    # A split has the channels of the whole folder, whatever it holds itself.
    assert data.Folder(tmp_path, names=["a"]).channels == 3


def test_a_mask_of_another_size_is_refused_with_both(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    save(tmp_path / "masks" / "b.png", np.zeros((9, 6), np.uint8))
    with pytest.raises(ValueError, match=r"b\.png is 6x9 but its mask .*b\.png is 9x6"):
        data.Folder(tmp_path)


def test_a_photograph_on_its_side_fits_its_upright_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png", exif=exif)
    save(tmp_path / "masks" / "a.png", RNG.integers(0, 3, (9, 6), dtype=np.uint8))
    image, mask = data.Folder(tmp_path)[0]
    assert mask.shape == (9, 6)
    np.testing.assert_allclose(image, np.rot90(pixels, -1).transpose(2, 0, 1) / 255, atol=1e-7)


def test_broken_images_are_named_at_once_or_when_read(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"])
    whole = (tmp_path / "images" / "b.png").read_bytes()
    (tmp_path / "images" / "b.png").write_bytes(whole[:-40])
    with pytest.raises(data.ImageError, match=r"images.b\.png cannot be decoded"):
        data.Folder(tmp_path)[1]
    (tmp_path / "images" / "b.png").write_bytes(b"")
    with pytest.raises(data.ImageError, match=r"b\.png is empty"):
        data.Folder(tmp_path)
    (tmp_path / "images" / "b.png").write_bytes(whole)
    (tmp_path / "masks" / "b.png").write_bytes(b"words")
    with pytest.raises(data.ImageError, match=r"masks.b\.png is not an image"):
        data.Folder(tmp_path)


def test_the_cache_spares_the_disk_up_to_its_bound(tmp_path: Path) -> None:
    write_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b", "c"])
    item = 6 * 9 * (3 + 2)  # a byte a channel, two for the label
    folder = data.Folder(tmp_path, cache_bytes=2 * item + 5)
    first = [folder[index] for index in range(3)]
    for name in "abc":
        (tmp_path / "images" / f"{name}.png").unlink()
    for index in range(2):
        np.testing.assert_array_equal(folder[index][0], first[index][0])
        np.testing.assert_array_equal(folder[index][1], first[index][1])
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        folder[2]


def test_a_mask_repaired_on_disk_is_looked_at_again(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), np.uint8)
    save(tmp_path / "images" / "a.png", mask)
    for seconds, largest in ((1000, 2), (2000, 1)):  # the file keeps its length
        mask[2, :3] = 0, 1, largest
        save(tmp_path / "masks" / "a.bmp", mask)
        os.utime(tmp_path / "masks" / "a.bmp", (seconds, seconds))
        assert data.Folder(tmp_path).num_classes == largest + 1


def test_val_alone_is_left_whole(tmp_path: Path) -> None:
    write_pairs(tmp_path / "val" / "images", tmp_path / "val" / "masks", ["a", "b", "c"])
    assert data.Folder(tmp_path, "val").names == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"no split 'train' \(it has: val\)"):
        data.Folder(tmp_path, "train")
