"""A correlation in which every channel is by itself.

With a group for each input channel (``groups == C``) a matrix product would have a single kernel as
its matrix, which is no work for BLAS. There are two ways round that:

- *In blocks*: eight channels are computed as if each saw all eight, with zeros for the kernels that
  there are not (:func:`as_blocks`). Seven of eight products are wasted, and yet that is quicker.
- *By taps*, for numbers of channels that make no blocks: one multiplication and one addition of
  whole rows for each tap, the map shifted by the tap times its weight of each channel. A row of the
  map, all channels of all its columns, is one long run in memory, so the weights are repeated once
  for each column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from minisegnet.backend import Array
from minisegnet.kernels.gathering import Band, framed
from minisegnet.kernels.parallel import run_shares, scratch
from minisegnet.kernels.phases import Phase

# Numbers in a band: a quarter of a megabyte of float32, for three bands have to fit the cache.
BAND_NUMBERS = 1 << 16

#: Channels in a block, the first that divides their number.
BLOCKS = (8, 4)

#: Fewer outputs of an image are computed as any other groups are, from whole windows: where a large
#: stride is undone there are thousands of taps, and a call for each would do next to nothing.
LEAST_OUTPUTS = 1 << 12


def is_worthwhile(found: Sequence[Phase], channels: int) -> bool:
    """Whether the outputs of an image are so many that going tap by tap, or in blocks, is quicker.

    Examples
    --------
    >>> from minisegnet.kernels.phases import phases
    >>> found = list(phases((64, 64), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)))
    >>> is_worthwhile(found, channels=3), is_worthwhile(found[:0], channels=3)
    (True, False)
    """
    return any(p.rows.length * p.columns.length * channels >= LEAST_OUTPUTS for p in found)


def block_of(channels: int) -> int:
    """How many channels are computed as a block; 1 if they are computed tap by tap.

    Examples
    --------
    >>> block_of(24), block_of(12), block_of(17)
    (8, 4, 1)
    """
    return next((size for size in BLOCKS if channels % size == 0), 1)


def as_blocks(w: Array, block: int) -> Array:
    """Kernels of single channels (C, 1, kH, kW) as kernels of blocks (C, block, kH, kW).

    Examples
    --------
    >>> as_blocks(np.array([2, 3, 4, 5]).reshape(4, 1, 1, 1), 2)[:, :, 0, 0]
    array([[2, 0],
           [0, 3],
           [4, 0],
           [0, 5]])
    """
    channels = np.arange(len(w))
    wide = np.zeros((len(w), block, *w.shape[2:]), dtype=w.dtype)
    wide[channels, channels % block] = w[:, 0]
    return wide


def from_blocks(wide: Array) -> Array:
    """What :func:`as_blocks` was made of.

    Examples
    --------
    >>> from_blocks(np.array([[2, 7], [8, 3]]).reshape(2, 2, 1, 1))[:, :, 0, 0]
    array([[2],
           [3]])
    """
    channels = np.arange(len(wide))
    return wide[channels, channels % wide.shape[1]][:, None]


def is_finite(x: Array) -> bool:
    """Whether blocks may be used: the zeros in them must meet no infinity of another channel.

    Examples
    --------
    >>> is_finite(np.array([1.0, 2.0])), is_finite(np.array([1.0, np.inf]))
    (True, False)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()))


class Tap(NamedTuple):
    """One tap of the kernel: its place in it, and what it sees of a band of a map."""

    row: int
    column: int
    cells: Array


def correlate(maps: Array, w: Array, out: Array, phase: Phase) -> None:
    """Correlate the channels of ``maps`` with a kernel each, into the phase's part of an output.

    Parameters
    ----------
    maps : array (N, H, W, C)
    w : array (C, 1, kH, kW)
    out : array (N, rows, columns, C), of the phase alone
    phase : Phase
    """
    taps = phase.taps_of(w)[:, 0]
    columns = phase.columns.length
    # (kH, kW, columns, C): a row of weights for each tap.
    weights = np.broadcast_to(
        taps.transpose(1, 2, 0)[:, :, None], (*taps.shape[1:], columns, len(w))
    ).astype(out.dtype)

    def share(bands: Sequence[Band]) -> None:
        for n, r in bands:
            total = scratch(np, out[n, r].shape, out.dtype, number=2)
            product = scratch(np, total.shape, out.dtype, number=3)
            for number, tap in enumerate(_taps(maps, phase, n, r)):
                weight = weights[tap.row, tap.column]
                np.multiply(tap.cells, weight, out=product if number else total)
                if number:
                    total += product
            out[n, r] = total

    run_shares(np, share, _bands(out), blas=False)


def products(maps: Array, cells: Array, phase: Phase) -> Array:
    """The windows of each channel times its cells, summed: (kH, kW, C) of the phase's taps.

    Parameters
    ----------
    maps : array (N, H, W, C)
    cells : array (N, rows, columns, C), of the phase alone
    phase : Phase
    """
    counts = (phase.rows.tap_count, phase.columns.tap_count)

    def share(bands: Sequence[Band]) -> Array:
        total = np.zeros((*counts, maps.shape[3]), dtype=maps.dtype)
        for n, r in bands:
            band = cells[n, r]
            product = scratch(np, band.shape, maps.dtype, number=2)
            for tap in _taps(maps, phase, n, r):
                np.multiply(tap.cells, band, out=product)
                sums = product.reshape(-1, band.shape[2] * band.shape[3]).sum(axis=0)
                total[tap.row, tap.column] += sums.reshape(-1, band.shape[3]).sum(axis=0)
        return total

    return sum(run_shares(np, share, _bands(cells), blas=False))


def _taps(maps: Array, phase: Phase, n: slice, r: slice) -> Iterator[Tap]:
    """What each tap sees of the rows of outputs ``r`` of the images ``n``."""
    rows, columns = phase
    frame = framed(maps[n], rows.span(r.start, r.stop), columns.span(0, columns.length))
    high, wide = (r.stop - r.start - 1) * rows.stride + 1, (columns.length - 1) * columns.stride + 1
    for i in range(rows.tap_count):
        for j in range(columns.tap_count):
            top, left = i * rows.dilation, j * columns.dilation
            cells = frame[:, top : top + high : rows.stride, left : left + wide : columns.stride]
            yield Tap(i, j, cells)


def _bands(out: Array) -> list[Band]:
    images, rows = out.shape[:2]
    at_once = max(1, min(rows, BAND_NUMBERS // max(1, out.shape[2] * out.shape[3])))
    return [
        (slice(n, n + 1), slice(r, min(r + at_once, rows)))
        for n in range(images)
        for r in range(0, rows, at_once)
    ]
