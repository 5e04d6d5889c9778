"""Files struck by chance: a reader answers with a value or with its own error, soon and in bounds.

Valid files are the beginning: bits flip, ends are cut off, pieces move, two files of one kind are
spliced, numbers become the largest there are. Whatever comes of it, only the documented exceptions
may come out, each names the file, none takes long and none asks for much memory.

``python -m tests.fuzz`` tries as many as one likes.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from minisegnet import checkpoint, data
from minisegnet.train import OptionError, Run
from minisegnet.train.options import read_toml
from tests.refusals import run_files

MOST_SECONDS = 30.0
"""Nothing hangs; the largest picture that is allowed takes a few seconds on a busy machine."""
MOST_BYTES = 2**30
"""The largest picture that is allowed has 2**26 pixels, of 12 bytes as floats."""


@dataclass
class Reader:
    """A reader, the files it begins with, and what it may raise."""

    suffixes: tuple[str, ...]
    seeds: Callable[[str], list[bytes]]
    read: Callable[[Path], Any]
    raises: tuple[type[Exception], ...]
    cases: int = 0
    refused: int = 0
    slowest: float = 0.0
    largest: int = 0
    _seeds: dict[str, list[bytes]] = field(default_factory=dict)

    def files(self, suffix: str) -> list[bytes]:
        """The valid files of a kind, made once."""
        if suffix not in self._seeds:
            self._seeds[suffix] = self.seeds(suffix)
        return self._seeds[suffix]

    def try_on(self, content: bytes, path: Path) -> None:
        """Give it a file and see how it answers."""
        path.write_bytes(content)
        self.cases += 1
        begun = time.perf_counter()
        said = ""
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.read(path)
        except self.raises as error:
            self.refused += 1
            said = str(error) or "nothing at all"
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        seconds = time.perf_counter() - begun
        self.slowest, self.largest = max(self.slowest, seconds), max(self.largest, most)
        assert not said or path.name in said or path.parent.name in said, said
        assert seconds < MOST_SECONDS
        assert most < MOST_BYTES


PIXELS = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)
FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "gif": "GIF",
    "bmp": "BMP",
    "tif": "TIFF",
    "webp": "WEBP",
    "ppm": "PPM",
    "tga": "TGA",
}


def pictures(suffix: str) -> list[bytes]:
    """A colour, a grey and a palette picture, where the format has them."""
    found = []
    for picture in (
        Image.fromarray(PIXELS),
        Image.fromarray(PIXELS[..., 0]),
        Image.fromarray(PIXELS).convert("P"),
        Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257),
    ):
        stream = io.BytesIO()
        try:
            picture.save(stream, format=FORMATS[suffix])
        except OSError:  # a mode that the format lacks
            continue
        found.append(stream.getvalue())
    return found


def configurations(suffix: str) -> list[bytes]:
    if suffix == "json":
        return [run_files()["config.json"]]
    return [
        b'epochs = 20\nlr = 0.01\nmodel = "unet"\nquiet = true\n',
        b'# a comment\n"batch-size" = 4\nseed = 0x1F\ndata = \'a\\b\'\nout = """x"""\n',
        b"weight_decay = 1e-4\nval_fraction = 0.25\nclasses = 1_0\n",
    ]


def checkpoints(suffix: str) -> list[bytes]:
    files = run_files()
    return [files["model.safetensors"], files["last.safetensors"]]


def read_config(path: Path) -> None:
    Run.open(path.parent)


def read_run(path: Path) -> None:
    """Load a checkpoint, and take it for that of a run."""
    state = checkpoint.load(path)
    folder = path.parent
    for name, content in run_files().items():
        if not (folder / name).exists():
            (folder / name).write_bytes(content)
    run = Run.open(folder)
    if isinstance(state, dict) and "history" in state:
        run.trainer()
    else:
        run.best_model("cpu")


def read_checkpoint(path: Path) -> None:
    checkpoint.load(path)


READERS = {
    "images": Reader(tuple(FORMATS), pictures, data.read_image, (data.ImageError,)),
    "masks": Reader(tuple(FORMATS), pictures, data.read_mask, (data.ImageError,)),
    "toml": Reader(("toml",), configurations, read_toml, (OptionError,)),
    "json": Reader(("json",), configurations, read_config, (OptionError,)),
    "checkpoints": Reader(("safetensors",), checkpoints, read_checkpoint, (ValueError,)),
    "runs": Reader(("safetensors",), checkpoints, read_run, (ValueError,)),
}
NAMES = {"json": "config.json", "runs": "last.safetensors"}
NUMBERS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
    b"\0\0\x27\x10",
)
WORDS = (
    *(b"null", b"-1", b"1e999", b"NaN", b"[[[[", b"{}", b'""', b"99999999999999999999", b"\\u0000"),
    *(b'{"$tensor": "x"}', b'"$tuple"', b"]", b"= =", b"\xef\xbb\xbf", b"inf", b"1979-05-27"),
)


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """A valid file after one to four misfortunes."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("flip", "cut", "splice", "number", "move", "word", "repeat")))
        # The head of a file decides more than its body.
        end = draw(st.sampled_from((len(content), min(64, len(content)))))
        at = draw(st.integers(0, max(0, end - 1)))
        size = draw(st.integers(1, 40))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[at:]
        elif kind == "splice":
            other = draw(st.sampled_from(files))
            content[at:] = other[draw(st.integers(0, len(other))) :]
        elif kind == "number":
            content[at : at + 4] = draw(st.sampled_from(NUMBERS))
        elif kind == "move":
            piece = content[at : at + size]
            del content[at : at + size]
            to = draw(st.integers(0, len(content)))
            content[to:to] = piece
        elif kind == "word":
            content[at : at + draw(st.integers(0, 8))] = draw(st.sampled_from(WORDS))
        else:
            content[at:at] = content[at : at + size] * draw(st.sampled_from((1, 3, 50)))
    return bytes(content)


