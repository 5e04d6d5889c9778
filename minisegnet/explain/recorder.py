"""Writes down the ops that run, as an observer of the tape."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from minisegnet.autograd import Tensor
from minisegnet.backend import is_array
from minisegnet.checks import pair
from minisegnet.explain.convolution import size_formula
from minisegnet.explain.fields import Field, field_after
from minisegnet.nn import Module, Parameter
from minisegnet.tape import Event

#: Rules whose own name says less than the function that calls them.
_NAMES = {
    "pad_axis": "pad",
    "getitem": "index",
    "convert": "to",
    "standardise": "normalise",
}


@dataclass(frozen=True)
class Entry:
    """One op that ran.

    Attributes
    ----------
    number : int
        From 1.
    op, layer : str
        The op, and the model's name for the layer it belongs to ("" if not known).
    inputs, weight, output : shapes
        ``weight`` is None where there is none.
    formulas : tuple of str
        The sizes of the rows and of the columns with their numbers; empty where the size stays.
    multiply_adds, bytes : int
        What it computes and how much it writes.
    receptive_field : (row, column) or None
        None where the cells are no places of a map.
    sources : tuple of str
        What it read: ``i0`` for the first input of the network, ``n3`` for op 3.
    """

    number: int
    op: str
    layer: str
    inputs: tuple[tuple[int, ...], ...]
    weight: tuple[int, ...] | None
    output: tuple[int, ...]
    formulas: tuple[str, ...]
    multiply_adds: int
    bytes: int
    receptive_field: tuple[int, int] | None
    sources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The entry as a dict."""
        return asdict(self)


@dataclass(frozen=True)
class _Known:
    """What is known of a tensor: which node made it, and what its cells see."""

    node: str
    field: Field | None


class Recorder:
    """Turns events into entries.

    Tensors are known by their identity, with a weak reference to tell a new tensor at an old
    address; nothing that the network computes is kept alive.
    """

    def __init__(self, model: Any = None) -> None:
        self.entries: list[Entry] = []
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        #: Shape and bytes a number of every weight, by identity.
        self.weights: dict[int, tuple[tuple[int, ...], int]] = {}
        self._layers = _names_of_layers(model)
        self._known: dict[int, tuple[weakref.ref[Any], Any]] = {}
        self._own: list[Any] = list(model.parameters()) if isinstance(model, Module) else []

    def see(self, event: Event) -> None:
        """Write down one op."""
        if event.name in ("conv_transpose2d_weight", "flip") and self._is_turned_weight(event):
            return
        op, weight, options = self._meaning(event)
        maps = [x for i, x in enumerate(event.inputs) if self._is_map(x, weight, first=i == 0)]
        known = [self._lookup(x) for x in maps]
        out = event.outputs[0]
        before = tuple(maps[0].shape) if maps else ()
        shapes = (before, before if weight is None else tuple(weight.shape), tuple(out.shape))
        field = field_after(op, [k.field for k in known if k.field], shapes, options)
        number = len(self.entries) + 1
        entry = Entry(
            number,
            op,
            self._layer(event, weight),
            tuple(tuple(x.shape) for x in maps),
            None if weight is None else tuple(weight.shape),
            tuple(out.shape),
            _formulas(op, shapes, options),
            _multiply_adds(op, shapes, options),
            int(out.size * out.dtype.itemsize),
            field.size if field and field.map_size == out.shape[2:] else None,
            tuple(dict.fromkeys(k.node for k in known)),
        )
        self.entries.append(entry)
        for made in event.outputs:
            self._remember(made, _Known(f"n{number}", field))

    # ------------------------------------------------------------------ weights

    def _is_turned_weight(self, event: Event) -> bool:
        """The first lines of a transposed convolution turn its weight; they are part of it."""
        original = self._recall(event.inputs[0])
        if event.name == "conv_transpose2d_weight":
            original = _Turned(event.inputs[0])
        if not isinstance(original, _Turned):
            return False
        self._remember(event.outputs[0], original)
        return True

    def _meaning(self, event: Event) -> tuple[str, Any, Mapping[str, Any]]:
        """The op under its public name, with its weight and its public options."""
        name = _NAMES.get(event.name, event.name)
        if name not in ("conv2d", "conv_transpose2d"):
            weight = event.inputs[1] if name == "linear" else self._first_parameter(event)
            return name, self._count(event, weight), _with_pairs(event.options)
        weight, given = event.inputs[1], event.options
        options = {
            "stride": given["stride"],
            "dilation": given["kernel_dilation"],
            "groups": given["groups"],
            "around": given["padding"],
        }
        if name == "conv2d":
            return name, self._count(event, weight), options
        weight = self._recall(weight).weight
        edges = zip(given["kernel_dilation"], weight.shape[2:], given["padding"], strict=True)
        options["padding"] = tuple(d * (k - 1) - before for d, k, (before, _) in edges)
        options["output_padding"] = tuple(after - before for before, after in given["padding"])
        options["stride"] = given["input_dilation"]
        return name, self._count(event, weight), options

    def _first_parameter(self, event: Event) -> Any:
        return next((x for x in event.inputs if isinstance(x, Parameter)), None)

    def _count(self, event: Event, weight: Any) -> Any:
        """Note down the weights of an op, each once; returns the weight."""
        for x in [weight, *event.inputs]:
            if x is weight is not None or isinstance(x, Parameter):
                self._own.append(x)  # its identity must stay its own
                self.weights[id(x)] = (tuple(x.shape), int(x.dtype.itemsize))
        has_bias = event.name in ("conv2d", "conv_transpose2d", "linear")
        if weight is not None and has_bias and len(event.inputs) > 2:
            bias = event.inputs[2]
            if bias is not None:
                self._own.append(bias)
                self.weights[id(bias)] = (tuple(bias.shape), int(bias.dtype.itemsize))
        return weight

    def _layer(self, event: Event, weight: Any) -> str:
        for x in [weight, *event.inputs]:
            if x is not None and id(x) in self._layers:
                return self._layers[id(x)]
        return ""

    # ------------------------------------------------------------------ tensors

    def _is_map(self, x: Any, weight: Any, first: bool) -> bool:
        """Whether an input carries data, rather than a weight, a buffer or a number."""
        if x is None or x is weight or id(x) in self.weights or isinstance(x, Parameter):
            return False
        if isinstance(self._recall(x), _Turned):
            return False
        return isinstance(x, Tensor) or (first and is_array(x))

    def _remember(self, x: Any, what: Any) -> None:
        self._known[id(x)] = (weakref.ref(x), what)

    def _recall(self, x: Any) -> Any:
        reference, what = self._known.get(id(x), (None, None))
        return what if reference is not None and reference() is x else None

    def _lookup(self, x: Any) -> _Known:
        """What is known of a tensor; one that nobody made is an input of the network."""
        known = self._recall(x)
        if known is None:
            name = f"i{len(self.inputs)}"
            self.inputs.append((name, tuple(x.shape)))
            field = Field((), (x.shape[2], x.shape[3])) if len(x.shape) == 4 else None
            known = _Known(name, field)
            self._remember(x, known)
        return known


