"""Resizing a map, and summing it in bins: both are one weighted sum along each axis.

Nearest neighbour, bilinear interpolation and adaptive pooling are linear and separable: along an
axis, each output cell is a sum of few input cells with fixed weights. A :class:`Table` lists them.
Its transpose lists, for each input cell, the outputs it went into: resampling a gradient with the
transposed tables is the backward pass, with no scattering and in a fixed order of summation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module, device_of, to_device
from minisegnet.kernels.maps import Pair, over_images
from minisegnet.kernels.parallel import scratch
from minisegnet.kernels.products import matmul

# Below this many neighbours in memory that share a weight, copying the weight to each is faster.
LONG_RUN = 512
# Numbers in a block that is summed at once: half a megabyte of float32.
BLOCK = 1 << 17


@dataclass(frozen=True, eq=False)
class Table:
    """A linear map along one axis: ``out[o] = sum over t of weight[t, o] * x[index[t, o]]``.

    Outputs in ``idle`` have no term: they are zero, whatever stands in their place.

    Examples
    --------
    >>> bilinear(2, 4).index.T.tolist(), bilinear(2, 4).weight.T.tolist()
    ([[0, 0], [0, 1], [0, 1], [1, 1]], [[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5]])
    """

    size: int
    index: np.ndarray
    weight: np.ndarray
    idle: np.ndarray

    @property
    def outputs(self) -> int:
        """How many cells the table makes of ``size``."""
        return self.index.shape[1]

    @functools.cached_property
    def unweighted(self) -> bool:
        """Whether all weights are 1, so that there is nothing to multiply."""
        return bool((self.weight == 1).all())

    @functools.cached_property
    def is_full(self) -> bool:
        """Whether every output sums all cells in order: then the weights are a plain matrix."""
        terms = np.arange(self.size)[:, None]
        return len(self.index) == self.size > 1 and bool((self.index == terms).all())

    @functools.cached_property
    def transposed(self) -> Table:
        """The table of the adjoint: from each input cell's view, the outputs it went into.

        Examples
        --------
        >>> bilinear(2, 4).transposed.index.T.tolist()
        [[0, 1, 2], [1, 2, 3]]
        """
        terms: list[dict[int, float]] = [{} for _ in range(self.size)]
        for cells, weights in zip(self.index.tolist(), self.weight.tolist(), strict=True):
            for out in sorted(set(range(self.outputs)) - set(self.idle.tolist())):
                row = terms[cells[out]]
                row[out] = row.get(out, 0.0) + weights[out]
        return _table(self.outputs, [sorted(row.items()) for row in terms])


def _table(size: int, rows: Sequence[Sequence[tuple[int, float]]]) -> Table:
    """A table from each output's (cell, weight) terms, which may differ in number.

    Terms of weight 0 are left out, and an output with fewer terms than others repeats its last one
    at half the weight (w = w/2 + w/2, exactly): filling up with weights of 0 would turn an infinite
    value that takes no part into NaN.
    """
    kept = [[term for term in row if term[1] != 0] for row in rows]
    idle = [out for out, row in enumerate(kept) if not row]
    for out in idle:
        kept[out] = [(0, 1.0)]
    length = max(map(len, kept), default=1)
    for row in kept:
        while len(row) < length:
            cell, weight = row.pop()
            row += [(cell, weight / 2), (cell, weight / 2)]
    index = np.array([[cell for cell, _ in row] for row in kept], dtype=np.int64)
    weights = np.array([[weight for _, weight in row] for row in kept], dtype=np.float64)
    return Table(size, index.T.copy(), weights.T.copy(), np.array(idle, dtype=np.int64))


@functools.lru_cache(maxsize=256)
def nearest(size: int, outputs: int, scale: float | None = None) -> Table:
    """Each output cell copies the input cell ``floor(out * step)``.

    ``step`` is ``size / outputs``, or ``1 / scale`` where a scale is given, unless the axis keeps
    its size or doubles it: there PyTorch takes the ratio of the sizes all the same.

    Examples
    --------
    >>> nearest(3, 5).index.tolist()
    [[0, 0, 1, 1, 2]]
    """
    if scale is None or outputs in (size, 2 * size):
        step = np.float32(size) / np.float32(outputs)
    else:
        step = np.float32(1 / scale)
    # PyTorch computes this coordinate in float32: the same cells only with the same rounding.
    source = (np.arange(outputs, dtype=np.float32) * step).astype(np.int64)
    return _table(size, [[(int(cell), 1.0)] for cell in np.minimum(source, size - 1)])


@functools.lru_cache(maxsize=256)
def bilinear(
    size: int, outputs: int, scale: float | None = None, align_corners: bool = False
) -> Table:
    """Each output cell lies between two input cells, which share its weight by their nearness.

    Its coordinate is ``(out + 1/2) * step - 1/2``, at least 0, with ``step = size / outputs``, or
    ``1 / scale`` where a scale is given and the size changes; or, with ``align_corners``,
    ``out * (size - 1) / (outputs - 1)``.

    Examples
    --------
    >>> bilinear(3, 2, align_corners=True).index.tolist()
    [[0, 2]]
    """
    if align_corners:
        coordinates = np.arange(outputs) * ((size - 1) / max(outputs - 1, 1))
    else:
        step = 1 / scale if scale and outputs != size else size / outputs
        coordinates = np.maximum((np.arange(outputs) + 0.5) * step - 0.5, 0.0)
    rows = []
    for coordinate in coordinates.tolist():
        before = min(math.floor(coordinate), size - 1)
        share = min(coordinate - before, 1.0) if before < size - 1 else 0.0
        rows.append([(before, 1.0 - share), (before + 1, share)])
    return _table(size, rows)


def bin_edges(size: int, outputs: int, xp: Any = np) -> tuple[Array, Array]:
    """Where each bin begins, ``floor(bin*size/outputs)``, and ends, ``ceil((bin+1)*size/outputs)``.

    Examples
    --------
    >>> bin_edges(5, 3)
    (array([0, 1, 3]), array([2, 4, 5]))
    """
    bins = xp.arange(outputs)
    return bins * size // outputs, -(-(bins + 1) * size // outputs)


@functools.lru_cache(maxsize=256)
def sums(size: int, outputs: int) -> Table:
    """Each output is the sum of one bin of an adaptive pooling; see :func:`bin_edges`.

    Examples
    --------
    >>> sums(5, 2).index.T.tolist(), sums(5, 2).weight.T.tolist()
    ([[0, 1, 2], [2, 3, 4]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    """
    edges = (edge.tolist() for edge in bin_edges(size, outputs))
    return _table(size, [[(cell, 1.0) for cell in range(*bin)] for bin in zip(*edges, strict=True)])


@functools.lru_cache(maxsize=256)
def _on_device(table: Table, device: str, dtype: np.dtype) -> tuple[Array, Array, Array]:
    arrays = (table.index, table.weight.astype(dtype), table.idle)
    index, weight, idle = (to_device(array, device) for array in arrays)
    return index, weight, idle


def resample(x: Array, rows: Table, columns: Table) -> Array:
    """The map (N, C, H, W) with one table applied down its columns and one along its rows.

    Returns
    -------
    (N, C, rows.outputs, columns.outputs), channels-last in memory

    Examples
    --------
    >>> resample(np.array([[[[1, 3, 5]]]]), nearest(1, 2), nearest(3, 4))[0, 0]
    array([[1, 1, 3, 5],
           [1, 1, 3, 5]])
    """
    xp = array_module(x)
    images, channels, height, width = x.shape
    source = x.transpose(0, 2, 3, 1)
    target = xp.empty((images, rows.outputs, columns.outputs, channels), dtype=x.dtype)
    # Gathering columns costs more than gathering rows, so it is done on the smaller map.
    columns_first = rows.outputs >= height

    def work(source: Array, target: Array) -> None:
        count = len(source)
        source = xp.ascontiguousarray(source)
        if columns_first:
            halfway = xp.empty((count, height, columns.outputs, channels), dtype=x.dtype)
            _along_columns(source, columns, halfway)
            _along_rows(halfway, rows, target)
        else:
            halfway = xp.empty((count, rows.outputs, width, channels), dtype=x.dtype)
            _along_rows(source, rows, halfway)
            _along_columns(halfway, columns, target)

    over_images(work, source, target)
    return target.transpose(0, 3, 1, 2)


def _along_rows(x: Array, table: Table, out: Array) -> None:
    images, height, width, channels = x.shape
    run = width * channels
    _apply(x.reshape(images, height, run), table, out.reshape(images, table.outputs, run))


def _along_columns(x: Array, table: Table, out: Array) -> None:
    images, height, width, channels = x.shape
    lines = images * height
    _apply(x.reshape(lines, width, channels), table, out.reshape(lines, table.outputs, channels))


def _apply(x: Array, table: Table, out: Array) -> None:
    """The table along the middle axis of ``x``, written into ``out``; both are C-contiguous."""
    xp = array_module(x)
    index, weight, idle = _on_device(table, device_of(x), x.dtype)
    run = x.shape[2]
    if table.is_full:
        out[...] = matmul(weight.T, x)
        return
    weight = weight[:, :, None]
    if run < LONG_RUN and xp is np:
        weight = np.repeat(weight, run, axis=2)
    for lines, outputs in _blocks(xp, *out.shape):
        target = out[lines, outputs]
        for term in range(len(table.index)):
            part = _gather(x[lines], index[term, outputs])
            if not table.unweighted:
                part *= weight[term, outputs]
            if term:
                target += part
            else:
                target[...] = part
    if len(table.idle):
        out[:, idle] = 0


def _blocks(xp: Any, lines: int, outputs: int, run: int) -> Iterator[tuple[slice, slice]]:
    """Parts of a result that stay in a processor's cache while terms are added to them."""
    if xp is not np:
        yield slice(None), slice(None)
        return
    most_outputs = max(BLOCK // max(run, 1), 1)
    most_lines = max(BLOCK // max(run * outputs, 1), 1)
    for line in range(0, lines, most_lines):
        for output in range(0, outputs, most_outputs):
            yield slice(line, line + most_lines), slice(output, output + most_outputs)


def _gather(x: Array, cells: Array) -> Array:
    """``x[:, cells]``, on NumPy in memory that the next call reuses."""
    xp = array_module(x)
    if xp is not np:
        return xp.take(x, cells, axis=1)
    part = scratch(np, (len(x), len(cells), x.shape[2]), x.dtype)
    # "clip" lets NumPy write straight into ``out``; no index here needs clipping.
    return np.take(x, cells, axis=1, out=part, mode="clip")


def max_over_bins(x: Array, outputs: Pair) -> tuple[Array, Array]:
    """The largest value in each bin, and its place ``row * W + column`` (int64).

    Of equal values the first wins, row by row; a NaN beats every number, and of several the last
    wins. First each row is searched bin by bin (see :func:`bin_edges`), then each bin's rows.

    Examples
    --------
    >>> values, places = max_over_bins(np.array([[[[1, 5, 2], [4, 7, 3]]]]), (1, 2))
    >>> values[0, 0], places[0, 0]
    (array([[7, 7]]), array([[4, 4]]))
    """
    xp = array_module(x)
    maps = xp.ascontiguousarray(x.transpose(0, 2, 3, 1))
    _, height, width, _ = maps.shape
    # The tables of the sums list the cells of each bin; short bins repeat their last one.
    rows, columns = (
        _on_device(sums(size, count), device_of(x), x.dtype)[0]
        for size, count in ((height, outputs[0]), (width, outputs[1]))
    )
    value = xp.take(maps, columns[0], axis=2)
    place = xp.zeros(value.shape, dtype=np.int64) + columns[0][:, None]
    for cells in columns[1:]:
        _keep_larger(value, place, xp.take(maps, cells, axis=2), cells[:, None])
    place += xp.arange(height)[:, None, None] * width
    best, where = (xp.take(a, rows[0], axis=1) for a in (value, place))
    for cells in rows[1:]:
        _keep_larger(best, where, *(xp.take(a, cells, axis=1) for a in (value, place)))
    return best.transpose(0, 3, 1, 2), where.transpose(0, 3, 1, 2)


def _keep_larger(best: Array, where: Array, seen: Array, its_place: Array) -> None:
    xp = array_module(best)
    better = (seen > best) | (seen != seen)
    best[...] = xp.where(better, seen, best)
    where[...] = xp.where(better, its_place, where)
