"""The matrix product, also of stacks and while a step is recorded as a CUDA graph.

CuPy refuses to call cuBLAS while a stream is capturing, although cuBLAS itself can be recorded; and
of stacks of matrices it copies those that are transposed, and never multiplies them in TF32. So in
both cases the same function of cuBLAS is called without CuPy.
"""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minisegnet.backend import Array, array_module, device_of, tf32_is_on
from minisegnet.replay import recording

__all__ = ["Product", "matmul", "planned"]

#: What cuBLAS may compute in besides its arguments: 32 MiB, as much as it recommends for Hopper.
_WORKSPACE = 32 << 20

_LIBRARIES = (
    *("libcublas.so.13", "libcublas.so.12", "libcublas.so.11"),
    *("cublas64_13.dll", "cublas64_12.dll", "cublas64_11.dll"),
)
# cublasOperation_t, cudaDataType_t, cublasComputeType_t and cublasGemmAlgo_t, by their numbers.
_AS_IT_IS, _TRANSPOSED = 0, 1
_TYPES = {np.dtype("float32"): 0, np.dtype("float64"): 1}
_COMPUTE_FLOAT32, _COMPUTE_FLOAT64, _COMPUTE_TF32 = 68, 70, 77
_DEFAULT_ALGORITHM = -1


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b`` over the last two axes, as the array's own library computes it.

    Examples
    --------
    >>> matmul(np.array([[1, 2]]), np.array([[3], [4]]))
    array([[11]])
    """
    if type(a) is type(b) is np.ndarray:
        return np.matmul(a, b, out=out)
    xp = array_module(a, b)
    if device_of(a) == "cuda" and a.dtype in _TYPES and b.dtype in _TYPES:
        of_matrices, stacked = min(a.ndim, b.ndim) > 1, max(a.ndim, b.ndim) > 2
        if of_matrices and (recording() or (stacked and _can_do_without_cupy(xp))):
            return _by_cublas(xp, a, b, out)
    return xp.matmul(a, b) if out is None else xp.matmul(a, b, out=out)


class Product(NamedTuple):
    """``C = A @ B`` of row-major matrices, in the terms of column-major cuBLAS.

    A row-major matrix is the transpose of a column-major one, so cuBLAS is asked for
    ``C.T = B.T @ A.T``: its first matrix is b and its second a. Steps are counted in numbers.
    """

    first: Array
    second: Array
    operations: tuple[int, int]
    m: int
    n: int
    k: int
    leading: tuple[int, int, int]
    steps: tuple[int, int, int]
    batch: int


def planned(a: Array, b: Array, out: Array) -> Product:
    """How cuBLAS computes ``out[...] = a @ b``; out (batch, rows, columns) is C-contiguous.

    Examples
    --------
    >>> a, b, out = np.zeros((2, 3)), np.zeros((4, 3)).T, np.zeros((1, 2, 4))
    >>> plan = planned(a, b, out)
    >>> (plan.m, plan.n, plan.k), plan.operations, plan.leading
    ((4, 2, 3), (1, 0), (3, 3, 4))
    """
    batch, rows, columns = out.shape
    (a, of_a, a_leading, a_step), (b, of_b, b_leading, b_step) = _laid_out(a), _laid_out(b)
    return Product(
        first=b,
        second=a,
        operations=(of_b, of_a),
        m=columns,
        n=rows,
        k=a.shape[-1],
        leading=(b_leading, a_leading, columns),
        steps=(b_step, a_step, rows * columns),
        batch=batch,
    )


def _laid_out(x: Array) -> tuple[Array, int, int, int]:
    """A matrix (rows, columns), or a stack of them, as cuBLAS can read it.

    Returns
    -------
    The matrix, copied only if neither its rows nor its columns are contiguous; which operation
    makes its transpose of what cuBLAS sees; the step from line to line, and from matrix to matrix.
    """
    rows, columns = x.shape[-2:]
    of_row, of_column = (step // x.itemsize for step in x.strides[-2:])
    step = x.strides[0] // x.itemsize if x.ndim == 3 and x.shape[0] > 1 else 0
    if (of_column == 1 or columns == 1) and (of_row >= columns or rows == 1):
        return x, _AS_IT_IS, max(of_row if rows > 1 else columns, 1), step
    if (of_row == 1 or rows == 1) and (of_column >= rows or columns == 1):
        return x, _TRANSPOSED, max(of_column if columns > 1 else rows, 1), step
    return _laid_out(array_module(x).ascontiguousarray(x))


def _by_cublas(xp: Any, a: Array, b: Array, out: Array | None) -> Array:
    a, b = (x.astype(np.result_type(a.dtype, b.dtype), copy=False) for x in (a, b))
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*leading, a.shape[-2], b.shape[-1])
    fits = out is not None and out.flags.c_contiguous and out.dtype == a.dtype
    target: Any = out if fits else xp.empty(shape, dtype=a.dtype)
    if 0 in (*shape, a.shape[-1]):
        target[...] = 0
    else:
        left, right = (_stacked(xp, x, leading) for x in (a, b))
        plan = planned(left, right, target.reshape(-1, *shape[-2:]))
        _cublas(xp).multiply(plan, target)
    if out is not None and not fits:
        out[...] = target
    return target if out is None else out


def _stacked(xp: Any, x: Array, leading: tuple[int, ...]) -> Array:
    """One matrix, or as many as there are products, one after the other."""
    if math.prod(x.shape[:-2]) == 1:
        return x.reshape(x.shape[-2:])
    whole = xp.broadcast_to(x, (*leading, *x.shape[-2:]))
    return whole if whole.ndim == 3 else whole.reshape(-1, *x.shape[-2:])


class _Cublas:
    """A handle of cuBLAS, on whichever stream is current."""

    def __init__(self, xp: Any) -> None:
        # To ask CuPy for its own handle makes it load cuBLAS, if it has not yet.
        xp.cuda.Device().cublas_handle  # noqa: B018
        major = xp.cuda.runtime.runtimeGetVersion() // 1000
        self._library, self._handle = _load(major), ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._stream: int | None = None
        self._workspace: Any = None

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} failed with status {status}")

    def _follow_stream(self, xp: Any) -> None:
        stream = xp.cuda.get_current_stream().ptr
        if stream == self._stream:
            return
        self._stream = stream
        if self._workspace is None:
            self._workspace = xp.empty(_WORKSPACE, dtype=np.uint8)
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream))
        # A workspace of its own, since cuBLAS would allocate one, and setting the stream drops it.
        place = ctypes.c_void_p(self._workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, place, ctypes.c_size_t(_WORKSPACE))

    def multiply(self, plan: Product, out: Array) -> None:
        """Launch the product."""
        self._follow_stream(array_module(out))
        double = out.dtype == np.float64
        number = ctypes.c_double if double else ctypes.c_float
        compute = _COMPUTE_TF32 if tf32_is_on() else _COMPUTE_FLOAT32
        kind = ctypes.c_int(_TYPES[out.dtype])

        def matrix(x: Array, leading: int, step: int) -> tuple[Any, ...]:
            place = ctypes.c_void_p(x.data.ptr)
            return place, kind, ctypes.c_int(leading), ctypes.c_longlong(step)

        self._call(
            "cublasGemmStridedBatchedEx",
            self._handle,
            *(ctypes.c_int(operation) for operation in plan.operations),
            *(ctypes.c_int(length) for length in (plan.m, plan.n, plan.k)),
            ctypes.byref(number(1)),
            *matrix(plan.first, plan.leading[0], plan.steps[0]),
            *matrix(plan.second, plan.leading[1], plan.steps[1]),
            ctypes.byref(number(0)),
            *matrix(out, plan.leading[2], plan.steps[2]),
            ctypes.c_int(plan.batch),
            ctypes.c_int(_COMPUTE_FLOAT64 if double else compute),
            ctypes.c_int(_DEFAULT_ALGORITHM),
        )


@functools.cache
def _load(major: int) -> Any:
    """The cuBLAS that CuPy has loaded, or the system's; of CUDA ``major``, if there are several."""
    for name in sorted((*_mapped(), *_LIBRARIES), key=lambda name: not _is_of(name, major)):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise RuntimeError(
        "cuBLAS was not found under any of its names, and a matrix product cannot be recorded "
        f"without it: {', '.join(_LIBRARIES)}. Train without capture"
    )


