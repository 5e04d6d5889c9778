"""Pictures that cannot be used, and unusual ones that can, as the command line meets them."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minisegnet import data
from minisegnet.data import files
from tests.refusals import TINY, a_folder, a_run, command, put, refuse

RNG = np.random.default_rng(4)
COLOUR = RNG.integers(0, 256, (20, 28, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path):
    return a_run(tmp_path / "run")


def encoded(suffix: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(
        stream, format=Image.registered_extensions()[f".{suffix}"], **options
    )
    return stream.getvalue()


def png(rows: int, columns: int) -> bytes:
    """A PNG whose header promises a size that its body does not have."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bmp(rows: int, columns: int) -> bytes:
    information = struct.pack("<IiiHHIIiiII", 40, columns, rows, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + information + bytes(90)


def gif(rows: int, columns: int) -> bytes:
    screen = struct.pack("<HHBBB", columns, rows, 0, 0, 0)
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, columns, rows, 0) + b"\x02\x00;"


def frames(form: str) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    pictures[0].save(stream, format=form, save_all=True, append_images=pictures[1:])
    return stream.getvalue()


BROKEN = {
    "empty.png": (b"", "is empty (0 bytes)"),
    "cut.png": (encoded("png")[:700], "cannot be decoded"),
    "cut.jpg": (encoded("jpg")[:400], "cannot be decoded"),
    "cut.gif": (encoded("gif")[:-99], "cannot be decoded"),
    "cut.tif": (encoded("tif")[:700], "cannot be decoded"),
    "cut.webp": (encoded("webp")[:200], "cannot be decoded"),
    "cut.bmp": (encoded("bmp")[:-50], "cannot be decoded"),
    "head.png": (encoded("png")[:20], "cannot be decoded"),
    "text.png": (b"not a picture", "not an image"),
    "page.jpg": (b"<html>404 Not Found</html>", "not an image"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "document.png": (b"%PDF-1.4\n", "not an image"),
    "nothing.png": (bytes(999), "not an image"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "wide.png": (png(10, 60_000_000), "too large: its header says 600000000 pixels, and the limit"),
    "huge.png": (png(60_000, 60_000), "too large: its header says 3600000000 pixels"),
    "endless.png": (png(2**31 - 1, 2**31 - 1), "too large"),
    "some.png": (png(9000, 9000), "too large: its header says 9000x9000"),
    "huge.bmp": (bmp(99_999, 99_999), "too large"),
    "huge.gif": (gif(65_535, 65_535), "too large"),
    "huge.ppm": (b"P6 99999 99999 255\n", "too large"),
    "none.png": (png(0, 5), "not an image"),
    "flat.bmp": (bmp(3, 0), "not an image"),
    "flat.ppm": (b"P6 5 0 255\n", "not an image"),
    "film.gif": (frames("GIF"), "holds 2 frames"),
    "film.png": (frames("PNG"), "holds 2 frames"),
    "film.webp": (frames("WEBP"), "holds 2 frames"),
    "pages.tif": (frames("TIFF"), "holds 2 frames"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_predicting_a_broken_picture_writes_nothing(capsys, run, name):
    content, words = BROKEN[name]
    put(Path(name), content)
    line = refuse(capsys, "predict", run, name, "--out", "out", words=(name, words))
    assert any(
        word in line for word in ("export it", "cut it into tiles", "copy or export", "save each")
    )


@pytest.mark.parametrize("name", ["empty.png", "cut.png", "text.png", "huge.png", "film.png"])
def test_training_on_a_broken_picture_writes_nothing(capsys, tmp_path, name):
    content, words = BROKEN[name]
    a_folder(tmp_path / "data", b_image=content)
    refuse(capsys, "train", "--data", "data", *TINY, "--out", "new", words=("images/b.png", words))


def test_huge_by_header_is_refused_before_a_pixel_is_decoded(capsys, run):
    """3.6 gigapixels would need 10 GB; the refusal needs next to nothing."""
    for name in ("huge.png", "huge.bmp", "huge.gif", "huge.ppm", "endless.png", "some.png"):
        put(Path(name), BROKEN[name][0])
        tracemalloc.start()
        try:
            with pytest.raises(data.ImageError, match="too large"):
                data.read_image(name)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()


def test_no_format_that_runs_a_program_is_opened(monkeypatch):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was run")
    )
    put(Path("x.png"), BROKEN["script.png"][0])
    with pytest.raises(data.ImageError, match="not an image"):
        data.read_image("x.png")
    known = files._formats()
    assert {"PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM"} <= set(known)
    assert not {"EPS", "WMF", "FPX", "PDF"} & set(known)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda p: p.mkdir(), "holds no pictures"),
        (lambda p: os.mkfifo(p), "a device or a pipe"),
        (lambda p: p.symlink_to("/dev/zero"), "a device or a pipe"),
        (lambda p: p.symlink_to(p.name), "does not exist"),
        (lambda p: p.symlink_to("gone.png"), "does not exist"),
        (lambda p: None, "does not exist: check the path"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="pipes and links")
def test_what_is_no_file(capsys, run, make, words):
    make(Path("x.png"))
    refuse(capsys, "predict", run, "x.png", "--out", "out", words=("x.png", words))


def test_a_name_that_is_empty_is_not_this_folder(capsys, run):
    """As from an unset variable of the shell: all pictures lying about would be labelled."""
    put(Path("mine.png"), COLOUR)
    refuse(capsys, "predict", run, "", "--out", "out", words=("IMAGE is empty",))
    refuse(capsys, "predict", run, "x" * 300 + ".png", "--out", "out", words=("x" * 300,))


UNUSUAL = {
    "deep.png": RNG.integers(0, 65536, (20, 28), dtype=np.uint16),
    "ink.jpg": Image.new("CMYK", (28, 20), (9, 80, 7, 0)),
    "alpha.png": np.dstack([COLOUR, COLOUR[..., :1]]),
    "grey-alpha.png": Image.new("LA", (28, 20), (9, 0)),
    "bits.png": COLOUR[..., 0] > 99,
    "palette.png": Image.fromarray(COLOUR).convert("P"),
    "lab.tif": Image.new("LAB", (28, 20), (120, 9, 200)),
    "one.png": COLOUR[:1, :1],
    "row.png": np.tile(COLOUR[:1], (1, 12, 1)),
    "column.png": np.tile(COLOUR[:, :1], (12, 1, 1)),
    "odd.bmp": COLOUR[:17, :19],
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_pictures_are_labelled_at_their_own_size(capsys, run, name):
    picture = UNUSUAL[name]
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(name)
    code, _, err = command(capsys, "predict", run, name, "--out", "out")
    assert (code, err) == (0, "")
    stem = Path(name).stem
    for made in (f"{stem}.png", f"{stem}-overlay.png"):
        with Image.open(Path("out") / made) as written:
            assert written.size == picture.size
    assert len(list(Path("out").iterdir())) == 2


# ---------------------------------------------------------------------------- where outputs go


@pytest.mark.parametrize(
    "name",
    [
        *(
            "...png",
            "..png.png",
            "-dash.png",
            " .png",
            "new\nline.png",
            "tab\tname.png",
            "a..b.png",
        ),
        *(
            "$(touch x).png",
            "; rm -rf x.png",
            "~.png",
            "%2e%2e%2f.png",
            "..\\..\\x.png",
            "a..b.png",
        ),
        *("コ пн e\u0301 🙂.png", "x" * 251 + ".png", "é" * 125 + ".png", ".hidden.png"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="such names")
def test_outputs_stay_in_their_folder_whatever_a_picture_is_called(capsys, run, name):
    Image.fromarray(COLOUR).save(name, format="PNG")
    before = set(Path.cwd().rglob("*"))
    code, _, err = command(capsys, "predict", run, "--out", "deep/er", "--", name)
    assert (code, err) == (0, "")
    new = set(Path.cwd().rglob("*")) - before
    inside = {path for path in new if path.parent == Path.cwd() / "deep" / "er"}
    assert new - inside == {Path.cwd() / "deep", Path.cwd() / "deep" / "er"}
    assert len(inside) == 2
    for path in inside:
        assert not path.name.startswith(".") or name.startswith(".")
        with Image.open(path) as picture:
            assert picture.size == (28, 20)


@pytest.mark.parametrize(
    "written", ["../HERE/up/x.png", "run/../up/x.png", "{}/up/x.png", "./up//x.png"]
)
def test_outputs_stay_in_their_folder_whatever_the_path(capsys, run, written):
    put(Path("up/x.png"), COLOUR)
    path = written.replace("{}", str(Path.cwd())).replace("HERE", Path.cwd().name)
    before = set(Path.cwd().rglob("*")) | set(Path.cwd().parent.iterdir())
    assert command(capsys, "predict", run, path, "--out", "out")[0] == 0
    new = set(Path.cwd().rglob("*")) | set(Path.cwd().parent.iterdir())
    made = {Path.cwd() / "out" / name for name in ("x.png", "x-overlay.png")}
    assert new - before == {Path.cwd() / "out", *made}


def test_long_names_that_begin_alike_stay_apart(capsys, run):
    names = ["y" * 220 + end + ".png" for end in ("a", "b", "c")]
    for name in names:
        Image.fromarray(COLOUR).save(name)
    assert command(capsys, "predict", run, *names, "--out", "out")[0] == 0
    made = sorted(path.name for path in Path("out").iterdir())
    assert len(made) == 6
    assert all(len(os.fsencode(name)) < 255 for name in made)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_is_no_text(run):
    """A real process: what it prints must get through a strict standard output."""
    name = os.fsdecode(b"\xff\xfe.png")
    Image.fromarray(COLOUR).save(name)
    done = subprocess.run(
        [sys.executable, "-m", "minisegnet", "predict", "run", name, "--out", "out"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONUTF8": "1"},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\udcff\udcfe.png" in done.stdout
    assert sorted(os.listdir(b"out")) == [b"\xff\xfe-overlay.png", b"\xff\xfe.png"]


def test_where_predictions_cannot_go(capsys, run):
    put(Path("x.png"), COLOUR)
    put(Path("taken"), "a file")
    for out in ("taken", "taken/below", "z" * 300):
        refuse(capsys, "predict", run, "x.png", "--out", out, words=(out,))
    refuse(capsys, "predict", run, "x.png", "--out", "", words=("--out is ''",))
