"""Which operation made the first NaN or infinity, and in which line of your program.

A NaN spreads: what a loss shows was often made long before. Inside :class:`detect_anomaly` the
result of every operation is looked at as soon as it is there, and so is every gradient on the way
back; the first number that is not finite raises. Outside nothing is looked at, and nothing slower.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minisegnet.backend import Array, array_module, is_array
from minisegnet.nn import Module
from minisegnet.nn.places import described, path_within
from minisegnet.tape import Event, Node, observe

__all__ = ["AnomalyError", "detect_anomaly"]

_PACKAGE = str(Path(__file__).resolve().parent) + os.sep

#: What to do, by operation; the second is for the way back.
_ADVICE = {
    "log": ("clip its input to a small positive number",) * 2,
    "sqrt": ("clip its input to 0 or more", "the slope at 0 is infinite: add a small number first"),
    "divide": ("add a small number to the divisor",) * 2,
    "power": ("0 to a negative power, or a root of a negative number, is not finite",) * 2,
    "exp": ("subtract the largest value first, or use log_softmax",) * 2,
}
_ADVICE_OTHERWISE = "look at its inputs; a smaller learning rate keeps weights small"


class AnomalyError(FloatingPointError):
    """A number that is not finite has just been made.

    Attributes
    ----------
    op : str
        The operation.
    file, line, source :
        The line of the program that called it; "" and 0 if every caller belongs to the engine.
    layer : str
        The path and kind of the layer that it belongs to; "" outside of modules.
    backward : bool
        Whether it happened on the way back.
    """

    def __init__(self, op: str, place: Place, backward: bool, message: str) -> None:
        super().__init__(message)
        self.op, self.backward = op, backward
        self.file, self.line, self.source = place.file, place.line, place.source
        self.layer = place.layer


@dataclass(frozen=True)
class Place:
    """Where an operation was called."""

    file: str
    line: int
    source: str
    layer: str

    def __str__(self) -> str:
        parts = [f"at {self.file}:{self.line}: {self.source}"] if self.file else []
        parts += [f"in {self.layer}"] if self.layer else []
        return ", ".join(parts) or "somewhere in the engine"


class _Depth(threading.local):
    value = 0


_depth = _Depth()


class detect_anomaly(contextlib.ContextDecorator):  # noqa: N801 (PyTorch's name)
    """Inside this context, the first NaN or infinity that is made raises and says where.

    Every operation of this thread is looked at, forward, and backward if its graph was recorded
    inside (``backward()`` itself may be called outside). Contexts may be nested. Each operation
    becomes about twice as slow on small arrays, and a GPU has to finish before it is looked at.

    Raises
    ------
    AnomalyError
        A FloatingPointError, which names the operation, the line of the program that called it, and
        the layer; of an input that was not finite before any operation, it names the input.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[4.0, 0.0, 1.0]], requires_grad=True)
    >>> with detect_anomaly():
    ...     x.log()
    Traceback (most recent call last):
        ...
    minisegnet.anomaly.AnomalyError: log made -inf (1 of 3 values, the first at (0, 1)), at <doctest
    minisegnet.anomaly.detect_anomaly[2]>:2: x.log(); its input: (1, 3) in 0..4: clip its input
    to a small positive number
    >>> with detect_anomaly():
    ...     root = x.sqrt().sum()
    ...     root.backward()
    Traceback (most recent call last):
        ...
    minisegnet.anomaly.AnomalyError: the gradient of sqrt is inf (1 of 3 values, the first at (0,
    1)), at <doctest minisegnet.anomaly.detect_anomaly[3]>:2: root = x.sqrt().sum(); the gradient
    that came to it is finite: the slope at 0 is infinite: add a small number first
    """

    def __enter__(self) -> None:
        self._contexts = getattr(self, "_contexts", [])
        context = contextlib.ExitStack()
        if not _depth.value:
            context.enter_context(np.errstate(all="ignore"))  # the error says it, and more
            context.enter_context(observe(_look))
        self._contexts.append(context)
        _depth.value += 1

    def __exit__(self, *raised: Any) -> None:
        _depth.value -= 1
        self._contexts.pop().__exit__(*raised)


def _look(event: Event) -> None:
    """Look at what an operation made, and arrange for its gradients to be looked at."""
    for output in event.outputs:
        wrong = _what_is_wrong(output.data)
        if wrong is not None:
            raise _forward_error(event, wrong)
    if event.node is not None:
        _guard(event.node, _place())


def _forward_error(event: Event, wrong: str) -> AnomalyError:
    place = _place()
    arrays = [getattr(x, "data", x) for x in event.inputs if x is not None]
    for number, array in enumerate(arrays, start=1):
        already = _what_is_wrong(array)
        if already is not None:
            which = f"input {number} of " if len(arrays) > 1 else "the input of "
            return AnomalyError(
                event.name,
                place,
                False,
                f"{which}{event.name} is {already} before any operation, {place}: look at where it "
                "comes from: data, weights, or a line outside detect_anomaly()",
            )
    inputs = "its input: " if len(arrays) == 1 else "its inputs: "
    inputs += ", ".join(_range(array) for array in arrays)
    return AnomalyError(
        event.name,
        place,
        False,
        f"{event.name} made {wrong}, {place}; {inputs}: {_advice(event.name, backward=False)}",
    )


def _guard(node: Node, place: Place) -> None:
    """Let the node's rule look at every gradient that passes."""
    rule, name = node.backward, node.name
    if rule is None:
        return

    # An exponent that is a constant has a gradient too, which may be anything.
    wanted = [edge is not None for edge in node.edges]

    def check(share: Any) -> Array | None:
        share = share() if callable(share) else share
        wrong = None if share is None else _what_is_wrong(share)
        if wrong is not None:
            raise AnomalyError(
                name,
                place,
                True,
                f"the gradient of {name} is {wrong}, {place}; the gradient that came to it is "
                f"finite: {_advice(name, backward=True)}",
            )
        return share

    def guarded(grad: Array) -> tuple[Any, ...]:
        wrong = _what_is_wrong(grad)
        if wrong is not None:
            raise AnomalyError(
                name,
                place,
                True,
                f"the gradient that comes back to {name} is {wrong}, {place}: the gradient given "
                "to backward() was not finite, or the sum of several became too large",
            )
        with np.errstate(all="ignore"):
            shares = zip(rule(grad), wanted, strict=True)
            return tuple(check(share) if used else None for share, used in shares)

    node.backward = guarded


