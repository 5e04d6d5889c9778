"""Lesson 8, metrics: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import metrics
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
)
from minisegnet.lessons.lesson_08_masks import HAUSDORFF, OVERLAP
from minisegnet.lessons.lesson_08_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_TRUTH = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 0]])
_PREDICTION = np.array([[0, 1, 1], [0, 2, 1], [0, 2, 0]])


def confusion(prediction, truth, classes, void):
    """Count each pair of true class (row) and predicted class (column)."""
    counts = np.zeros((classes, classes), int)
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        if t != void:
            counts[t, p] += 1
    return counts


def _once(prediction, truth, classes, void):
    counts = np.zeros((classes, classes), int)
    there = truth != void
    counts[truth[there], prediction[there]] += 1
    return counts


_TRANSPOSED = "Rows and columns changed places: rows are the truth, columns the prediction."
_ONLY_HITS = (
    "You counted the hits only: every pair has its cell, and mistakes stand off the diagonal."
)

BY_HAND = ValueExercise(
    name="08/by-hand",
    question="Which 3x3 confusion matrix do the two masks have?",
    definition=lambda: _matrix(_PREDICTION, _TRUTH, 3, None).matrix,
    mistakes=(
        Mistake(_TRANSPOSED, lambda: confusion(_PREDICTION, _TRUTH, 3, None).T),
        Mistake(_ONLY_HITS, lambda: np.diag(np.diag(confusion(_PREDICTION, _TRUTH, 3, None)))),
        Mistake(
            "You ticked each pair once: count how often it occurs.",
            lambda: _once(_PREDICTION, _TRUTH, 3, 255),
        ),
        Mistake(
            "Those are shares of each row: put down the counts.",
            lambda: _shares(confusion(_PREDICTION, _TRUTH, 3, None)),
        ),
    ),
    hints=(
        "Go through the pixels one by one: true class and predicted class make a row and a column.",
        "The five pixels of class 0 fill row 0: three were taken for 0, one for 1, one for 2.",
    ),
    explanation="A row says what became of a class, a column what was claimed for it, the "
    "diagonal what was right.",
)


def _matrix(prediction, truth, classes, void):
    matrix = metrics.ConfusionMatrix(classes, ignore_index=void)
    matrix.update(prediction, truth)
    return matrix


def _shares(counts):
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


# ------------------------------------------------------------------ the confusion matrix


def _mask_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for shape, classes, void in [
        ((1, 4), 2, 255),
        ((2, 3), 3, 255),
        ((3, 5), 3, 7),
        ((4, 3), 4, 255),
        ((5, 7), 5, 9),
    ]:
        truth = rng.integers(0, classes, shape)
        hit = rng.random(shape) < 0.6
        prediction = np.where(hit, truth, rng.integers(0, classes, shape))
        if truth.size > 4:
            truth.ravel()[rng.permutation(truth.size)[: truth.size // 4]] = void
        yield {"prediction": prediction, "truth": truth, "classes": classes, "void": void}


def _void_as_background(prediction, truth, classes, void):
    return confusion(prediction, np.where(truth == void, 0, truth), classes, void)


def _wrapped(prediction, truth, classes, void):
    return confusion(prediction, np.where(truth == void, classes - 1, truth), classes, void)


MATRIX = FunctionExercise(
    name="08/matrix",
    question="Write confusion(prediction, truth, classes, void): a table of counts, rows for the "
    "truth; pixels whose truth is void are left out.",
    definition=confusion,
    data=_mask_cases,
    engine=lambda prediction, truth, classes, void: (
        _matrix(prediction, truth, classes, void).matrix
    ),
    mistakes=(
        Mistake(_TRANSPOSED, lambda p, t, classes, void: confusion(p, t, classes, void).T),
        Mistake(
            "Each pair was counted once: `counts[truth, prediction] += 1` adds 1 to a cell "
            "however often it is named. Loop, or use np.add.at.",
            _once,
        ),
        Mistake(
            "The void label is no row of the table: leave out the pixels where the *truth* is "
            "void.",
            lambda p, t, classes, void: confusion(p, t, classes, None),
        ),
        Mistake("You counted void pixels as class 0: leave them out.", _void_as_background),
        Mistake("You counted void pixels as the last class: leave them out.", _wrapped),
        Mistake(
            _ONLY_HITS,
            lambda p, t, classes, void: np.diag(np.diag(confusion(p, t, classes, void))),
        ),
        Mistake(
            "Those are shares: counts can be added up over images, shares cannot.",
            lambda p, t, classes, void: _shares(confusion(p, t, classes, void)),
        ),
    ),
    hints=(
        "Begin with a table of zeros, and walk over the pixels of both masks at once.",
        "Skip a pixel if its true class is void.",
        "counts[t, p] += 1 for t, p in zip(truth.ravel(), prediction.ravel()).",
    ),
    explanation="The prediction at a void pixel does not matter. Counts add up over images: one "
    "matrix for the whole data set.",
)

# ------------------------------------------------------------------ scores of each class


def iou(counts):
    """Intersection over union of each class; nan where a class is absent."""
    scores = []
    for c in range(len(counts)):
        hits = counts[c, c]
        union = counts[c].sum() + counts[:, c].sum() - hits
        scores.append(hits / union if union else float("nan"))
    return scores


def _pairs_of_masks(rng: np.random.Generator) -> Iterator[Arguments]:
    """Masks of which some lack a class, and some claim one that is not there."""
    for shape, classes, absent, invented in [
        ((2, 4), 2, None, None),
        ((3, 5), 4, 2, None),
        ((4, 3), 4, None, 1),
        ((4, 6), 5, 0, 3),
        ((6, 5), 3, None, None),
    ]:
        claimed = [c for c in range(classes) if c != absent]
        truth = rng.choice([c for c in claimed if c != invented], shape)
        prediction = np.where(rng.random(shape) < 0.5, truth, rng.choice(claimed, shape))
        if invented is not None:
            prediction[0, 1] = invented
        yield {"prediction": prediction, "truth": truth, "classes": classes}


def _give_counts(answer, prediction, truth, classes):
    """The reader's function gets the matrix of the two masks."""
    return answer(_matrix(prediction, truth, classes, None).matrix.copy())


