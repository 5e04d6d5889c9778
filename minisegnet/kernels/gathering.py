"""Gathering: windows copied side by side, so that a correlation becomes a matrix product.

A window of a channels-last map is a row of ``kH * kW * C`` numbers of the matrix. Two ways to lay
the rows out:

- *apart* (``im2col``): every window is copied. Nine copies of each number for a 3x3 kernel.
- *overlapping*: windows below one another share all but ``stride`` of their rows. Copied with the
  map's rows innermost, ``(W_out, H, kW * C)``, the windows of one column of outputs overlap in
  memory, and window r begins ``stride * kW * C`` numbers after window 0. Only kW copies of each
  number. The price: the matrix products are those of single rows of outputs, so they are small.

Either is done for a band of rows at a time, padding included, so that what was gathered is still
in the processor's cache when it is multiplied.
"""

from __future__ import annotations

import math

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.kernels.parallel import get_num_threads, scratch
from minisegnet.kernels.phases import Pair, Phase

# Numbers in one gathered band: a megabyte of float32 on a processor, whose cache must hold it
# besides what is multiplied; a GPU wants few large products instead.
BAND_NUMBERS = 1 << 18
BAND_NUMBERS_ON_GPU = 1 << 27

# So many numbers in a window, or more, make kernels that fill the cache by themselves. A product
# then takes long to get them ready, and needs many windows at once to be worth that.
LONG_WINDOW = 256

# With fewer multiplications, handing work over to a second thread costs more than it saves.
WORTH_A_THREAD = 1 << 22

# Products for so many outputs take so long that the gathering hardly counts.
MANY_OUTPUTS = 64

Band = tuple[slice, slice]


