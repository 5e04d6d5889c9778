"""A dataset of images and masks in a folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.files import ImageError, PathLike, image_size, opened
from minisegnet.data.images import (
    pixels_to_image,
    read_pixels,
    read_stored_mask,
    resize_image,
    resize_mask,
    set_channels,
)
from minisegnet.data.layouts import Layout, Pair, find_layout, pair_files, split_names
from minisegnet.data.masks import FileScan, LabelMap, decide_labels, given_labels, scan_mask

CAMVID_CLASSES = (
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree"),
    *("SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
)
CAMVID_VOID = 11
CAMVID_PALETTE = (
    *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)),
    *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0)),
)
GREY_MODES = ("1", "L", "LA", "F")


class Folder:
    """Images beside masks, in one of the usual layouts.

    Layouts: ``images/ masks/`` and ``image/ label/`` (singular or plural), CamVid's ``train/
    trainannot/ val/ valannot/``, each split with its own ``images/ masks/`` (or the other way
    round), and ``x.png`` beside ``x_mask.png``. Images and masks pair by the stems of their names.

    Masks may be palette PNG (the indices count), index PNG, 0 and 255 or other grey levels (sorted,
    the i-th is class i), 1-bit, 16-bit, or RGB-coloured (colours sorted by 0xRRGGBB, black first).
    Void is 255 in index masks, 11 in CamVid's layout, or what `ignore_index` says; it stays in the
    mask as the attribute ``ignore_index``. The classes are decided from all masks of the folder, so
    that its splits agree; masks whose edges were blended are refused.

    Parameters
    ----------
    path : path
        The folder.
    split : {None, "train", "val", "test"}
        Which part. None takes everything. A folder without a split of its own is split by a seeded
        choice of names (`split_names`); one with "train" alone has "val" cut out of it.
    size : int, optional
        The shorter side becomes so many pixels: images bilinear and antialiased, masks by nearest
        neighbour, the aspect kept. None leaves each picture at its own size.
    num_classes : int, optional
        The number of classes, if the masks at hand do not show them all. 12 in CamVid's layout
        makes void a class.
    ignore_index : int, optional
        The stored value that is void (a colour as 0xRRGGBB); -100 for none at all.
    channels : {None, 1, 3}
        Channels of every image; None means 1 if all images of the folder are grey, else 3.
    val_fraction, seed :
        For the seeded choice of names.
    names : sequence of str, optional
        Take these items, in this order: a choice that was recorded.
    values : sequence of int, optional
        The stored value of each class in order: a mapping that was recorded.
    class_names : sequence of str, optional
        Names of the classes.
    cache_bytes : int
        Keep decoded items in memory up to so many bytes, so that later epochs decode nothing; 0
        keeps none.

    Attributes
    ----------
    names : list of str
        The items' names: stems of files, under "train/" and so on if all splits are taken at once.
    pairs : list of Pair
        The items' files: ``.name``, ``.image``, ``.mask``.
    layout : str
        "camvid", "folders" or "flat".
    num_classes, ignore_index, class_names, channels, palette :
        As for every `Dataset`.
    values : tuple of int
        The stored value of class 0, 1, ... .
    void_value : int or None
        The stored value of void. ``Folder(path, values=d.values, ignore_index=d.void_value)`` maps
        classes as ``d`` does.

    Raises
    ------
    FileNotFoundError
        No such folder.
    ValueError
        No known layout, images without masks or masks without images, sizes that differ, unusable
        files: each by name, with what to do.

    Examples
    --------
    >>> import tempfile, pathlib, PIL.Image
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for i in range(5):
    ...     for folder, value in (("images", 51 * i), ("masks", 255 * (i % 2))):
    ...         (root / folder).mkdir(exist_ok=True)
    ...         pixels = np.full((6, 8), value, dtype=np.uint8)
    ...         PIL.Image.fromarray(pixels).save(root / folder / f"cell{i}.png")
    >>> cells = Folder(root, split="train", size=3)
    >>> len(cells), cells.num_classes, cells.values, cells.channels
    (4, 2, (0, 255), 1)
    >>> image, mask = cells[-1]
    >>> image.shape, mask.shape, mask.dtype
    ((1, 3, 4), (3, 4), dtype('int64'))
    """

    def __init__(
        self,
        path: PathLike,
        split: str | None = None,
        size: int | None = None,
        num_classes: int | None = None,
        ignore_index: int | None = None,
        *,
        channels: int | None = None,
        val_fraction: float = 0.2,
        seed: int = 0,
        names: Sequence[str] | None = None,
        values: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
        cache_bytes: int = 2**30,
    ) -> None:
        _check_options(split, size, num_classes, channels)
        self.path = Path(path)
        self.size = size
        layout = find_layout(self.path)
        self.layout = layout.kind
        parts = _read_parts(layout, wanted=None if names is None else set(names))
        self.pairs = _select(self.path, parts, split, val_fraction, seed, names)
        self.names = [pair.name for pair in self.pairs]
        every = [pair for pairs in parts.values() for pair in pairs]
        self.channels = channels or _common_channels(every)
        _check_sizes(every)
        scans = [scan_cached(pair.mask) for pair in every]
        self._labels, known_names = _labels(
            layout, scans, num_classes, ignore_index, None if values is None else list(values)
        )
        self.values, self.void_value = self._labels.values, self._labels.void_value
        self.num_classes, self.ignore_index = len(self.values), self._labels.ignore_index
        self.palette = self._labels.palette
        self.class_names = list(class_names or known_names)
        if len(self.class_names) != self.num_classes:
            raise ValueError(
                f"class_names has {len(self.class_names)} names for {self.num_classes} classes: "
                "give one for each"
            )
        self._cache: dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
        self._cache_room = cache_bytes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[ImageArray, MaskArray]:
        """Item `index` (negative counts from the end): image (C, H, W) in 0..1, mask (H, W)."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {self!r}: there are items 0 to {len(self) - 1}")
        index = int(index) % len(self)
        cached = self._cache.get(index)
        if cached is None:
            cached = self._read(self.pairs[index])
            room = self._cache_room - sum(array.nbytes for array in cached)
            if room >= 0:
                self._cache[index], self._cache_room = cached, room
        pixels, mask = cached
        # A resized picture is kept as the float image it is, a whole one as the bytes it came from.
        image = pixels.copy() if self.size else pixels_to_image(pixels)
        return set_channels(image, self.channels), mask.astype(np.int64)

    def _read(self, pair: Pair) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """One item in the form in which it is kept: no float copy of bytes, no wide labels."""
        pixels = read_pixels(pair.image)
        stored = read_stored_mask(pair.mask)
        if pixels.shape[:2] != stored.values.shape:
            raise ImageError(_sizes_differ(pair, pixels.shape[:2], stored.values.shape))
        mask = self._labels.apply(stored, pair.mask)
        if self.size:
            pixels = resize_image(set_channels(pixels_to_image(pixels), self.channels), self.size)
            mask = resize_mask(mask, self.size)
        return pixels, mask.astype(np.int16) if abs(mask).max() < 2**15 else mask

    def __repr__(self) -> str:
        return (
            f"Folder({str(self.path)!r}: {len(self)} items, {self.num_classes} classes, "
            f"channels={self.channels}, ignore_index={self.ignore_index})"
        )


