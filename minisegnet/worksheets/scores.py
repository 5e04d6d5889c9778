"""Problems on counting pixels: IoU, Dice, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import numpy as np

from minisegnet import explain
from minisegnet.checks import Pair
from minisegnet.metrics import ConfusionMatrix
from minisegnet.worksheets.problem import Given, Matrix, Mistake, Problem, Value, matrix_of, write

_SIZES: tuple[Pair, ...] = ((4, 5), (5, 4), (3, 6))
_VOID = 255
_VOID_LETTER = "v"


def _ratio(above: int, below: int) -> Value:
    return Fraction(above, below) if below else None


def _mask(random: Random, size: Pair, classes: int) -> np.ndarray:
    """A mask in which neighbours tend to be alike."""
    rows, columns = size
    mask = np.zeros(size, np.int64)
    for row in range(rows):
        for column in range(columns):
            near = [mask[row - 1, column]] * (row > 0) + [mask[row, column - 1]] * (column > 0)
            mask[row, column] = random.choice([*near, *range(classes)])
    return mask


def _prediction(random: Random, truth: np.ndarray, classes: int, share: float) -> np.ndarray:
    """The truth with a share of its pixels taken for another class."""
    prediction = truth.copy()
    for index in np.ndindex(truth.shape):
        if random.random() < share:
            prediction[index] = random.randrange(classes)
    return prediction


def _pair(random: Random, classes: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    truth = _mask(random, random.choice(_SIZES), classes)
    return _prediction(random, truth, classes, share), truth


def _masks(prediction: np.ndarray, truth: np.ndarray) -> tuple[Given, Given]:
    rows = matrix_of(truth)
    letters = tuple(tuple(_VOID_LETTER if v == _VOID else v for v in row) for row in rows)
    return Given("prediction", matrix_of(prediction)), Given("truth", letters)


def _counts(prediction: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    """TP, FP, FN, TN of class 1."""
    matrix = ConfusionMatrix(2)
    matrix.update(prediction, truth)
    (tn, fp), (fn, tp) = matrix.matrix.tolist()
    return tp, fp, fn, tn


def _row(*values: Value) -> Matrix:
    return (values,)


def _columns(labels: Sequence[str]) -> str:
    return "Write one row: " + ", ".join(labels) + "."


# ------------------------------------------------------------------ two classes


def _count(random: Random) -> Problem:
    prediction, truth = _pair(random, 2, 0.35)
    tp, fp, fn, tn = _counts(prediction, truth)
    labels = ("TP", "FP", "FN")
    return Problem(
        "Count the pixels",
        f"Class 1 is wanted: count its true positives, false positives and false negatives. "
        f"{_columns(labels)}",
        _masks(prediction, truth),
        _row(tp, fp, fn),
        name="counts",
        working=(
            "TP: 1 in both. FP: 1 in the prediction only. FN: 1 in the truth only. "
            f"The other {tn} are true negatives.",
        ),
        mistakes=(
            Mistake(
                "false positives and false negatives are exchanged: a false positive is claimed "
                "by the prediction",
                _row(tp, fn, fp),
            ),
            Mistake(
                "all ones are counted: those in both masks are TP alone", _row(tp, tp + fp, tp + fn)
            ),
            Mistake("true negatives are not true positives", _row(tn, fp, fn)),
            Mistake("agreement on 0 is no true positive", _row(tp + tn, fp, fn)),
        ),
        labels=labels,
    )


def _scores(random: Random) -> Problem:
    prediction, truth = _pair(random, 2, 0.35)
    tp, fp, fn, tn = _counts(prediction, truth)
    iou, dice = explain.iou(prediction, truth), explain.dice(prediction, truth)
    right = _overlaps(tp, fp, fn)
    labels = ("IoU", "Dice")
    return Problem(
        "IoU and Dice",
        f"How well does the prediction overlap the truth, for class 1? {_columns(labels)} "
        "Fractions, or two decimals.",
        _masks(prediction, truth),
        _row(*right),
        name="scores",
        working=(
            f"IoU = TP / (TP + FP + FN) = {iou.at().equation} = {write(right[0])}",
            f"Dice = 2*TP / (2*TP + FP + FN) = {dice.at().equation} = {write(right[1])}",
        ),
        mistakes=_score_mistakes(tp, fp, fn, tn),
        labels=labels,
    )


def _overlaps(tp: int, fp: int, fn: int) -> tuple[Value, Value]:
    return _ratio(tp, tp + fp + fn), _ratio(2 * tp, 2 * tp + fp + fn)


def _score_mistakes(tp: int, fp: int, fn: int, tn: int) -> tuple[Mistake, ...]:
    iou, dice = _overlaps(tp, fp, fn)
    return (
        Mistake("IoU and Dice are exchanged: Dice is never the smaller", _row(dice, iou)),
        Mistake(
            "true negatives are counted in: neither score knows them",
            _row(_ratio(tp, tp + fp + fn + tn), _ratio(2 * tp, 2 * tp + fp + fn + tn)),
        ),
        Mistake(
            "that is pixel accuracy, (TP + TN) / all",
            _row(*[_ratio(tp + tn, tp + fp + fn + tn)] * 2),
        ),
        Mistake(
            "the intersection is counted twice in the union: TP + FP + FN",
            _row(_ratio(tp, 2 * tp + fp + fn), dice),
        ),
        Mistake(
            "Dice counts the intersection twice, above and below the line",
            _row(iou, _ratio(2 * tp, tp + fp + fn)),
        ),
        Mistake(
            "false positives are left out: that is recall, TP / (TP + FN)",
            _row(*[_ratio(tp, tp + fn)] * 2),
        ),
        Mistake(
            "false negatives are left out: that is precision, TP / (TP + FP)",
            _row(*[_ratio(tp, tp + fp)] * 2),
        ),
    )


def _convert(random: Random) -> Problem:
    tp, fp, fn = (random.randint(1, 9) for _ in range(3))
    iou = Fraction(tp, tp + fp + fn)
    first_dice = 2 * iou / (1 + iou)
    above, more = random.randint(1, 5), random.randint(1, 5)
    dice = Fraction(2 * above, 2 * above + more)
    labels = ("Dice", "IoU")
    back = dice / (2 - dice)
    return Problem(
        "One from the other",
        f"Network A has an IoU of {write(iou)}: what is its Dice? Network B has a Dice of "
        f"{write(dice)}: what is its IoU? {_columns(labels)} Fractions, or two decimals.",
        (Given("IoU of A", ((iou,),), "note"), Given("Dice of B", ((dice,),), "note")),
        _row(first_dice, back),
        name="scores",
        working=(
            f"D = 2J / (1 + J) = ({write(2 * iou)}) / ({write(1 + iou)}) = {write(first_dice)}",
            f"J = D / (2 - D) = ({write(dice)}) / ({write(2 - dice)}) = {write(back)}",
        ),
        mistakes=(
            Mistake("the formulas are exchanged", _row(iou / (2 - iou), 2 * dice / (1 + dice))),
            Mistake("Dice is not IoU: D = 2J / (1 + J)", _row(iou, dice)),
            Mistake(
                "the 1 is forgotten below the line, or the 2: D = 2J / (1 + J), J = D / (2 - D)",
                _row(2 * iou, dice / 2),
            ),
            Mistake(
                "the 2 above the line is forgotten: D = 2J / (1 + J)", _row(iou / (1 + iou), back)
            ),
        ),
        labels=labels,
    )


# ------------------------------------------------------------------ many classes


def _matrix(prediction: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    return np.asarray(
        explain.confusion_matrix(prediction, truth, classes, ignore_index=_VOID).result
    )


def _confusion(random: Random) -> Problem:
    classes = 3
    prediction, truth = _pair(random, classes, 0.35)
    walk = explain.confusion_matrix(prediction, truth, classes)
    answer = matrix_of(walk.result)
    row, column = random.choice([(r, c) for r in range(classes) for c in range(classes) if r != c])
    return Problem(
        "Confusion matrix",
        "Count the pairs of classes: rows are the truth, columns the prediction.",
        _masks(prediction, truth),
        answer,
        name="matrix",
        working=(
            f"matrix[{row}, {column}]: pixels of class {row} taken for class {column}: "
            f"{answer[row][column]}",
        ),
        mistakes=(
            Mistake("rows and columns are exchanged: rows are the truth", matrix_of(walk.result.T)),
            Mistake(
                "those are shares: count pixels",
                tuple(tuple(_ratio(v, int(truth.size)) for v in r) for r in walk.result.tolist()),
            ),
        ),
        labels=tuple(f"as {c}" for c in range(classes)),
    )


def _class_scores(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Above and below the line of each class's IoU."""
    return [
        (int(matrix[k, k]), int(matrix[k].sum() + matrix[:, k].sum() - matrix[k, k]))
        for k in range(len(matrix))
    ]


