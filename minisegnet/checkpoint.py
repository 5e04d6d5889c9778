"""Saving and loading: every array in a safetensors file, written so that a crash loses nothing.

A checkpoint is a nest of dicts, lists and tuples with arrays, numbers, strings, booleans and None
at the leaves. The arrays become the tensors of a safetensors file; the rest, and where each array
belongs, is JSON in the file's metadata under the key ``"minisegnet"``. A flat dict of arrays (a
``state_dict()``) keeps its names as they are, so that any safetensors reader finds them. Nothing is
ever pickled or unpickled: a checkpoint from a stranger cannot run code.

Sources
-------
The safetensors format: eight bytes with the length of a JSON header, the header, the raw numbers.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import safetensors
import safetensors.numpy

from minisegnet.autograd import Tensor
from minisegnet.backend import is_array, to_numpy
from minisegnet.tensor_file import RESERVED_NAME, read_tensors

__all__ = ["WriteError", "atomic_write", "load", "save"]

_METADATA_KEY = "minisegnet"
_VERSION = 1
_STORABLE = frozenset(
    ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
) | frozenset(("float16", "float32", "float64", "complex64"))


# ---------------------------------------------------------------------------- writing any file


class WriteError(OSError):
    """A file could not be written; what was there before is untouched.

    ``errno`` and ``filename`` are those of an OSError; ``str()`` is one sentence for a person.
    """

    def __str__(self) -> str:
        return str(self.strerror)


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str],
    mode: Literal["w", "wb"] = "w",
    *,
    encoding: str | None = None,
    newline: str | None = None,
) -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is complete.

    The content goes to ``.NAME.tmp`` in the same folder, is forced onto the disk, and is then
    renamed: whoever reads ``path`` finds the old content or the new one, never half of either,
    even after a crash or a power cut. On any error, Ctrl-C included, the old file stays and the
    temporary one is removed; the one that a killed process leaves behind is overwritten next time.
    A symbolic link is followed.

    Parameters
    ----------
    path : str or path
        The file to write; its folder must exist.
    mode : {"w", "wb"}
        Text or bytes.
    encoding, newline : str, optional
        As for :func:`open`, for text; the encoding is UTF-8 by default. A CSV file wants
        ``newline=""``.

    Yields
    ------
    file
        The open file, to be written to and not to be closed.

    Raises
    ------
    WriteError
        If the file cannot be written: the disk is full, the folder is missing or read-only, another
        program is writing the same file, or ``path`` is a folder or a device.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "config.json") as file:
    ...     _ = file.write('{"epochs": 7}')
    >>> (folder / "config.json").read_text(), [entry.name for entry in folder.iterdir()]
    ('{"epochs": 7}', ['config.json'])
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"atomic_write: mode is {mode!r}; use 'w' for text or 'wb' for bytes")
    if mode == "w" and encoding is None:
        encoding = "utf-8"
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.tmp")
    ours: os.stat_result | None = None
    try:
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "it exists and is not an ordinary file")
        temporary.unlink(missing_ok=True)
        exclusive = mode.replace("w", "x")  # follows no link that somebody planted meanwhile
        with open(temporary, exclusive, encoding=encoding, newline=newline) as file:
            ours = os.fstat(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not _is_file(temporary, ours):
            raise OSError(errno.EBUSY, "another program is writing the same file")
        os.replace(temporary, target)
    except BaseException as error:
        if ours is not None and _is_file(temporary, ours):
            with contextlib.suppress(OSError):
                temporary.unlink()
        # An OSError with another file's name comes from the caller's block and is not ours to word.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise _write_error(path, error) from error
        raise
    _sync_folder(target.parent)


def _is_file(path: Path, status: os.stat_result) -> bool:
    """Whether ``path`` still names the file that ``status`` describes."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), status)
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    """Force a rename onto the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_error(path: str | os.PathLike[str], error: OSError) -> WriteError:
    """The error for a person: which file, what happened, what to do."""
    hints = {
        errno.ENOSPC: "free some space on that disk and save again",
        errno.EDQUOT: "free some space in your quota and save again",
        errno.ENOENT: f"create the folder {str(Path(path).parent)!r} first",
        errno.EBUSY: "let one program at a time write there",
    }
    hint = hints.get(error.errno or 0, "choose a file in a folder that you may write to")
    reason = error.strerror or str(error)
    kept = "; the file that was there is untouched" if Path(path).is_file() else ""
    message = f"cannot write {str(path)!r}: {reason}: {hint}{kept}"
    return WriteError(error.errno, message, str(path))


# ---------------------------------------------------------------------------- saving


def save(state: Any, path: str | os.PathLike[str]) -> None:
    """Write a nest of dicts, lists, tuples, arrays and plain values to a safetensors file.

    Parameters
    ----------
    state : Any
        Dicts (keys are strings or integers), lists and tuples, nested as you like, holding arrays
        (NumPy, CuPy or Tensor), numbers, strings, booleans and None.
    path : str or path
        The file, usually ``NAME.safetensors``. It is replaced as a whole or not at all; see
        :func:`atomic_write`.

    Raises
    ------
    TypeError
        If the state holds something else: the message says where.
    ValueError
        If the state contains itself or is nested hundreds deep.
    WriteError
        An OSError, if the file cannot be written. The old file is then untouched.

    Notes
    -----
    An array comes back with the same dtype (one of bool, the integers, float16 to float64,
    complex64), shape and values, as a NumPy array of its own. A NumPy scalar comes back as a Python
    number, a Tensor as an array. In the file, a nested array is named after its place:
    ``{"adam": {"moments": [a, b]}}`` holds ``adam.moments.0`` and ``adam.moments.1``.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "last.safetensors"
    >>> save({"epoch": 3, "weights": {"conv.weight": np.array([[1, 2], [3, 4]])}}, path)
    >>> load(path)
    {'epoch': 3, 'weights': {'conv.weight': array([[1, 2],
           [3, 4]])}}
    >>> list(safetensors.numpy.load_file(path))
    ['weights.conv.weight']
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        # One metadata entry: safetensors writes several in a random order.
        description = json.dumps({"version": _VERSION, "state": _encode(state, (), arrays)})
    except RecursionError:
        raise ValueError(
            "save: the state contains itself, or is nested too deeply; flatten it"
        ) from None
    content = safetensors.numpy.save(arrays, metadata={_METADATA_KEY: description})
    with atomic_write(path, "wb") as file:
        file.write(content)


