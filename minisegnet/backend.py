"""Which array library an array belongs to, and moving arrays between libraries.

An array belongs to NumPy (device ``"cpu"``) or to CuPy (device ``"cuda"``). Everything above this
file asks ``array_module(x)`` for the module that owns ``x`` and calls that, so the same code runs
on both. This is the only file that imports CuPy, and it does so when a GPU is first asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np

#: A numpy.ndarray, a cupy.ndarray, or an array of any other registered library.
Array: TypeAlias = Annotated[Any, "array"]

#: What NumPy accepts as a dtype: ``"float64"``, ``np.float64``, ``np.dtype("float64")``.
DType: TypeAlias = Any


@dataclass(frozen=True)
class Library:
    """An array library with NumPy's interface, and how arrays get in and out of it.

    ``special`` and ``ndimage`` name the modules that mirror ``scipy.special`` and
    ``scipy.ndimage``; they are imported on first use because they are slow to import.
    """

    device: str
    module: Any
    array_type: type
    from_numpy: Callable[[np.ndarray], Array]
    to_numpy: Callable[[Array], np.ndarray]
    synchronize: Callable[[], None]
    special: Callable[[], Any]
    ndimage: Callable[[], Any]


def _import(name: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(name)


_NUMPY = Library(
    device="cpu",
    module=np,
    array_type=np.ndarray,
    from_numpy=np.asarray,
    to_numpy=np.asarray,
    synchronize=lambda: None,
    special=_import("scipy.special"),
    ndimage=_import("scipy.ndimage"),
)

_by_type: dict[type, Library] = {np.ndarray: _NUMPY}
_by_device: dict[str, Library] = {"cpu": _NUMPY}
_cuda_problem: str | None = None


def register_library(library: Library) -> None:
    """Make arrays of another library known, under its device name."""
    _by_type[library.array_type] = library
    _by_device[library.device] = library


def _find_cuda() -> Library | None:
    """The CuPy library if it is installed and sees a GPU; the reason is kept if not."""
    global _cuda_problem
    if "cuda" in _by_device:
        return _by_device["cuda"]
    if _cuda_problem is not None:
        return None
    try:
        cupy = importlib.import_module("cupy")
        if cupy.cuda.runtime.getDeviceCount() == 0:
            raise RuntimeError("no CUDA device is visible")
    except ImportError as error:
        _cuda_problem = f"CuPy is not installed ({error}); try: pip install 'minisegnet[gpu]'"
        return None
    except Exception as error:  # CuPy raises its own classes when the driver is missing
        _cuda_problem = f"CuPy is installed but finds no GPU ({error})"
        return None
    try:
        # CuPy brings no libraries of CUDA, and looks for this one at its first kernel.
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        said = " ".join(str(error).split())
        _cuda_problem = (
            f"CuPy finds a GPU but not the libraries of CUDA ({said}): install the CUDA toolkit, "
            "or: pip install 'cupy-cuda12x[ctk]' (for CUDA 13, 'cupy-cuda13x[ctk]')"
        )
        return None
    register_library(
        Library(
            device="cuda",
            module=cupy,
            array_type=cupy.ndarray,
            from_numpy=cupy.asarray,
            to_numpy=cupy.asnumpy,
            synchronize=lambda: cupy.cuda.get_current_stream().synchronize(),
            special=_import("cupyx.scipy.special"),
            ndimage=_import("cupyx.scipy.ndimage"),
        )
    )
    if _tf32 is not None:
        _tell_cupy(cupy, _tf32)
    return _by_device["cuda"]


def cuda_is_available() -> bool:
    """Whether CuPy is installed and finds a GPU.

    Examples
    --------
    >>> cuda_is_available() in (True, False)
    True
    """
    return _find_cuda() is not None


def cuda_problem() -> str | None:
    """Why there is no GPU to compute on, or None if there is one."""
    return None if _find_cuda() is not None else _cuda_problem


def _library_of(array: Array) -> Library | None:
    library = _by_type.get(type(array))
    if library is None:
        for known in list(_by_type.values()):
            if isinstance(array, known.array_type):
                return known
        # A CuPy array can arrive before anything has asked for the GPU.
        if "cupy" in sys.modules and _find_cuda() is not None:
            cuda = _by_device["cuda"]
            return cuda if isinstance(array, cuda.array_type) else None
    return library


def is_array(x: object) -> bool:
    """Whether ``x`` is an array of a known library (a NumPy scalar is not an array)."""
    return _library_of(x) is not None


def library_of(*arrays: Array) -> Library:
    """The library that owns all the arrays; scalars and None belong to any.

    Raises
    ------
    TypeError
        If two arrays live on different devices.
    """
    owner: Library | None = None
    for array in arrays:
        # Asked hundreds of times in a step: the usual answers first.
        library = None if array is None else _by_type.get(type(array)) or _library_of(array)
        if library is None or library is owner:
            continue
        if owner is not None:
            raise TypeError(
                f"one array is on {owner.device!r} and another on {library.device!r}: "
                f"move one of them with .to({owner.device!r}) or .to({library.device!r})"
            )
        owner = library
    return owner or _NUMPY


def array_module(*arrays: Array) -> Any:
    """The module (``numpy`` or ``cupy``) that the arrays belong to.

    Examples
    --------
    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    return library_of(*arrays).module


