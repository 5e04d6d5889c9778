"""The array of the stand-in library: NumPy underneath, CuPy's manners on top.

It refuses what ``cupy.ndarray`` refuses, and a little more where CuPy would copy to or from the
host without a word:

- implicit conversion to NumPy (``np.asarray(x)``), and NumPy functions applied to it;
- NumPy arrays as operands, indices or values to assign (NumPy *scalars* are fine, and promote as
  in NumPy 2);
- parameters that CuPy's functions lack.

And it does what CuPy does: reductions and single elements stay arrays; integer-array indices out of
range wrap around; of repeated indices in an assignment any may win (here the first, unlike NumPy);
elementwise results are C-contiguous whatever the order of their inputs; uninitialised memory holds
nonsense; nothing warns.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.strict_index import host_index
from tests.strict_rules import (
    RECORDED,
    SCALARS,
    refuse_host_array,
    signature_of,
    synchronised,
    translate,
    uploaded,
)

_METHODS = RECORDED["ndarray"]["methods"]


def unwrap(value: Any, name: str) -> Any:
    """The NumPy arrays inside stand-in arrays, also within lists, tuples and dicts."""
    if isinstance(value, StrictArray):
        return value._values
    if isinstance(value, np.ndarray):
        raise refuse_host_array(name, value)
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(item, name) for item in value)
    if isinstance(value, dict):
        return {key: unwrap(item, name) for key, item in value.items()}
    return value


def arrays_in(value: Any) -> Iterator[StrictArray]:
    """Every stand-in array inside a value."""
    if isinstance(value, StrictArray):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))


def wrap(value: Any, sources: list[StrictArray], keep_order: bool = False) -> Any:
    """Stand-in arrays for NumPy's results: an input itself, a view of one, or something new.

    What is new is C-contiguous, as CuPy allocates it, unless ``keep_order``.
    """
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(wrap(item, sources, keep_order) for item in value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return value
    for source in sources:
        if value is source._values:
            return source
    array = np.asarray(value)
    is_view = any(np.may_share_memory(array, source._values) for source in sources)
    return StrictArray(array if is_view or keep_order else np.asarray(array, order="C"))


def call(
    name: str,
    target: Callable[..., Any],
    signature: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    keep_order: bool = False,
) -> Any:
    """Call a NumPy function with CuPy's signature on stand-in arrays."""
    sources = list(arrays_in([args, kwargs]))
    positional: Any = args
    if signature is not None:
        positional, kwargs = translate(name, signature, target, args, kwargs)
    out = kwargs.get("out")
    if out is not None and not isinstance(out, StrictArray):
        raise TypeError(f"{name}: out must be an array on the device, not {type(out).__name__}")
    with np.errstate(all="ignore"):
        result = target(*unwrap(list(positional), name), **unwrap(kwargs, name))
    return wrap(result, sources, keep_order)


def is_operand(value: object) -> bool:
    """Whether CuPy computes with the value: an array on the device, or a scalar."""
    return isinstance(value, (StrictArray, *SCALARS))


