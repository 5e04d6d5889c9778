"""Joining and choosing: put tensors together, or pick values from one or the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minisegnet.arithmetic import Rule, as_float, promote
from minisegnet.autograd import Tensor, op, reshape
from minisegnet.backend import Array, array_module, concatenate
from minisegnet.kernels.rows import as_table, axis_index, from_table, join_columns


def cat(tensors: Iterable[Any], dim: int = 0) -> Tensor:
    """Put tensors one after the other along a dimension they already have.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of equal lengths in all dimensions but ``dim``. Different dtypes become the widest of them.
    dim : int
        1 puts maps (N, C, H, W) on top of one another, as the skips of a U-Net are.

    Raises
    ------
    ValueError
        If there are no tensors, or their lengths differ in another dimension.
    IndexError
        If there is no such dimension.
    TypeError
        If ``tensors`` is a single tensor, or they are on different devices.

    Examples
    --------
    >>> import minisegnet as ms
    >>> cat([ms.tensor([[1, 2], [3, 4]]), ms.tensor([[5], [6]])], dim=1).tolist()
    [[1, 2, 5], [3, 4, 6]]
    """
    parts = _sequence(tensors, "cat")
    axis = _axis("cat", dim, len(parts[0].shape))
    for number, part in enumerate(parts):
        _check_fits(parts[0], part, number, axis)
    return _cat(*parts, axis=axis)


@op
def _cat(*arrays: Array, axis: int) -> Rule:
    xp = array_module(*arrays)
    floats = [x.dtype for x in arrays if x.dtype.kind == "f"]
    dtype = np.result_type(*(floats or [x.dtype for x in arrays]))
    values = [x.astype(dtype, copy=False) for x in arrays]
    ends = np.cumsum([x.shape[axis] for x in arrays]).tolist()

    moved = [xp.moveaxis(x, 1, -1) for x in values] if axis == 1 else []
    if moved and all(x.flags.c_contiguous for x in moved):
        # Maps that are channels-last in memory stay so.
        shape = (*values[0].shape[:1], ends[-1], *values[0].shape[2:])
        value = from_table(join_columns([as_table(x) for x in values]), shape)
    else:
        value = concatenate(values, axis=axis)

    def backward(grad):
        pieces = zip([0, *ends[:-1]], ends, strict=True)
        return tuple(grad[(slice(None),) * axis + (slice(*piece),)] for piece in pieces)

    return value, backward


def stack(tensors: Iterable[Any], dim: int = 0) -> Tensor:
    """Put tensors of one shape side by side along a new dimension.

    Parameters
    ----------
    tensors : sequence of Tensor
        All of the same shape.
    dim : int
        Where the new dimension shall stand in the result.

    Raises
    ------
    ValueError
        If there are no tensors, or their shapes differ.
    IndexError
        If the result cannot have the new dimension there.

    Examples
    --------
    >>> import minisegnet as ms
    >>> stack([ms.tensor([1, 2, 3]), ms.tensor([4, 5, 6])], dim=1).tolist()
    [[1, 4], [2, 5], [3, 6]]
    """
    parts = _sequence(tensors, "stack")
    shape = tuple(parts[0].shape)
    axis = _axis("stack", dim, len(shape) + 1)
    for number, part in enumerate(parts):
        if tuple(part.shape) != shape:
            raise ValueError(
                f"stack: tensor {number} has shape {tuple(part.shape)} but tensor 0 {shape}: give "
                "tensors of one shape, or join them with cat along a dimension they have"
            )
    return _cat(*(reshape(x, (*shape[:axis], 1, *shape[axis:])) for x in parts), axis=axis)


def _sequence(tensors: Iterable[Any], name: str) -> list[Any]:
    if hasattr(tensors, "shape"):
        raise TypeError(
            f"{name}: got one tensor of shape {tuple(tensors.shape)}: give a list of tensors"
        )
    parts = list(tensors)
    if not parts:
        raise ValueError(f"{name}: there is nothing to join: give at least one tensor")
    for number, part in enumerate(parts):
        if not hasattr(part, "shape"):
            raise TypeError(
                f"{name}: entry {number} is a {type(part).__name__}, not a tensor: "
                "make it one with tensor(...)"
            )
    return parts


def _axis(name: str, dim: int, ndim: int) -> int:
    try:
        return axis_index(dim, ndim)
    except (IndexError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _check_fits(first: Any, other: Any, number: int, axis: int) -> None:
    """Refuse a tensor that differs from the first in more than the length of one axis."""
    a, b = tuple(first.shape), tuple(other.shape)
    if len(a) != len(b):
        raise ValueError(
            f"cat: tensor {number} has {len(b)} dimensions, shape {b}, but tensor 0 has {len(a)}, "
            f"shape {a}: they must have the same number"
        )
    differing = [i for i in range(len(a)) if i != axis and a[i] != b[i]]
    if not differing:
        return
    if len(a) == 4 and axis == 1 and a[0] == b[0]:
        raise ValueError(
            f"cat: tensor 0 is {a[2]}x{a[3]} but tensor {number} is {b[2]}x{b[3]} (shapes {a} and "
            f"{b}). {_why_sizes_differ(a[2:], b[2:])}"
        )
    lengths = ", ".join(f"{a[i]} and {b[i]} in dimension {i}" for i in differing)
    raise ValueError(
        f"cat: along dimension {axis} the other lengths must be equal, but tensor 0 has shape {a} "
        f"and tensor {number} {b}: {lengths}. Crop or pad one of them"
    )


def _why_sizes_differ(a: Sequence[int], b: Sequence[int]) -> str:
    """What made two maps differ in rows or columns, if it can be told, and what to do."""
    lost = [
        (name, max(m, n))
        for name, m, n in zip(("row", "column"), a, b, strict=True)
        if abs(m - n) == 1 and max(m, n) % 2
    ]
    if lost:
        name, size = lost[0]
        return (
            f"{size} is odd, so a pooling dropped a {name}: pad the input to a multiple of "
            "2 ** (number of poolings), 16 for four, or crop the larger map"
        )
    return "Crop the larger map, or resize one of them with interpolate(..., size=...)"


@op
def where(condition: Array, input: Array, other: Array) -> Rule:
    """``input`` where the condition holds, ``other`` elsewhere.

    Parameters
    ----------
    condition : Tensor of bool
    input, other : Tensor or number
        All three broadcast together.

    Raises
    ------
    TypeError
        If the condition is not boolean.
    ValueError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[-1.0, 2.0, 3.0], [4.0, -5.0, -6.0]])
    >>> where(x > 0, x, 0.0).tolist()
    [[0.0, 2.0, 3.0], [4.0, 0.0, 0.0]]
    """
    xp = array_module(condition, input, other)
    condition = xp.asarray(condition)
    if condition.dtype != np.bool_:
        raise TypeError(f"the condition is {condition.dtype}, not bool: compare, as in mask != 0")
    if hasattr(input, "dtype") or hasattr(other, "dtype"):
        a, b = promote(input, other)
    else:
        a, b = (xp.asarray(number) for number in (input, other))
        if a.dtype.kind == "f" or b.dtype.kind == "f":
            a, b = a.astype(np.float32), b.astype(np.float32)

    def backward(grad):
        return None, lambda: xp.where(condition, grad, 0), lambda: xp.where(condition, 0, grad)

    return xp.where(condition, a, b), backward


@op
def maximum(input: Array, other: Array) -> Rule:
    """The larger of two values, element by element; the gradient goes to the larger one.

    Where both are equal, each takes half of the gradient.

    Parameters
    ----------
    input, other : Tensor or number
        They broadcast together.

    Examples
    --------
    >>> import minisegnet as ms
    >>> maximum(ms.tensor([1, 5, 3]), ms.tensor([4, 2, 3])).tolist()
    [4, 5, 3]
    """
    a, b = promote(input, other)
    xp = array_module(a, b)
    return xp.maximum(a, b), _to_the_winner(a, b, xp.greater)


@op
def minimum(input: Array, other: Array) -> Rule:
    """The smaller of two values, element by element; the gradient goes to the smaller one.

    Where both are equal, each takes half of the gradient.

    Parameters
    ----------
    input, other : Tensor or number
        They broadcast together.

    Examples
    --------
    >>> import minisegnet as ms
    >>> minimum(ms.tensor([1, 5, 3]), 3).tolist()
    [1, 3, 3]
    """
    a, b = promote(input, other)
    xp = array_module(a, b)
    return xp.minimum(a, b), _to_the_winner(a, b, xp.less)


def _to_the_winner(a: Array, b: Array, wins: Any) -> Any:
    def share(grad, one, another):
        xp = array_module(grad)
        return xp.where(wins(one, another), grad, xp.where(one == another, 0.5 * grad, 0))

    def backward(grad):
        return lambda: share(grad, a, b), lambda: share(grad, b, a)

    return backward


@op
def clip(input: Array, min: float | None = None, max: float | None = None) -> Rule:
    """Limit the values to the range from ``min`` to ``max``.

    The gradient passes where the value lies within the range, its ends included, and is zero
    elsewhere.

    Parameters
    ----------
    input : Tensor
    min, max : float, optional
        At least one of them. Where ``min`` is above ``max``, all values become ``max``.

    Raises
    ------
    ValueError
        If neither is given.
    TypeError
        If one of them is not a number.

    Examples
    --------
    >>> import minisegnet as ms
    >>> clip(ms.tensor([-3, 1, 8, 5]), min=0, max=5).tolist()
    [0, 1, 5, 5]
    """
    if min is None and max is None:
        raise ValueError("give min, max or both")
    low, high = _bound(min, "min"), _bound(max, "max")
    x = as_float(input) if isinstance(low, float) or isinstance(high, float) else input
    xp = array_module(x)
    value = x if low is None else xp.maximum(x, low)
    value = value if high is None else xp.minimum(value, high)

    def backward(grad):
        inside = True if low is None else x >= low
        inside = inside if high is None else inside & (x <= high)
        return (grad * inside,)

    return value, backward


def _bound(value: Any, name: str) -> int | float | None:
    """A Python number, which never changes the dtype of an array."""
    number = value.item() if isinstance(value, np.generic) else value
    if number is None or isinstance(number, (int, float)):
        return number
    raise TypeError(
        f"{name} is a {type(value).__name__}, not a number: between tensors use maximum and minimum"
    )
