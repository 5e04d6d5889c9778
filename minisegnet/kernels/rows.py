"""Tables: one row for each pixel, one column for each channel or class.

A map (N, C, H, W) that is channels-last in memory is such a table as it stands. What needs sums
over all pixels (batch normalisation) or over all channels (softmax) works on tables.

NumPy is fastest where the inner run has a thousand values or more and where the operands of one
step are still in the cache at the next. Rows are therefore laid side by side, which costs nothing
in a contiguous table, and long tables are worked on in bands. Summing in bands is also more
accurate: the rounding of float32 then grows with the number of summands in a band.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence

import numpy as np

from minisegnet.backend import Array, array_module, concatenate
from minisegnet.kernels import cuda
from minisegnet.kernels.cuda import on_gpu
from minisegnet.kernels.parallel import run_bands, scratch

#: How many values a band holds: half a megabyte of float32, which stays in the cache.
BAND = 2**17

#: How long the inner run may become when rows are laid side by side.
_WIDTH = 8192


def axis_index(dim: int, ndim: int) -> int:
    """The place of a dimension, counted from the front.

    Raises
    ------
    TypeError
        If ``dim`` is not an integer.
    IndexError
        If an array of ``ndim`` dimensions does not have it.

    Examples
    --------
    >>> axis_index(-1, 4), axis_index(1, 4)
    (3, 1)
    """
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"dim is {dim!r}: give one integer") from None
    if not -ndim <= axis < ndim:
        raise IndexError(
            f"dim {dim} is out of range for an array of {ndim} dimensions: "
            f"give one of {-ndim} to {ndim - 1}"
            if ndim
            else f"dim {dim} is out of range for a single number, which has no dimensions"
        )
    return axis % ndim


def as_table(x: Array, axis: int = 1) -> Array:
    """The axis as the columns, all others as the rows; a view where the memory allows.

    Examples
    --------
    >>> maps = np.arange(6).reshape(1, 2, 1, 3)
    >>> as_table(maps)
    array([[0, 3],
           [1, 4],
           [2, 5]])
    """
    xp = array_module(x)
    moved = xp.ascontiguousarray(x.transpose(_axis_last(axis, x.ndim)))
    return moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1])


def _axis_last(axis: int, ndim: int) -> list[int]:
    return [*(i for i in range(ndim) if i != axis), axis]


def from_table(table: Array, shape: Sequence[int], axis: int = 1) -> Array:
    """The array of this shape whose :func:`as_table` is the table (a view, never a copy)."""
    lengths = list(shape)
    columns = lengths.pop(axis)
    order = list(range(len(lengths)))
    order.insert(axis, len(lengths))
    return table.reshape(*lengths, columns).transpose(order)


@on_gpu(cuda.column_sums)
def column_sums(table: Array) -> Array:
    """The sum of each column.

    Examples
    --------
    >>> column_sums(np.array([[1.0, 2.0], [3.0, 5.0], [0.0, -1.0]]))
    array([4., 6.])
    """
    wide = _side_by_side(table)
    parts = run_bands(
        array_module(table), lambda start, stop: wide[start:stop].sum(axis=0), _bands(wide)
    )
    return _add_up(parts, table)


@on_gpu(cuda.column_moments)
def column_moments(table: Array) -> tuple[Array, Array]:
    """The mean and the (biased) variance of each column, in one pass over the table.

    Each band is small enough to be gone over twice, for its own mean and for the squares of the
    distances from it; the bands are then put together [1]_. The mean of the squares less the square
    of the mean would lose all digits when the values are large and close together.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub and R. J. LeVeque, "Algorithms for computing the sample variance:
       analysis and recommendations", The American Statistician 37 (1983), equation 2.1.

    Examples
    --------
    >>> column_moments(np.array([[1.0, 20.0], [3.0, 26.0]]))
    (array([ 2., 23.]), array([1., 9.]))
    """
    xp = array_module(table)
    wide = _side_by_side(table)

    def moments(start, stop):
        band = wide[start:stop]
        mean = band.sum(axis=0) / (stop - start)
        centred = xp.subtract(band, mean, out=scratch(xp, band.shape, band.dtype))
        centred *= centred
        return stop - start, mean, centred.sum(axis=0)

    parts = run_bands(xp, moments, _bands(wide))
    count = len(table)
    mean = _add_up([mean * rows for rows, mean, _ in parts], table) / count
    wide_mean = _repeat(mean, wide)
    squares = [inside + rows * (of_band - wide_mean) ** 2 for rows, of_band, inside in parts]
    return mean, _add_up(squares, table) / count


@on_gpu(cuda.column_products)
def column_products(table: Array, mean: Array, other: Array) -> tuple[Array, Array]:
    """For each column the sum of ``other``, and that of ``(table - mean) * other``.

    Examples
    --------
    >>> column_products(np.array([[1.0], [4.0]]), np.array([2.0]), np.array([[10.0], [20.0]]))
    (array([30.]), array([30.]))
    """
    xp = array_module(table)
    wide, wide_other = _side_by_side(table), _side_by_side(other)
    wide_mean = _repeat(mean, wide)

    def products(start, stop):
        band = wide_other[start:stop]
        centred = scratch(xp, band.shape, wide.dtype)
        xp.subtract(wide[start:stop], wide_mean, out=centred)
        centred *= band
        return band.sum(axis=0), centred.sum(axis=0)

    sums, products_ = zip(*run_bands(xp, products, _bands(wide)), strict=True)
    return _add_up(sums, table), _add_up(products_, table)


@on_gpu(cuda.scale_columns)
def scale_columns(table: Array, scale: Array, shift: Array) -> Array:
    """``table * scale + shift``, with one scale and shift for each column."""
    xp = array_module(table)
    wide = _side_by_side(table)
    out = xp.empty_like(wide)
    wide_scale, wide_shift = _repeat(scale, wide), _repeat(shift, wide)

    def work(start, stop):
        part = out[start:stop]
        xp.multiply(wide[start:stop], wide_scale, out=part)
        part += wide_shift

    run_bands(xp, work, _bands(wide))
    return out.reshape(table.shape)


def add_to_columns(table: Array, values: Array) -> None:
    """Add one value to each column, in place.

    Examples
    --------
    >>> table = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> add_to_columns(table, np.array([10.0, 20.0]))
    >>> table
    array([[11., 22.],
           [13., 24.]])
    """
    wide = _side_by_side(table)
    wide_values = _repeat(values, wide)

    def work(start, stop):
        wide[start:stop] += wide_values

    run_bands(array_module(table), work, _bands(wide))


def join_columns(tables: Sequence[Array]) -> Array:
    """Tables of as many rows and one dtype beside one another.

    Examples
    --------
    >>> join_columns([np.array([[1], [2]]), np.array([[3, 4], [5, 6]])])
    array([[1, 3, 4],
           [2, 5, 6]])
    """
    xp = array_module(*tables)
    if xp is not np:
        return concatenate(tables, axis=1)
    ends = list(itertools.accumulate(table.shape[1] for table in tables))
    out = np.empty((len(tables[0]), ends[-1]), dtype=tables[0].dtype)

    def work(start, stop):
        for table, first, end in zip(tables, [0, *ends], ends, strict=False):
            out[start:stop, first:end] = table[start:stop]

    run_bands(xp, work, _bands(out))
    return out


@on_gpu(cuda.mix_columns)
def mix_columns(table: Array, scale: Array, other: Array, factor: Array, shift: Array) -> Array:
    """``table * scale + other * factor + shift``, with one of each for a column."""
    xp = array_module(table)
    wide, wide_other = _side_by_side(table), _side_by_side(other)
    out = xp.empty_like(wide)
    wide_scale, wide_factor, wide_shift = (_repeat(v, wide) for v in (scale, factor, shift))

    def work(start, stop):
        part = out[start:stop]
        scaled = scratch(xp, part.shape, part.dtype)
        xp.multiply(wide[start:stop], wide_scale, out=scaled)
        xp.multiply(wide_other[start:stop], wide_factor, out=part)
        part += scaled
        part += wide_shift

    run_bands(xp, work, _bands(wide))
    return out.reshape(table.shape)


def exponentials(table: Array) -> tuple[Array, Array, Array]:
    """For each row its largest value m, the exponentials of ``row - m``, and their sum.

    No exponential is above 1, so none overflows, and no sum is below 1.

    Returns
    -------
    largest (rows,), exponentials (rows, columns), sums (rows,)
    """
    xp = array_module(table)
    count = len(table)
    out = xp.empty(table.shape, dtype=table.dtype)
    largest, sums = (xp.empty((count,), dtype=table.dtype) for _ in range(2))

    def work(start, stop):
        # Columns become the outer axis: a reduction over a short inner one is ten times slower.
        part = scratch(xp, (table.shape[1], stop - start), table.dtype)
        part[...] = table[start:stop].T
        largest[start:stop] = part.max(axis=0)
        part -= largest[start:stop]
        xp.exp(part, out=part)
        sums[start:stop] = part.sum(axis=0)
        out[start:stop] = part.T

    run_bands(xp, work, _bands(table))
    return largest, out, sums


def row_products(table: Array, other: Array) -> Array:
    """The sum of ``table * other`` along each row.

    Examples
    --------
    >>> row_products(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [0.0, -1.0]]))
    array([17., -4.])
    """
    if array_module(table) is np:
        return np.einsum("rc,rc->r", table, other)
    # On a GPU einsum is a matrix product, which may round its factors to TF32.
    return (table * other).sum(axis=1)


def scale_rows(table: Array, factors: Array) -> Array:
    """Each row times its own factor."""
    xp = array_module(table)
    out = xp.empty_like(table)

    def work(start, stop):
        xp.multiply(table[start:stop], factors[start:stop, None], out=out[start:stop])

    run_bands(xp, work, _bands(table))
    return out


def _bands(table: Array) -> list[tuple[int, int]]:
    """The (start, stop) rows of each band; a GPU takes all rows at once."""
    count = len(table)
    if array_module(table) is not np or table.size <= BAND:
        return [(0, count)]
    step = max(1, BAND // table.shape[1])
    return [(start, min(start + step, count)) for start in range(0, count, step)]


def _side_by_side(table: Array) -> Array:
    """As many rows next to one another as make a run of up to ``_WIDTH`` values, without rest."""
    count, columns = table.shape
    most = min(max(1, _WIDTH // max(1, columns)), max(1, count))
    together = next(n for n in range(most, 0, -1) if count % n == 0)
    return table.reshape(count // together, together * columns)


def _repeat(values: Array, wide: Array) -> Array:
    times = wide.shape[1] // max(1, len(values))
    return values.reshape(1, -1).repeat(times, axis=0).reshape(-1)


def _add_up(parts: Sequence[Array], table: Array) -> Array:
    """The sums of the columns of the table from the sums of each band of it side by side."""
    total = functools.reduce(operator.add, parts)
    # Along a contiguous axis NumPy adds in pairs, which rounds far less than one after the other.
    return total.reshape(-1, table.shape[1]).T.copy().sum(axis=1)
