"""Values at remembered places of a map: put there, read from there, added there.

A place is ``row * W + column`` in the plane of its own image and channel, as a max pooling
remembers it. Maps are ``(N, C, H, W)``; results are channels-last in memory.
"""

from __future__ import annotations

import numpy as np

from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.kernels.cuda import on_gpu
from minisegnet.kernels.maps import Pair


@on_gpu(cuda.put)
def put(values: Array, places: Array, size: Pair) -> tuple[Array, Array | None]:
    """A map of zeros with each value at its place.

    Where several values name one place, the last of them stays, row by row.

    Returns
    -------
    map : (N, C, *size)
    stayed : None or array of bool
        Which values stayed, in the shape of ``values``; None if it is known that all did.

    Examples
    --------
    >>> y, stayed = put(np.array([[[[5, 6, 7]]]]), np.array([[[[3, 0, 3]]]]), (2, 3))
    >>> y[0, 0], stayed[0, 0]
    (array([[6, 0, 0],
           [7, 0, 0]]), array([[False,  True,  True]]))
    """
    xp = array_module(values)
    address = _addresses(places, size)
    images, channels = values.shape[:2]
    cells = images * channels * size[0] * size[1]
    stayed = None
    # To ask a GPU whether places repeat would take longer than to act as if they did.
    if xp is not np or _repeats(address, cells):
        order = xp.arange(address.size)
        last = xp.full(cells, -1, dtype=order.dtype)
        xp.maximum.at(last, address, order)
        stayed = last[address] == order
        # What does not stay goes to a spare cell: of several assignments any might win on a GPU.
        address = xp.where(stayed, address, cells)
        stayed = _in_shape(stayed, places)
    flat = xp.zeros(cells + 1, dtype=values.dtype)
    flat[address] = values.transpose(0, 2, 3, 1).ravel()
    return flat[:cells].reshape(images, *size, channels).transpose(0, 3, 1, 2), stayed


def read(x: Array, places: Array) -> Array:
    """The value at each place.

    Examples
    --------
    >>> read(np.array([[[[1, 2, 3], [4, 5, 6]]]]), np.array([[[[3, 0, 3]]]]))[0, 0]
    array([[4, 1, 4]])
    """
    address = _addresses(places, x.shape[2:])
    return _in_shape(x.transpose(0, 2, 3, 1).ravel().take(address), places)


def add(values: Array, places: Array, size: Pair) -> Array:
    """A map of zeros with each value added at its place.

    Examples
    --------
    >>> add(np.array([[[[5, 6, 7]]]]), np.array([[[[3, 0, 3]]]]), (2, 3))[0, 0]
    array([[ 6,  0,  0],
           [12,  0,  0]])
    """
    xp = array_module(values)
    images, channels = values.shape[:2]
    flat = xp.zeros(images * channels * size[0] * size[1], dtype=values.dtype)
    xp.add.at(flat, _addresses(places, size), values.transpose(0, 2, 3, 1).ravel())
    return flat.reshape(images, *size, channels).transpose(0, 3, 1, 2)


def _addresses(places: Array, size: Pair) -> Array:
    """Where each place is in the memory of a channels-last map, as one row of numbers."""
    xp = array_module(places)
    images, channels = places.shape[:2]
    address = places.transpose(0, 2, 3, 1).astype(np.int64, order="C")
    address *= channels
    first = xp.arange(images)[:, None] * (size[0] * size[1] * channels) + xp.arange(channels)
    address += first[:, None, None]
    return address.ravel()


def _repeats(address: np.ndarray, cells: int) -> bool:
    used = np.zeros(cells, dtype=bool)
    used[address] = True
    return int(np.count_nonzero(used)) < address.size


def _in_shape(row: Array, places: Array) -> Array:
    images, channels, height, width = places.shape
    return row.reshape(images, height, width, channels).transpose(0, 3, 1, 2)