def _dice_of(iou: Value) -> Value:
    return None if iou is None else 2 * Fraction(iou) / (1 + iou)


def _by_class(random: Random) -> Problem:
    """IoU of four classes, of which one is nowhere."""
    classes = 4
    absent = random.randrange(classes)
    prediction, truth = _pair(random, classes - 1, 0.3)
    prediction, truth = (mask + (mask >= absent) for mask in (prediction, truth))
    matrix = _matrix(prediction, truth, classes)
    parts = _class_scores(matrix)
    right = tuple(_ratio(*part) for part in parts)
    recall: tuple[Value, ...] = tuple(
        _ratio(int(matrix[k, k]), int(matrix[k].sum())) for k in range(classes)
    )
    zero_for_absent = tuple(0 if value is None else value for value in right)
    labels = tuple(f"class {k}" for k in range(classes))
    return Problem(
        "IoU of every class",
        f"{_columns(labels)} Fractions, or two decimals; write - for a score that is 0/0.",
        _masks(prediction, truth),
        _row(*right),
        name="IoU",
        working=tuple(
            f"class {k}: TP / (TP + FP + FN) = {above} / {below}"
            + (" is not defined: -" if not below else f" = {write(right[k])}")
            for k, (above, below) in enumerate(parts)
        ),
        mistakes=(
            Mistake(
                "a class that is nowhere has no score: 0/0 is not 0, so write -",
                _row(*zero_for_absent),
            ),
            Mistake("those are recalls, TP / (TP + FN): the false positives count too", (recall,)),
            Mistake(
                "those are Dice scores: IoU is TP / (TP + FP + FN)",
                _row(*map(_dice_of, right)),
            ),
        ),
        labels=labels,
    )


