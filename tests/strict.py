"""A stand-in for CuPy on machines without a GPU: ``xp``, ``StrictArray`` and ``library()``.

``xp`` has the names that CuPy 14 has, no others, and each function takes the parameters that CuPy's
takes. A program that runs on it uses nothing that CuPy lacks. It cannot show CuPy's speed, its
rounding, or the random order in which a GPU adds.

>>> x = xp.arange(6, dtype="float32").reshape(2, 3)
>>> x.sum(axis=0).get()
array([3., 5., 7.], dtype=float32)
>>> with counting() as seen:
...     largest = float(x.max())
>>> largest, seen.synchronisations
(5.0, 1)
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.strict_array import (
    StrictArray,
    arrays_in,
    call,
    elementwise,
    unwrap,
    wrap,
)
from tests.strict_index import host_index
from tests.strict_rules import (
    RECORDED,
    counting,
    refuse_host_array,
    signature_of,
    synchronised,
    traffic,
    uploaded,
)

__all__ = ["StrictArray", "counting", "library", "ndimage", "special", "traffic", "xp"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Functions that need no array to begin with.
_FROM_NOTHING = _names(
    "arange asarray array asanyarray ascontiguousarray asnumpy bartlett blackman broadcast_shapes "
    "can_cast diag_indices empty eye full generate_binary_structure get_array_module hamming "
    "hanning identity indices isdtype isscalar issubdtype iterable kaiser linspace logspace ndim "
    "ones promote_types result_type shape size tri tril_indices triu_indices zeros"
)
#: Functions that answer with a Python value; every other answer is an array, if a 0-d one.
_HOST_ANSWERS = _names(
    "broadcast_shapes can_cast get_array_module iscomplexobj isdtype isfortran isrealobj isscalar "
    "issubdtype iterable may_share_memory ndim shape shares_memory size"
)
#: Functions whose answer the host has to wait for, because its size depends on the values.
_WAITING = _names(
    "argwhere array2string array_repr array_str bincount choose compress extract flatnonzero "
    "histogram histogram2d histogramdd intersect1d isin nonzero place setdiff1d setxor1d "
    "trim_zeros union1d unique unique_all unique_counts unique_inverse unique_values label "
    "find_objects center_of_mass value_indices"
)
_KEEPING_ORDER = _names("copy empty_like full_like ones_like zeros_like")
_JOINING = _names("concatenate stack hstack vstack dstack column_stack row_stack")
#: What hides behind **kwargs in CuPy.
_OPTIONS = {"einsum": {"dtype", "optimize"}, "meshgrid": {"indexing", "copy", "sparse"}}
#: The dtypes for which CuPy has atomic operations.
_ATOMIC = {
    "add": "i4 i8 u4 u8 f2 f4 f8",
    "subtract": "i4 u4",
    "maximum": "i4 i8 u4 u8 f4 f8",
    "minimum": "i4 i8 u4 u8 f4 f8",
}


class Ufunc:
    """A ufunc with the arguments and methods that CuPy's has."""

    def __init__(self, name: str, target: Any, facts: dict[str, Any]) -> None:
        self.__name__ = self.name = name
        self.nin, self.nout = facts["nin"], facts["nout"]
        self._target, self._methods = target, facts["methods"]

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not self.nin <= len(args) <= self.nin + self.nout:
            raise TypeError(f"{self.name} takes {self.nin} arrays, not {len(args)}")
        if len(args) > self.nin:
            options["out"] = args[self.nin] if self.nout == 1 else args[self.nin :]
        return elementwise(self.name, self._target, *args[: self.nin], **options)

    def __getattr__(self, method: str) -> Any:
        if method not in ("at", "reduce", "accumulate", "reduceat"):
            raise AttributeError(method)
        if method not in self._methods:
            raise NotImplementedError(f"CuPy has no {self.name}.{method}")
        if method == "at":
            return self._at
        # CuPy's reduce and accumulate take neither initial nor where.
        known = ["indices"] if method == "reduceat" else []
        known += ["axis=", "dtype=", "out="] + (["keepdims="] if method == "reduce" else [])
        target = getattr(self._target, method)
        signature = signature_of(["array", *known])
        return lambda *args, **kwargs: call(method, target, signature, args, kwargs)

    def _at(self, a: StrictArray, indices: Any, b: Any) -> None:
        name = f"{self.name}.at"
        if isinstance(b, np.ndarray):
            raise refuse_host_array(name, b)
        places, kinds = host_index(a, indices, name)
        atomic = _ATOMIC.get(self.name, "i4 i8 u4 u8").split()
        if "integers" in kinds and a.dtype.str[1:] not in atomic:
            raise TypeError(f"CuPy's {name} does not support {a.dtype}: only {', '.join(atomic)}")
        values = unwrap(b, name)
        if kinds:
            values = np.asarray(values).astype(a.dtype)
        self._target.at(a._values, places, values)


