"""Kernels of our own for NVIDIA GPUs, where the plain ones would need many launches.

Each function here does what the plain one of the same name does, which stands decorated with
:func:`on_gpu` and remains reachable as ``function.plain``: the two must agree. The plain versions
say what is meant; the kernels (:mod:`minisegnet.kernels.cuda_text`) how one launch does it; and
here is with which numbers. Nothing here is used on the CPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minisegnet.backend import Array, array_module, device_of
from minisegnet.kernels.cuda_text import source

if TYPE_CHECKING:
    from minisegnet.kernels.phases import Phase
    from minisegnet.kernels.windows import Windows

__all__ = ["on_gpu", "source"]

#: Threads that start together, and the most of such blocks; then each thread takes several numbers.
THREADS, BLOCKS = 256, 1 << 16
#: So many threads keep a large GPU busy while each sums a part of a column.
SUMMING_THREADS = 1 << 17

_TYPES = {"float32": "float", "float64": "double", "uint8": "unsigned char"}
_TYPES |= {"uint16": "unsigned short", "uint32": "unsigned int", "int64": "long long"}


def on_gpu(version: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: run ``version`` where the first argument is a floating array on a GPU.

    Examples
    --------
    >>> @on_gpu(lambda x: "in one launch")
    ... def plain(x):
    ...     return "plainly"
    >>> plain(np.zeros(3)), plain.plain(np.zeros(3))
    ('plainly', 'plainly')
    """

    def decorate(plain: Callable[..., Any]) -> Any:
        @functools.wraps(plain)
        def chosen(x: Array, *args: Any, **kwargs: Any) -> Any:
            return (version if serves(x) else plain)(x, *args, **kwargs)

        chosen.plain = plain  # type: ignore[attr-defined]
        return chosen

    return decorate


def serves(x: Array) -> bool:
    """Whether the kernels of this file are for this array."""
    return device_of(x) == "cuda" and x.dtype in (np.float32, np.float64) and x.size > 0


@functools.cache
def _compiled(xp: Any, name: str, number: str, small: str, index: str) -> Any:
    # atomicMax on signed 64-bit integers is there for pointers of this very type.
    return xp.RawKernel(source(number, small, index), name)