def _with_void(random: Random) -> Problem:
    classes = 3
    prediction, truth = _pair(random, classes, 0.3)
    for index in random.sample(list(np.ndindex(truth.shape)), 3):
        truth[index] = _VOID
    matrix = _matrix(prediction, truth, classes)
    parts = _class_scores(matrix)
    hits, counted = int(np.trace(matrix)), int(matrix.sum())
    mean = _mean(parts)
    labels = ("mean IoU", "pixel accuracy")
    as_mistakes = _class_scores_with_void_wrong(prediction, truth, classes)
    shown = " + ".join(f"{above}/{below}" for above, below in parts if below)
    return Problem(
        "Void pixels, and the mean",
        f"The truth does not know the pixels marked {_VOID_LETTER}: they do not count. "
        f"{_columns(labels)} Fractions, or two decimals.",
        _masks(prediction, truth),
        _row(mean, _ratio(hits, counted)),
        name="scores",
        working=(
            f"mean IoU = ({shown}) / {sum(1 for part in parts if part[1])} = {_decimal(mean)}",
            f"pixel accuracy = {hits} / {counted} = {write(_ratio(hits, counted))}",
        ),
        mistakes=(
            Mistake(
                "the void pixels are counted as mistakes: leave them out altogether",
                _row(_mean(as_mistakes), _ratio(hits, int(truth.size))),
            ),
            Mistake(
                "the two scores are exchanged",
                _row(_ratio(hits, counted), mean),
            ),
            Mistake(
                "that is mean recall: the false positives of each class count too",
                _row(_mean_recall(matrix), _ratio(hits, counted)),
            ),
        ),
        labels=labels,
    )


def _class_scores_with_void_wrong(
    prediction: np.ndarray, truth: np.ndarray, classes: int
) -> list[tuple[int, int]]:
    """As if void were a class that everybody misses."""
    own = np.where(truth == _VOID, classes, truth)
    return _class_scores(_matrix(prediction, own, classes + 1))[:classes]


def _mean(parts: Sequence[tuple[int, int]]) -> Value:
    """The mean of the scores that are defined."""
    scores = [Fraction(above, below) for above, below in parts if below]
    return sum(scores, Fraction(0)) / len(scores) if scores else None


def _mean_recall(matrix: np.ndarray) -> Value:
    return _mean([(int(matrix[k, k]), int(matrix[k].sum())) for k in range(len(matrix))])


def _decimal(value: Value) -> str:
    return "-" if value is None else f"{value} = {float(value):.4f}"


def _all_wrong(random: Random) -> Problem:
    """A network that says "background" everywhere."""
    truth = _mask(random, random.choice(_SIZES), 2)
    truth[random.randrange(truth.shape[0]), random.randrange(truth.shape[1])] = 1
    prediction = np.zeros_like(truth)
    tp, fp, fn, tn = _counts(prediction, truth)
    background = _ratio(tn, tn + fn)
    labels = ("pixel accuracy", "IoU of class 1", "mean IoU")
    mean = _mean([(tn, tn + fn), (0, fn)])
    flattering = _ratio(tn, int(truth.size))
    return Problem(
        "A lazy network",
        f"This network calls every pixel background (0). {_columns(labels)} Fractions, or two "
        "decimals.",
        _masks(prediction, truth),
        _row(flattering, 0, mean),
        name="scores",
        working=(
            f"pixel accuracy = {tn} / {truth.size} = {write(flattering)}",
            f"IoU of class 1 = {tp} / ({tp} + {fp} + {fn}) = 0",
            f"mean IoU = ({write(background)} + 0) / 2 = {write(mean)}",
        ),
        mistakes=(
            Mistake(
                "class 1 is there and was never found: its IoU is 0 and counts in the mean",
                _row(flattering, 0, background),
            ),
            Mistake(
                "the IoU of class 1 is defined, since the truth holds it: 0, not -",
                _row(flattering, None, background),
            ),
        ),
        labels=labels,
    )


LADDER = (_count, _scores, _convert, _confusion, _by_class, _with_void, _all_wrong)
