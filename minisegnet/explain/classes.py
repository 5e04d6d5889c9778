"""The classification end: how logits become probabilities and a class, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.autograd import tensor
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, Term
from minisegnet.explain.numbers import as_numbers, exact, show, show_factor
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.ops import activation

_MOST_NAMED = 12


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits in the shape that they are shown in, and which axis counts the classes."""

    values: np.ndarray
    given: tuple[int, ...]
    axis: int
    names: tuple[str, ...]

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The classes as labels of the rows or columns, where they run along these."""
        if self.values.ndim == 4 or not self.names:
            return {}
        return {"column_labels" if self.axis == 1 else "row_labels": self.names}

    def name_of(self, number: int) -> str:
        """``1``, or ``1 (background)``."""
        return f"{number} ({self.names[number]})" if self.names else str(number)

    def index(self, cell: Cell) -> Index:
        """The cell's index in :attr:`values`."""
        return (cell.n, cell.channel, cell.row, cell.col)[-self.values.ndim :]

    def own_index(self, index: Index) -> Index:
        """An index in :attr:`values` as an index in what the reader gave."""
        return index[len(index) - len(self.given) :]

    def of_all_classes(self, index: Index) -> list[Index]:
        """The indices of all the classes' logits beside this one."""
        before, after = index[: self.axis], index[self.axis + 1 :]
        return [(*before, k, *after) for k in range(self.values.shape[self.axis])]


def read_logits(input: Any, dim: int | None, names: Sequence[str] | None, op: str) -> Logits:
    """The logits, whichever of the shapes they have.

    Raises
    ------
    ValueError
        If they have more than four dimensions, or there is not one name for each class.
    """
    values = as_numbers(input, "input", op)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    if not 1 <= values.ndim <= 4:
        raise ValueError(
            f"{op}: input has shape {values.shape}: give logits (K,), (N, K), (K, H, W) or "
            "(N, K, H, W)"
        )
    axis = {1: 0, 2: 1, 3: 0, 4: 1}[values.ndim] if dim is None else dim
    if not -values.ndim <= axis < values.ndim:
        raise IndexError(f"{op}: dim {dim} is out of range for shape {values.shape}")
    axis %= values.ndim
    number = values.shape[axis]
    if names is not None and len(names) != number:
        raise ValueError(f"{op}: {len(names)} names for {number} classes: give one for each")
    shown = values.reshape((1,) * (values.ndim % 2) + values.shape)
    return Logits(shown, values.shape, axis + values.ndim % 2, tuple(names or ()))


def softmax(input: Any, dim: int | None = None, names: Sequence[str] | None = None) -> Walkthrough:
    r"""Softmax, and the class that comes out: how logits become probabilities and a decision.

    .. math:: p_k = \frac{e^{z_k - m}}{\sum_j e^{z_j - m}}, \qquad m = \max_j z_j

    Parameters
    ----------
    input : (K,), (N, K), (K, H, W) or (N, K, H, W)
        Logits of K classes.
    dim : int, optional
        The dimension of the classes; by default the one called K above.
    names : sequence of str, optional
        What the classes are called.

    Returns
    -------
    Walkthrough
        ``.result`` are the probabilities, ``.outputs["class"]`` the most probable class. A plain
        list of logits is shown as one row, so its class k is the cell (0, k).

    Raises
    ------
    ValueError
        If the input has more than four dimensions, or there is not one name for each class.

    Examples
    --------
    At some pixel the cat's map says 2 and the background's says 30:

    >>> walk = softmax([2, 30], names=["cat", "background"])
    >>> walk.result
    array([6.91440011e-13, 1.00000000e+00])
    >>> print(walk.at(0, 0))
    exp(2 - 30) / (exp(2 - 30) + exp(30 - 30)) = 6.914e-13
    >>> walk.outputs["class"]
    array(1)
    """
    op = "softmax"
    logits = read_logits(input, dim, names, op)
    z, axis = logits.values, logits.axis
    probabilities = activation.softmax(tensor(z), axis).numpy()
    largest = z.max(axis=axis, keepdims=True)
    powers = np.exp(z - largest)
    sums = powers.sum(axis=axis, keepdims=True)
    classes = probabilities.argmax(axis=axis)

    def account(cell: Cell) -> Ledger:
        index = logits.index(cell)
        beside = logits.of_all_classes(index)
        top = show_factor(exact(largest[_at(index, axis, 0)]))
        texts = [f"exp({show(exact(z[i]))} - {top})" for i in beside]
        mine, total = exact(powers[index]), exact(sums[_at(index, axis, 0)])
        text = texts[index[axis]]
        own = logits.own_index(index)
        numerator = Factor(mine, Origin.COMPUTED, own, {}, text, "logits")
        denominator = Factor(1 / total, Origin.SUM, text=f"(1/{show(total)})")
        value = exact(probabilities[index])
        return Ledger(
            f"probabilities{list(own)}",
            (Term((numerator, denominator), value),),
            value,
            f"{text} / ({' + '.join(texts)})",
            places={
                "logits": beside,
                "logits less the largest": beside,
                "exponentials": beside,
                "largest": [_at(index, axis, 0)],
                "sum": [_at(index, axis, 0)],
                "class": [_at(index, axis, 0)],
            },
        )

    def panel(name: str, values: np.ndarray, kind: Any = "map", **more: Any) -> Panel:
        labels: dict[str, Any] = dict(logits.labels) if values.shape == z.shape else {}
        return Panel(name, values, kind, **more, **labels, lead=("image", "class"))

    chosen = np.zeros(z.shape, bool)
    np.put_along_axis(chosen, np.expand_dims(classes, axis), True, axis)
    steps = (
        Step("Start", "One logit for each class: any real numbers.", (panel("logits", z),)),
        Step(
            "Take the largest off",
            "The same number off every class changes no ratio and keeps the exponentials small.",
            (panel("largest", largest, "note"), panel("logits less the largest", z - largest)),
        ),
        Step("Raise e to them", "Now all are positive.", (panel("exponentials", powers),)),
        Step("Add them up", "Over the classes.", (panel("sum", sums, "note"),)),
        Step(
            "Divide",
            "Each by the sum: they sum to 1.",
            (panel("probabilities", probabilities, "result", marks={Mark.CHOSEN: chosen}),),
        ),
        Step(
            "Choose the most probable class",
            _decision(logits, classes),
            (panel("class", np.expand_dims(classes, axis), "result"),),
        ),
    )
    return Walkthrough(
        op,
        (f"logits {'x'.join(map(str, logits.given))}, {z.shape[axis]} classes",),
        steps,
        probabilities.reshape(logits.given),
        account,
        {"class": classes.reshape(without(logits.given, axis - (len(logits.given) % 2)))},
        accounted="probabilities",
        stage=("logits", "exponentials", "sum"),
    )


def _at(index: Index, axis: int, number: int) -> Index:
    return (*index[:axis], number, *index[axis + 1 :])


def without(lengths: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The lengths without that of one axis."""
    return lengths[:axis] + lengths[axis + 1 :]


def _decision(logits: Logits, classes: np.ndarray) -> str:
    if classes.size == 1:
        return f"The largest probability wins: class {logits.name_of(int(classes.item()))}."
    named = ", ".join(f"{k} {name}" for k, name in enumerate(logits.names[:_MOST_NAMED]))
    return "The largest probability wins" + (f" ({named})." if named else ".")
