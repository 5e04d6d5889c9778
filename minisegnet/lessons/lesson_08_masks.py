"""Lesson 8, metrics: the exercises on two masks, overlap and Hausdorff distance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import metrics
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake

# ------------------------------------------------------------------ overlap of mask files


def overlap(prediction, truth):
    """IoU and Dice of two masks of 0 and something else; nan, nan if both are empty."""
    found, true = prediction > 0, truth > 0
    both, union = (found & true).sum(), (found | true).sum()
    if union == 0:
        return float("nan"), float("nan")
    return both / union, 2 * both / (found.sum() + true.sum())


def _mask(rng: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask.ravel()[rng.permutation(mask.size)[: round(share * mask.size)]] = 1
    return mask


def _file_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for shape, white, shares in [
        ((2, 3), 255, (0.5, 0.7)),
        ((3, 5), 255, (0.4, 0.6)),
        ((4, 3), 1, (0.6, 0.4)),
        ((2, 5), 255, (0.0, 0.0)),
        ((3, 4), 255, (0.5, 0.0)),
        ((5, 7), 1, (0.3, 0.5)),
    ]:
        found, true = (_mask(rng, shape, share) * np.uint8(white) for share in shares)
        yield {"prediction": found, "truth": true}


def _overlap_of(found, true, empty=np.nan):
    both, union = (found & true).sum(), (found | true).sum()
    if union == 0:
        return empty, empty
    return both / union, 2 * both / (found.sum() + true.sum())


def _as_numbers(prediction, truth):
    p, t = prediction.astype(float), truth.astype(float)
    both, union = (p * t).sum(), ((p > 0) | (t > 0)).sum()
    if union == 0:
        return np.nan, np.nan
    return both / union, 2 * both / (p.sum() + t.sum())


def _accuracy_first(prediction, truth):
    _, dice = overlap(prediction, truth)
    return np.mean((prediction > 0) == (truth > 0)), dice


def _halved(prediction, truth):
    iou, dice = overlap(prediction, truth)
    return iou, dice / 2


def _engine_overlap(prediction, truth):
    matrix = metrics.ConfusionMatrix(2)
    matrix.update(prediction > 0, truth > 0)
    return matrix.iou()[1], matrix.dice()[1]


OVERLAP = FunctionExercise(
    name="08/overlap",
    question="Write overlap(prediction, truth): IoU and Dice of two masks of 0 and 1, or of 0 and "
    "255; (nan, nan) if both are empty.",
    definition=overlap,
    data=_file_cases,
    engine=_engine_overlap,
    mistakes=(
        Mistake(
            "You calculated with 255 as if it were 1, so the IoU is over 1: compare first, "
            "mask > 0.",
            _as_numbers,
        ),
        Mistake(
            "In a mask of 0 and 255 nothing equals 1, so it looks empty: compare with mask > 0.",
            lambda p, t: _overlap_of(p == 1, t == 1),
        ),
        Mistake(
            "A threshold of 127 is right for 0 and 255, but empties masks of 0 and 1: here "
            "mask > 0 serves both.",
            lambda p, t: _overlap_of(p > 127, t > 127),
        ),
        Mistake(
            "Two empty masks got 0, as if something had been missed: 0/0 is nan.",
            lambda p, t: _overlap_of(p > 0, t > 0, 0.0),
        ),
        Mistake(
            "Two empty masks got 1: some tables do so, but then it must be said. 0/0 is nan here.",
            lambda p, t: _overlap_of(p > 0, t > 0, 1.0),
        ),
        Mistake("IoU first, then Dice.", lambda p, t: overlap(p, t)[::-1]),
        Mistake(
            "Dice counts what is in both twice: 2 * both / (size + size).",
            _halved,
        ),
        Mistake(
            "Your IoU is the pixel accuracy: the background that both leave alone is not in it.",
            _accuracy_first,
        ),
    ),
    hints=(
        "First make booleans of both masks: what is true of 1 and of 255?",
        "Intersection: (found & true).sum(). Union: (found | true).sum(). Is the union 0?",
        "IoU is both / union; Dice is 2 * both / (found.sum() + true.sum()).",
    ),
    explanation="Compare before you count. And with one mask empty the score is an honest 0: only "
    "two empty masks are 0/0.",
)

# ------------------------------------------------------------------ Hausdorff distance


def hausdorff(a, b):
    """How far the furthest pixel of one mask is from the other mask."""
    ones, others = np.argwhere(a), np.argwhere(b)
    gaps = np.linalg.norm(ones[:, None] - others[None], axis=2)
    return max(gaps.min(axis=1).max(), gaps.min(axis=0).max())


def _pair_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for shape, shares in [
        ((2, 4), (0.25, 0.4)),
        ((3, 5), (0.3, 0.15)),
        ((5, 4), (0.1, 0.3)),
        ((6, 9), (0.05, 0.1)),
        ((8, 5), (0.2, 0.05)),
    ]:
        yield {"a": _mask(rng, shape, shares[0]), "b": _mask(rng, shape, shares[1])}


def _gaps(a, b, order=2):
    difference = np.argwhere(a)[:, None] - np.argwhere(b)[None]
    return np.linalg.norm(difference, ord=order, axis=2)


def _city_blocks(a, b):
    gaps = _gaps(a, b, order=1)
    return max(gaps.min(axis=1).max(), gaps.min(axis=0).max())


def _mean_gap(a, b):
    gaps = _gaps(a, b)
    return max(gaps.min(axis=1).mean(), gaps.min(axis=0).mean())


HAUSDORFF = FunctionExercise(
    name="08/hausdorff",
    question="Write hausdorff(a, b): the largest distance from a pixel of one mask to the nearest "
    "pixel of the other, in both directions.",
    definition=hausdorff,
    data=_pair_cases,
    engine=metrics.hausdorff_distance,
    mistakes=(
        Mistake(
            "You looked from a to b only: what b has and a lacks goes unseen. Take the larger of "
            "both directions.",
            lambda a, b: _gaps(a, b).min(axis=1).max(),
        ),
        Mistake(
            "You looked from b to a only: what a has and b lacks goes unseen. Take the larger of "
            "both directions.",
            lambda a, b: _gaps(a, b).min(axis=0).max(),
        ),
        Mistake(
            "You took the mean over the pixels: Hausdorff's distance is that of the worst one.",
            _mean_gap,
        ),
        Mistake(
            "That is the closest pair of all: for each pixel take the nearest, then of those the "
            "largest.",
            lambda a, b: _gaps(a, b).min(),
        ),
        Mistake(
            "That is the furthest pair of all: for each pixel take the *nearest* of the other "
            "mask first.",
            lambda a, b: _gaps(a, b).max(),
        ),
        Mistake(
            "You added rows and columns: the distance is the straight one, by Pythagoras.",
            _city_blocks,
        ),
        Mistake("You forgot the root.", lambda a, b: hausdorff(a, b) ** 2),
    ),
    hints=(
        "np.argwhere(mask) lists the places of its pixels.",
        "A table of all distances: one row for each pixel of a, one column for each of b.",
        "The nearest of b for each pixel of a is gaps.min(axis=1); of those take the max. Then "
        "the other direction.",
    ),
    explanation="A single stray pixel decides it. Papers therefore often print HD95, in which the "
    "worst 5 % are forgiven.",
)