def _launch(
    name: str,
    count: int,
    arrays: Sequence[Array],
    sizes: Sequence[int],
    small: str = "uint8",
    others: Sequence[Any] = (),
) -> None:
    """Launch a kernel for ``count`` numbers; all its sizes are passed as indices, and last."""
    largest = max(*(_reach(array) for array in arrays), *sizes)
    # A thread adds the number of all threads to its index before it sees that it is done.
    wide = largest + THREADS * BLOCKS >= 2**31
    number = next(str(a.dtype) for a in arrays if a.dtype.kind == "f" or a.dtype == np.int64)
    number = number if number != "int64" else "float32"
    index = np.int64 if wide else np.int32
    text = _TYPES[number], _TYPES[small], "long long" if wide else "int"
    kernel = _compiled(array_module(*arrays), name, *text)
    blocks = min(-(-count // THREADS), BLOCKS)
    kernel((blocks,), (THREADS,), (*arrays, *others, *(index(size) for size in sizes)))


def _reach(array: Array) -> int:
    """How far the last number of an array is from its first."""
    steps = zip(array.shape, array.strides, strict=True)
    return sum((n - 1) * abs(step) for n, step in steps) // array.itemsize + 1


def _channels_last(x: Array) -> Array:
    """The map (N, C, H, W) as (N, H, W, C), C-contiguous."""
    return array_module(x).ascontiguousarray(x.transpose(0, 2, 3, 1))


# ------------------------------------------------------------------------ convolution


def gather(maps: Array, phase: Phase, groups: int, n: slice, r: slice) -> Array:
    """The windows of a band, as :meth:`Gathering.columns` gathers them: padding and all."""
    rows, columns = phase
    images, high, channels = n.stop - n.start, r.stop - r.start, maps.shape[3] // groups
    shape = (groups, images, high, columns.length, rows.tap_count, columns.tap_count, channels)
    out = array_module(maps).empty(shape, dtype=maps.dtype)
    source = maps[n]
    steps = [step // maps.itemsize for step in source.strides]
    sizes = [
        *(out.size, images, high, columns.length, rows.tap_count, columns.tap_count, channels),
        *(*source.shape[1:3], r.start, rows.stride, columns.stride),
        *(rows.dilation, columns.dilation, rows.start, columns.start, *steps),
    ]
    _launch("gather", out.size, (source, out), sizes)
    return out.reshape(*shape[:4], -1)


# ------------------------------------------------------------------------ pooling


def _geometry(channels: int, windows: Windows) -> list[int]:
    return [
        *(channels, *windows.size, *windows.count, *windows.kernel, *windows.stride),
        *(*windows.padding, *windows.dilation),
    ]


def max_over_windows(x: Array, windows: Windows) -> tuple[Array, Array]:
    """See :func:`minisegnet.kernels.windows.max_over_windows`."""
    xp, maps = array_module(x), _channels_last(x)
    shape = (len(x), *windows.count, x.shape[1])
    taps = np.min_scalar_type(math.prod(windows.kernel))
    largest, winner = xp.empty(shape, dtype=x.dtype), xp.empty(shape, dtype=taps)
    sizes = [largest.size, *_geometry(x.shape[1], windows)]
    _launch("max_pool", largest.size, (maps, largest, winner), sizes, str(taps))
    return largest.transpose(0, 3, 1, 2), winner.transpose(0, 3, 1, 2)


def scatter_to_winners(grad: Array, winner: Array, windows: Windows) -> Array:
    """See :func:`minisegnet.kernels.windows.scatter_to_winners`."""
    channels = grad.shape[1]
    out = array_module(grad).empty((len(grad), *windows.size, channels), dtype=grad.dtype)
    arrays = (_channels_last(grad), _channels_last(winner), out)
    sizes = [out.size, *_geometry(channels, windows)]
    _launch("max_pool_backward", out.size, arrays, sizes, str(winner.dtype))
    return out.transpose(0, 3, 1, 2)


# ------------------------------------------------------------------------ columns of a table


def _parts(table: Array) -> int:
    """How many parts the columns are summed in: a multiple of the columns."""
    rows, columns = table.shape
    # A part of fewer than 32 numbers is not worth a thread.
    return columns * max(1, min(SUMMING_THREADS // columns, rows // 32))


def column_sums(table: Array) -> Array:
    """See :func:`minisegnet.kernels.rows.column_sums`."""
    table = array_module(table).ascontiguousarray(table)
    out = array_module(table).empty(_parts(table), dtype=table.dtype)
    _launch("sum_parts", out.size, (table, out), (table.size, out.size))
    return out.reshape(-1, table.shape[1]).sum(axis=0)


def _product_sums(table: Array, mean: Array, other: Array, level: Array) -> Array:
    xp = array_module(table)
    arrays = [xp.ascontiguousarray(a) for a in (table, mean, other, level)]
    out = xp.empty(_parts(table), dtype=table.dtype)
    sizes = (table.size, out.size, table.shape[1])
    _launch("product_parts", out.size, (*arrays, out), sizes)
    return out.reshape(-1, table.shape[1]).sum(axis=0)


def column_moments(table: Array) -> tuple[Array, Array]:
    """See :func:`minisegnet.kernels.rows.column_moments`."""
    mean = column_sums(table) / len(table)
    return mean, _product_sums(table, mean, table, mean) / len(table)


def column_products(table: Array, mean: Array, other: Array) -> tuple[Array, Array]:
    """See :func:`minisegnet.kernels.rows.column_products`."""
    zeros = array_module(table).zeros_like(mean)
    return column_sums(other), _product_sums(table, mean, other, zeros)


def _per_column(name: str, table: Array, *others: Array) -> Array:
    xp = array_module(table)
    arrays = [xp.ascontiguousarray(a.astype(table.dtype, copy=False)) for a in (table, *others)]
    out = xp.empty(table.shape, dtype=table.dtype)
    _launch(name, out.size, (*arrays, out), (out.size, table.shape[1]))
    return out


def scale_columns(table: Array, scale: Array, shift: Array) -> Array:
    """See :func:`minisegnet.kernels.rows.scale_columns`."""
    return _per_column("scale_columns", table, scale, shift)


def mix_columns(table: Array, scale: Array, other: Array, factor: Array, shift: Array) -> Array:
    """See :func:`minisegnet.kernels.rows.mix_columns`."""
    return _per_column("mix_columns", table, scale, other, factor, shift)


# ------------------------------------------------------------------------ unpooling


def put(values: Array, places: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """See :func:`minisegnet.kernels.places.put`; places must lie within the plane."""
    xp, (images, channels, high, wide) = array_module(values), values.shape
    cells = size[0] * size[1]
    numbers, named = _channels_last(values), _channels_last(places).astype(np.int64, copy=False)
    # A place outside has been refused, but perhaps only noted so far: nothing else may be hit.
    named = xp.clip(named, 0, cells - 1)
    out = xp.zeros((images, *size, channels), dtype=values.dtype)
    last = xp.full(out.shape, -1, dtype=np.int64)
    stayed = xp.empty(numbers.shape, dtype=np.bool_)
    sizes = (numbers.size, channels, high * wide, cells)
    _launch("claim", numbers.size, (named, last), sizes)
    _launch("put", numbers.size, (numbers, named, last, out, stayed), sizes)
    return out.transpose(0, 3, 1, 2), stayed.transpose(0, 3, 1, 2)


# ------------------------------------------------------------------------ optimisers


def adam(
    data: Array,
    grad: Array,
    mean: Array,
    square: Array,
    moving: Sequence[Any],
    beta2: float,
    eps: float,
) -> None:
    """Adam's step in place, in one launch instead of a dozen.

    Parameters
    ----------
    data, grad, mean, square : array
        Of one shape and dtype, all but the gradient C-contiguous.
    moving : (forget, learn, root, rate)
        What the mean keeps and takes in, what the root is divided by, and the rate: Python numbers,
        or arrays () while a step is recorded.
    """
    real = data.dtype.type
    others = [*_moving("adam", moving, real), real(beta2), real(1 - beta2), real(eps)]
    arrays = (data, array_module(data).ascontiguousarray(grad), mean, square)
    _launch("adam", data.size, arrays, (data.size,), others=others)


def _moving(name: str, moving: Sequence[Any], real: Callable[[Any], Any]) -> list[Any]:
    """Where a kernel reads its moving numbers, null if nowhere, and then their values."""
    recorded = [hasattr(value, "dtype") for value in moving]
    if any(recorded) != all(recorded):
        raise TypeError(f"{name}: some of the moving numbers are arrays and some are not")
    if all(recorded):
        return [*moving, *(real(0) for _ in moving)]
    return [*(np.uintp(0) for _ in moving), *(real(value) for value in moving)]


def look_ahead(momentum: Array, grad: Array, moving: Sequence[Any]) -> Array:
    """Renew a momentum in place, in one launch; what it would be after the same gradient again.

    Parameters
    ----------
    momentum, grad : array
        Of one shape and dtype, the momentum C-contiguous.
    moving : (keep, learn)
        What the momentum keeps and takes in: Python numbers, or arrays () while a step is recorded.
    """
    xp = array_module(momentum)
    ahead = xp.empty(momentum.shape, dtype=momentum.dtype)
    others = _moving("look_ahead", moving, momentum.dtype.type)
    arrays = (momentum, xp.ascontiguousarray(grad), ahead)
    _launch("look_ahead", momentum.size, arrays, (momentum.size,), others=others)
    return ahead


def quadratic(matrix: Array, square: Array, coefficients: tuple[float, float, float]) -> Array:
    """See :func:`minisegnet.kernels.orthogonal.quadratic`."""
    xp, real = array_module(matrix), matrix.dtype.type
    others = [real(value) for value in coefficients]
    sizes = (matrix.size, matrix.shape[-1])
    _launch("quadratic", matrix.size, (xp.ascontiguousarray(matrix), square), sizes, others=others)
    return square
