"""Opening picture files: judged by the header before a pixel is decoded.

Every refusal names the file and says what to do about it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 2**26
"""The largest picture that is read, in pixels (8192 x 8192): its float32 copy fills 800 MB."""

FORMATS = (
    *("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM"),
    *("TGA", "JPEG2000", "AVIF", "ICO", "PCX", "SGI", "QOI"),
)
"""Pictures made of pixels; of PostScript, say, Pillow would run a program on the file."""

EXIF_ORIENTATION = 0x0112

PathLike = str | os.PathLike[str]


class ImageError(ValueError):
    """A file that cannot be used as a picture or a mask; the message names it."""


def image_size(path: PathLike) -> tuple[int, int]:
    """Rows and columns of a picture, upright.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    tuple of int
        (rows, columns).

    Raises
    ------
    FileNotFoundError, ImageError
        As for `read_image`.
    """
    with opened(path) as picture:
        if picture.format == "TIFF":
            picture.load()  # Pillow turns these itself, and only then is the size for certain
        columns, rows = picture.size
        return (columns, rows) if orientation_of(picture) >= 5 else (rows, columns)


@functools.cache
def _formats() -> list[str]:
    """Those of the formats that this Pillow knows."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[Image]:
    """A picture with its header found fit; an error inside the block will name the file."""
    from PIL import Image

    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist: check the path")
    if file.is_dir():
        raise ImageError(f"{file} is a folder, not an image: give a file in it")
    if not file.is_file():
        raise ImageError(f"{file} is a device or a pipe, not a file: give an image file")
    try:
        if file.stat().st_size == 0:
            raise ImageError(f"{file} is empty (0 bytes): copy or export it again, or remove it")
        # Warnings are of odd metadata, and Pillow's own word on size: the limit here is stricter.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(file, formats=_formats()) as picture,
            _libtiff_silenced(picture.format == "TIFF"),
        ):
            _check_header(file, picture)
            yield picture
    except ImageError:
        raise
    except Image.UnidentifiedImageError:
        with file.open("rb") as stream:
            start = stream.read(12)
        raise ImageError(
            f"{file} is not an image that Pillow can read (it begins with {start!r}): "
            "export it as PNG, or remove it"
        ) from None
    except Image.DecompressionBombError as error:
        promised = re.search(r"\d+ pixels", str(error))
        what = f"its header says {promised[0]}" if promised else "its header says so"
        raise ImageError(_too_large(file, what)) from None
    # Decoders of broken files raise whatever they trip over: all of it means the same here.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(
            f"{file} cannot be decoded ({reason}): the file is damaged, "
            "cut short or unreadable; copy or export it again, or remove it"
        ) from error


@contextlib.contextmanager
def _libtiff_silenced(wanted: bool) -> Iterator[None]:
    """Drop what libtiff writes to standard error about a damaged file: the exception says it."""
    try:
        stderr = os.dup(2) if wanted else None
    except OSError:  # it is closed
        stderr = None
    if stderr is None:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _check_header(file: Path, picture: Image) -> None:
    columns, rows = picture.size
    if rows * columns > MAX_PIXELS:
        raise ImageError(_too_large(file, f"its header says {rows}x{columns} (rows x columns)"))
    if rows * columns == 0:
        raise ImageError(f"{file} has no pixels ({rows}x{columns}): export it again")
    # A camera's multi-picture file holds the photograph first and previews behind it.
    frames = 1 if picture.format == "MPO" else int(getattr(picture, "n_frames", 1))
    if frames > 1:
        raise ImageError(
            f"{file} holds {frames} frames or pages and an image is one: "
            "save each that you want as a PNG of its own"
        )


def _too_large(file: Path, what: str) -> str:
    return (
        f"{file} is too large: {what}, and the limit is {MAX_PIXELS} pixels (8192x8192); "
        "cut it into tiles or shrink it"
    )


def orientation_of(picture: Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or it cannot be read."""
    try:
        value = picture.getexif().get(EXIF_ORIENTATION, 1)
        return int(value) if 1 <= int(value) <= 8 else 1
    except Exception:  # damaged metadata does not make the picture worthless
        return 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Undo an EXIF orientation; 5 to 8 lie on their side."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
