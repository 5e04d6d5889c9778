"""Cross-entropy: what it costs to be unsure of the true class, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minisegnet.autograd import tensor
from minisegnet.explain.classes import Logits, read_logits, without
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, Term
from minisegnet.explain.numbers import as_numbers, show
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.ops import objective


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    names: Sequence[str] | None = None,
) -> Walkthrough:
    r"""Cross-entropy: minus the logarithm of the probability that the true class was given.

    .. math:: \ell = -(1 - s)\, w_t \log p_t - \frac{s}{K} \sum_k w_k \log p_k, \qquad
              p = \operatorname{softmax}(z)

    Parameters
    ----------
    input : (K,), (N, K), (K, H, W) or (N, K, H, W)
        Logits of K classes. (Unlike ``minisegnet.functional``, three dimensions are one image.)
    target : (), (N,), (H, W) or (N, H, W) of int
        The true classes.
    weight, ignore_index, reduction, label_smoothing
        As for ``minisegnet.functional.cross_entropy``.
    names : sequence of str, optional
        What the classes are called.

    Returns
    -------
    Walkthrough
        ``.at(row, col)`` is the cost of one pixel, ``.at()`` how the costs make up the loss. Pixels
        without rows and columns have the cell (0, 0) of image n.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a true class does not exist.
    TypeError
        If the target is not of integers.

    Examples
    --------
    >>> walk = cross_entropy([2, 30], 0, names=["cat", "background"])
    >>> round(float(walk.result), 4)
    28.0
    >>> print(walk.at(0, 0))
    -log(exp(2) / (exp(2) + exp(30))) = 28
    """
    op = "cross_entropy"
    logits = read_logits(input, None, names, op)
    truth = as_numbers(target, "target", op)
    if truth.dtype.kind == "f":
        raise TypeError(f"{op}: target holds {truth.dtype}: give the true classes as integers")
    classes_axis = 0 if len(logits.given) % 2 else 1
    wanted = without(logits.given, classes_axis)
    if truth.shape != wanted:
        raise ValueError(
            f"{op}: target has shape {truth.shape} and the logits {logits.given}: give one true "
            f"class for each pixel, {wanted}"
        )
    maps = logits.values.reshape((*logits.values.shape, 1, 1)[:4])
    truth = truth.reshape(len(maps), 1, *maps.shape[2:])
    weights = None if weight is None else as_numbers(weight, "weight", op).astype(maps.dtype)
    costs, loss = (
        objective.cross_entropy(
            tensor(maps),
            tensor(truth[:, 0]),
            None if weights is None else tensor(weights),
            ignore_index,
            how,
            label_smoothing,
        ).numpy()
        for how in ("none", reduction)
    )
    shares = np.ones(maps.shape[1]) if weights is None else weights
    result = costs.reshape(wanted) if reduction == "none" else loss
    costing = _Costs(logits, maps, truth, costs[:, None], shares, ignore_index, label_smoothing)
    return costing.walkthrough(reduction, result)


class _Costs:
    """The costs of all pixels, from which the steps and the ledgers are made.

    Everything is held as (N, K, H, W) or (N, 1, H, W); logits without rows and columns are shown as
    one matrix with a row for each pixel.
    """

    def __init__(
        self,
        logits: Logits,
        maps: np.ndarray,
        truth: np.ndarray,
        costs: np.ndarray,
        weights: np.ndarray,
        ignore_index: int,
        smoothing: float,
    ) -> None:
        self.logits, self.maps, self.truth, self.costs = logits, maps, truth, costs
        self.weights, self.smoothing = weights, smoothing
        self.is_table = len(logits.given) < 3
        self.valid = truth != ignore_index
        self.classes = np.where(self.valid, truth, 0)
        shifted = maps - maps.max(axis=1, keepdims=True)
        self.probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        self.of_truth = np.take_along_axis(self.probabilities, self.classes, 1)
        # What each pixel counts for in the mean.
        self.counts = np.where(self.valid, weights[self.classes], 0)

    def shown(self, maps: np.ndarray) -> np.ndarray:
        """As the reader sees them."""
        return maps[:, :, 0, 0] if self.is_table else maps

    def index(self, n: int, channel: int, row: int, col: int) -> Index:
        """Where a value is in what the reader sees."""
        return (n, channel) if self.is_table else (n, channel, row, col)

    def own_index(self, index: Index) -> Index:
        """The index of a pixel in the target that the reader gave."""
        n, row, col = (index[0], *index[2:]) if len(index) == 4 else (index[0], 0, 0)
        return ((), (n,), (row, col), (n, row, col))[len(self.logits.given) - 1]

    # ------------------------------------------------------------------ the steps

    def walkthrough(self, reduction: str, result: Any) -> Walkthrough:
        """The steps: probabilities, those of the true classes, their logarithms, the mean."""
        void = {Mark.VOID: self.shown(~self.valid)}
        labels: dict[str, Any] = {"column_labels": self.logits.names} if self.is_table else {}
        lead = ("image", "class")
        note: Any = "note"
        start = (
            Panel("logits", self.shown(self.maps), lead=lead, **labels),
            Panel("true class", self.shown(self.truth), note, void),
        )
        probabilities = Panel("probabilities", self.shown(self.probabilities), lead=lead, **labels)
        picked = Panel("probability of the true class", self.shown(self.of_truth), marks=void)
        kind: Any = "result" if reduction == "none" else "map"
        cost = Panel("cost", self.shown(self.costs), kind, void)
        steps = [
            Step("Start", "Logits for each class, and the true class of each pixel.", start),
            Step("Softmax", "What the logits say in probabilities.", (probabilities,)),
            Step("Pick the true class", "All that counts of a pixel.", (picked,)),
            Step("Take minus the logarithm", self._cost_sentence(), (cost,)),
        ]
        if reduction != "none":
            steps.append(self._reduction_step(reduction, result))
        pixels = f"{int(self.valid.sum())} of {self.valid.size} pixels count"
        return Walkthrough(
            "cross_entropy",
            (f"logits {'x'.join(map(str, self.logits.given))}, reduction {reduction}; {pixels}",),
            tuple(steps),
            result,
            self.account,
            {
                "cost": self.costs.reshape(
                    without(self.logits.given, (len(self.logits.given) + 1) % 2)
                ),
                "probabilities": self.probabilities.reshape(self.logits.given),
            },
            accounted="cost",
            account_of_all=None if reduction == "none" else lambda: self.account_of_all(reduction),
            stage=("logits", "probabilities"),
        )

    def _cost_sentence(self) -> str:
        sentence = "A probability of 1 costs nothing, a small one much"
        if (self.weights != 1).any():
            sentence += "; each cost is multiplied by the weight of the true class"
        if self.smoothing:
            sentence += f"; {show(self.smoothing)} of the truth is spread evenly over all classes"
        return sentence + "."

    def _reduction_step(self, reduction: str, result: Any) -> Step:
        total = show(float(self.costs.sum()))
        panel = Panel("result", np.asarray(result).reshape(1, 1), "result")
        if reduction == "sum":
            return Step("Sum", f"The costs sum to {total}.", (panel,))
        count = show(float(self.counts.sum()))
        what = "sum of the weights" if (self.weights != 1).any() else "number of pixels that count"
        sentence = f"The costs sum to {total}; divided by the {what}, {count}."
        return Step("Average", sentence, (panel,))

    # ------------------------------------------------------------------ the accounts

    def account(self, cell: Cell) -> Ledger:
        """The cost of one pixel."""
        n, row, col = (cell.row, 0, 0) if self.is_table else (cell.n, cell.row, cell.col)
        index = self.index(n, 0, row, col)
        name = f"cost{list(self.own_index(index))}"
        if not self.valid[n, 0, row, col]:
            return Ledger(name, (), 0, "0", "void: not counted", {"true class": [index]})
        z = self.maps[n, :, row, col].astype(np.float64)
        true = int(self.classes[n, 0, row, col])
        beside = [self.index(n, k, row, col) for k in range(len(z))]
        places = {
            "logits": beside,
            "probabilities": [beside[true]],
            "true class": [index],
            "probability of the true class": [index],
        }
        return Ledger.of_sum(
            name, self._terms(z, true, beside), self._equation(z, true), "", places
        )

    def _terms(self, z: np.ndarray, true: int, beside: list[Index]) -> Iterator[Term]:
        """weight * (log of the sum of exponentials - logit), for each class that is part truth."""
        log_sum = float(z.max() + np.log(np.exp(z - z.max()).sum()))
        text = f"log({' + '.join(f'exp({show(v)})' for v in z)})"
        for k, share in self._shares(true):
            own = self.logits.own_index(beside[k])
            logit = Factor(-float(z[k]), Origin.COMPUTED, own, {}, "", "logits")
            weight = () if share == 1 else (Factor(share, Origin.SHARE),)
            yield Term.product(*weight, Factor(log_sum, Origin.COMPUTED, text=text))
            yield Term.product(*weight, logit)

    def _shares(self, true: int) -> list[tuple[int, float]]:
        """How much of the truth each class is, times its weight."""
        even = self.smoothing / len(self.weights)
        shares = [even * float(weight) for weight in self.weights]
        shares[true] += (1 - self.smoothing) * float(self.weights[true])
        return [(k, share) for k, share in enumerate(shares) if share]

    def _equation(self, z: np.ndarray, true: int) -> str:
        total = " + ".join(f"exp({show(value)})" for value in z)
        parts = []
        for k, share in self._shares(true):
            factor = "" if share == 1 else f"{show(share)}*"
            parts.append(f"-{factor}log(exp({show(z[k])}) / ({total}))")
        return " ".join(parts).replace(" -", " - ") or "0"

    def account_of_all(self, reduction: str) -> Ledger:
        """The loss, from the costs of the pixels that count."""
        count = float(self.counts.sum())
        terms = []
        texts = []
        for n, _, row, col in np.argwhere(self.valid).tolist():
            index = self.index(n, 0, row, col)
            value = float(self.costs[n, 0, row, col])
            own = self.own_index(index)
            factor = Factor(value, Origin.COMPUTED, own, {"cost": index}, array_name="cost")
            texts.append(show(value))
            if reduction == "sum":
                terms.append(Term.product(factor))
            else:
                share = Factor(
                    1 / count if count else math.nan, Origin.SHARE, text=f"1/{show(count)}"
                )
                terms.append(Term((factor, share), value / count if count else math.nan))
        left = " + ".join(texts) or "0"
        expression = left if reduction == "sum" else f"({left}) / {show(count)}"
        if not terms and reduction == "mean":
            return Ledger("result", (), math.nan, "0 / 0", "no pixel counts")
        return Ledger.of_sum("result", terms, expression)