def _is_of(name: str, major: int) -> bool:
    """Whether a file of cuBLAS is that of one CUDA: another library may have loaded another one.

    Examples
    --------
    >>> _is_of("/opt/lib/libcublas.so.12.9.1", 12), _is_of("cublas64_13.dll", 12)
    (True, False)
    """
    file = Path(name).name
    return file == f"cublas64_{major}.dll" or f"{file}.".startswith(f"libcublas.so.{major}.")


def _mapped(maps: str = "/proc/self/maps") -> list[str]:
    """The files of cuBLAS that this process has loaded, where the system tells."""
    try:
        lines = Path(maps).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    files = {line.split(maxsplit=5)[-1] for line in lines}
    return sorted(file for file in files if Path(file).name.startswith("libcublas.so"))


_local = threading.local()


def _cublas(xp: Any) -> _Cublas:
    """The handle of this thread: one handle may not be used by two at once."""
    if not hasattr(_local, "cublas"):
        _local.cublas = _Cublas(xp)
    handle: _Cublas = _local.cublas
    return handle


@functools.cache
def _can_do_without_cupy(xp: Any) -> bool:
    """Whether cuBLAS can be called at all; if not, CuPy's slower way will do outside recordings."""
    try:
        _cublas(xp)
    except (RuntimeError, OSError, AttributeError):
        return False
    return True
