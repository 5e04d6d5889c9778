"""The rules of elementary arithmetic: each value, and how its gradient goes back.

Every rule takes arrays and returns ``(value, backward)``; ``backward(grad)`` returns one gradient
for each array argument. Nothing here knows what a tensor is: ``autograd`` turns the rules into the
operators and methods of ``Tensor``, and sums a gradient over the axes that broadcasting stretched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minisegnet.backend import Array, DType, array_module, library_of, to_device
from minisegnet.kernels import products

Rule = tuple[Array, Callable[[Array], tuple[Any, ...]]]


def as_float(x: Array) -> Array:
    """The array itself if it is floating, else the same values as float32."""
    if not hasattr(x, "dtype") or x.dtype.kind == "f":
        return x
    return x.astype(np.float32)


def promote(a: Array, b: Array) -> tuple[Array, Array]:
    """Bring two operands to one dtype, the way PyTorch does.

    A Python number never changes a floating dtype; an integer array beside a floating one takes
    the floating dtype (NumPy would answer float64); an array without dimensions does not promote
    one that has some.
    """
    if not hasattr(a, "dtype") or not hasattr(b, "dtype"):
        array, number = (a, b) if hasattr(a, "dtype") else (b, a)
        if isinstance(number, float) and array.dtype.kind != "f":
            array = as_float(array)
        return (array, number) if hasattr(a, "dtype") else (number, array)
    if a.dtype == b.dtype:
        return a, b
    a_floats, b_floats = a.dtype.kind == "f", b.dtype.kind == "f"
    if a_floats == b_floats:
        if (a.ndim == 0) == (b.ndim == 0) or not a_floats:
            dtype = np.result_type(a.dtype, b.dtype)
        else:
            dtype = b.dtype if a.ndim == 0 else a.dtype
    else:
        dtype = a.dtype if a_floats else b.dtype
    return a.astype(dtype, copy=False), b.astype(dtype, copy=False)


def add(a: Array, b: Array) -> Rule:
    """a + b."""
    a, b = promote(a, b)

    def backward(grad):
        return grad, grad

    return a + b, backward


def subtract(a: Array, b: Array) -> Rule:
    """a - b."""
    a, b = promote(a, b)

    def backward(grad):
        return grad, lambda: -grad

    return a - b, backward


def multiply(a: Array, b: Array) -> Rule:
    """a * b: the gradient of each factor is the other."""
    a, b = promote(a, b)

    def backward(grad):
        return lambda: grad * b, lambda: grad * a

    return a * b, backward


def divide(a: Array, b: Array) -> Rule:
    """a / b; integers divide into float32."""
    a, b = promote(as_float(a), as_float(b))
    value = a / b

    def backward(grad):
        return lambda: grad / b, lambda: -grad * value / b

    return value, backward


def power(a: Array, b: Array) -> Rule:
    """a ** b; d/da = b a^(b-1) and d/db = a^b log a, both 0 where the other factor makes it so."""
    a, b = promote(a, b)
    xp = array_module(a, b)
    value = a**b

    def base_gradient(grad):
        if not hasattr(b, "dtype"):
            return grad * (b * a ** (b - 1)) if b != 0 else xp.zeros_like(grad)
        # b == 0 makes a constant, also where a ** -1 has no value.
        return grad * xp.where(b == 0, 0, b * a ** xp.where(b == 0, 1, b - 1))

    def exponent_gradient(grad):
        if not hasattr(a, "dtype"):
            return grad * value * (math.log(a) if a > 0 else 0.0 if a == 0 else math.nan)
        return grad * value * xp.log(xp.where(a == 0, 1, a))

    def backward(grad):
        return lambda: base_gradient(grad), lambda: exponent_gradient(grad)

    return value, backward


def matmul(a: Array, b: Array) -> Rule:
    """a @ b over the last two axes; leading axes broadcast, a vector is a row or a column."""
    a, b = promote(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("needs at least one dimension on each side; multiply numbers with *")
    columns, rows = a.shape[-1], b.shape[-2] if b.ndim > 1 else b.shape[0]
    if columns != rows:
        raise ValueError(
            f"the left has {columns} columns and the right {rows} rows: they must be the same, "
            "so transpose or reshape one of them"
        )

    def backward(grad):
        rows = a[None, :] if a.ndim == 1 else a
        columns = b[:, None] if b.ndim == 1 else b
        grad = grad[..., None] if b.ndim == 1 else grad
        grad = grad[..., None, :] if a.ndim == 1 else grad

        def left():
            full = products.matmul(grad, columns.swapaxes(-1, -2))
            return full[..., 0, :] if a.ndim == 1 else full

        def right():
            full = products.matmul(rows.swapaxes(-1, -2), grad)
            return full[..., :, 0] if b.ndim == 1 else full

        return left, right

    return products.matmul(a, b), backward


def negative(x: Array) -> Rule:
    """-x."""
    return -x, lambda grad: (-grad,)


def exp(x: Array) -> Rule:
    """e**x, which is its own derivative."""
    x = as_float(x)
    value = array_module(x).exp(x)
    return value, lambda grad: (grad * value,)


def log(x: Array) -> Rule:
    """The natural logarithm; its derivative is 1/x."""
    x = as_float(x)
    return array_module(x).log(x), lambda grad: (grad / x,)


def sqrt(x: Array) -> Rule:
    """The square root; its derivative is 1 / (2 sqrt(x))."""
    value = array_module(x).sqrt(as_float(x))
    return value, lambda grad: (grad / (2 * value),)


def abs_(x: Array) -> Rule:
    """|x|; its derivative is the sign of x, and 0 at 0."""
    xp = array_module(x)
    return xp.abs(x), lambda grad: (grad * xp.sign(x),)


Axes = int | tuple[int, ...] | None


def _axes(axes: Axes, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(ndim))
    if isinstance(axes, int):
        axes = (axes,)
    for axis in axes:
        if not -ndim <= axis < max(ndim, 1):
            raise IndexError(f"dim {axis} is out of range for a tensor of {ndim} dimensions")
    return tuple(axis % ndim for axis in axes) if ndim else ()


def _restore(reduced: Array, axes: tuple[int, ...], ndim: int) -> Array:
    """Put the reduced axes back with length 1, so that the array broadcasts again."""
    if reduced.ndim == ndim:
        return reduced
    xp = array_module(reduced)
    return xp.expand_dims(reduced, axes)


def sum_(x: Array, axes: Axes = None, keepdims: bool = False) -> Rule:
    """The sum over axes; its gradient goes to every summand alike."""
    where = _axes(axes, x.ndim)
    xp = array_module(x)

    def backward(grad):
        return (xp.broadcast_to(_restore(grad, where, x.ndim), x.shape),)

    dtype = np.int64 if x.dtype.kind in "bui" else x.dtype
    return xp.sum(x, axis=where, keepdims=keepdims, dtype=dtype), backward


def mean(x: Array, axes: Axes = None, keepdims: bool = False) -> Rule:
    """The mean over axes: the sum divided by how many were summed."""
    x = as_float(x)
    where = _axes(axes, x.ndim)
    count = math.prod(x.shape[axis] for axis in where)
    if count == 0:
        raise ValueError(f"the mean of no values: shape {x.shape} is empty along {where}")
    value, backward_of_sum = sum_(x, where, keepdims)
    return value / count, lambda grad: backward_of_sum(grad / count)


def max_(x: Array, axes: Axes = None, keepdims: bool = False) -> Rule:
    """The largest value over axes; equal ones share the gradient evenly."""
    return _extreme(x, axes, keepdims, array_module(x).max)


def min_(x: Array, axes: Axes = None, keepdims: bool = False) -> Rule:
    """The smallest value over axes; equal ones share the gradient evenly."""
    return _extreme(x, axes, keepdims, array_module(x).min)


def _extreme(x: Array, axes: Axes, keepdims: bool, pick: Callable[..., Array]) -> Rule:
    where = _axes(axes, x.ndim)
    xp = array_module(x)
    if any(x.shape[axis] == 0 for axis in where):
        raise ValueError(f"no largest or smallest of no values: shape {x.shape} is empty")
    value = pick(x, axis=where, keepdims=keepdims)

    def backward(grad):
        chosen = (x == _restore(value, where, x.ndim)).astype(x.dtype)
        shares = chosen / xp.sum(chosen, axis=where, keepdims=True)
        return (shares * _restore(grad, where, x.ndim),)

    return value, backward


def reshape(x: Array, shape: tuple[int, ...]) -> Rule:
    """The same values in another shape."""
    return x.reshape(shape), lambda grad: (grad.reshape(x.shape),)


def permute(x: Array, dims: tuple[int, ...]) -> Rule:
    """The axes in another order; the gradient puts them back."""
    order = _axes(dims, x.ndim)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"dims {dims} must name each of the {x.ndim} dimensions once")
    back = tuple(int(axis) for axis in np.argsort(order))
    return x.transpose(order), lambda grad: (grad.transpose(back),)


def getitem(x: Array, index: Any) -> Rule:
    """x[index], for every kind of index NumPy has.

    Where an index repeats a cell, the gradients of all its copies are added.
    """
    parts = index if isinstance(index, tuple) else (index,)
    _check_index(x, parts)
    xp = array_module(x)
    picks_once = all(_is_basic(part) or _is_mask(part) for part in parts)

    def backward(grad):
        spread = xp.zeros(x.shape, dtype=grad.dtype)
        if picks_once:
            spread[index] = grad
        else:
            xp.add.at(spread, index, grad)
        return (spread,)

    return x[index], backward


def _is_basic(part: Any) -> bool:
    return (
        part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))
    ) and not isinstance(part, bool)


def _is_mask(part: Any) -> bool:
    dtype = getattr(part, "dtype", None)
    return isinstance(part, bool) or (dtype is not None and dtype.kind == "b")


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return getattr(part, "ndim", 0) if _is_mask(part) else 1


def _check_index(x: Array, parts: tuple[Any, ...]) -> None:
    """Refuse what NumPy refuses; CuPy wraps out-of-range integer arrays without a word."""
    if array_module(x) is np:
        return
    axis = 0
    for place, part in enumerate(parts):
        if part is Ellipsis:
            axis = x.ndim - sum(_axes_used(behind) for behind in parts[place:])
        if hasattr(part, "dtype") and part.dtype.kind in "iu" and part.ndim and part.size:
            low, high = int(part.min()), int(part.max())
            if low < -x.shape[axis] or high >= x.shape[axis]:
                raise IndexError(
                    f"index {low if low < -x.shape[axis] else high} is out of bounds "
                    f"for axis {axis} with size {x.shape[axis]}"
                )
        axis += _axes_used(part)


def convert(x: Array, device: str, dtype: DType) -> Rule:
    """The values on another device or in another dtype; the gradient travels back."""
    origin = library_of(x).device
    value = to_device(x, device).astype(dtype, copy=False)
    return value, lambda grad: (to_device(grad.astype(x.dtype, copy=False), origin),)