class Function:
    """A function with the parameters that CuPy's has, computed by NumPy or SciPy."""

    def __init__(self, name: str, target: Callable[..., Any], parameters: list[str]) -> None:
        self.__name__ = self._name = name
        self._target, self._signature = target, signature_of(parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = self._name
        if name not in _FROM_NOTHING and not list(arrays_in([args, kwargs])):
            raise TypeError(f"{name}: no array on the device among the arguments")
        if name in _OPTIONS and set(kwargs) - _OPTIONS[name]:
            raise TypeError(f"CuPy's {name} takes no {sorted(set(kwargs) - _OPTIONS[name])[0]!r}")
        if name in _WAITING or (name == "where" and len(args) == 1):
            synchronised()
        if name in _JOINING and args and _by_way_of_the_host(list(arrays_in(args[0]))):
            uploaded()
        if name == "repeat" and len(list(arrays_in([args, kwargs]))) > 1:
            raise ValueError("repeat: CuPy wants the numbers of repeats on the host")
        target = self._target
        result = call(name, target, self._signature, args, kwargs, name in _KEEPING_ORDER)
        if isinstance(result, (bool, int, float)) and name not in _HOST_ANSWERS:
            result = StrictArray(np.asarray(result))
        return _nonsense(result) if name in ("empty", "empty_like") else result


def _by_way_of_the_host(arrays: list[StrictArray]) -> bool:
    """Whether CuPy joins them with one kernel, which reads their places from a table."""
    alike = len({array.dtype for array in arrays}) == 1
    return len(arrays) > 8 and alike and sum(a.nbytes for a in arrays) < len(arrays) << 21


def _nonsense(array: StrictArray) -> StrictArray:
    """Uninitialised memory, so that nobody relies on finding zeros there."""
    kind = array.dtype.kind
    array._values[...] = True if kind == "b" else np.nan if kind in "fc" else 77
    return array


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> StrictArray:
    """A device array with a copy of an array, host array, scalar or nested sequence."""
    if isinstance(obj, StrictArray):
        values = obj._values.astype(dtype or obj.dtype, order=order or "K", copy=bool(copy))
        if values.ndim < ndmin:
            values = values.reshape((1,) * (ndmin - values.ndim) + values.shape)
        return wrap(values, [obj], keep_order=True)
    if not list(arrays_in(obj)):
        uploaded()
    host = np.asarray(obj if isinstance(obj, np.ndarray) else unwrap(obj, "array"), dtype=dtype)
    # CuPy keeps Fortran order; any other arrangement arrives in C order.
    fortran = order in ("K", "A", None) and host.flags.f_contiguous and not host.flags.c_contiguous
    return StrictArray(np.array(host, order="F" if fortran or order == "F" else "C", ndmin=ndmin))


def asarray(a: Any, dtype=None, order=None, *, copy=None, blocking=False) -> StrictArray:
    """A device array, without a copy if ``a`` is one already."""
    return array(a, dtype, bool(copy), order)


def ascontiguousarray(a: Any, dtype: Any = None) -> StrictArray:
    """The array in C order, itself if it is in that order already."""
    if not isinstance(a, StrictArray):
        raise TypeError(f"ascontiguousarray: {type(a).__name__} is not an array on the device")
    return a.astype(dtype or a.dtype, order="C", copy=False)


def asnumpy(a: Any, stream=None, order="C", out=None, *, blocking=True) -> np.ndarray:
    """A copy on the host."""
    return a.get(order=order, out=out) if isinstance(a, StrictArray) else np.asarray(a, order=order)


def argmax(a: Any, axis=None, dtype=None, out=None, keepdims=False) -> StrictArray:
    """Where the largest value stands."""
    found = a.argmax(axis=axis, out=out, keepdims=keepdims)
    return found if dtype is None else found.astype(dtype)


def argmin(a: Any, axis=None, dtype=None, out=None, keepdims=False) -> StrictArray:
    """Where the smallest value stands."""
    found = a.argmin(axis=axis, out=out, keepdims=keepdims)
    return found if dtype is None else found.astype(dtype)


def take(a: StrictArray, indices: Any, axis: int | None = None, out: Any = None) -> StrictArray:
    """Elements along an axis; indices out of range wrap around."""
    return a.take(indices, axis, out)


def _along(a: StrictArray, indices: StrictArray, axis: int) -> tuple[StrictArray, ...]:
    if a.ndim != indices.ndim or indices.dtype.kind not in "iu":
        raise ValueError("indices must be integers with as many dimensions as the array")
    grid = [
        xp.arange(n).reshape((1,) * i + (-1,) + (1,) * (a.ndim - i - 1))
        for i, n in enumerate(a.shape)
    ]
    grid[axis] = indices
    return tuple(grid)


def take_along_axis(a: StrictArray, indices: StrictArray, axis: int | None) -> StrictArray:
    """Each value along an axis that an index names; indices out of range wrap around."""
    return a.ravel()[indices] if axis is None else a[_along(a, indices, axis)]


def put_along_axis(arr: StrictArray, indices: StrictArray, values: Any, axis: int) -> None:
    """The assignment that mirrors take_along_axis."""
    arr[_along(arr, indices, axis)] = values


def where(condition: StrictArray, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds and y elsewhere."""
    if x is None and y is None:
        return condition.nonzero()
    if not isinstance(condition, StrictArray):
        raise TypeError(f"where: the condition is {type(condition).__name__}, not a device array")
    return elementwise("where", np.where, condition, x, y)


def get_array_module(*arrays: Any) -> Any:
    """``xp`` if any of the arrays is on the device, else ``numpy``."""
    return xp if any(isinstance(a, StrictArray) for a in arrays) else np


def _scatter(operation: str) -> Callable[..., None]:
    return lambda a, slices, value: getattr(xp, operation).at(a, slices, value)


class Generator:
    """A generator with the methods that CuPy's has; it draws other numbers than CuPy's does."""

    def __init__(self, seed: int | None = None) -> None:
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        parameters = RECORDED["Generator"]["methods"].get(name)
        if parameters is None:
            raise AttributeError(f"CuPy's random Generator has no {name!r}: draw on the host")
        target = getattr(self._generator, name)

        def draw(*args: Any, **kwargs: Any) -> StrictArray:
            drawn = call(name, target, signature_of(parameters), args, kwargs)
            return drawn if isinstance(drawn, StrictArray) else StrictArray(np.asarray(drawn))

        return draw


_OWN: dict[str, dict[str, Any]] = {
    "cupy": {
        "ndarray": StrictArray,
        "array": array,
        "asarray": asarray,
        "asanyarray": asarray,
        "ascontiguousarray": ascontiguousarray,
        "asnumpy": asnumpy,
        "argmax": argmax,
        "argmin": argmin,
        "take": take,
        "take_along_axis": take_along_axis,
        "put_along_axis": put_along_axis,
        "where": where,
        "get_array_module": get_array_module,
        "put": functools.partial(call, "put", functools.partial(np.put, mode="wrap")),
    },
    "cupy.random": {"default_rng": Generator, "Generator": Generator},
    "cupyx": {
        "scatter_add": _scatter("add"),
        "scatter_max": _scatter("maximum"),
        "scatter_min": _scatter("minimum"),
    },
}


class Module:
    """A module of the stand-in library: CuPy's names, made when they are first used."""

    def __init__(self, name: str, source: str) -> None:
        self.__name__ = name
        self._source, self._facts = source, RECORDED["modules"][name]

    def __getattr__(self, name: str) -> Any:
        value = self._make(name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted(name for kind in self._facts.values() for name in kind)

    def _make(self, name: str) -> Any:
        whole, facts = self.__name__, self._facts
        if not any(name in kind for kind in facts.values()):
            raise AttributeError(f"CuPy has no {whole}.{name}")
        if name in _OWN.get(whole, {}):
            return _OWN[whole][name]
        target = getattr(importlib.import_module(self._source), name, None)
        if name in facts["ufuncs"] and target is not None:
            return Ufunc(name, target, facts["ufuncs"][name])
        if name in facts["functions"] and target is not None:
            return Function(name, target, facts["functions"][name])
        computes_nothing = isinstance(target, (float, type(None))) or name in ("s_", "index_exp")
        if name in facts["constants"] and computes_nothing:
            return target
        if isinstance(target, type) and issubclass(
            target, (np.generic, np.dtype, np.finfo, np.iinfo, np.ndindex)
        ):
            return target
        raise AttributeError(f"the stand-in for CuPy does not model {whole}.{name}")


class _Namespace:
    def __init__(self, **modules: Any) -> None:
        self.__dict__.update(modules)


#: The stand-in for the module ``cupy``.
xp = Module("cupy", "numpy")
xp.linalg = Module("cupy.linalg", "numpy.linalg")
xp.random = Module("cupy.random", "numpy.random")
xp.lib = _Namespace(
    stride_tricks=Module("cupy.lib.stride_tricks", "numpy.lib.stride_tricks"),
)
#: The stand-ins for ``cupyx``, ``cupyx.scipy.special`` and ``cupyx.scipy.ndimage``.
cupyx = Module("cupyx", "numpy")
special = Module("cupyx.scipy.special", "scipy.special")
ndimage = Module("cupyx.scipy.ndimage", "scipy.ndimage")


def library() -> Any:
    """The stand-in library as ``minisegnet.backend`` knows libraries, on device "strict"."""
    from minisegnet.backend import Library

    return Library(
        device="strict",
        module=xp,
        array_type=StrictArray,
        from_numpy=asarray,
        to_numpy=asnumpy,
        synchronize=synchronised,
        special=lambda: special,
        ndimage=lambda: ndimage,
    )
