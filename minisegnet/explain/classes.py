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
    logits = read_logits(input, dim, names, "softmax")
    return _Softmax(logits).walkthrough()


class _Softmax:
    """The arrays on the way from logits to a class, from which steps and ledgers are made."""

    def __init__(self, logits: Logits) -> None:
        self.logits, self.axis = logits, logits.axis
        z, axis = logits.values, logits.axis
        self.probabilities = activation.softmax(tensor(z), axis).numpy()
        self.largest = z.max(axis=axis, keepdims=True)
        self.powers = np.exp(z - self.largest)
        self.sums = self.powers.sum(axis=axis, keepdims=True)
        self.classes = np.expand_dims(self.probabilities.argmax(axis=axis), axis)

    def walkthrough(self) -> Walkthrough:
        """The steps: exponentials, their sum, the quotient, the largest of them."""
        given = self.logits.given
        classes = self.classes.reshape(without(given, self.axis - len(given) % 2))
        return Walkthrough(
            "softmax",
            (f"logits {'x'.join(map(str, given))}, {self.logits.values.shape[self.axis]} classes",),
            self._steps(),
            self.probabilities.reshape(given),
            self.account,
            {"class": classes},
            accounted="probabilities",
            stage=("logits", "exponentials", "sum"),
        )

    def account(self, cell: Cell) -> Ledger:
        """One probability: its exponential over the sum of all."""
        index = self.logits.index(cell)
        beside, above = self.logits.of_all_classes(index), _at(index, self.axis, 0)
        top = show_factor(exact(self.largest[above]))
        texts = [f"exp({show(exact(self.logits.values[i]))} - {top})" for i in beside]
        mine, total = exact(self.powers[index]), exact(self.sums[above])
        text, own = texts[index[self.axis]], self.logits.own_index(index)
        numerator = Factor(mine, Origin.COMPUTED, own, {}, text, "logits")
        denominator = Factor(1 / total, Origin.SUM, text=f"(1/{show(total)})")
        value = exact(self.probabilities[index])
        return Ledger(
            f"probabilities{list(own)}",
            (Term((numerator, denominator), value),),
            value,
            f"{text} / ({' + '.join(texts)})",
            places={
                "logits": beside,
                "logits less the largest": beside,
                "exponentials": beside,
                "largest": [above],
                "sum": [above],
                "class": [above],
            },
        )

    def _panel(self, name: str, values: np.ndarray, kind: Any = "map", **more: Any) -> Panel:
        has_classes = values.shape == self.logits.values.shape
        labels: dict[str, Any] = dict(self.logits.labels) if has_classes else {}
        return Panel(name, values, kind, **more, **labels, lead=("image", "class"))

    def _steps(self) -> tuple[Step, ...]:
        z, panel = self.logits.values, self._panel
        chosen = np.zeros(z.shape, bool)
        np.put_along_axis(chosen, self.classes, True, self.axis)
        marks = {Mark.CHOSEN: chosen}
        return (
            Step("Start", "One logit for each class: any real numbers.", (panel("logits", z),)),
            Step(
                "Take the largest off",
                "The same number off every class changes no ratio and keeps the exponentials "
                "small.",
                (
                    panel("largest", self.largest, "note"),
                    panel("logits less the largest", z - self.largest),
                ),
            ),
            Step("Raise e to them", "Now all are positive.", (panel("exponentials", self.powers),)),
            Step("Add them up", "Over the classes.", (panel("sum", self.sums, "note"),)),
            Step(
                "Divide",
                "Each by the sum: they sum to 1.",
                (panel("probabilities", self.probabilities, "result", marks=marks),),
            ),
            Step(
                "Choose the most probable class",
                _decision(self.logits, self.classes),
                (panel("class", self.classes, "result"),),
            ),
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
