"""Lesson 2, a tiny autograd: the scalar engine that its reader builds, and ways to get it wrong."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "*": operator.mul,
    "/": operator.truediv,
}


def order(last):
    """All the values that the last one is made of, each after its parents."""
    found, seen = [], set()

    def visit(value):
        if id(value) not in seen:
            seen.add(id(value))
            for parent in value.parents:
                visit(parent)
            found.append(value)

    visit(last)
    return found


class Value:
    """A number that remembers which numbers it was made of, and how strongly it hangs on each."""

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.grad = data, 0
        self.parents, self.slopes = parents, slopes

    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other):
        slopes = (1 / other.data, -self.data / other.data**2)
        return Value(self.data / other.data, (self, other), slopes)

    def backward(self):
        """Give every value behind this one its gradient."""
        self.grad = 1
        for value in reversed(order(self)):
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                parent.grad += slope * value.grad


def engine_like(
    quotient: Callable[[Any, Any], tuple[Any, Any]] = lambda a, b: (1 / b, -a / b**2),
    backward: Callable[[Any], None] = Value.backward,
) -> type:
    """A class like :class:`Value`, with one of its parts exchanged.

    Parameters
    ----------
    quotient : callable
        From two numbers to the slopes of their quotient.
    backward : callable
        The method.

    Examples
    --------
    >>> Wrong = engine_like(quotient=lambda a, b: (1 / b, a / b**2))
    >>> (Wrong(6) / Wrong(2)).slopes
    (0.5, 1.5)
    """

    class Like:
        def __init__(self, data: Any, parents: Any = (), slopes: Any = ()) -> None:
            self.data, self.grad = data, 0
            self.parents, self.slopes = parents, slopes

        def __add__(self, other: Any) -> Any:
            return Like(self.data + other.data, (self, other), (1, 1))

        def __mul__(self, other: Any) -> Any:
            return Like(self.data * other.data, (self, other), (other.data, self.data))

        def __truediv__(self, other: Any) -> Any:
            slopes = quotient(self.data, other.data)
            return Like(self.data / other.data, (self, other), slopes)

    Like.backward = backward  # type: ignore[attr-defined]
    return Like


def plain_walk(value):
    """Pass the gradient on as soon as anything has arrived: wrong where a value is used twice."""
    for parent, slope in zip(value.parents, value.slopes, strict=True):
        parent.grad += slope * value.grad
        plain_walk(parent)


def walk_once(value, seen=None):
    """The same, but never through one value twice: wrong in another way."""
    seen = set() if seen is None else seen
    for parent, slope in zip(value.parents, value.slopes, strict=True):
        parent.grad += slope * value.grad
        if id(parent) not in seen:
            seen.add(id(parent))
            walk_once(parent, seen)


def calculate(formula: str, start: Mapping[str, Any]) -> Any:
    """The last name of a formula like ``"h = x * w; y = h + x"``, with whatever ``start`` holds.

    Parameters
    ----------
    formula : str
        Assignments of two names joined by ``+``, ``*`` or ``/``, with ``;`` between them.
    start : mapping of str to number, Value or Tensor
        What the names stand for at the beginning.

    Examples
    --------
    >>> calculate("h = x * w; y = h + x", {"x": 3, "w": 5})
    18
    """
    known, name = dict(start), ""
    for assignment in formula.split("; "):
        name, _, left, sign, right = assignment.split()
        known[name] = _OPERATORS[sign](known[left], known[right])
    return known[name]