def _check_options(
    split: str | None, size: int | None, num_classes: int | None, channels: int | None
) -> None:
    if split not in (None, "train", "val", "test"):
        raise ValueError(
            f"split is {split!r}: choose 'train', 'val', 'test' or None for everything"
        )
    if size is not None and (not isinstance(size, int) or size < 1):
        raise ValueError(f"size is {size!r}: give the shorter side in whole pixels, 1 or more")
    if num_classes is not None and num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}: there must be 2 or more")
    if channels not in (None, 1, 3):
        raise ValueError(
            f"channels is {channels!r}: choose 1 (grey), 3 (colour) or None (as stored)"
        )


def _read_parts(layout: Layout, wanted: set[str] | None) -> dict[str, list[Pair]]:
    """The pairs of every split; a file without a partner is refused, unless names are wanted."""
    parts = {}
    for split, (images, masks) in layout.parts.items():
        pairs, alone = pair_files(images, masks)
        if alone and wanted is None:
            more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
            files = "1 file has" if len(alone) == 1 else f"{len(alone)} files have"
            raise ValueError(
                f"{files} no partner, {', '.join(alone[:5])}{more}: every image "
                f"needs a mask of the same stem (x.jpg and x.png, or x_mask.png) in {masks}, and "
                "every mask an image; add the missing files or move these away"
            )
        if not pairs:
            raise ValueError(
                f"no file of {images} has its mask in {masks}: give both the same stem "
                "(x.jpg and x.png, or x_mask.png)"
            )
        parts[split] = pairs
    return parts


