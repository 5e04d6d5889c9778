"""IoU and Dice of one class: how two regions overlap, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from minisegnet.explain.arguments import shape
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, Term
from minisegnet.explain.masks import Masks, read_masks
from minisegnet.explain.numbers import Number, exact, show
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough

_OUTCOMES = {
    "TP": Mark.HIT,
    "FP": Mark.FALSE_ALARM,
    "FN": Mark.MISS,
    "": Mark.VOID,
}


def iou(
    prediction: Any,
    target: Any,
    positive: int = 1,
    ignore_index: int | None = None,
) -> Walkthrough:
    r"""Intersection over union of one class (Jaccard's index), pixel by pixel.

    .. math:: J = \frac{TP}{TP + FP + FN}

    Parameters
    ----------
    prediction, target : (rows, columns) or (N, rows, columns)
        Classes; or, for the prediction, floats: the probability of the class at each pixel, of
        which :math:`J = \sum p t / (\sum p + \sum t - \sum p t)`.
    positive : int
        The class that is scored; all others are "not it".
    ignore_index : int, optional
        The label of void pixels in the target.

    Returns
    -------
    Walkthrough
        ``.at(row, col)`` is what one pixel adds, ``.at()`` the whole quotient. Two empty masks are
        0/0: the result is nan.

    Raises
    ------
    ValueError
        If the shapes differ, or the masks hold 0 and 255.

    Examples
    --------
    >>> walk = iou([[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 1]])
    >>> walk.result
    0.5
    >>> print(walk.at())
    2 / (2 + 1 + 1) = 0.5
    """
    return _overlap("iou", prediction, target, positive, ignore_index, _JACCARD)


def dice(
    prediction: Any,
    target: Any,
    positive: int = 1,
    ignore_index: int | None = None,
    squared: bool = False,
) -> Walkthrough:
    r"""Dice's coefficient of one class, pixel by pixel.

    .. math:: D = \frac{2 TP}{2 TP + FP + FN} = \frac{2 J}{1 + J}

    Parameters
    ----------
    prediction, target, positive, ignore_index
        As for :func:`iou`. Of probabilities, :math:`D = 2 \sum p t / (\sum p + \sum t)`.
    squared : bool
        With probabilities: whether the denominator sums squares.

    Raises
    ------
    ValueError
        If the shapes differ, or the masks hold 0 and 255.

    Examples
    --------
    >>> walk = dice([[1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 1]])
    >>> print(walk.at())
    2*2 / (2*2 + 1 + 1) = 2/3 = 0.6667
    """
    rule = _SQUARED_DICE if squared else _DICE
    return _overlap("dice", prediction, target, positive, ignore_index, rule)


@dataclass(frozen=True)
class _Rule:
    """A quotient of overlap: how the sums make it up, in numbers and in words."""

    hard: str
    soft: str
    factor: int
    below: Callable[[Number, Number, Number], Number]
    is_squared: bool = False


_JACCARD = _Rule(
    "TP / (TP + FP + FN)",
    "sum(p*t) / (sum(p) + sum(t) - sum(p*t))",
    1,
    lambda both, claimed, true: claimed + true - both,
)
_DICE = _Rule(
    "2*TP / (2*TP + FP + FN)",
    "2*sum(p*t) / (sum(p) + sum(t))",
    2,
    lambda both, claimed, true: claimed + true,
)
_SQUARED_DICE = _Rule(
    "2*TP / (2*TP + FP + FN)", "2*sum(p*t) / (sum(p²) + sum(t²))", 2, _DICE.below, is_squared=True
)


def _overlap(
    op: str, prediction: Any, target: Any, positive: int, ignore_index: int | None, rule: _Rule
) -> Walkthrough:
    masks = read_masks(prediction, target, ignore_index, op)
    labels = set(np.unique(masks.truth[masks.valid])) | set(np.unique(masks.prediction))
    if positive == 1 and 255 in labels and labels <= {0, 255}:
        raise ValueError(
            f"{op}: the masks hold 0 and 255: turn them into 0 and 1 with mask > 127, or pass "
            "positive=255"
        )
    return _Overlap(op, masks, positive, rule).walkthrough()


class _Overlap:
    """Two regions, from which the steps and the ledgers are made."""

    def __init__(self, op: str, masks: Masks, positive: int, rule: _Rule) -> None:
        self.op, self.masks, self.positive, self.rule = op, masks, positive, rule
        self.is_soft = masks.prediction.dtype.kind == "f"
        counted = masks.valid.astype(np.int64)
        self.t = (masks.truth == positive) * counted
        self.p = (masks.prediction if self.is_soft else masks.prediction == positive) * counted
        power = 2 if rule.is_squared else 1
        self.both, self.claimed, self.true = (
            exact(total.sum()) for total in (self.p * self.t, self.p**power, self.t)
        )
        self.below = rule.below(self.both, self.claimed, self.true)

    @property
    def score(self) -> Number:
        """The quotient, exact for masks of classes; nan for two empty ones."""
        return self._share(self.both)

    def _share(self, part: Number) -> Number:
        if not self.below:
            return math.nan
        if self.is_soft:
            return self.rule.factor * part / self.below
        return Fraction(self.rule.factor * int(part), int(self.below))

    def outcomes(self) -> np.ndarray:
        """TP, FP, FN or TN of each pixel; nothing of void ones."""
        names = np.array(["TN", "FP", "FN", "TP"], object)[(self.p + 2 * self.t).astype(np.int64)]
        return np.where(self.masks.valid, names, "")

    def walkthrough(self) -> Walkthrough:
        """The steps: compare, count, divide."""
        facts = (
            f"masks {shape(self.masks.truth)}, class {self.positive}; "
            f"{int(self.masks.valid.sum())} of {self.masks.valid.size} pixels count",
        )
        middle = self._soft_steps() if self.is_soft else self._hard_steps()
        result = float(self.score)
        values = np.empty((1, 1), object)
        values[0, 0] = self.score
        panel = Panel("result", values, "result")
        sentence = f"{self.rule.soft if self.is_soft else self.rule.hard} = {self.account_of_all()}"
        if math.isnan(result):
            sentence += ": both masks are empty. A mean over classes leaves it out."
        what = (
            "The probability of the class, and the truth."
            if self.is_soft
            else ("Two masks of classes.")
        )
        return Walkthrough(
            self.op,
            facts,
            (
                Step("Start", what, self.masks.panels),
                *middle,
                Step("Divide", sentence if sentence.endswith(".") else f"{sentence}.", (panel,)),
            ),
            result,
            self.account,
            accounted="products" if self.is_soft else "outcome",
            account_of_all=self.account_of_all,
        )

    def _hard_steps(self) -> tuple[Step, ...]:
        outcomes = self.outcomes()
        marks = {mark: outcomes == name for name, mark in _OUTCOMES.items()}
        names = ("TP", "FP", "FN", "TN")
        counts = np.array([[int((outcomes == name).sum()) for name in names]])
        return (
            Step(
                "Compare",
                f"TP: class {self.positive} and found. FP: claimed wrongly. FN: missed. TN: "
                "rightly left alone.",
                (Panel("outcome", outcomes, marks=marks),),
            ),
            Step(
                "Count",
                "True negatives are counted here and used nowhere: a rare class gains nothing from "
                "them.",
                (Panel("counts", counts, "note", column_labels=names),),
            ),
        )

    def _soft_steps(self) -> tuple[Step, ...]:
        void = {Mark.VOID: ~self.masks.valid}
        squares = " of squares" if self.rule.is_squared else ""
        names = ("sum(p*t)", f"sum(p{'²' if squares else ''})", f"sum(t{'²' if squares else ''})")
        sums = np.array([[self.both, self.claimed, self.true]], dtype=float)
        return (
            Step(
                "Multiply",
                "Where the truth is 1, the product is the probability; elsewhere 0.",
                (Panel("products", self.p * self.t, marks=void),),
            ),
            Step(
                "Add up",
                f"The overlap, and the sizes of the two regions as sums{squares}.",
                (Panel("sums", sums, "note", column_labels=names),),
            ),
        )

    # ------------------------------------------------------------------ the accounts

    def account(self, cell: Cell) -> Ledger:
        """What one pixel adds to the score."""
        index = self.masks.index(cell)
        places = {"prediction": [index], "truth": [index]}
        name = f"pixel{list(self.masks.own_index(index))}"
        part = exact(self.p[index] * self.t[index])
        if self.is_soft:
            note, outcome = "", f"{show(self.p[index])}*{show(self.t[index])}"
        else:
            outcome = show(part)
            note = (
                f"{self.outcomes()[index] or 'void'}: adds 1 to the intersection"
                if part
                else (f"{self.outcomes()[index] or 'void, not counted'}: not in the intersection")
            )
        if not self.below:
            return Ledger(name, (), math.nan, "0 / 0", note, places)
        twice = f"{self.rule.factor}*" if self.rule.factor != 1 else ""
        expression = f"{twice}{outcome} / {show(self.below)}"
        return Ledger.of_sum(name, [self._term(index)], expression, note, places)

    def _term(self, index: Index) -> Term:
        part = exact(self.p[index] * self.t[index])
        own = self.masks.own_index(index)
        factor = Factor(part, Origin.INPUT, own, {"prediction": index}, array_name="pixel")
        share = Factor(
            Fraction(self.rule.factor, int(self.below)) if not self.is_soft else (
                self.rule.factor / self.below
            ),
            Origin.SHARE,
            text=f"({self.rule.factor}/{show(self.below)})",
        )  # fmt: skip
        return Term((factor, share), self._share(part))

    def account_of_all(self) -> Ledger:
        """The score: a term for each pixel that is both."""
        if self.is_soft:
            expression = self._soft_equation()
        else:
            missed, wrong = self.true - self.both, self.claimed - self.both
            hits = f"2*{show(self.both)}" if self.rule.factor == 2 else show(self.both)
            expression = f"{hits} / ({hits} + {show(wrong)} + {show(missed)})"
        if not self.below:
            return Ledger("result", (), math.nan, expression, "both masks are empty")
        indices = [tuple(index) for index in np.argwhere(self.p * self.t != 0).tolist()]
        return Ledger.of_sum("result", map(self._term, indices), expression)

    def _soft_equation(self) -> str:
        both, claimed, true = show(self.both), show(self.claimed), show(self.true)
        if self.rule.factor == 2:
            return f"2*{both} / ({claimed} + {true})"
        return f"{both} / ({claimed} + {true} - {both})"