def elementwise(name: str, ufunc: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """Apply a NumPy ufunc to stand-in arrays and scalars.

    Raises
    ------
    TypeError
        If an operand is neither, or ``where`` is given, which CuPy's ufuncs do not take.
    ValueError
        If ``out`` has not exactly the shape of the result.
    """
    unknown = sorted(set(options) - {"out", "dtype", "casting"})
    if unknown:
        raise TypeError(f"{name}: CuPy's ufuncs take no {unknown[0]!r}")
    for operand in operands:
        if isinstance(operand, np.ndarray):
            raise refuse_host_array(name, operand)
        if operand is not None and not is_operand(operand):
            raise TypeError(f"{name}: unsupported type {type(operand).__name__}")
    out = options.get("out")
    if isinstance(out, StrictArray):
        shape = np.broadcast_shapes(*(np.shape(unwrap(operand, name)) for operand in operands))
        if out.shape != shape:
            raise ValueError(f"{name}: out has shape {out.shape}, the result {shape}")
    return call(name, ufunc, None, operands, {k: v for k, v in options.items() if v is not None})


def _operation(ufunc_name: str, swapped: bool = False) -> Callable[[Any, Any], Any]:
    ufunc = getattr(np, ufunc_name)

    def method(self: StrictArray, other: Any) -> Any:
        if not is_operand(other):
            if isinstance(other, np.ndarray):
                raise refuse_host_array(ufunc_name, other)
            return NotImplemented
        pair = (other, self) if swapped else (self, other)
        return elementwise(ufunc_name, ufunc, *pair)

    return method


def _in_place(ufunc_name: str) -> Callable[[Any, Any], Any]:
    ufunc = getattr(np, ufunc_name)

    def method(self: StrictArray, other: Any) -> Any:
        return elementwise(ufunc_name, ufunc, self, other, out=self)

    return method


def _comparison(ufunc_name: str) -> Callable[[Any, Any], Any]:
    compute = _operation(ufunc_name)

    def method(self: StrictArray, other: Any) -> Any:
        if other is None or type(other).__eq__ is object.__eq__:
            if ufunc_name in ("equal", "not_equal"):
                return StrictArray(np.full(self.shape, ufunc_name == "not_equal"))
            return NotImplemented
        return compute(self, other)

    return method


def _method(name: str, function: str = "", waits: bool = False) -> Callable[..., Any]:
    """A method that is NumPy's function of the same name, called with CuPy's signature."""
    signature = signature_of(["a", *_METHODS[name]])
    target = getattr(np, function or name)

    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        if waits:
            synchronised()
        return call(name, target, signature, (self, *args), kwargs)

    method.__name__ = name
    return method


def _scalar_conversion(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: convert(self.get())


class Flags:
    """Memory layout; CuPy knows these three flags and no others."""

    def __init__(self, values: np.ndarray) -> None:
        self.c_contiguous = values.flags.c_contiguous
        self.f_contiguous = values.flags.f_contiguous
        self.owndata = values.base is None

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class MemoryPointer:
    """Where an array begins on the device."""

    def __init__(self, values: np.ndarray) -> None:
        self.ptr = values.__array_interface__["data"][0]


class StrictArray:
    """An array on a device that does not exist; see the module's docstring."""

    __slots__ = ("_values",)
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: np.ndarray) -> None:
        if values.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {values.dtype}")
        self._values = values

    dtype = property(operator.attrgetter("_values.dtype"))
    shape = property(operator.attrgetter("_values.shape"))
    strides = property(operator.attrgetter("_values.strides"))
    ndim = property(operator.attrgetter("_values.ndim"))
    size = property(operator.attrgetter("_values.size"))
    itemsize = property(operator.attrgetter("_values.itemsize"))
    nbytes = property(operator.attrgetter("_values.nbytes"))
    flags = property(lambda self: Flags(self._values))
    data = property(lambda self: MemoryPointer(self._values))
    device = property(lambda self: "strict")
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))

    @property
    def base(self) -> StrictArray | None:
        base = self._values.base
        return StrictArray(base) if isinstance(base, np.ndarray) else None

    # ---- to the host --------------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        """A copy on the host."""
        synchronised()
        if out is not None:
            out[...] = self._values
            return out
        return np.array(self._values, order=order, copy=True)

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def tobytes(self, order: str = "C") -> bytes:
        return self.get().tobytes(order)

    __float__ = _scalar_conversion(float)
    __int__ = _scalar_conversion(int)
    __complex__ = _scalar_conversion(complex)
    __bytes__ = _scalar_conversion(bytes)
    __repr__ = _scalar_conversion(repr)
    __str__ = _scalar_conversion(str)

    def __format__(self, spec: str) -> str:
        return format(self.get(), spec)

    def __bool__(self) -> bool:
        if self.size > 1:
            raise ValueError("the truth value of an array with more than one element is ambiguous")
        return bool(self.get())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            "implicit conversion of a device array to a NumPy array: use to_numpy() or .get()"
        )

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(
            f"numpy.{function.__name__} was given an array on the device: "
            f"call array_module(x).{function.__name__}"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # `np.float64(2) * x` arrives here, and is allowed.
        from_operator = method == "__call__" and isinstance(inputs[0], np.generic) and not kwargs
        if from_operator and len(inputs) == 2:
            return elementwise(ufunc.__name__, ufunc, *inputs)
        raise TypeError(
            f"numpy.{ufunc.__name__} was given an array on the device and {inputs[0]!r:.40}: "
            f"call array_module(x).{ufunc.__name__}, on arrays of one device"
        )

    # ---- shape and copies ---------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[StrictArray]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> StrictArray:
        wanted = shape[0] if len(shape) == 1 else shape
        return wrap(self._values.reshape(unwrap(wanted, "reshape"), order=order, copy=copy), [self])

    def transpose(self, *axes: Any) -> StrictArray:
        return wrap(self._values.transpose(*axes), [self])

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy=True
    ) -> StrictArray:
        if casting is not None or subok is not None:
            raise TypeError("astype: CuPy does not support casting and subok")
        with np.errstate(all="ignore"):
            return wrap(self._values.astype(dtype, order=order, copy=copy), [self], True)

    def copy(self, order: str = "C") -> StrictArray:
        return StrictArray(self._values.copy(order))

    def flatten(self, order: str = "C") -> StrictArray:
        return StrictArray(self._values.flatten(order))

    def view(self, dtype: Any = None, type: Any = None) -> StrictArray:
        return StrictArray(self._values.view() if dtype is None else self._values.view(dtype))

    def fill(self, value: Any) -> None:
        if isinstance(value, StrictArray) and value.ndim:
            raise ValueError("fill: the value is an array that has dimensions")
        self[...] = value

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        """Copy a host array of the same shape and dtype here."""
        if not isinstance(arr, np.ndarray) or (arr.shape, arr.dtype) != (self.shape, self.dtype):
            raise ValueError("set: needs a NumPy array of the same shape and dtype")
        uploaded()
        self._values[...] = arr

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        self._values.sort(axis=axis, kind=kind)

    def __copy__(self) -> StrictArray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return self.copy()

    def __reduce__(self) -> Any:
        return StrictArray, (self.get(order="A"),)

    # ---- indexing -----------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> StrictArray:
        places, kinds = host_index(self, index, "indexing")
        if "mask" in kinds:
            synchronised()
        if kinds:
            return StrictArray(np.array(self._values[places], order="C", copy=True))
        # The Ellipsis makes a view of a single element too.
        places = places if any(p is Ellipsis for p in places) else (*places, Ellipsis)
        return StrictArray(self._values[places])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise refuse_host_array("assignment", value)
        if not is_operand(value):
            raise TypeError(f"assignment: unsupported type {type(value).__name__}")
        places, kinds = host_index(self, index, "assignment")
        if "mask" in kinds:
            synchronised()
        with np.errstate(all="ignore"):
            if "integers" in kinds:
                self._assign_first(places, unwrap(value, "assignment"))
            else:
                self._values[places] = unwrap(value, "assignment")

    def _assign_first(self, places: tuple[Any, ...], value: Any) -> None:
        """Assign so that the first of repeated indices wins: CuPy leaves open which one does."""
        cells = np.arange(self.size).reshape(self.shape)[places]
        spread = np.broadcast_to(value, cells.shape)
        self._values.flat[cells.ravel()[::-1]] = spread.ravel()[::-1]

    # ---- arithmetic ---------------------------------------------------------------------------

    __add__, __radd__ = _operation("add"), _operation("add", True)
    __sub__, __rsub__ = _operation("subtract"), _operation("subtract", True)
    __mul__, __rmul__ = _operation("multiply"), _operation("multiply", True)
    __truediv__, __rtruediv__ = _operation("true_divide"), _operation("true_divide", True)
    __floordiv__, __rfloordiv__ = _operation("floor_divide"), _operation("floor_divide", True)
    __mod__, __rmod__ = _operation("remainder"), _operation("remainder", True)
    __divmod__, __rdivmod__ = _operation("divmod"), _operation("divmod", True)
    __pow__, __rpow__ = _operation("power"), _operation("power", True)
    __matmul__, __rmatmul__ = _operation("matmul"), _operation("matmul", True)
    __and__, __rand__ = _operation("bitwise_and"), _operation("bitwise_and", True)
    __or__, __ror__ = _operation("bitwise_or"), _operation("bitwise_or", True)
    __xor__, __rxor__ = _operation("bitwise_xor"), _operation("bitwise_xor", True)
    __lshift__, __rlshift__ = _operation("left_shift"), _operation("left_shift", True)
    __rshift__, __rrshift__ = _operation("right_shift"), _operation("right_shift", True)
    __iadd__, __isub__ = _in_place("add"), _in_place("subtract")
    __imul__, __itruediv__ = _in_place("multiply"), _in_place("true_divide")
    __ifloordiv__, __imod__ = _in_place("floor_divide"), _in_place("remainder")
    __ipow__ = _in_place("power")
    __iand__, __ior__, __ixor__ = map(_in_place, ("bitwise_and", "bitwise_or", "bitwise_xor"))
    __ilshift__, __irshift__ = _in_place("left_shift"), _in_place("right_shift")
    __lt__, __le__ = _comparison("less"), _comparison("less_equal")
    __gt__, __ge__ = _comparison("greater"), _comparison("greater_equal")
    __eq__, __ne__ = _comparison("equal"), _comparison("not_equal")  # type: ignore[assignment]

    def __neg__(self) -> StrictArray:
        return elementwise("negative", np.negative, self)

    def __pos__(self) -> StrictArray:
        return elementwise("positive", np.positive, self)

    def __abs__(self) -> StrictArray:
        return elementwise("absolute", np.absolute, self)

    def __invert__(self) -> StrictArray:
        return elementwise("invert", np.invert, self)

    sum, prod, mean, std, var = map(_method, ("sum", "prod", "mean", "std", "var"))
    max, min, ptp, all, any = map(_method, ("max", "min", "ptp", "all", "any"))
    argmax, argmin, argsort = map(_method, ("argmax", "argmin", "argsort"))
    cumsum, cumprod, clip, round = map(_method, ("cumsum", "cumprod", "clip", "round"))
    squeeze, swapaxes, ravel, diagonal = map(_method, ("squeeze", "swapaxes", "ravel", "diagonal"))
    repeat, trace, dot, searchsorted = map(_method, ("repeat", "trace", "dot", "searchsorted"))
    conj = conjugate = _method("conj", "conjugate")
    nonzero = _method("nonzero", waits=True)

    def take(self, indices: Any, axis: int | None = None, out: Any = None) -> StrictArray:
        """Elements along an axis; indices out of range wrap around."""
        wrapping = functools.partial(np.take, mode="wrap")
        options = {} if out is None else {"out": out}
        return call("take", wrapping, None, (self, indices), {"axis": axis, **options})