def _select(
    path: Path,
    parts: dict[str, list[Pair]],
    split: str | None,
    val_fraction: float,
    seed: int,
    names: Sequence[str] | None,
) -> list[Pair]:
    """The pairs of a split, in natural order, or those named."""
    if split is None:
        pool = [
            Pair(f"{part}/{pair.name}" if part else pair.name, pair.image, pair.mask)
            for part, pairs in parts.items()
            for pair in pairs
        ]
    elif split in parts:
        pool = parts[split]
    else:
        pool = parts.get("train", parts.get("", []))
        if split == "test" or not pool:
            has = [part for part in parts if part] or ["none of its own"]
            raise ValueError(
                f"{path} has no split {split!r} (it has: {', '.join(has)}): add a folder for it, "
                "or choose another split"
            )
    # A folder that comes with a validation part is left as it is.
    cut = split in ("train", "val") and names is None and "val" not in parts
    if cut and len(pool) < 2:
        raise ValueError(
            f"{path} holds 1 pair of image and mask, {pool[0].image}: a part to learn from and one "
            "to score on need two or more: add pairs"
        )
    if cut:
        train, val = split_names([pair.name for pair in pool], val_fraction, seed)
        names = val if split == "val" else train
    if names is None:
        return pool
    by_name = {pair.name: pair for pair in pool}
    missing = [name for name in names if name not in by_name]
    if missing or not names:
        raise ValueError(
            f"{path} holds no pair named "
            f"{', '.join(missing[:5]) or '(the list of names is empty)'}: restore the files, or "
            "choose names anew"
        )
    return [by_name[name] for name in names]


def _common_channels(pairs: Sequence[Pair]) -> int:
    """1 if every image is grey by its header, else 3."""
    grey = True
    for pair in pairs:
        with opened(pair.image) as picture:
            grey &= picture.mode in GREY_MODES or picture.mode.startswith("I")
    return 1 if grey else 3


def _check_sizes(pairs: Sequence[Pair]) -> None:
    """Every mask has its image's size, by the headers."""
    for pair in pairs:
        with opened(pair.image) as image, opened(pair.mask) as mask:
            same = image.size == mask.size
        if not same:
            # Only now is it worth asking which way is up, for which PNG must be decoded.
            sizes = image_size(pair.image), image_size(pair.mask)
            if sizes[0] != sizes[1]:
                raise ImageError(_sizes_differ(pair, *sizes))


def _sizes_differ(pair: Pair, image: Sequence[int], mask: Sequence[int]) -> str:
    return (
        f"{pair.image} is {image[0]}x{image[1]} but its mask {pair.mask} is {mask[0]}x{mask[1]} "
        "(rows x columns): every pixel needs its label; export both at one size (a mask by nearest "
        "neighbour)"
    )


def scan_cached(path: Path) -> FileScan:
    """`scan_mask`, remembered as long as the file does not change: splits share their masks."""
    state = path.stat() if path.exists() else None
    return _scan(path, state.st_mtime_ns if state else 0, state.st_size if state else 0)


@functools.lru_cache(maxsize=65536)
def _scan(path: Path, mtime: int, size: int) -> FileScan:
    return scan_mask(path)


def _labels(
    layout: Layout,
    scans: Sequence[FileScan],
    num_classes: int | None,
    ignore_index: int | None,
    values: Sequence[int] | None,
) -> tuple[LabelMap, list[str]]:
    """The label map of a folder and the names of its classes."""
    largest = max(max(scan.counts) for scan in scans)
    camvid = layout.kind == "camvid" and largest <= CAMVID_VOID and num_classes in (None, 11, 12)
    if values is not None:
        labels = given_labels(scans, values, ignore_index)
        if num_classes not in (None, len(values)):
            raise ValueError(
                f"num_classes is {num_classes} but values lists {len(values)}: pass one of the two"
            )
    elif camvid:
        classes = num_classes or len(CAMVID_CLASSES)
        unlabelled = CAMVID_VOID if classes == CAMVID_VOID else None
        labels = decide_labels(scans, classes, unlabelled if ignore_index is None else ignore_index)
    else:
        labels = decide_labels(scans, num_classes, ignore_index)
    number = len(labels.values)
    if camvid and labels.values in (tuple(range(11)), tuple(range(12))):
        palette = np.array(CAMVID_PALETTE[:number], dtype=np.uint8)
        names = [*CAMVID_CLASSES, "Unlabelled"][:number]
        return dataclasses.replace(labels, palette=palette), names
    return labels, labels.class_names()