def _advice(op: str, backward: bool) -> str:
    return _ADVICE.get(op, (_ADVICE_OTHERWISE,) * 2)[backward]


def _what_is_wrong(values: Any) -> str | None:
    """What the first value that is not finite is, and where; None if all are."""
    values = values if is_array(values) else np.asarray(values)
    if values.dtype.kind != "f":
        return None
    finite = array_module(values).isfinite(values)
    if bool(finite.all()):
        return None
    first = int(finite.reshape(-1).argmin())
    value = float(values.reshape(-1)[first])
    if not values.ndim:
        return f"{value}"
    index = tuple(int(i) for i in np.unravel_index(first, values.shape))
    count = int(values.size - finite.sum())
    return f"{value} ({count} of {values.size} values, the first at {index})"


def _range(values: Any) -> str:
    values = values if is_array(values) else np.asarray(values)
    if values.ndim and values.size:
        return f"{values.shape} in {float(values.min()):.6g}..{float(values.max()):.6g}"
    return f"{float(values):.6g}" if values.size else f"{values.shape}"


def _place() -> Place:
    """The line of the program and the layer that the running operation belongs to."""
    frame: FrameType | None = sys._getframe(1)
    line: FrameType | None = None
    modules: list[Module] = []
    while frame is not None:
        if line is None and not frame.f_code.co_filename.startswith(_PACKAGE):
            line = frame
        if frame.f_code is Module.__call__.__code__:
            modules.append(frame.f_locals["self"])
        frame = frame.f_back
    layer = ""
    if modules:
        path = path_within(modules[-1], modules[0])
        layer = described(path or "", modules[0])
    if line is None:
        return Place("", 0, "", layer)
    file, number = line.f_code.co_filename, line.f_lineno
    source = linecache.getline(file, number, line.f_globals).strip()
    return Place(file, number, source, layer)
