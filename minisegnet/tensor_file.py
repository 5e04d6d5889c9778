"""Reading a safetensors file, or saying what is wrong with it.

The format is eight bytes with the length of a JSON header, the header, and the raw numbers: it can
hold nothing but numbers and text, so a file from a stranger cannot run code. A pickle could, and is
never unpickled here.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import safetensors

#: Under this name safetensors keeps its metadata.
RESERVED_NAME = "__metadata__"

_PICKLE_HINT = (
    "it is never unpickled here, for a pickle can run any code. Where PyTorch is, save the "
    "state_dict with safetensors.torch.save_file(state_dict, 'model.safetensors'); a state_dict "
    "comes out of such a file by torch.load('model.pth', weights_only=True)"
)
_OTHER_FORMATS = (
    (
        b"PK\x03\x04",
        f"is a zip archive, as PyTorch's .pt and .pth and NumPy's .npz files are: {_PICKLE_HINT}",
    ),
    (b"\x80", f"is a pickle: {_PICKLE_HINT}"),
    (b"\x93NUMPY", "is a NumPy .npy file: read it with numpy.load"),
    (b"\x89HDF", "is an HDF5 file: read it with h5py, and store the arrays with minisegnet.save"),
)


def read_tensors(
    path: str | os.PathLike[str], op: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file, each in memory of its own, and the file's metadata.

    bfloat16, which NumPy does not have, becomes float32: the same numbers, with 16 zero bits more.

    Parameters
    ----------
    path : str or path
    op : str
        The function that was called, for messages.

    Raises
    ------
    ValueError
        If the file is missing, empty, cut off, damaged, not a safetensors file, or holds a type of
        number that NumPy does not have; the message names the file and says what to do.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{op}: {str(path)!r} {_why_not_there(file)}; check the path")
    try:
        with safetensors.safe_open(file, framework="numpy") as content:
            metadata = content.metadata() or {}
            types = {name: content.get_slice(name).get_dtype() for name in content.keys()}  # noqa: SIM118
            tensors = {n: content.get_tensor(n) for n, kind in types.items() if kind != "BF16"}
        if len(tensors) < len(types):
            tensors |= _brain_floats(file, [name for name in types if name not in tensors])
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{op}: {str(path)!r} {_diagnose(file, error)}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{op}: {str(path)!r} holds a tensor of a type that NumPy does not have ({error}); "
            "convert it to float32 in the program that wrote it"
        ) from error
    return {name: tensors[name] for name in types}, metadata


def _brain_floats(file: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Tensors of bfloat16, which is the first half of float32; the header was found to be sound."""
    found = {}
    with open(file, "rb") as content:
        first = 8 + int.from_bytes(content.read(8), "little")
        header = json.loads(content.read(first - 8))
        for name in names:
            start, end = header[name]["data_offsets"]
            content.seek(first + start)
            halves = np.frombuffer(content.read(end - start), dtype="<u2")
            whole = (halves.astype(np.uint32) << 16).view(np.float32)
            found[name] = whole.reshape(header[name]["shape"])
    return found


def _why_not_there(file: Path) -> str:
    """Why ``file`` is no file, and the checkpoints that are near it."""
    if file.is_dir():
        problem, folder = "is a folder", file
    elif file.exists():
        return "is not an ordinary file"
    else:
        problem, folder = "does not exist", file.parent
    if not folder.is_dir():
        return f"{problem}: there is no folder {str(folder)!r}"
    near = sorted(entry.name for entry in folder.glob("*.safetensors"))[:5]
    return f"{problem}; its folder holds {', '.join(near)}" if near else problem


def _diagnose(file: Path, error: Exception) -> str:
    """What is wrong with a file that safetensors cannot read, and what to do."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}; check the file's permissions"
    size = file.stat().st_size
    if size == 0:
        return "is empty: the program that wrote it was stopped; use another checkpoint"
    with open(file, "rb") as content:
        start = content.read(9)
        header_size = int.from_bytes(start[:8], "little")
        if len(start) == 9 and start[8:] == b"{":
            header = content.read(min(header_size, size) - 1)
            return _diagnose_safetensors(size, header_size, b"{" + header, error)
    if size <= 8:
        return f"holds only {size} bytes: it was cut off; copy it again or use another checkpoint"
    for magic, description in _OTHER_FORMATS:
        if start.startswith(magic):
            return description
    return (
        "is not a safetensors file; give one that was written by minisegnet.save or by "
        "safetensors.torch.save_file"
    )


def _diagnose_safetensors(size: int, header_size: int, header: bytes, error: Exception) -> str:
    """What is wrong with a file that starts as a safetensors file does."""
    expected = 8 + header_size
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
        entries = json.loads(header)
        ends = [v["data_offsets"][1] for k, v in entries.items() if k != RESERVED_NAME]
        expected += max(ends, default=0)
    if size < expected:
        return (
            f"is cut off: it holds {size} of at least {expected} bytes; copy it again or use "
            "another checkpoint"
        )
    return f"is damaged ({error}); copy it again or use another checkpoint"
