"""Reading pictures and masks from files, and resizing them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minisegnet.data.dataset import ImageArray, MaskArray
from minisegnet.data.files import (
    MAX_PIXELS,
    ImageError,
    PathLike,
    opened,
    orientation_of,
    upright,
)

if TYPE_CHECKING:
    from PIL.Image import Image

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look


def read_image(path: PathLike, channels: int | None = None) -> ImageArray:
    """Read a picture as float32 in 0..1, upright.

    Grey files give one channel, all others three. 8-bit values are divided by 255, 16-bit grey by
    65535; 1-bit gives 0 and 1; CMYK, palette and other colour spaces become RGB. An alpha channel
    is dropped, and the colours beneath it are taken as they are stored. A camera's note on which
    way is up (EXIF orientation) is obeyed.

    Parameters
    ----------
    path : path
        The file.
    channels : {None, 1, 3}
        Convert to so many channels: grey is 0.299 R + 0.587 G + 0.114 B, colour from grey repeats
        it.

    Returns
    -------
    array (C, H, W), float32

    Raises
    ------
    FileNotFoundError
        No such file.
    ImageError
        (A ValueError.) The file is empty, truncated, not an image, larger than ``MAX_PIXELS`` by
        its header, or holds several frames; floating-point pixels outside 0..1.

    Examples
    --------
    >>> import tempfile, pathlib, PIL.Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "grey.png"
    >>> PIL.Image.fromarray(np.array([[0, 51, 255]], dtype=np.uint8)).save(path)
    >>> read_image(path)
    array([[[0. , 0.2, 1. ]]], dtype=float32)
    >>> read_image(path, channels=3).shape
    (3, 1, 3)
    """
    return set_channels(pixels_to_image(read_pixels(path)), channels)


def read_mask(path: PathLike) -> MaskArray:
    """Read a mask's stored values, no interpretation added: `Folder` makes classes of them.

    A palette file gives its indices, not its colours; a grey file its values; a 1-bit file 0 and 1;
    a colour file the grey value if red = green = blue everywhere, and else 0xRRGGBB for each pixel.
    Alpha is dropped.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    array (H, W), int64

    Raises
    ------
    FileNotFoundError
        No such file.
    ImageError
        As for `read_image`; also for floating-point pixels, which are no labels.

    Examples
    --------
    >>> import tempfile, pathlib, PIL.Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "mask.png"
    >>> PIL.Image.fromarray(np.array([[0, 2, 255]], dtype=np.uint8)).save(path)
    >>> read_mask(path).tolist()
    [[0, 2, 255]]
    """
    stored = read_stored_mask(path)
    values = stored.values.astype(np.int64)
    if stored.kind == "colour" and bool(np.all(is_grey(values))):
        values &= 0xFF
    return values


def read_pixels(path: PathLike) -> npt.NDArray[Any]:
    """A picture as it is stored: (H, W) grey or (H, W, 3); uint8, uint16, or float32 in 0..1."""
    with opened(path) as picture:
        pixels = _stored_pixels(picture, Path(path))
        return np.ascontiguousarray(upright(pixels, orientation_of(picture)))


def _stored_pixels(picture: Image, file: Path) -> npt.NDArray[Any]:
    mode = picture.mode
    if mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    if mode == "LA":
        return np.asarray(picture.getchannel(0))
    if mode.startswith("I"):
        wide = np.asarray(picture)
        if wide.min() < 0 or wide.max() > 65535:
            raise ImageError(
                f"{file} has grey values {wide.min()} to {wide.max()}, outside the 16 bits 0 to "
                "65535: rescale them and save as 16-bit PNG"
            )
        return wide.astype(np.uint16)
    if mode == "F":
        real = np.asarray(picture, dtype=np.float32)
        if not (real.min() >= 0 and real.max() <= 1):
            raise ImageError(
                f"{file} has floating-point pixels {real.min()} to {real.max()} and they must lie "
                "in 0..1: rescale them"
            )
        return real
    return np.asarray(picture.convert("RGB"))


def pixels_to_image(pixels: npt.NDArray[Any]) -> ImageArray:
    """Stored pixels (H, W) or (H, W, 3) as a fresh float32 image (C, H, W) in 0..1."""
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    image = planes.astype(np.float32, order="C")
    image /= top
    return image


def set_channels(image: ImageArray, channels: int | None) -> ImageArray:
    """The image (C, H, W) with 1 or 3 channels; as it is for None."""
    if channels is None or channels == image.shape[0]:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=0)
    if channels == 1:
        grey = sum(weight * plane for weight, plane in zip(LUMA, image, strict=True))
        return np.minimum(np.asarray(grey, dtype=np.float32), 1)[None]
    raise ValueError(f"channels is {channels}: ask for 1 (grey), 3 (colour) or None (as stored)")


@dataclasses.dataclass
class StoredMask:
    """A mask as its file holds it.

    Attributes
    ----------
    values : array (H, W), integer
        Palette indices, grey values, 0 and 1, or 0xRRGGBB, by kind.
    kind : {"palette", "grey", "bilevel", "colour"}
    palette : array (K, 3) uint8 or None
        The colours of a palette file.
    lossy : bool
        True for JPEG: values near an edge are not those that were drawn.
    """

    values: npt.NDArray[Any]
    kind: str
    palette: npt.NDArray[np.uint8] | None = None
    lossy: bool = False


def read_stored_mask(path: PathLike) -> StoredMask:
    """A mask as it is stored, upright."""
    with opened(path) as picture:
        mask = _stored_mask(picture, Path(path))
        mask.values = np.ascontiguousarray(upright(mask.values, orientation_of(picture)))
        mask.lossy = picture.format in ("JPEG", "MPO")
        return mask


def _stored_mask(picture: Image, file: Path) -> StoredMask:
    mode = picture.mode
    if mode in ("P", "PA"):
        indices = np.asarray(picture if mode == "P" else picture.getchannel(0))
        colours = np.asarray(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
        return StoredMask(indices, "palette", colours)
    if mode == "1":
        return StoredMask(np.asarray(picture).astype(np.uint8), "bilevel")
    if mode in ("L", "LA"):
        return StoredMask(np.asarray(picture.getchannel(0)), "grey")
    if mode.startswith("I"):
        return StoredMask(np.asarray(picture).astype(np.int32), "grey")
    if mode == "F":
        raise ImageError(
            f"{file} holds floating-point pixels, and a mask holds whole labels: "
            "save the class of each pixel as an 8-bit grey PNG"
        )
    return StoredMask(pack_colours(np.asarray(picture.convert("RGB"))), "colour")


def pack_colours(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Colours (..., 3) as 0xRRGGBB, one int32 each."""
    red, green, blue = (colours[..., band].astype(np.int32) for band in range(3))
    return np.asarray((red << 16) | (green << 8) | blue, dtype=np.int32)