@dataclass(frozen=True)
class _Turned:
    """A weight on its way into a transposed convolution."""

    weight: Any


def _names_of_layers(model: Any) -> dict[int, str]:
    if not isinstance(model, Module):
        return {}
    return {id(p): name.rpartition(".")[0] for name, p in model.named_parameters()}


Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _formulas(op: str, shapes: Shapes, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The sizes of the rows and of the columns, with their numbers."""
    before, kernel, after = (shape[-2:] for shape in shapes)
    axes = (0, 1)
    if op == "conv2d":
        stride, around, dilation = options["stride"], options["around"], options["dilation"]
        return tuple(
            size_formula(before[a], kernel[a], stride[a], around[a], dilation[a], after[a])
            for a in axes
        )
    if op == "conv_transpose2d":
        stride, padding = options["stride"], options["padding"]
        extra, dilation = options["output_padding"], options["dilation"]
        return tuple(
            f"({before[a]} - 1)*{stride[a]} - 2*{padding[a]} + {dilation[a]}*({kernel[a]} - 1) + "
            f"{extra[a]} + 1 = {after[a]}"
            for a in axes
        )
    if op in ("max_pool2d", "avg_pool2d"):
        window, padding, stride = options["kernel_size"], options["padding"], options["stride"]
        dilation = options.get("dilation", (1, 1))
        formulas = [
            size_formula(before[a], window[a], stride[a], (padding[a],) * 2, dilation[a], after[a])
            for a in axes
        ]
        return tuple(f.replace("floor", "ceil") if options["ceil_mode"] else f for f in formulas)
    if len(shapes[2]) == 4 and len(shapes[0]) == 4 and before != after:
        return tuple(f"{before[a]} -> {after[a]}" for a in axes)
    return ()


def _with_pairs(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of a pooling as (row, column), its stride filled in."""
    if "kernel_size" not in options:
        return options
    names = [n for n in ("kernel_size", "stride", "padding", "dilation") if n in options]
    given = {**options, "stride": options.get("stride") or options["kernel_size"]}
    return {**given, **{name: pair(given[name], name, "show_work") for name in names}}


def _multiply_adds(op: str, shapes: Shapes, options: Mapping[str, Any]) -> int:
    """How many products are summed."""
    before, kernel, after = shapes
    if op == "conv2d":
        return math.prod(after) * math.prod(kernel[1:])
    if op == "conv_transpose2d":
        return math.prod(before) * math.prod(kernel[1:])
    if op == "linear":
        return math.prod(after) * kernel[1]
    if op == "matmul":
        return math.prod(after) * before[-1]
    if op == "interpolate" and options.get("mode") == "bilinear":
        return 4 * math.prod(after)
    return 0
