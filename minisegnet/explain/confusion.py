"""The confusion matrix: what the pixels of every class were taken for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from minisegnet.explain.arguments import shape
from minisegnet.explain.ledger import Cell, Factor, Index, Ledger, Origin, Term
from minisegnet.explain.masks import Masks, read_masks
from minisegnet.explain.numbers import Number, show, show_total
from minisegnet.explain.panels import Mark, Panel, Step
from minisegnet.explain.walkthrough import Walkthrough
from minisegnet.metrics import ConfusionMatrix


def confusion_matrix(
    prediction: Any,
    target: Any,
    num_classes: int | None = None,
    ignore_index: int | None = None,
) -> Walkthrough:
    """The confusion matrix: for every true class, what its pixels were taken for.

    Parameters
    ----------
    prediction, target : (rows, columns) or (N, rows, columns) of int
        Classes.
    num_classes : int, optional
        By default one more than the largest label.
    ignore_index : int, optional
        The label of void pixels in the target.

    Returns
    -------
    Walkthrough
        Rows of the result are the truth. ``.at(i, j)`` counts the pixels of class i that were
        predicted as j.

    Raises
    ------
    ValueError
        If the shapes differ or a label is out of range.

    Examples
    --------
    >>> walk = confusion_matrix([[0, 1, 1], [2, 1, 0]], [[0, 1, 2], [2, 0, 0]])
    >>> walk.result
    array([[2, 1, 0],
           [0, 1, 0],
           [0, 1, 1]])
    >>> print(walk.at(0, 0))
    1 + 1 = 2
    """
    op = "confusion_matrix"
    masks = read_masks(prediction, target, ignore_index, op)
    if masks.prediction.dtype.kind == "f":
        raise TypeError(f"{op}: prediction holds floats: take the argmax over the classes first")
    counted = masks.truth[masks.valid]
    largest = max(masks.prediction.max(), counted.max() if counted.size else 0)
    number = int(largest) + 1 if num_classes is None else num_classes
    matrix = ConfusionMatrix(number, ignore_index)
    matrix.update(masks.prediction, masks.truth)

    def account(cell: Cell) -> Ledger:
        here = (masks.truth == cell.row) & (masks.prediction == cell.col) & masks.valid
        indices: list[Index] = [tuple(index) for index in np.argwhere(here).tolist()]
        terms = [
            Term.product(
                Factor(
                    1,
                    Origin.INPUT,
                    masks.own_index(i),
                    {"prediction": i, "truth": i},
                    array_name="pixel",
                )
            )
            for i in indices
        ]
        note = f"pixels of class {cell.row} that were taken for class {cell.col}"
        pairs = {"truth, prediction": indices}
        return Ledger.of_sum(f"result[{cell.row}, {cell.col}]", terms, "", note, pairs)

    return Walkthrough(
        op,
        (f"masks {shape(masks.truth)}, {number} classes; {counted.size} pixels count",),
        tuple(_confusion_steps(masks, matrix)),
        matrix.matrix.copy(),
        account,
        {"iou": matrix.iou(), "dice": matrix.dice(), "class accuracy": matrix.class_accuracy()},
        remarks=_means(matrix),
        stage=("truth, prediction",),
    )


def _confusion_steps(masks: Masks, matrix: ConfusionMatrix) -> Iterator[Step]:
    classes = range(matrix.num_classes)
    void = {Mark.VOID: ~masks.valid}
    pairs = np.empty(masks.truth.shape, object)
    for index in np.ndindex(pairs.shape):
        pairs[index] = f"{masks.truth[index]},{masks.prediction[index]}"
    yield Step("Start", "Two masks of classes.", masks.panels)
    yield Step(
        "Pair them up",
        "Every pixel is a pair: the true class and the predicted one.",
        (Panel("truth, prediction", pairs, marks=void),),
    )
    diagonal = np.eye(matrix.num_classes, dtype=bool)
    result = Panel(
        "result",
        matrix.matrix.copy(),
        "result",
        {Mark.HIT: diagonal},
        row_labels=tuple(f"true {i}" for i in classes),
        column_labels=tuple(f"as {j}" for j in classes),
    )
    scores = np.empty((matrix.num_classes, 3), object)
    for i in classes:
        scores[i] = [_quotient(*parts) for parts in _score_parts(matrix.matrix, i)]
    if matrix.ignore_index is not None and 0 <= matrix.ignore_index < matrix.num_classes:
        scores[matrix.ignore_index] = math.nan
    yield Step(
        "Score each class",
        "On the diagonal stand the hits; the rest of a class's row was missed, the rest of its "
        "column claimed wrongly. A class that is nowhere has no score.",
        (
            Panel(
                "scores",
                scores,
                "note",
                row_labels=tuple(f"class {i}" for i in classes),
                column_labels=("IoU", "Dice", "recall"),
            ),
        ),
    )
    yield Step("Count the pairs", "Rows are the truth, columns the prediction.", (result,))


def _score_parts(counts: np.ndarray, i: int) -> list[tuple[int, int]]:
    """Above and below the line: IoU, Dice and recall of class i."""
    hit, true, claimed = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
    return [(hit, true + claimed - hit), (2 * hit, true + claimed), (hit, true)]


def _quotient(above: int, below: int) -> Number:
    return Fraction(above, below) if below else math.nan


def _means(matrix: ConfusionMatrix) -> tuple[str, ...]:
    counts = matrix.matrix
    hits, total = int(counts.trace()), int(counts.sum())
    accuracy = f"pixel accuracy {hits}/{total}"
    if total:
        value = show_total(Fraction(hits, total)).rpartition("= ")[2]
        accuracy += f" = {value}"
    return (
        f"{accuracy}; mean IoU {show(matrix.mean_iou())}; mean Dice {show(matrix.mean_dice())}; "
        f"class average (mean recall) {show(matrix.mean_class_accuracy())}",
    )
