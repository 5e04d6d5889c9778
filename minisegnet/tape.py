"""The tape: what was computed from what, and the walk back along it.

Every op leaves a :class:`Node` behind: the edges to what it was computed from, and the rule that
carries a gradient back to them. :func:`propagate` visits the nodes so that each comes after
everything that used it (topological order), because its gradient is complete only when all its
users have added their share. The walk uses a list, not recursion: a chain of any length fits.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minisegnet.backend import Array
from minisegnet.kernels.elementwise import add


@dataclass(frozen=True)
class Event:
    """An op that has just run: what observers are told."""

    #: The op's name.
    name: str
    #: What was given as its arrays: tensors, arrays, numbers or None.
    inputs: Sequence[Any]
    #: The tensors that came out; the first is the one that gradients come back from.
    outputs: Sequence[Any]
    #: All the other arguments by name, defaults included.
    options: Mapping[str, Any]
    #: What the tape keeps of it; None if nothing was recorded.
    node: Node | None = None


class Leaf:
    """Where gradients come to rest: the base of a tensor."""

    __slots__ = ("grad",)
    grad: Array | None


class _Mode(threading.local):
    recording = True
    observers: tuple[Callable[[Event], None], ...] = ()


_mode = _Mode()


class no_grad(contextlib.ContextDecorator):  # noqa: N801 (PyTorch's name)
    """Inside this context nothing is recorded: values only, no gradients.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([2.0], requires_grad=True)
    >>> with no_grad():
    ...     (x * 3).requires_grad
    False
    """

    def __enter__(self) -> None:
        self._before = getattr(self, "_before", [])
        self._before.append(_mode.recording)
        _mode.recording = False

    def __exit__(self, *_: object) -> None:
        _mode.recording = self._before.pop()


def is_recording() -> bool:
    """Whether ops are being recorded (False inside :class:`no_grad`)."""
    return _mode.recording


@contextlib.contextmanager
def observe(observer: Callable[[Event], None]) -> Iterator[None]:
    """Inside this context, tell ``observer`` of every op that runs in this thread.

    Examples
    --------
    >>> import minisegnet as ms
    >>> x = ms.tensor([[1.0, 2.0, 3.0]])
    >>> with observe(lambda event: print(event.name, event.outputs[0].shape, dict(event.options))):
    ...     y = (x * 2).sum(dim=1)
    multiply (1, 3) {}
    sum (1,) {'axes': 1, 'keepdims': False}
    """
    before = _mode.observers
    _mode.observers = (*before, observer)
    try:
        yield
    finally:
        _mode.observers = before


def is_observed() -> bool:
    """Whether anybody wants to be told of the ops that run."""
    return bool(_mode.observers)


def announce(event: Event) -> None:
    """Tell every observer of an op."""
    for observer in _mode.observers:
        observer(event)


class Node:
    """One op that ran: where its gradient goes, and by which rule.

    An edge is the leaf tensor or the node that an input came from, or None where no gradient is
    wanted. Edges hold no values, so an intermediate result lives on only if a rule needs it.
    """

    __slots__ = ("backward", "edges", "name", "signatures")

    def __init__(
        self,
        name: str,
        backward: Callable[[Array], tuple[Any, ...]],
        edges: list[Leaf | Node | None],
        signatures: list[tuple[tuple[int, ...], Any] | None],
    ) -> None:
        self.name = name
        self.backward: Callable[[Array], tuple[Any, ...]] | None = backward
        self.edges = edges
        self.signatures = signatures

    def send(self, grad: Array) -> Iterator[tuple[Leaf | Node, Array]]:
        """Each edge with the gradient that flows along it."""
        if self.backward is None:
            raise RuntimeError(
                f"the graph behind {self.name!r} was freed by an earlier backward(): compute the "
                "value again, add the losses and go backward once, or pass retain_graph=True"
            )
        shares = self.backward(grad)
        for edge, signature, share in zip(self.edges, self.signatures, shares, strict=True):
            if edge is None or signature is None or share is None:
                continue
            share = share() if callable(share) else share
            yield edge, _fit(share, *signature, name=self.name)

    def free(self) -> None:
        """Let go of everything the rule remembers."""
        self.backward = None
        self.edges, self.signatures = [], []


def _fit(grad: Array, shape: tuple[int, ...], dtype: Any, name: str) -> Array:
    """Sum over the axes that broadcasting stretched, and hold the rule to the input's shape."""
    extra = grad.ndim - len(shape)
    if extra > 0:
        grad = grad.sum(axis=tuple(range(extra)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    if stretched:
        grad = grad.sum(axis=stretched, keepdims=True)
    if grad.shape != shape:
        raise RuntimeError(
            f"the backward rule of {name!r} returned a gradient of shape {grad.shape} "
            f"for an input of shape {shape}"
        )
    return grad if grad.dtype == dtype else grad.astype(dtype)


def _topological_order(root: Node) -> list[Node]:
    """Every node behind ``root``, each after all the nodes it feeds on."""
    order: list[Node] = []
    seen = {id(root)}
    stack: list[tuple[Node, Iterator[Leaf | Node | None]]] = [(root, iter(root.edges))]
    while stack:
        node, edges = stack[-1]
        for edge in edges:
            if isinstance(edge, Node) and id(edge) not in seen:
                seen.add(id(edge))
                stack.append((edge, iter(edge.edges)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def propagate(start: Leaf | Node, grad: Array, retain_graph: bool) -> list[tuple[Leaf, Array]]:
    """Carry a gradient from ``start`` back; returns each leaf with its gradient.

    Nodes are freed as soon as they are done with, so memory shrinks on the way.
    """
    totals: dict[int, Array] = {id(start): grad}
    leaves: dict[int, Leaf] = {id(start): start} if isinstance(start, Leaf) else {}
    nodes = _topological_order(start) if isinstance(start, Node) else []
    while nodes:
        node = nodes.pop()
        for edge, share in node.send(totals.pop(id(node))):
            if isinstance(edge, Leaf):
                leaves[id(edge)] = edge
            have = totals.get(id(edge))
            totals[id(edge)] = share if have is None else add(have, share)
        if not retain_graph:
            node.free()
    return [(leaf, totals[key]) for key, leaf in leaves.items()]