class Gathering:
    """The windows that a phase of a correlation looks at, on maps (N, H, W, C).

    Parameters
    ----------
    maps : array (N, H, W, C)
    phase : Phase
    groups : int
        The channels of a window are gathered for each group by itself.
    outputs : int
        How many channels the windows will be multiplied into.

    Examples
    --------
    >>> from minisegnet.kernels.phases import phases
    >>> maps = np.arange(6).reshape(1, 2, 3, 1)
    >>> phase = next(phases((1, 2), (2, 2), (0, 0), (1, 1), (1, 1), (1, 1)))
    >>> windows = Gathering(maps, phase, groups=1, outputs=1)
    >>> [windows.columns(*band)[0, 0, 0] for band in windows.bands()]
    [array([[0, 1, 3, 4],
           [1, 2, 4, 5]])]
    """

    def __init__(self, maps: Array, phase: Phase, groups: int, outputs: int) -> None:
        self.module = array_module(maps)
        self._maps, self._phase, self._groups = maps, phase, groups
        rows, columns = phase
        self._channels = maps.shape[3] // groups
        self._outputs = outputs // groups
        self._length = rows.tap_count * columns.tap_count * self._channels
        self._overlapping = (
            self.module is np
            and rows.tap_count > rows.stride
            and rows.dilation == 1
            and self._outputs < MANY_OUTPUTS
            and self._outputs <= columns.length
        )

    @property
    def threads(self) -> int:
        """How many threads the product is worth."""
        rows, columns = self._phase
        products = len(self._maps) * rows.length * columns.length * self._length
        worth = products * self._outputs * self._groups // WORTH_A_THREAD
        return max(1, min(get_num_threads(), worth))

    def bands(self) -> list[Band]:
        """Bands (images, rows of outputs) whose gathered windows fit the cache."""
        rows, columns = self._phase
        images, per_row = len(self._maps), self._groups * columns.length * self._length
        if self._overlapping:
            per_row = per_row // rows.tap_count * rows.stride
        limit = BAND_NUMBERS_ON_GPU
        if self.module is np:
            long = 0 if self._overlapping else self._length // LONG_WINDOW
            limit = min(
                BAND_NUMBERS * max(1, long), -(-images * rows.length // self.threads) * per_row
            )
        rows_at_once = _evenly(rows.length, limit // max(per_row, 1))
        whole = rows_at_once == rows.length
        fitting = limit // max(per_row * rows.length, 1)
        together = _evenly(images, fitting, self.threads) if whole else 1
        return [
            (slice(n, min(n + together, images)), slice(r, min(r + rows_at_once, rows.length)))
            for n in range(0, images, together)
            for r in range(0, rows.length, rows_at_once)
        ]

    def columns(self, n: slice, r: slice) -> Array:
        """The windows of a band, (groups, images, rows, columns, kH * kW * C / groups).

        They may lie in memory that the thread's next call uses again.
        """
        if cuda.serves(self._maps):
            return cuda.gather(self._maps, self._phase, self._groups, n, r)
        rows, columns = self._phase
        frame = framed(self._maps[n], rows.span(r.start, r.stop), columns.span(0, columns.length))
        return (self._gather_overlapping if self._overlapping else self._gather)(frame)

    def _gather(self, frame: Array) -> Array:
        """The windows apart from one another."""
        rows, columns = self._phase
        sn, sh, sw, sc = frame.strides
        high = (frame.shape[1] - 1 - (rows.tap_count - 1) * rows.dilation) // rows.stride + 1
        windows = _strided(
            frame,
            (
                *(self._groups, len(frame), high, columns.length),
                *(rows.tap_count, columns.tap_count, self._channels),
            ),
            (
                *(self._channels * sc, sn, sh * rows.stride, sw * columns.stride),
                *(sh * rows.dilation, sw * columns.dilation, sc),
            ),
        )
        shape = (self._groups, len(frame), high, columns.length, self._length)
        if windows.flags.c_contiguous:
            return windows.reshape(shape)
        copy = scratch(self.module, windows.shape, windows.dtype)
        copy[...] = windows
        return copy.reshape(shape)

    def _gather_overlapping(self, frame: Array) -> Array:
        """The windows of one column of outputs overlapping in memory."""
        rows, columns = self._phase
        images, height = frame.shape[:2]
        sn, sh, sw, sc = frame.strides
        strips = _strided(
            frame,
            (
                *(self._groups, images, columns.length, height),
                *(columns.tap_count, self._channels),
            ),
            (
                *(self._channels * sc, sn, sw * columns.stride, sh),
                *(sw * columns.dilation, sc),
            ),
        )
        copy = scratch(np, strips.shape, strips.dtype)
        copy[...] = strips
        group, image, column, row = copy.strides[:4]
        high = (height - rows.tap_count) // rows.stride + 1
        return np.ndarray(
            (self._groups, images, high, columns.length, self._length),
            copy.dtype,
            copy,
            strides=(group, image, row * rows.stride, column, copy.itemsize),
        )


def _strided(x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """The memory of ``x`` seen with another shape and other strides."""
    if type(x) is np.ndarray and x.flags.c_contiguous:
        return np.ndarray(shape, x.dtype, x, 0, strides)  # a tenth of what as_strided takes
    return array_module(x).lib.stride_tricks.as_strided(x, shape=shape, strides=strides)


def _evenly(count: int, at_once: int, shares: int = 1) -> int:
    """At most ``at_once`` of them at a time (one at least), and about as many each time.

    The number of times divides into ``shares``, if there are enough of them.
    """
    times = -(-count // max(min(at_once, count), 1))
    times = -(-times // shares) * shares
    return max(-(-count // max(times, 1)), 1)


def framed(maps: Array, rows: Pair, columns: Pair) -> Array:
    """Exactly these rows and columns of the maps (N, H, W, C), zeros where there are none.

    In memory that the thread's next call uses again.

    Examples
    --------
    >>> framed(np.array([[[[1], [2], [3]]]]), rows=(0, 2), columns=(1, 4))[0, :, :, 0]
    array([[2, 3, 0],
           [0, 0, 0]])
    """
    inside = [
        slice(max(first, 0), max(min(behind, n), 0))
        for (first, behind), n in zip((rows, columns), maps.shape[1:3], strict=True)
    ]
    core = maps[:, inside[0], inside[1]]
    shape = (len(maps), rows[1] - rows[0], columns[1] - columns[0], maps.shape[3])
    if core.shape == shape:
        return core
    frame = scratch(array_module(maps), shape, maps.dtype, number=1)
    frame[...] = 0
    if math.prod(core.shape):
        top, left = inside[0].start - rows[0], inside[1].start - columns[0]
        frame[:, top : top + core.shape[1], left : left + core.shape[2]] = core
    return frame