PHASES = (Phase.generate, Phase.shrink)


def options(cases: int, seeded: bool = True, phases: tuple[Phase, ...] = PHASES) -> settings:
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=seeded,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def strike(
    kind: str, cases: int, seeded: bool = True, phases: tuple[Phase, ...] = PHASES
) -> Reader:
    """Let a reader read so many damaged files; returns it with its counts."""
    reader = READERS[kind]

    with tempfile.TemporaryDirectory() as place:

        @options(cases, seeded, phases)
        @given(st.data())
        def try_one(drawing: st.DataObject) -> None:
            suffix = drawing.draw(st.sampled_from(reader.suffixes))
            content = drawing.draw(damaged(reader.files(suffix)))
            path = Path(place) / NAMES.get(kind, f"struck.{suffix}")
            reader.try_on(content, path)

        try_one()
    return reader


@pytest.mark.parametrize("kind", READERS)
def test_only_documented_errors_come_out(kind):
    cases = {"images": 120, "masks": 120, "runs": 40}.get(kind, 80)
    reader = strike(kind, cases)
    assert reader.cases >= cases / 2
    assert 0 < reader.refused < reader.cases or kind in ("json", "runs", "checkpoints")


@pytest.mark.parametrize("kind", READERS)
def test_the_files_it_begins_with_are_good(kind, tmp_path):
    """Otherwise every damaged one would be refused for nothing."""
    reader = READERS[kind]
    for suffix in reader.suffixes:
        for number, content in enumerate(reader.files(suffix)):
            path = tmp_path / NAMES.get(kind, f"whole.{suffix}")
            if kind == "runs" and number == 0:
                path = tmp_path / "model.safetensors"
            path.write_bytes(content)
            reader.read(path)


def test_a_reader_that_lets_another_error_out_is_found(monkeypatch):
    """The fuzzer is a test too."""
    honest = data.ImageError
    monkeypatch.setattr(READERS["images"], "raises", (KeyError,))
    with pytest.raises(honest):
        strike("images", 60, phases=(Phase.generate,))


def test_a_header_that_promises_gigabytes_costs_nothing(tmp_path):
    """Numbers in a file are not believed before the file is long enough for them."""
    reader = READERS["checkpoints"]
    for promised in (2**40, 2**62, 2**64 - 1, 100_000_000):
        header = json.dumps(
            {"w": {"dtype": "F32", "shape": [promised], "data_offsets": [0, 4 * promised]}}
        ).encode()
        for size in (len(header), promised % 2**64):
            reader.try_on(size.to_bytes(8, "little") + header, tmp_path / "w.safetensors")
    assert reader.largest < 2**24