def _quotients(above, below, empty=np.nan):
    return np.where(below > 0, above / np.maximum(below, 1), empty)


def _sides(counts):
    return counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)


def _iou_with(counts, empty):
    hits, true, claimed = _sides(counts)
    return _quotients(hits, true + claimed - hits, empty)


def _iou_of_the_true(counts):
    return np.where(counts.sum(axis=1) > 0, _iou_with(counts, np.nan), np.nan)


IOU = FunctionExercise(
    name="08/iou",
    question="Write iou(counts): from the confusion matrix of two masks TP / (TP + FP + FN) of "
    "each class, and nan for a class that neither mask has.",
    definition=iou,
    data=_pairs_of_masks,
    apply=_give_counts,
    engine=lambda prediction, truth, classes: _matrix(prediction, truth, classes, None).iou(),
    mistakes=(
        Mistake(
            "The hits are in the row and in the column: take them away once, or you divide by "
            "more than the union.",
            lambda n: _quotients(n.diagonal(), n.sum(axis=1) + n.sum(axis=0)),
        ),
        Mistake(
            "That is Dice, 2*TP / (2*TP + FP + FN): IoU has no 2.",
            lambda n: _quotients(2 * n.diagonal(), n.sum(axis=1) + n.sum(axis=0)),
        ),
        Mistake(
            "That is recall: false alarms, the rest of the column, belong below the line too.",
            lambda n: _quotients(n.diagonal(), n.sum(axis=1)),
        ),
        Mistake(
            "That is precision: misses, the rest of the row, belong below the line too.",
            lambda n: _quotients(n.diagonal(), n.sum(axis=0)),
        ),
        Mistake(
            "An absent class got 0, as if it had been missed: 0/0 is nan.",
            lambda n: _iou_with(n, 0.0),
        ),
        Mistake(
            "An absent class got 1, as if it had been found: 0/0 is nan.",
            lambda n: _iou_with(n, 1.0),
        ),
        Mistake(
            "A class that is claimed but not there has a score: 0. Only 0/0 is nan.",
            _iou_of_the_true,
        ),
    ),
    hints=(
        "Where in the matrix are the hits, the misses and the false alarms of class c?",
        "Row c has TP + FN, column c has TP + FP: together they hold TP twice.",
        "counts[c, c] / (counts[c].sum() + counts[:, c].sum() - counts[c, c]), if that is not 0/0.",
    ),
    explanation="True negatives are not in it, so a rare class cannot hide behind them.",
)