def unpack_colours(codes: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """The inverse of `pack_colours`."""
    codes = np.asarray(codes)
    return np.stack([(codes >> shift) & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)


def is_grey(codes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where 0xRRGGBB has red = green = blue."""
    return np.asarray((codes & 0xFF) * 0x010101 == codes)


def resized_shape(rows: int, columns: int, size: int | tuple[int, int]) -> tuple[int, int]:
    """The size a picture gets: `size` as (rows, columns), or the shorter side's, aspect kept.

    Examples
    --------
    >>> resized_shape(360, 480, 240), resized_shape(500, 375, 120), resized_shape(5, 9, (4, 3))
    ((240, 320), (160, 120), (4, 3))
    """
    if isinstance(size, tuple):
        shape = size
    else:
        shorter = min(rows, columns)
        shape = (round(rows * size / shorter), round(columns * size / shorter))
    if min(shape) < 1:
        raise ValueError(f"resizing {rows}x{columns} to size {size}: every side must be 1 or more")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise ValueError(
            f"resizing {rows}x{columns} to size {size} gives {shape[0]}x{shape[1]}, more than "
            f"{MAX_PIXELS} pixels: choose a smaller size"
        )
    return shape


def resize_image(image: ImageArray, size: int | tuple[int, int]) -> ImageArray:
    """Resize a picture smoothly: bilinear, with the kernel widened when it shrinks (antialiased).

    Parameters
    ----------
    image : array (C, H, W), float32
    size : int or (rows, columns)
        An int is the new length of the shorter side, the aspect kept.

    Returns
    -------
    array (C, rows, columns), float32

    Raises
    ------
    ValueError
        The image is not (C, H, W), or a side of the result is below 1.

    Examples
    --------
    >>> resize_image(np.array([[[0, 1, 0, 1], [1, 0, 1, 0]]], dtype=np.float32), (1, 2))
    array([[[0.5, 0.5]]], dtype=float32)
    """
    from PIL import Image

    if image.ndim != 3:
        raise ValueError(f"resize_image: the image has shape {image.shape}: pass (C, H, W)")
    rows, columns = resized_shape(image.shape[1], image.shape[2], size)
    if (rows, columns) == image.shape[1:]:
        return np.array(image, dtype=np.float32)
    planes = np.ascontiguousarray(image, dtype=np.float32)
    bilinear = Image.Resampling.BILINEAR
    return np.stack(
        [np.asarray(Image.fromarray(plane).resize((columns, rows), bilinear)) for plane in planes]
    )


def resize_mask(
    mask: npt.NDArray[np.integer[Any]], size: int | tuple[int, int]
) -> npt.NDArray[Any]:
    """Resize a mask by nearest neighbour: no label arises that was not there.

    Cell i of n takes the label under its centre: row floor((i + 1/2) H / n).

    Parameters
    ----------
    mask : array (H, W), integer
    size : int or (rows, columns)
        An int is the new length of the shorter side, the aspect kept.

    Returns
    -------
    array (rows, columns), of the mask's dtype

    Raises
    ------
    ValueError
        The mask is not (H, W), or a side of the result is below 1.

    Examples
    --------
    >>> resize_mask(np.array([[0, 7, 9], [1, 2, 3]]), (4, 3)).tolist()
    [[0, 7, 9], [0, 7, 9], [1, 2, 3], [1, 2, 3]]
    """
    if mask.ndim != 2:
        raise ValueError(f"resize_mask: the mask has shape {mask.shape}: pass (H, W)")
    shape = resized_shape(mask.shape[0], mask.shape[1], size)
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(mask.shape, shape, strict=True)
    )
    return mask[rows[:, None], columns]