def library_for(device: str) -> Library:
    """The library that computes on ``device``.

    Raises
    ------
    ValueError
        If the device is unknown, or is ``"cuda"`` and there is no GPU to be used.
    """
    if device == "cuda" and _find_cuda() is None:
        raise ValueError(f"device 'cuda' is not available: {_cuda_problem}. Use device 'cpu'")
    if device not in _by_device:
        known = ", ".join(repr(name) for name in ("cpu", "cuda"))
        raise ValueError(f"unknown device {device!r}: choose one of {known}")
    return _by_device[device]


def device_of(array: Array) -> str:
    """The device an array lives on: ``"cpu"`` or ``"cuda"``.

    Examples
    --------
    >>> device_of(np.zeros(3))
    'cpu'
    """
    return library_of(array).device


def concatenate(arrays: Sequence[Array], axis: int = 0) -> Array:
    """The arrays side by side along an axis, without a detour by the host.

    CuPy sends a table of places to the device where there are more than eight small arrays, which
    no recorded step may do.

    Examples
    --------
    >>> concatenate([np.array([[1], [2]]), np.array([[3, 4], [5, 6]])], axis=1)
    array([[1, 3, 4],
           [2, 5, 6]])
    """
    xp = array_module(*arrays)
    if xp is np or len(arrays) <= 8:
        return xp.concatenate(arrays, axis=axis)
    axis %= arrays[0].ndim
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    out = xp.empty(shape, dtype=np.result_type(*(array.dtype for array in arrays)))
    first = 0
    for array in arrays:
        behind = first + array.shape[axis]
        out[(slice(None),) * axis + (slice(first, behind),)] = array
        first = behind
    return out


def to_numpy(array: Array) -> np.ndarray:
    """The array's values as a NumPy array on the host (a copy only where one is needed)."""
    return library_of(array).to_numpy(array)


def to_device(array: Array, device: str) -> Array:
    """The array on ``device``; itself if it is there already."""
    here, there = library_of(array), library_for(device)
    return array if here is there else there.from_numpy(here.to_numpy(array))


def synchronize(device: str = "cpu") -> None:
    """Wait until everything queued on ``device`` has been computed (a GPU works on its own)."""
    library_for(device).synchronize()


def special(array: Array) -> Any:
    """``scipy.special`` or its CuPy mirror, whichever owns the array."""
    return library_of(array).special()


_tf32: bool | None = None


def set_tf32(on: bool) -> None:
    """Whether a GPU's matrix products may round their float32 factors to TF32, for speed.

    TF32 has the range of float32 and 10 bits of mantissa instead of 23, so products are right to
    about three digits; sums are still float32. Tensor cores (compute capability 8.0 and later)
    compute with it several times faster. It is off until it is asked for; PyTorch's convolutions
    have it on, its matrix products off. On the CPU nothing changes.

    Examples
    --------
    >>> set_tf32(True); tf32_is_on()
    True
    >>> set_tf32(False)
    """
    global _tf32
    _tf32 = bool(on)
    # CuPy reads this when it multiplies for the first time, and never again.
    os.environ["CUPY_TF32"] = "1" if _tf32 else "0"
    if "cuda" in _by_device:
        _tell_cupy(_by_device["cuda"].module, _tf32)


def tf32_is_on() -> bool:
    """Whether :func:`set_tf32` is on, or else the environment variable ``CUPY_TF32``."""
    return os.environ.get("CUPY_TF32", "0") not in ("", "0") if _tf32 is None else _tf32


def _tell_cupy(cupy: Any, tf32: bool) -> None:
    linalg = cupy._core._routines_linalg
    kind = linalg.COMPUTE_TYPE_TF32 if tf32 else linalg.COMPUTE_TYPE_DEFAULT
    linalg.set_compute_type("float32", kind)


def device_memory(device: str = "cuda") -> tuple[int, int]:
    """Bytes of a GPU's memory that arrays use now, and that the pool of arrays has ever taken.

    The pool keeps what arrays give back, so what it has taken is the highest that was needed at
    once, unless it was told to give memory back to the GPU in between. A recorded step has a pool
    of its own, which is not counted. (0, 0) on a device without a pool.

    Examples
    --------
    >>> device_memory("cpu")
    (0, 0)
    """
    pool = getattr(library_for(device).module, "get_default_memory_pool", None)
    return (0, 0) if pool is None else (pool().used_bytes(), pool().total_bytes())


_generator = np.random.default_rng(0)


def manual_seed(seed: int) -> None:
    """Restart the one generator that weights and dropout are drawn from.

    Numbers are drawn on the host and copied to the device, so one seed gives the same numbers on
    NumPy and on CuPy.

    Examples
    --------
    >>> manual_seed(7); first = generator().random()
    >>> manual_seed(7); first == generator().random()
    True
    """
    # The generator object stays the same, so that whoever holds it is reseeded too.
    _generator.bit_generator.state = np.random.default_rng(seed).bit_generator.state


def generator() -> np.random.Generator:
    """The generator that :func:`manual_seed` seeds."""
    return _generator
