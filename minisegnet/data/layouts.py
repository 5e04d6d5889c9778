"""Finding the images of a folder and the mask of each."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "annot"),
    *("segmentations", "segmentation"),
)
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SUFFIXES = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    )
)

_MASK_WORDS = "masks?|labels?|annotations?|annot|segmentation|seg|gt"
_IMAGE_WORDS = "images?|imgs?"
_SPLIT_TAG = 0x5B117  # keeps the split's stream apart from others of the same seed


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    name: str
    image: Path
    mask: Path


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a folder is laid out.

    Attributes
    ----------
    kind : {"camvid", "folders", "flat"}
    parts : dict from split to (folder of images, folder of masks)
        The split is "" where the folder has none of its own.
    """

    kind: str
    parts: dict[str, tuple[Path, Path]]


def find_layout(path: Path) -> Layout:
    """Recognise how images and masks lie in a folder.

    In this order: CamVid's ``train/ trainannot/``; ``train/images/ train/masks/``; ``images/train/
    masks/train/``; ``images/ masks/``; and ``x.png`` beside ``x_mask.png``. Folder names may be
    singular or plural, in any case; ``label``, ``annotation`` and ``segmentation`` mean masks too.

    Raises
    ------
    FileNotFoundError
        No such folder.
    ValueError
        No layout fits; the message tells what was found and what is looked for.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the path")
    if not path.is_dir():
        raise ValueError(f"{path} is a file: give the folder that holds images and masks")
    folders = _subfolders(path)
    camvid = {
        split: (folders[name], folders[name + "annot"])
        for split, names in SPLITS.items()
        for name in names
        if name in folders and name + "annot" in folders
    }
    if camvid:
        return Layout("camvid", camvid)
    parts = _split_parts(folders)
    if parts:
        return Layout("folders", parts)
    both = _image_and_mask_folder(folders)
    if both is not None:
        return Layout("folders", {"": both})
    if any(_role_key(_stem(file), _MASK_WORDS) != _stem(file) for file in image_files(path)):
        return Layout("flat", {"": (path, path)})
    raise ValueError(_nothing_found(path, folders))


def _subfolders(path: Path) -> dict[str, Path]:
    """The visible folders of a folder, by lower-case name."""
    return {
        entry.name.lower(): entry
        for entry in sorted(path.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    }


def _split_parts(folders: dict[str, Path]) -> dict[str, tuple[Path, Path]]:
    """``train/images train/masks``, or ``images/train masks/train``; empty if there are none."""
    both = _image_and_mask_folder(folders)
    inside = [_subfolders(folder) for folder in both] if both is not None else None
    parts = {}
    for split, names in SPLITS.items():
        for name in names:
            part = _image_and_mask_folder(_subfolders(folders[name])) if name in folders else None
            if part is None and inside and all(name in folder for folder in inside):
                part = inside[0][name], inside[1][name]
            if part is not None:
                parts[split] = part
    return parts


def _image_and_mask_folder(folders: dict[str, Path]) -> tuple[Path, Path] | None:
    images = [folders[name] for name in IMAGE_FOLDERS if name in folders]
    masks = [folders[name] for name in MASK_FOLDERS if name in folders]
    for found, what in ((images, "images"), (masks, "masks")):
        if len(found) > 1 and images and masks:
            names = " and ".join(folder.name for folder in found)
            raise ValueError(
                f"{found[0].parent} has two folders for {what}, {names}: "
                f"keep the one to use, or rename the other (for example to old_{what})"
            )
    return (images[0], masks[0]) if images and masks else None


def _nothing_found(path: Path, folders: dict[str, Path]) -> str:
    inside = [folder.name + "/" for folder in folders.values()]
    inside += [file.name for file in image_files(path)][:3]
    return (
        f"{path} holds no pairs of images and masks that are recognised (found: "
        f"{', '.join(inside[:12]) or 'nothing'}). Put them as images/ and masks/, as image/ and "
        "label/, as train/ trainannot/ val/ valannot/, or as x.png beside x_mask.png"
    )


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, no hidden ones, in natural order (2 before 10)."""
    files = (
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    return sorted(files, key=lambda file: natural_key(_stem(file) + file.suffix))


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A sort key by which numbers in names count as numbers.

    Examples
    --------
    >>> sorted(["b1", "a10", "a9"], key=natural_key)
    ['a9', 'a10', 'b1']
    """
    pieces = re.split(r"(\d+)", name)
    key = tuple((0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in pieces if p)
    return key, name


def _stem(file: Path) -> str:
    # macOS stores accents decomposed, so that equal names may differ in bytes.
    return unicodedata.normalize("NFC", file.stem)


def _role_key(stem: str, words: str) -> str:
    """A stem without the word that says its role: ``mask_7`` and ``7_mask`` give ``7``."""
    pattern = rf"^(?:{words})[ _-]+|[ _.-]+(?:{words})$"
    return re.sub(pattern, "", stem, count=1, flags=re.IGNORECASE) or stem


def pair_files(images: Path, masks: Path) -> tuple[list[Pair], list[str]]:
    """Pair the images of one folder with the masks of another by the stems of their names.

    An exact match of stems counts; failing that, stems less a word for their role (``x_mask``,
    ``label_x``, ``x_gt``; ``img_x``).

    Returns
    -------
    pairs : list of Pair
        In natural order.
    alone : list of str
        Files that have no partner.

    Raises
    ------
    ValueError
        A folder is empty, or two images or two masks claim one name.
    """
    image_list, mask_list = image_files(images), image_files(masks)
    if images == masks:
        image_list = [f for f in mask_list if _role_key(_stem(f), _MASK_WORDS) == _stem(f)]
        mask_list = [f for f in mask_list if f not in image_list]
    for folder, found in ((images, image_list), (masks, mask_list)):
        if not found:
            raise ValueError(
                f"{folder} holds no image files (looked for {', '.join(sorted(SUFFIXES))}): "
                "put images there, or convert them to PNG"
            )
    by_stem = _by_name(image_list, {file: _stem(file) for file in image_list})
    exact = {file: _stem(file) for file in mask_list if _stem(file) in by_stem}
    by_key = _by_name(
        image_list,
        {
            f: _role_key(_stem(f), _IMAGE_WORDS)
            for f in image_list
            if _stem(f) not in exact.values()
        },
    )
    names = dict(exact)
    for file in mask_list:
        key = _role_key(_stem(file), _MASK_WORDS)
        if file not in exact and (key in by_stem or key in by_key):
            names[file] = _stem(by_stem.get(key) or by_key[key])
    by_name = _by_name(mask_list, names)
    pairs = [Pair(_stem(f), f, by_name[_stem(f)]) for f in image_list if _stem(f) in by_name]
    used = {pair.image for pair in pairs} | {pair.mask for pair in pairs}
    alone = [str(file) for file in [*image_list, *mask_list] if file not in used]
    return pairs, alone


def _by_name(files: Iterable[Path], names: dict[Path, str]) -> dict[str, Path]:
    """Files by name, each name taken once."""
    found: dict[str, Path] = {}
    for file in files:
        if file not in names:
            continue
        first = found.setdefault(names[file], file)
        if first != file:
            raise ValueError(
                f"{first} and {file} both go by the name {names[file]!r}: remove or rename one"
            )
    return found


def split_names(
    names: Sequence[str], fraction: float = 0.2, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Choose which names to validate on; the choice depends on the names and the seed alone.

    Parameters
    ----------
    names : sequence of str
        All names, in any order.
    fraction : float
        The share to validate on, above 0 and below 1; both parts get one name or more.
    seed : int
        Another seed makes another choice.

    Returns
    -------
    train, val : lists of str
        Each in natural order.

    Raises
    ------
    ValueError
        Fewer than two names, a repeated name, or a fraction outside 0..1.

    Examples
    --------
    >>> split_names(["a1", "a2", "a10", "b1", "b2"], fraction=0.4, seed=3)
    (['a1', 'a10', 'b2'], ['a2', 'b1'])
    """
    ordered = sorted(names, key=natural_key)
    if not 0 < fraction < 1:
        raise ValueError(f"split_names: fraction is {fraction}: give a share above 0 and below 1")
    if len(ordered) < 2 or len(set(ordered)) < len(ordered):
        raise ValueError(
            f"split_names: {len(ordered)} names, {len(set(ordered))} of them different: a split "
            "into two parts needs two or more, each once"
        )
    count = min(max(1, round(fraction * len(ordered))), len(ordered) - 1)
    chosen = np.random.default_rng([_SPLIT_TAG, seed]).permutation(len(ordered))[:count]
    held = set(chosen.tolist())
    train = [name for i, name in enumerate(ordered) if i not in held]
    return train, [name for i, name in enumerate(ordered) if i in held]
