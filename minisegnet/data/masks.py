"""From the values stored in mask files to classes 0 .. K-1, decided once for a whole folder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minisegnet.colours import palette as distinct_colours
from minisegnet.data.dataset import MaskArray
from minisegnet.data.files import ImageError
from minisegnet.data.images import (
    StoredMask,
    is_grey,
    pack_colours,
    read_stored_mask,
    unpack_colours,
)

VOID_VALUES = (255, 65535)
"""What index masks write for void: all ones in 8 or 16 bits."""

MAX_VALUES = 256
"""More distinct values than this in one mask are a photograph, not classes."""

MAX_LABELS = 200
"""More labels than this are taken for a photograph unless num_classes says otherwise."""

MAX_GREY_LEVELS = 32
"""More levels than this, spread over the greys, are blended edges, not classes."""

MAX_GAPPY_LABEL = 33
"""Values up to here are labels even if most are missing (few pictures show every class)."""

THRESHOLD_HINT = (
    "Save masks as PNG with hard edges (no antialiasing, no JPEG); a two-class mask is mended by "
    "np.where(mask > 127, 255, 0)"
)


@dataclasses.dataclass(frozen=True)
class FileScan:
    """What one mask file holds: pixels for each stored value."""

    path: Path
    kind: str
    counts: dict[int, int]
    palette: npt.NDArray[np.uint8] | None


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """Which class each stored value stands for.

    Attributes
    ----------
    values : tuple of int
        The stored value of class 0, 1, ... .
    ignore_index : int or None
        The label that void pixels get.
    void_value : int or None
        The stored value of void pixels.
    colour : bool
        Stored values are 0xRRGGBB.
    white : int
        What the 1 of a 1-bit file stands for, 1 or 255: a folder may mix 1-bit and 0/255 files.
    palette : array (K, 3), uint8
        Colours to draw the classes in.
    """

    values: tuple[int, ...]
    ignore_index: int | None
    void_value: int | None
    colour: bool
    white: int
    palette: npt.NDArray[np.uint8]

    def class_names(self) -> list[str]:
        """``class i`` where labels are stored as they are, else the stored values."""
        if self.values == tuple(range(len(self.values))):
            return [f"class {value}" for value in self.values]
        return [_listed([value], self.colour) for value in self.values]

    def apply(self, stored: StoredMask, path: Path) -> MaskArray:
        """The labels (H, W), int64, of one stored mask.

        Raises
        ------
        ImageError
            The mask holds a value that is no class and not void.
        """
        codes = _codes(stored, self.colour, self.white)
        known = list(self.values)
        labels = list(range(len(known)))
        if self.void_value is not None and self.ignore_index is not None:
            if self.void_value in known:
                labels[known.index(self.void_value)] = self.ignore_index
            else:
                known.append(self.void_value)
                labels.append(self.ignore_index)
        order = np.argsort(known)
        ascending = np.asarray(known)[order]
        place = np.searchsorted(ascending, codes)
        place[place == len(known)] = 0
        strangers = ascending[place] != codes
        if bool(strangers.any()):
            unknown = np.unique(codes[strangers]).tolist()
            raise ImageError(_unknown(path, unknown, self.values, self.void_value, self.colour))
        return np.asarray(labels, dtype=np.int64)[order][place]


def _codes(stored: StoredMask, colour: bool, white: int) -> npt.NDArray[Any]:
    """Stored values under the coding of the whole folder: 0xRRGGBB, or grey levels and indices."""
    values = stored.values
    if stored.kind == "bilevel":
        values = values.astype(np.int32) * white
    if not colour:
        return values & 0xFF if stored.kind == "colour" else values
    if stored.kind == "palette" and stored.palette is not None:
        return pack_colours(stored.palette)[values]
    return values if stored.kind == "colour" else values.astype(np.int32) * 0x010101


def scan_mask(path: Path) -> FileScan:
    """Count the values of a mask file.

    Raises
    ------
    ImageError
        The file is a JPEG with more than two values, or has more than `MAX_VALUES` colours.
    """
    stored = read_stored_mask(path)
    counts = value_counts(stored.values)
    if stored.lossy and len(counts) > 2:
        raise ImageError(
            f"{path} is a JPEG with {len(counts)} different values: its compression blurs labels "
            f"into values that were never drawn. {THRESHOLD_HINT}"
        )
    if stored.kind == "colour" and len(counts) > MAX_VALUES:
        raise ImageError(
            f"{path} has {len(counts)} different colours: a mask has one for each class, so this "
            f"is a photograph or its edges were blended. {THRESHOLD_HINT}"
        )
    return FileScan(path, stored.kind, counts, stored.palette)


def value_counts(values: npt.NDArray[Any]) -> dict[int, int]:
    """How often each value occurs; quick because a mask is made of long runs of one value.

    Examples
    --------
    >>> value_counts(np.array([[5, 5, 5], [2, 2, 5]]))
    {2: 2, 5: 4}
    """
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(np.append(starts, flat.size))
    present, which = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(which.ravel(), weights=lengths)
    return {int(value): int(count) for value, count in zip(present, counts, strict=True)}


def decide_labels(
    scans: Sequence[FileScan],
    num_classes: int | None = None,
    ignore_index: int | None = None,
) -> LabelMap:
    """Choose the classes of a folder from the values in all of its masks.

    The rules, in order:

    1. Any file with a colour that is not grey makes the folder one of coloured masks: the colours,
       sorted by 0xRRGGBB (black first), are the classes.
    2. Values that are small (33 at most) or leave few gaps are labels already ("index masks"):
       value = class, and the classes are 0 .. largest. There 255 (or 65535) beside two or more
       labels is void.
    3. Two values, or other grey values (0 and 255; 0, 128 and 255; ...), are sorted: the i-th is
       class i.

    Parameters
    ----------
    scans : sequence of FileScan
        Every mask of the folder, so that its parts agree.
    num_classes : int, optional
        How many classes there are, when some may be missing from the masks.
    ignore_index : int, optional
        The stored value that is void.

    Returns
    -------
    LabelMap

    Raises
    ------
    ImageError
        Edges were blended, palettes disagree, there is one value only, or the values do not fit
        `num_classes`.
    """
    colour, white = _is_coloured(scans), _white(scans)
    totals: Counter[int] = Counter()
    for scan in scans:
        totals.update(_coded_counts(scan, colour, white))
    if not colour:
        _check_palettes(scans)
    present = sorted(totals)
    void = ignore_index if ignore_index is not None else _guessed_void(present, colour, num_classes)
    labels = [value for value in present if value != void]
    indices = not colour and _are_indices(labels, num_classes)
    _check_hard_edges(scans, totals, indices, num_classes)
    if indices and (num_classes is not None or len(labels) != 2):
        classes = num_classes or max([*labels, 0]) + 1
        values = tuple(range(classes))
        ignore = void
    else:
        values = tuple(labels)
        classes = len(values)
        ignore = _free_label(void, classes)
    if classes < 2 or (num_classes is not None and classes != num_classes):
        raise ImageError(_wrong_number(scans, present, void, num_classes, colour))
    return LabelMap(values, ignore, void, colour, white, _palette(scans, values, colour))


def given_labels(
    scans: Sequence[FileScan], values: Sequence[int], ignore_index: int | None = None
) -> LabelMap:
    """The label map in which class i is stored as ``values[i]``: one that was recorded before.

    Raises
    ------
    ValueError
        Fewer than two values, or a value twice.
    ImageError
        A mask holds a value that is not listed and not void.
    """
    chosen = tuple(int(value) for value in values)
    if len(chosen) < 2 or len(set(chosen)) != len(chosen):
        raise ValueError(f"values is {list(chosen)}: list two or more values, each once")
    colour, white = _is_coloured(scans), _white(scans)
    for scan in scans:
        unknown = set(_coded_counts(scan, colour, white)) - set(chosen) - {ignore_index}
        if unknown:
            raise ImageError(_unknown(scan.path, sorted(unknown), chosen, ignore_index, colour))
    identity = chosen == tuple(range(len(chosen)))
    ignore = ignore_index if identity else _free_label(ignore_index, len(chosen))
    return LabelMap(chosen, ignore, ignore_index, colour, white, _palette(scans, chosen, colour))


def _unknown(
    path: Path, unknown: Sequence[int], values: Sequence[int], void: int | None, colour: bool
) -> str:
    return (
        f"{path} holds {_listed(unknown, colour)}, which no class stands for (classes are "
        f"{_listed(values, colour)}; void is "
        f"{'none' if void is None else _listed([void], colour)}): repair the mask, or cover it by "
        "values=, num_classes= or ignore_index="
    )


def _is_coloured(scans: Sequence[FileScan]) -> bool:
    """Whether any file has a colour that is not a grey."""
    return any(
        scan.kind == "colour" and not bool(np.all(is_grey(np.array(list(scan.counts)))))
        for scan in scans
    )


def _white(scans: Sequence[FileScan]) -> int:
    """1-bit files among 0/255 files mean 255 by their 1; otherwise 1."""
    others = {value for scan in scans if scan.kind == "grey" for value in scan.counts}
    return 255 if 255 in others and others <= {0, 255} else 1


def _coded_counts(scan: FileScan, colour: bool, white: int) -> dict[int, int]:
    stored = StoredMask(np.array(list(scan.counts)), scan.kind, scan.palette)
    counts: Counter[int] = Counter()
    for code, count in zip(_codes(stored, colour, white), scan.counts.values(), strict=True):
        counts[int(code)] += count
    return counts


def _are_indices(labels: Sequence[int], num_classes: int | None) -> bool:
    """Whether grey values are the labels themselves."""
    largest = max([*labels, 0])
    if num_classes is not None:
        return largest < num_classes
    return largest <= MAX_GAPPY_LABEL or 2 * len(labels) > largest


def _guessed_void(present: Sequence[int], colour: bool, num_classes: int | None) -> int | None:
    """255 or 65535 at the end of two or more labels of an index mask; None if there is no such."""
    *labels, last = present
    void = not colour and last in VOID_VALUES and len(labels) > 1
    if not void or (num_classes is not None and last < num_classes):
        return None
    return last if _are_indices(labels, num_classes) else None


def _free_label(void: int | None, num_classes: int) -> int | None:
    """The void label: as stored, unless a class has that number or it is no label (a colour)."""
    if void is None or void < 0 or num_classes <= void <= 65535:
        return void
    return max(255, num_classes)


def _check_palettes(scans: Sequence[FileScan]) -> None:
    """Indices mean the same in every file only if the palettes agree on those in use."""
    seen: dict[int, tuple[int, Path]] = {}
    for scan in scans:
        if scan.palette is None or len(scan.palette) == 0:
            continue
        colours = pack_colours(scan.palette)
        for index in scan.counts:
            if index >= len(colours):
                continue
            code = int(colours[index])
            first, where = seen.setdefault(index, (code, scan.path))
            if code != first:
                raise ImageError(
                    f"palettes disagree: index {index} is #{first:06x} in {where} and #{code:06x} "
                    f"in {scan.path}, so an index names no class. Save all masks with one palette, "
                    "or as grey index masks, or as RGB"
                )


def _check_hard_edges(
    scans: Sequence[FileScan], totals: Counter[int], indices: bool, num_classes: int | None
) -> None:
    """Refuse masks whose edges were blended by antialiasing, smooth resizing or JPEG.

    A class fills areas; a blended value is rare (under 5 % of the pixels) and fills no 2x2 block in
    any mask. Two or more such values that outnumber the others betray blending, as do many grey
    levels, or levels that lie side by side.
    """
    present, colour, white = sorted(totals), _is_coloured(scans), _white(scans)
    if (indices and len(present) <= MAX_GREY_LEVELS) or len(present) < 4:
        return
    side_by_side = int(np.sum(np.diff(present) == 1))
    levels = not indices and not colour
    blended = levels and len(present) >= 5 and 2 * side_by_side > len(present) - 1
    blended |= levels and len(present) > MAX_GREY_LEVELS
    blended |= len(present) > MAX_LABELS and num_classes is None
    if not blended:
        rare = {value for value in present if totals[value] < 0.05 * sum(totals.values())}
        suspects = rare - _solid_values([scan.path for scan in scans], colour, white)
        blended = len(suspects) >= 2 and 2 * len(suspects) > len(present) - 2
    if blended:
        worst = max(scans, key=lambda scan: len(scan.counts))
        held = sorted(_coded_counts(worst, colour, white))
        raise ImageError(
            f"{worst.path} holds {len(held)} different values ({_listed(held, colour)}): they look "
            "blended along edges by antialiasing, smooth resizing or JPEG, or like a photograph, "
            f"and stand for no class. {THRESHOLD_HINT}; if they are classes, pass values="
        )


def _solid_values(paths: Sequence[Path], colour: bool, white: int) -> set[int]:
    """Values that fill a 2x2 block somewhere."""
    solid: set[int] = set()
    for path in paths:
        codes = _codes(read_stored_mask(path), colour, white)
        corner = codes[:-1, :-1]
        same = (corner == codes[1:, :-1]) & (corner == codes[:-1, 1:]) & (corner == codes[1:, 1:])
        solid.update(np.unique(corner[same]).tolist())
    return solid


def _palette(
    scans: Sequence[FileScan], values: Sequence[int], colour: bool
) -> npt.NDArray[np.uint8]:
    """The masks' own colours where they have any that can be told apart, else the default ones."""
    if colour:
        return unpack_colours(values)
    own = next((scan.palette for scan in scans if scan.palette is not None), None)
    if own is not None and max(values) < len(own):
        colours = own[list(values)]
        if len(np.unique(colours, axis=0)) == len(values) and colours.max() >= 64:
            return colours
    return distinct_colours(len(values))


def _wrong_number(
    scans: Sequence[FileScan],
    present: Sequence[int],
    void: int | None,
    wanted: int | None,
    colour: bool,
) -> str:
    """The message for values that do not make the number of classes there should be."""
    example = max(scans, key=lambda scan: max(scan.counts)).path
    what = f"the {len(scans)} masks (such as {example}) hold {_listed(present, colour)}"
    if void is not None:
        what += f" with {_listed([void], colour)} as void"
    if wanted is None:
        return (
            f"{what}: one class, and there must be 2 or more. Check that these are the masks, or "
            "pass num_classes="
        )
    return (
        f"{what}: that is not {wanted} classes (labels 0 to {wanted - 1}, or {wanted} values). "
        "Pass the right num_classes=, name the void value with ignore_index=, or list the values "
        "of the classes with values="
    )


def _listed(values: Sequence[int] | npt.NDArray[Any], colour: bool, most: int = 12) -> str:
    """Values for a message: "0, 1, 2, ... 255", colours as #rrggbb."""
    words = [f"#{int(value):06x}" if colour else str(int(value)) for value in values]
    if len(words) > most:
        words = [*words[: most - 1], "...", words[-1]]
    return ", ".join(words)