def _encode(value: Any, where: tuple[Any, ...], arrays: dict[str, np.ndarray]) -> Any:
    """``value`` as JSON; the arrays in it go to ``arrays`` and leave their name behind.

    An object with a key that starts with ``$`` is not a dict but a mark: ``{"$tensor": name}``,
    ``{"$tuple": [...]}``, and ``{"$dict": [[key, value], ...]}`` for a dict that JSON's objects
    cannot hold, because its keys are integers or start with ``$`` themselves.
    """
    if isinstance(value, Tensor):
        value = value.data
    if is_array(value):
        name = _free_name(where, arrays)
        arrays[name] = _storable(value, where)
        return {"$tensor": name}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        items = [_encode(item, (*where, i), arrays) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return _encode_dict(value, where, arrays)
    hint = "store arrays, numbers, strings, booleans, None, and dicts, lists and tuples of them"
    if hasattr(value, "state_dict"):
        hint = "store its .state_dict()"
    raise TypeError(f"save: {_place(where)} is of type {type(value).__name__}; {hint}")


def _encode_dict(
    value: Mapping[Any, Any], where: tuple[Any, ...], arrays: dict[str, np.ndarray]
) -> Any:
    for key in value:
        if not isinstance(key, (str, int)):
            raise TypeError(
                f"save: {_place(where)} has the key {key!r} of type {type(key).__name__}; "
                "keys are strings or integers"
            )
    pairs = [(key, _encode(item, (*where, key), arrays)) for key, item in value.items()]
    if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": pairs}


def _free_name(where: tuple[Any, ...], arrays: dict[str, np.ndarray]) -> str:
    """The dotted name of a place, made unique: ``{"a": {"b": x}, "a.b": y}`` has two of a kind."""
    name = ".".join(map(str, where))
    name = name.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8
    unique, count = name, 1
    while unique in arrays or unique == RESERVED_NAME:
        count += 1
        unique = f"{name}~{count}"
    return unique


def _storable(value: Any, where: tuple[Any, ...]) -> np.ndarray:
    """The array on the host, in C order and this machine's byte order."""
    host = to_numpy(value)
    if host.dtype.name not in _STORABLE:
        raise TypeError(
            f"save: {_place(where)} is an array of dtype {host.dtype}, which safetensors has no "
            "name for; convert it with .astype(), to float32 or int64 for example"
        )
    # safetensors copies the memory from its first byte on: a transposed view would come back
    # scrambled. (np.ascontiguousarray would turn a 0-d array into one of shape (1,).)
    return host.astype(host.dtype.newbyteorder("="), order="C", copy=False)


def _place(where: tuple[Any, ...]) -> str:
    return "state" + "".join(f"[{key!r}]" for key in where)


# ---------------------------------------------------------------------------- loading


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote; of any other safetensors file, a flat dict of its tensors.

    Parameters
    ----------
    path : str or path
        A safetensors file.

    Returns
    -------
    Any
        The nest that was saved, every array as a NumPy array in memory of its own.

    Raises
    ------
    ValueError
        If the file is missing, empty, cut off, damaged, or not a safetensors file (a pickle or a
        PyTorch ``.pt`` file is never opened); the message names the file and says what to do.

    Examples
    --------
    >>> load("lost/a.safetensors")
    Traceback (most recent call last):
        ...
    ValueError: load: 'lost/a.safetensors' does not exist: there is no folder 'lost'; check the path
    """
    tensors, metadata = read_tensors(path, "load")
    if _METADATA_KEY not in metadata:
        return tensors
    return _read_description(metadata[_METADATA_KEY], tensors, path)


def _read_description(
    description: str, tensors: dict[str, np.ndarray], path: str | os.PathLike[str]
) -> Any:
    """Put the tensors back where the JSON description says."""
    unused = dict(tensors)
    try:
        parsed = json.loads(description)
        if parsed["version"] != _VERSION:
            raise ValueError(f"it is of version {parsed['version']}, and {_VERSION} is known here")
        state = _decode(parsed["state"], unused)
        if unused:
            raise ValueError(f"it does not mention the tensor {next(iter(unused))!r}")
        return state
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no tensor {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"load: {str(path)!r} has a damaged description in its metadata ({reason}): it was "
            "changed after it was saved, or saved by another version; use another checkpoint, or "
            "read the bare tensors with safetensors.numpy.load_file"
        ) from error


def _decode(node: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The value that :func:`_encode` turned into ``node``; takes its arrays out of ``tensors``."""
    if isinstance(node, list):
        return [_decode(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    mark = next((key for key in node if key.startswith("$")), None)
    if mark is None:
        return {key: _decode(item, tensors) for key, item in node.items()}
    (content,) = node.values()
    if mark == "$tensor":
        return tensors.pop(content)
    if mark == "$tuple":
        return tuple(_decode(item, tensors) for item in content)
    if mark == "$dict":
        return {key: _decode(item, tensors) for key, item in content}
    raise ValueError(f"unknown mark {mark!r}")
