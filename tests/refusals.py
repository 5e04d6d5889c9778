"""What a refusal on the command line looks like: one line, an exit code, and nothing written."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minisegnet.cli import main

TINY = (
    *("--base", "2", "--depth", "1", "--size", "16", "--batch-size", "2", "--epochs", "1"),
    *("--quiet",),
)
SHAPES = (*TINY, "--train-size", "4", "--val-size", "2")


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line here: exit code, standard output, standard error."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refuse(
    capsys: pytest.CaptureFixture[str],
    *arguments: object,
    words: tuple[str, ...] = (),
    code: int = 2,
) -> str:
    """Run what must be refused; returns the one line.

    Nothing may have appeared, vanished or changed below the current folder, nothing have been
    printed on standard output, and no word of Python's be in the line.
    """
    before = _contents()
    found, out, err = command(capsys, *arguments)
    assert (found, out) == (code, ""), (found, out, err)
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    for word in (
        "Traceback",
        "this should not happen",
        "Errno",
        "NoneType",
        "<_io",
        "object at 0x",
    ):
        assert word not in err, err
    for word in words:
        assert word in err, err
    assert _contents() == before
    return err


def _contents() -> dict[str, bytes | None]:
    """Every file below the current folder, with its bytes if it is an ordinary one."""
    return {
        str(path): path.read_bytes() if path.is_file() and _is_readable(path) else None
        for path in Path.cwd().rglob("*")
    }


def _is_readable(path: Path) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


@functools.cache
def run_files() -> dict[str, bytes]:
    """The files of a finished run on procedural shapes, made once."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["train", *SHAPES, "--out", str(out)]) == 0
        return {path.name: path.read_bytes() for path in out.iterdir()}


def a_run(folder: Path) -> Path:
    """A finished run on procedural shapes, to be changed as one likes."""
    folder.mkdir(parents=True)
    for name, content in run_files().items():
        (folder / name).write_bytes(content)
    return folder


LABELS = (np.indices((20, 28)).sum(0) // 8 % 3).astype(np.uint8)


def a_folder(root: Path, names: tuple[str, ...] = ("a", "b", "c", "d"), **files: object) -> Path:
    """Images beside masks of three classes; ``a_mask=...`` puts another in place of one."""
    rng = np.random.default_rng(8)
    for name in names:
        pixels = rng.integers(0, 256, (*LABELS.shape, 3), dtype=np.uint8)
        image, mask = files.get(f"{name}_image", pixels), files.get(f"{name}_mask", LABELS)
        for kind, content in (("images", image), ("masks", mask)):
            put(root / kind / f"{name}.png", content)
    return root


def put(path: Path, content: object) -> Path:
    """Write pixels, a picture, text or bytes; None makes sure that there is no such file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.unlink(missing_ok=True)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        picture.save(path, format="TIFF" if picture.mode in ("F", "I") else "PNG")
    return path
