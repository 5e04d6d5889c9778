"""Reading and resizing pictures and masks: every kind of file, and every kind of broken file."""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from minisegnet import data

RNG = np.random.default_rng(3)
COLOUR = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def png_header(path: Path, rows: int, columns: int) -> None:
    """A PNG that says how large it is and holds almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_colour_and_grey_are_divided_by_255(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "c.png")
    Image.fromarray(GREY).save(tmp_path / "g.png")
    colour, grey = data.read_image(tmp_path / "c.png"), data.read_image(str(tmp_path / "g.png"))
    assert colour.dtype == grey.dtype == np.float32
    np.testing.assert_array_equal(colour, np.float32(COLOUR.transpose(2, 0, 1)) / np.float32(255))
    np.testing.assert_array_equal(grey, np.float32(GREY[None]) / np.float32(255))
    assert colour.flags.c_contiguous


def test_channels_convert(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "c.png")
    Image.fromarray(GREY).save(tmp_path / "g.png")
    one = data.read_image(tmp_path / "c.png", channels=1)
    expected = COLOUR @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(one, expected[None], atol=1e-6)
    three = data.read_image(tmp_path / "g.png", channels=3)
    np.testing.assert_array_equal(three, np.repeat(data.read_image(tmp_path / "g.png"), 3, 0))
    with pytest.raises(ValueError, match="channels is 2"):
        data.read_image(tmp_path / "c.png", channels=2)


def test_16_bit_grey_is_divided_by_65535(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (3, 4), dtype=np.uint16)
    deep[0, :2] = 0, 65535
    for name in ("d.png", "d.tif", "d.pgm"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_allclose(
            data.read_image(tmp_path / name)[0], np.float64(deep) / 65535, atol=1e-7
        )


def test_one_bit_palette_alpha_and_cmyk(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(data.read_image(tmp_path / "bits.png")[0], bits)

    indexed = Image.fromarray(GREY % 3).convert("P")
    indexed.putpalette([10, 20, 30, 200, 0, 90, 255, 255, 5])
    indexed.save(tmp_path / "p.png")
    table = np.array([[10, 20, 30], [200, 0, 90], [255, 255, 5]])
    expected = table[GREY % 3].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(data.read_image(tmp_path / "p.png"), expected, atol=1e-7)

    alpha = np.dstack([COLOUR, GREY // 2])
    Image.fromarray(alpha).save(tmp_path / "a.png")
    np.testing.assert_allclose(
        data.read_image(tmp_path / "a.png"), COLOUR.transpose(2, 0, 1) / 255, atol=1e-7
    )
    Image.fromarray(alpha[..., 1:3].copy(), mode="LA").save(tmp_path / "la.png")
    np.testing.assert_allclose(
        data.read_image(tmp_path / "la.png")[0], alpha[..., 1] / 255, atol=1e-7
    )

    Image.new("CMYK", (4, 3), (255, 0, 0, 0)).save(tmp_path / "ink.tif")
    ink = data.read_image(tmp_path / "ink.tif")
    np.testing.assert_allclose(ink[:, 1, 2], [0, 1, 1], atol=0.01)


def test_float_pixels_must_lie_in_0_to_1(tmp_path: Path) -> None:
    real = RNG.random((3, 5), dtype=np.float32)
    Image.fromarray(real).save(tmp_path / "ok.tif")
    np.testing.assert_array_equal(data.read_image(tmp_path / "ok.tif")[0], real)
    for bad in (real * 300, real * np.nan):
        Image.fromarray(bad).save(tmp_path / "bad.tif")
        with pytest.raises(data.ImageError, match=r"bad\.tif.*0\.\.1"):
            data.read_image(tmp_path / "bad.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_any_way(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(COLOUR)
    for name in ("x.png", "x.tif"):
        picture.save(tmp_path / name, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(tmp_path / name))
        expected = np.asarray(upright).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(data.read_image(tmp_path / name), expected, atol=1e-7)
        assert data.image_size(tmp_path / name) == expected.shape[1:]


def refused(path: Path, what: str) -> str:
    """The message with which both readers refuse a file, which must name it and warn nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(data.ImageError, match=what) as first:
            data.read_image(path)
        with pytest.raises(data.ImageError, match=what):
            data.read_mask(path)
    assert str(path) in str(first.value)
    return str(first.value)


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    refused(tmp_path / "empty.png", "empty")
    (tmp_path / "text.png").write_text("not a picture")
    refused(tmp_path / "text.png", "not an image")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder")
    with pytest.raises(FileNotFoundError, match="missing"):
        data.read_image(tmp_path / "missing.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_files_cut_short_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    noise = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(noise).save(whole)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused(cut, "decoded|not an image")


def test_a_damaged_tiff_writes_nothing_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(COLOUR).save(path, compression="tiff_deflate")
    whole = bytearray(path.read_bytes())
    whole[12:40] = bytes(28)
    path.write_bytes(whole)
    refused(path, "decoded")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.parametrize(
    ("rows", "columns"), [(9000, 9000), (12000, 10000), (30000, 30000), (2**30, 1)]
)
def test_a_header_that_promises_too_much(tmp_path: Path, rows: int, columns: int) -> None:
    png_header(tmp_path / "huge.png", rows, columns)
    assert "too large" in refused(tmp_path / "huge.png", "limit is 67108864")


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_several_frames_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(RNG.integers(0, 256, (6, 8), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(tmp_path / f"x.{suffix}", save_all=True, append_images=frames[1:])
    refused(tmp_path / f"x.{suffix}", "3 frames")


def test_bytes_struck_by_chance_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for suffix in ("png", "jpg", "gif", "bmp", "tif"):
        Image.fromarray(COLOUR).save(tmp_path / f"x.{suffix}")
        whole = (tmp_path / f"x.{suffix}").read_bytes()
        for _ in range(60):
            broken = bytearray(whole)
            for place in rng.integers(0, len(broken), 3):
                broken[place] = rng.integers(256)
            path = tmp_path / f"broken.{suffix}"
            path.write_bytes(broken)
            for read in (data.read_image, data.read_mask):
                with contextlib.suppress(data.ImageError):  # any other error fails the test
                    assert read(path).size > 0


def test_masks_give_their_stored_values(tmp_path: Path) -> None:
    labels = RNG.integers(0, 5, (4, 6), dtype=np.uint8)
    indexed = Image.fromarray(labels).convert("P")
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 9, 9, 9, 250, 250, 250])
    indexed.save(tmp_path / "p.png")
    Image.fromarray(labels).save(tmp_path / "l.png")
    Image.fromarray(labels.astype(np.uint16) * 9001).save(tmp_path / "deep.png")
    Image.fromarray(labels > 2).save(tmp_path / "bits.png")
    Image.fromarray(np.dstack([labels * 9] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([labels, labels * 2, labels * 3])).save(tmp_path / "colour.png")
    wide = labels.astype(np.int64)
    for name, expected in (
        ("p", wide),
        ("l", wide),
        ("deep", wide * 9001),
        ("bits", wide > 2),
        ("rgb", wide * 9),
        ("colour", (wide << 16) + (wide * 2 << 8) + wide * 3),
    ):
        mask = data.read_mask(tmp_path / f"{name}.png")
        assert mask.dtype == np.int64
        np.testing.assert_array_equal(mask, expected, err_msg=name)
    Image.fromarray(labels.astype(np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(data.ImageError, match="whole labels"):
        data.read_mask(tmp_path / "f.tif")


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), new=st.tuples(*[st.integers(1, 20)] * 2))
def test_a_resized_mask_takes_the_label_under_each_centre(
    rows: int, columns: int, new: tuple[int, int]
) -> None:
    mask = np.random.default_rng(rows * 10 + columns).integers(0, 99, (rows, columns))
    small = data.resize_mask(mask, new)
    for i in range(new[0]):
        for j in range(new[1]):
            row, column = int((i + 0.5) * rows / new[0]), int((j + 0.5) * columns / new[1])
            assert small[i, j] == mask[row, column]


@given(rows=st.integers(2, 40), columns=st.integers(2, 40), size=st.integers(1, 60))
def test_the_shorter_side_becomes_size(rows: int, columns: int, size: int) -> None:
    shape = data.resized_shape(rows, columns, size)
    assert min(shape) == size
    longer = max(rows, columns) * size / min(rows, columns)
    assert abs(max(shape) - longer) <= 0.5


def test_resizing_an_image_averages_when_it_shrinks() -> None:
    image = RNG.random((2, 12, 8), dtype=np.float32)
    ramp = np.linspace(0, 1, 13, dtype=np.float32)[None, :, None] * np.ones((1, 1, 5), np.float32)
    # A ramp stays a ramp away from the border; antialiasing keeps the mean.
    bigger = data.resize_image(ramp, (26, 5))[0, :, 2]
    np.testing.assert_allclose(np.diff(bigger[1:-1]), 1 / 24, atol=1e-6)
    checks = (np.indices((12, 8)).sum(0) % 2).astype(np.float32)[None]
    np.testing.assert_allclose(data.resize_image(checks, (3, 2)), 0.5, atol=0.05)
    smaller = data.resize_image(image, 4)
    assert smaller.shape == (2, 6, 4)
    assert smaller.dtype == np.float32
    same = data.resize_image(image, (12, 8))
    np.testing.assert_array_equal(same, image)
    assert same is not image
    np.testing.assert_array_equal(data.resize_image(image[:1], 4)[0], smaller[0])


def test_resizing_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"pass \(C, H, W\)"):
        data.resize_image(np.zeros((3, 4), np.float32), 2)
    with pytest.raises(ValueError, match=r"pass \(H, W\)"):
        data.resize_mask(np.zeros((1, 3, 4), np.int64), 2)
    with pytest.raises(ValueError, match="1 or more"):
        data.resize_mask(np.zeros((3, 4), np.int64), 0)
    with pytest.raises(ValueError, match="smaller size"):
        data.resize_mask(np.zeros((3, 4), np.int64), 100_000)