# ------------------------------------------------------------------ averages


def averages(counts):
    """Pixel accuracy, class average (mean recall) and mean IoU; absent classes are left out."""
    hits, true, claimed = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall = hits / true
        overlap = hits / (true + claimed - hits)
    return hits.sum() / counts.sum(), np.nanmean(recall), np.nanmean(overlap)


def _accuracies_against_the_rest(counts):
    hits, true, claimed = _sides(counts)
    right = hits + counts.sum() - (true + claimed - hits)
    accuracy, _, overlap = averages(counts)
    return accuracy, (right / counts.sum()).mean(), overlap


def _averages_with(counts, recall=None, overlap=None):
    accuracy, right_recall, right_overlap = averages(counts)
    return (
        accuracy,
        right_recall if recall is None else recall(*_sides(counts)),
        right_overlap if overlap is None else overlap(*_sides(counts)),
    )


def _absent_as_zero(counts):
    return _averages_with(
        counts,
        lambda hits, true, claimed: _quotients(hits, true, 0.0).mean(),
        lambda hits, true, claimed: _quotients(hits, true + claimed - hits, 0.0).mean(),
    )


def _nan_wins(counts):
    return _averages_with(
        counts,
        lambda hits, true, claimed: _quotients(hits, true).mean(),
        lambda hits, true, claimed: _quotients(hits, true + claimed - hits).mean(),
    )


def _frequency_weighted(counts):
    return _averages_with(
        counts,
        overlap=lambda hits, true, claimed: np.nansum(
            _quotients(hits, true + claimed - hits) * true / true.sum()
        ),
    )


def _engine_averages(prediction, truth, classes):
    matrix = _matrix(prediction, truth, classes, None)
    return matrix.pixel_accuracy(), matrix.mean_class_accuracy(), matrix.mean_iou()


AVERAGES = FunctionExercise(
    name="08/averages",
    question="Write averages(counts): from the confusion matrix of two masks pixel accuracy, class "
    "average and mean IoU, in this order; what is 0/0 is left out of a mean.",
    definition=averages,
    data=_pairs_of_masks,
    apply=_give_counts,
    engine=_engine_averages,
    mistakes=(
        Mistake(
            "Your class average is the mean of (TP + TN) / all: true negatives make every rare "
            "class look good. It is the mean recall, TP / (TP + FN).",
            _accuracies_against_the_rest,
        ),
        Mistake(
            "Your class average is the mean precision: divide by the rows, the true pixels.",
            lambda n: _averages_with(n, lambda hits, true, all: np.nanmean(_quotients(hits, all))),
        ),
        Mistake(
            "You counted absent classes as 0: leave 0/0 out, for example by np.nanmean.",
            _absent_as_zero,
        ),
        Mistake("One nan made the whole mean nan: use np.nanmean.", _nan_wins),
        Mistake(
            "You weighed the classes by their pixels: that is the frequency weighted IoU. The "
            "mean IoU counts each class alike.",
            _frequency_weighted,
        ),
        Mistake(
            "You added up intersections and unions before dividing: first each class, then the "
            "mean.",
            lambda n: _averages_with(
                n, overlap=lambda hits, true, all: hits.sum() / (true + all - hits).sum()
            ),
        ),
    ),
    hints=(
        "Pixel accuracy: the diagonal's sum, divided by the sum of all.",
        "The recall of each class is hits / true, and its IoU hits / (true + claimed - hits).",
        "np.nanmean leaves nan out.",
    ),
    explanation="Tables of CamVid print all three: global accuracy, class average (mean recall) "
    "and mean IoU. A class without a single true pixel has no recall.",
)

LESSON = Lesson(
    number=8,
    title="Metrics",
    exercises=(RECALL, BY_HAND, MATRIX, IOU, AVERAGES, OVERLAP, HAUSDORFF, *QUESTIONS),
    predictions=PREDICTIONS,
)
