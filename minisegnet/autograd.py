"""Reverse-mode automatic differentiation: the tensor, and what makes an op of a rule.

A rule computes a value from arrays and says how a gradient goes back. :func:`op` lets it be called
with tensors and leaves a node on the tape each time; :meth:`Tensor.backward` walks the tape back.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec

import numpy as np

from minisegnet import arithmetic as rules
from minisegnet.backend import (
    Array,
    DType,
    is_array,
    library_for,
    library_of,
    to_device,
    to_numpy,
)
from minisegnet.tape import (
    Event,
    Leaf,
    Node,
    announce,
    is_observed,
    is_recording,
    no_grad,
    propagate,
)

__all__ = ["Tensor", "is_recording", "no_grad", "op", "tensor"]

P = ParamSpec("P")
Dim = int | Sequence[int] | None


def op(
    rule: Callable[P, tuple[Any, Callable[[Array], tuple[Any, ...]]]], name: str | None = None
) -> Callable[P, Any]:
    """Make a differentiable op of a rule on arrays.

    The rule takes arrays, in the parameters annotated ``Array`` (or in one ``*arrays: Array`` that
    comes first), and plain options in all others.
    It returns ``(value, backward)``. ``backward(grad)`` returns a tuple with, for each array
    parameter in order, its gradient, None, or a function of no arguments that computes it and is
    called only if somebody wants the gradient. ``value`` may be a tuple: what follows the first is
    passed on without gradient.

    The op unwraps tensors, records itself, checks that all arrays are on one device, sums
    gradients over broadcast axes, and names itself and the shapes when the rule raises. Its name is
    ``name``, or that of the rule without underscores: give one where several ops share a rule.

    Examples
    --------
    >>> @op
    ... def cube(x: Array):
    ...     return x**3, lambda grad: (grad * 3 * x**2,)
    >>> x = tensor([2.0, -1.0], requires_grad=True)
    >>> y = cube(x)
    >>> y.backward(np.array([1.0, 10.0], dtype=np.float32))
    >>> y.numpy(), x.grad
    (array([ 8., -1.], dtype=float32), array([12., 30.], dtype=float32))
    """
    op_name = name or rule.__name__.strip("_")
    signature = inspect.signature(rule)
    parameters = list(signature.parameters.values())
    arrays = [p for p in parameters if _means_array(p.annotation)]
    places = [parameters.index(p) for p in arrays]
    asks_what_is_wanted = "wanted" in signature.parameters
    takes_any_number = bool(arrays) and arrays[0].kind is inspect.Parameter.VAR_POSITIONAL

    def options_of(args: Any, kwargs: Any) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        no_options = {"wanted", *(p.name for p in arrays)}
        return {k: v for k, v in bound.arguments.items() if k not in no_options}

    @functools.wraps(rule)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        values: list[Any] = list(args)
        inputs: list[Any] = []
        for place in range(len(args)) if takes_any_number else places:
            name = parameters[min(place, len(parameters) - 1)].name
            given = values[place] if place < len(values) else kwargs.get(name)
            if not _is_operand(given) and given is not None:
                raise TypeError(
                    f"{op_name}: {name} is a {type(given).__name__}, not a tensor: "
                    "make one with minisegnet.tensor(...)"
                )
            inputs.append(given)
            if place < len(values):
                values[place] = _unwrap(given)
            elif name in kwargs:
                kwargs[name] = _unwrap(given)
        wanted = [isinstance(x, Tensor) and x.requires_grad for x in inputs]
        if asks_what_is_wanted:
            kwargs["wanted"] = tuple(wanted)
        try:
            library_of(*(x.data if isinstance(x, Tensor) else x for x in inputs))
            value, backward = rule(*values, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            raise _named(error, op_name, inputs) from error
        extras = value[1:] if isinstance(value, tuple) else ()
        out = Tensor(value[0] if isinstance(value, tuple) else value)
        if any(wanted) and is_recording() and out.dtype.kind == "f":
            out._node = _record(op_name, backward, inputs)
            out.requires_grad = True
        outputs = (out, *(Tensor(extra) for extra in extras))
        if is_observed():
            options = options_of(args, kwargs)
            announce(Event(op_name, inputs, outputs, options, out._node))
        return outputs if extras else out

    return run


def _means_array(annotation: Any) -> bool:
    """``Array`` or ``Array | None``, as an object or (from postponed annotations) as a string."""
    if isinstance(annotation, str):
        return annotation.split(" ")[0] == "Array"
    return Array in (annotation, *typing.get_args(annotation))


def _record(name: str, backward: Callable[[Array], tuple[Any, ...]], inputs: list[Any]) -> Node:
    wanted = [x if isinstance(x, Tensor) and x.requires_grad else None for x in inputs]
    return Node(
        name,
        backward,
        edges=[None if x is None else x._node or x for x in wanted],
        signatures=[None if x is None else (x.data.shape, x.data.dtype) for x in wanted],
    )


def _unwrap(x: Any) -> Any:
    """The array behind a tensor; a NumPy number becomes a Python number, which never promotes."""
    if isinstance(x, Tensor):
        return x.data
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
        return x.item()
    return x


def _named(error: Exception, name: str, inputs: list[Any]) -> Exception:
    """The same error with the op and the shapes in front, unless it names the op already."""
    message = str(error)
    if message.startswith(f"{name}:"):
        return error
    shapes = ", ".join(
        str(tuple(x.shape)) if hasattr(x, "shape") else repr(x) for x in inputs if x is not None
    )
    kind = next(k for k in (IndexError, TypeError, ValueError) if isinstance(error, k))
    return kind(f"{name}: {message} (inputs: {shapes})")


class Tensor(Leaf):
    """An array that remembers how it was computed, so that gradients can flow back.

    Parameters
    ----------
    data : array
        A NumPy or CuPy array, held without a copy. :func:`tensor` takes lists and numbers too.
    requires_grad : bool
        Whether ``backward`` shall leave a gradient here. Only floating tensors can.

    Attributes
    ----------
    data : array
        The values.
    grad : array or None
        After ``backward``: the gradient of a leaf tensor, a plain array of the tensor's own
        library. Gradients are first-order: they are numbers, not tensors to be differentiated.
    """

    __slots__ = ("__weakref__", "_node", "data", "requires_grad")
    __array_ufunc__ = None  # array * tensor asks the tensor, instead of looping over it

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            data = data.data
        if not is_array(data):
            data = np.asarray(data) if isinstance(data, np.generic) else tensor(data).data
        self.data: Array = data
        self.grad = None
        self._node: Node | None = None
        self.requires_grad = requires_grad
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(
                f"only floating tensors can require a gradient, and this one is {data.dtype}: "
                "give float values, or convert with .to(dtype='float32')"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """How many values there are."""
        return int(self.data.size)

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the values."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the values live: ``"cpu"`` or ``"cuda"``."""
        return library_of(self.data).device

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by hand rather than by an op on tensors with gradients."""
        return self._node is None

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The tensor with its dimensions in reverse order."""
        return permute(self, tuple(range(self.ndim))[::-1])

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Send a gradient from here to every leaf that this tensor was computed from.

        Parameters
        ----------
        grad : array or Tensor, optional
            The gradient of the final value with respect to this tensor, of this shape. May be
            left out when there is one value: then it is 1.
        retain_graph : bool
            Keep the graph, so that ``backward`` can run through it again.

        Raises
        ------
        RuntimeError
            If nothing here requires a gradient, if the graph was freed by an earlier backward,
            or if ``grad`` is left out and there is not exactly one value.
        ValueError
            If ``grad`` has another shape than the tensor.

        Examples
        --------
        >>> x = tensor([[1.0, 2.0, 3.0]], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        array([[2., 4., 6.]], dtype=float32)
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward: this tensor does not require a gradient and nothing it was computed "
                "from does: create an input with requires_grad=True, outside no_grad()"
            )
        start = self._node or self
        for leaf, share in propagate(start, self._seed(grad), retain_graph):
            # A copy, because one array can be the gradient of several leaves; an array, because
            # NumPy makes plain numbers of arrays without dimensions.
            total = share if leaf.grad is None else leaf.grad + share
            leaf.grad = library_of(share).module.array(total)

    def _seed(self, grad: Any) -> Array:
        library = library_of(self.data)
        if grad is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward: this tensor has shape {self.shape}, not one value: reduce it "
                    "(.sum(), .mean()) or pass the gradient of its shape: backward(grad)"
                )
            return library.module.ones_like(self.data)
        grad = _unwrap(grad)
        if not is_array(grad):
            grad = library.from_numpy(np.asarray(grad, dtype=self.dtype))
        library_of(self.data, grad)
        if tuple(grad.shape) != self.shape:
            raise ValueError(
                f"backward: the gradient has shape {tuple(grad.shape)} and the tensor "
                f"{self.shape}: they must be the same"
            )
        return grad.astype(self.dtype, copy=False)

    def detach(self) -> Tensor:
        """The same values (shared, not copied) without any history."""
        return Tensor(self.data)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array on the host, without history."""
        return to_numpy(self.data)

    def item(self) -> Any:
        """The one value as a Python number.

        Raises
        ------
        ValueError
            If there is not exactly one value.
        """
        if self.size != 1:
            raise ValueError(f"item: shape {self.shape} holds {self.size} values, not one")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self.numpy().tolist()

    def to(self, device: str | None = None, dtype: DType = None) -> Tensor:
        """The tensor on ``device`` and in ``dtype``; itself if nothing changes.

        Raises
        ------
        ValueError
            If the device is unknown or not available.
        """
        if device is not None and _is_dtype(device):
            device, dtype = None, device
        target = library_for(device) if device is not None else library_of(self.data)
        wanted = np.dtype(dtype) if dtype is not None else self.dtype
        if target is library_of(self.data) and wanted == self.dtype:
            return self
        return convert(self, target.device, wanted)

    def float(self) -> Tensor:
        """The tensor in float32."""
        return self.to(dtype=np.float32)

    def double(self) -> Tensor:
        """The tensor in float64."""
        return self.to(dtype=np.float64)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: a tensor without dimensions has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"a tensor of shape {self.shape} is neither true nor false: compare one value, "
                "or look at .numpy().all() or .any()"
            )
        return bool(self.data)

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise TypeError("only an integer tensor without dimensions can be an index")
        return int(self.item())

    def __array__(self, dtype: DType = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=200)
        notes = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        notes += "" if self.device == "cpu" else f", device={self.device!r}"
        notes += ", requires_grad=True" if self.requires_grad and self.is_leaf else ""
        notes += f", op={self._node.name}" if self._node is not None else ""
        return f"tensor({body}{notes})"

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return _binary(add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(divide, other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _binary(power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _binary(matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(matmul, other, self)

    def __neg__(self) -> Tensor:
        return negative(self)

    def __abs__(self) -> Tensor:
        return abs_(self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare("equal", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare("not_equal", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare("greater_equal", self, other)

    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, _plain_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.requires_grad:
            raise RuntimeError(
                "assigning into a tensor that requires a gradient would falsify the gradient: "
                "use where(mask, new, old), or assign into .data inside no_grad()"
            )
        self.data[_plain_index(index)] = _unwrap(value)

    def sum(self, dim: Dim = None, keepdim: bool = False, **numpy_names: Any) -> Tensor:
        """The sum over ``dim`` (an int or a tuple; all when left out).

        Examples
        --------
        >>> tensor([[1, 2, 3], [4, 5, 6]]).sum(dim=1).tolist()
        [6, 15]
        """
        return sum_(self, *_reduction("sum", dim, keepdim, numpy_names))

    def mean(self, dim: Dim = None, keepdim: bool = False, **numpy_names: Any) -> Tensor:
        """The mean over ``dim``; integers average into float32."""
        return mean(self, *_reduction("mean", dim, keepdim, numpy_names))

    def max(self, dim: Dim = None, keepdim: bool = False, **numpy_names: Any) -> Tensor:
        """The largest value over ``dim``; equal ones share the gradient evenly."""
        return max_(self, *_reduction("max", dim, keepdim, numpy_names))

    def min(self, dim: Dim = None, keepdim: bool = False, **numpy_names: Any) -> Tensor:
        """The smallest value over ``dim``; equal ones share the gradient evenly."""
        return min_(self, *_reduction("min", dim, keepdim, numpy_names))

    def argmax(self, dim: int | None = None) -> Tensor:
        """Where the largest value stands along ``dim`` (the first of equals), without gradient."""
        return Tensor(library_of(self.data).module.argmax(self.data, axis=dim))

    def reshape(self, *shape: Any) -> Tensor:
        """The same values in another shape; one length may be -1."""
        return reshape(self, _spread(shape))

    def flatten(self, start_dim: int = 0) -> Tensor:
        """All dimensions from ``start_dim`` on as one."""
        return reshape(self, (*self.shape[:start_dim], -1))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        order = list(range(self.ndim))
        try:
            order[dim0], order[dim1] = order[dim1], order[dim0]
        except IndexError:
            raise IndexError(
                f"transpose: dims {dim0} and {dim1} must lie within the {self.ndim} dimensions "
                f"of shape {self.shape}"
            ) from None
        return permute(self, tuple(order))

    def permute(self, *dims: Any) -> Tensor:
        """The dimensions in the order given."""
        return permute(self, _spread(dims))

    def exp(self) -> Tensor:
        """e to the power of each value."""
        return exp(self)

    def log(self) -> Tensor:
        """The natural logarithm of each value."""
        return log(self)

    def sqrt(self) -> Tensor:
        """The square root of each value."""
        return sqrt(self)

    def abs(self) -> Tensor:
        """The magnitude of each value."""
        return abs_(self)


add = op(rules.add)
subtract = op(rules.subtract)
multiply = op(rules.multiply)
divide = op(rules.divide)
power = op(rules.power)
matmul = op(rules.matmul)
negative = op(rules.negative)
exp = op(rules.exp)
log = op(rules.log)
sqrt = op(rules.sqrt)
abs_ = op(rules.abs_)
sum_ = op(rules.sum_)
mean = op(rules.mean)
max_ = op(rules.max_)
min_ = op(rules.min_)
reshape = op(rules.reshape)
permute = op(rules.permute)
getitem = op(rules.getitem)
convert = op(rules.convert)


def _binary(operation: Callable[..., Tensor], a: Any, b: Any) -> Tensor:
    if _is_operand(a) and _is_operand(b):
        return operation(a, b)
    return NotImplemented


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, bool, int, float, np.generic)) or is_array(x)


def _compare(name: str, a: Tensor, b: Any) -> Tensor:
    if not _is_operand(b):
        return NotImplemented
    left, right = _unwrap(a), _unwrap(b)
    return Tensor(getattr(library_of(left, right).module, name)(left, right))


def _plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    return index.data if isinstance(index, Tensor) else index


def _reduction(
    name: str, dim: Dim, keepdim: bool, numpy_names: dict[str, Any]
) -> tuple[int | tuple[int, ...] | None, bool]:
    dim = numpy_names.pop("axis", dim)
    keepdim = numpy_names.pop("keepdims", keepdim)
    if numpy_names:
        raise TypeError(f"{name}: unknown argument {sorted(numpy_names)[0]!r}: use dim and keepdim")
    return (dim if dim is None or isinstance(dim, int) else tuple(dim)), keepdim


def _spread(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3) and from f((2, 3))."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape


def _is_dtype(name: Any) -> bool:
    """Whether ``x.to(name)`` means a dtype: devices are strings that NumPy does not know."""
    try:
        return np.dtype(name) is not None
    except TypeError:
        return False


def tensor(
    data: Any, dtype: DType = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor with a copy of the values.

    Integers stay integers (int64), booleans stay booleans, Python floats become float32, and an
    array keeps its dtype, unless ``dtype`` says otherwise.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
    dtype : NumPy dtype, optional
    device : "cpu" or "cuda", optional
        Where the values shall live; by default where ``data`` is.
    requires_grad : bool
        Whether ``backward`` shall leave a gradient here.

    Raises
    ------
    ValueError
        If the rows have different lengths, or the device is not available.
    TypeError
        If the values are not real numbers, or an integer tensor shall require a gradient.

    Examples
    --------
    >>> tensor([[1, 2, 3], [4, 5, 6]]).dtype, tensor([1.5]).dtype
    (dtype('int64'), dtype('float32'))
    """
    array = data.data if isinstance(data, Tensor) else data
    if not is_array(array):
        try:
            array = np.asarray(array)
        except ValueError as error:
            raise ValueError(f"tensor: the rows differ in length ({error})") from None
        if array.dtype == np.float64 and not isinstance(data, np.generic):
            array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"tensor: values of dtype {array.dtype} are not real numbers: "
            "give ints, floats or bools"
        )
    array = to_device(array, device) if device is not None else array
    wanted = np.dtype(dtype) if dtype is not None else array.dtype
    return Tensor(array.astype(wanted, copy=True), requires_grad)
