"""Lesson 1, pixels to classes: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_01_one_map import CAT_MASK, SINGLE_MAP
from minisegnet.lessons.lesson_01_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ every pixel a segment


def panoptic(classes, instances, things):
    """1000 times the class, and the number of the instance where there are instances."""
    segments = np.zeros(classes.shape, int)
    rows, columns = classes.shape
    for r in range(rows):
        for c in range(columns):
            is_thing = classes[r, c] in things
            segments[r, c] = 1000 * classes[r, c] + (instances[r, c] if is_thing else 0)
    return segments


def _panoptic_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {
        "classes": np.array([[0, 2, 2], [1, 1, 2]]),
        "instances": np.array([[1, 1, 2], [1, 2, 2]]),
        "things": [2],
    }
    for size, number, things in [
        ((2, 4), 3, [1, 2]),
        ((4, 3), 4, [3]),
        ((3, 5), 5, [1, 4]),
        ((5, 4), 6, [0, 2, 5]),
    ]:
        yield {
            "classes": rng.integers(0, number, size),
            "instances": rng.integers(1, 4, size),
            "things": things,
        }


PANOPTIC = FunctionExercise(
    name="01/panoptic",
    question=(
        "Write panoptic(classes, instances, things): for each pixel 1000 times its class, plus its "
        "instance's number if the class is one of the things."
    ),
    definition=panoptic,
    data=_panoptic_cases,
    engine=lambda classes, instances, things: (
        1000 * classes + np.where(np.isin(classes, things), instances, 0)
    ),
    mistakes=(
        Mistake(
            "Stuff was counted: all the sky is one segment, even if a tree cuts it in two. Add a "
            "number only where the class is one of the things.",
            lambda classes, instances, things: 1000 * classes + instances,
        ),
        Mistake(
            "Two cats became one segment: add the number of the instance where the class is one "
            "of the things.",
            lambda classes, instances, things: 1000 * classes,
        ),
        Mistake(
            "The class got lost: the first cat and the first dog are both number 1. Add 1000 "
            "times the class.",
            lambda classes, instances, things: np.where(np.isin(classes, things), instances, 0),
        ),
        Mistake(
            "You counted stuff and left things uncounted: it is the other way round.",
            lambda classes, instances, things: (
                1000 * classes + np.where(np.isin(classes, things), 0, instances)
            ),
        ),
        Mistake(
            "Without the factor 1000 two segments share a number: class 2, number 1 and class 1, "
            "number 2 are both 3.",
            lambda classes, instances, things: (
                classes + np.where(np.isin(classes, things), instances, 0)
            ),
        ),
        Mistake(
            "Class and number changed places: the class is what is multiplied by 1000.",
            lambda classes, instances, things: (
                classes + 1000 * np.where(np.isin(classes, things), instances, 0)
            ),
        ),
    ),
    hints=(
        "Every pixel gets 1000 times its class. Some get a little more.",
        "Ask `classes[r, c] in things` (or np.isin(classes, things), for all pixels at once).",
        "1000 * classes + np.where(np.isin(classes, things), instances, 0).",
    ),
    explanation=(
        "Integer division by 1000 gives the semantic mask back, the rest the instances: a panoptic "
        "mask holds both."
    ),
)

# ------------------------------------------------------------------ the table worked by hand

_MAPS = np.array(
    [
        [[7, 4, 9], [5, 1, 3], [-2, 0, 1]],
        [[1, 0, 2], [4, 2, 6], [8, 3, 5]],
        [[2, 6, -1], [0, 5, 4], [1, 9, 7]],
    ]
)

BY_HAND = ValueExercise(
    name="01/by-hand",
    question="Which class has each pixel, if sky is class 0, grass 1 and cat 2?",
    definition=lambda: tensor(_MAPS).argmax(dim=0),
    mistakes=(
        Mistake(
            "Those are the winning logits: write down which map won, 0, 1 or 2.",
            lambda: _MAPS.max(axis=0),
        ),
        Mistake(
            "You counted the maps from 1: the first class is 0.",
            lambda: _MAPS.argmax(axis=0) + 1,
        ),
        Mistake(
            "You took the smallest logit of each pixel: the largest wins.",
            lambda: _MAPS.argmin(axis=0),
        ),
        Mistake(
            "You compared the cells of one map with each other: compare one cell in all the maps.",
            lambda: _MAPS.argmax(axis=2),
        ),
        Mistake(
            "Rows and columns changed places: the mask lies as the maps do.",
            lambda: _MAPS.argmax(axis=0).T,
        ),
    ),
    hints=(
        "Put a finger on the same cell of all three maps.",
        "At row 0, column 1 they say 4, 0 and 6: the last is the largest, so class 2.",
        "The first row is 0, 2, 0.",
    ),
    explanation="That is argmax over the classes: the number of the map with the largest logit.",
)

# ------------------------------------------------------------------ probabilities


def softmax(logits):
    """At each pixel, e to the power of each logit, as a share of their sum."""
    probabilities = np.zeros(logits.shape)
    rows, columns = logits.shape[1:]
    for r in range(rows):
        for c in range(columns):
            powers = np.exp(logits[:, r, c] - logits[:, r, c].max())
            probabilities[:, r, c] = powers / powers.sum()
    return probabilities


def _softmax_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {"logits": np.array([[[2, 3]], [[30, 1]]])}
    for size in [(3, 2, 3), (2, 3, 4), (4, 3, 2)]:
        yield {"logits": distinct(rng, size, signed=True) / 4}
    yield {"logits": np.array([[[1, 801], [3, 4]], [[2, 800], [5, -900]], [[4, 799], [0, -901]]])}


def _without_largest(logits, largest):
    powers = np.exp(logits - largest)
    return powers / powers.sum(axis=0)


SOFTMAX = FunctionExercise(
    name="01/softmax",
    question=(
        "Write softmax(logits): from logits (classes, rows, columns) the probability of each class "
        "at each pixel."
    ),
    definition=softmax,
    data=_softmax_cases,
    engine=lambda logits: F.softmax(tensor(logits.astype(np.float64)), dim=0),
    mistakes=(
        Mistake(
            "e to the power of 800 overflows to infinity, and infinity over infinity is nan: first "
            "take each pixel's largest logit off. No ratio changes.",
            lambda logits: _without_largest(logits, 0),
        ),
        Mistake(
            "You took the largest logit of the whole stack off: where a pixel's own logits are far "
            "smaller, 0/0 remains. Take each pixel's own largest off.",
            lambda logits: _without_largest(logits, logits.max()),
        ),
        Mistake(
            "Every row of a map sums to 1: it is the classes of one pixel that must, so sum over "
            "axis 0.",
            lambda logits: (
                np.exp(logits - logits.max(axis=2, keepdims=True))
                / np.exp(logits - logits.max(axis=2, keepdims=True)).sum(axis=2, keepdims=True)
            ),
        ),
        Mistake(
            "Every map sums to 1: it is the classes of one pixel that must, so sum over axis 0.",
            lambda logits: (
                np.exp(logits - logits.max(axis=(1, 2), keepdims=True))
                / np.exp(logits - logits.max(axis=(1, 2), keepdims=True)).sum(
                    axis=(1, 2), keepdims=True
                )
            ),
        ),
        Mistake(
            "All the numbers together sum to 1: it is the classes of each pixel that must, so sum "
            "over axis 0.",
            lambda logits: (
                np.exp(logits - logits.max(axis=0)) / np.exp(logits - logits.max(axis=0)).sum()
            ),
        ),
        Mistake(
            "You divided the logits by their sum, and shares came out negative: raise e to them "
            "first.",
            lambda logits: logits / logits.sum(axis=0),
        ),
        Mistake(
            "They are positive, but do not sum to 1: divide by the sum over the classes.",
            lambda logits: np.exp(logits - logits.max(axis=0)),
        ),
    ),
    hints=(
        "Three lines: take the largest off, raise e, divide by the sum. All along the classes.",
        "logits.max(axis=0) is the largest logit of each pixel: it fits under the maps.",
        "powers = np.exp(logits - logits.max(axis=0)); then powers / powers.sum(axis=0).",
    ),
    explanation="Differences of logits decide, so taking the largest off changes nothing.",
)

# ------------------------------------------------------------------ one-hot


def one_hot(mask, classes):
    """One map for each class, with a 1 where the mask says so."""
    rows, columns = mask.shape
    maps = np.zeros((classes, rows, columns), int)
    for r in range(rows):
        for c in range(columns):
            maps[mask[r, c], r, c] = 1
    return maps


def _one_hot_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {"mask": np.array([[0, 1, 1]]), "classes": 2}
    yield {"mask": np.array([[0, 2, 1, 2], [1, 2, 2, 0]]), "classes": 3}
    # Here the last class does not occur.
    yield {"mask": np.array([[2, 0], [1, 1], [2, 2]]), "classes": 4}
    for size, classes in [((3, 4), 5), ((4, 2), 3), ((2, 5), 6)]:
        yield {"mask": rng.integers(0, classes, size), "classes": classes}


ONE_HOT = FunctionExercise(
    name="01/one-hot",
    question="Write one_hot(mask, classes): maps (classes, rows, columns) of 0 and 1.",
    definition=one_hot,
    data=_one_hot_cases,
    engine=lambda mask, classes: F.one_hot(tensor(mask), classes).permute(2, 0, 1),
    mistakes=(
        Mistake(
            "The classes are the last axis of yours: here they come first, (classes, rows, "
            "columns). Try .transpose(2, 0, 1).",
            lambda mask, classes: np.eye(classes, dtype=int)[mask],
        ),
        Mistake(
            "Rows and columns changed places: .T turns all the axes round, .transpose(2, 0, 1) "
            "brings the classes to the front.",
            lambda mask, classes: np.eye(classes, dtype=int)[mask].T,
        ),
        Mistake(
            "The shape is right, but reshape has shuffled the numbers: use .transpose(2, 0, 1).",
            lambda mask, classes: np.eye(classes, dtype=int)[mask].reshape(classes, *mask.shape),
        ),
        Mistake(
            "You made as many maps as the largest label needs: a class that does not occur in "
            "this mask has its map too, all 0.",
            lambda mask, classes: np.eye(mask.max() + 1, dtype=int)[mask].transpose(2, 0, 1),
        ),
        Mistake(
            "The maps hold the number of their class: a map says 1 where its class is.",
            lambda mask, classes: one_hot(mask, classes) * np.arange(classes)[:, None, None],
        ),
        Mistake(
            "All the maps are inside out: 1 where the class is, 0 elsewhere.",
            lambda mask, classes: 1 - one_hot(mask, classes),
        ),
        Mistake(
            "The maps are one place off: map 0 belongs to class 0, the background too has one.",
            lambda mask, classes: np.stack([mask == k + 1 for k in range(classes)]),
        ),
    ),
    hints=(
        "Map k answers one question for every pixel: is it class k?",
        "Begin with np.zeros((classes, rows, columns), int), and walk over the pixels.",
        "In the loop: maps[mask[r, c], r, c] = 1.",
    ),
    explanation=(
        "F.one_hot puts the classes last, as PyTorch does; maps have them first, so permute. "
        "argmax over the classes brings the mask back."
    ),
)

LESSON = Lesson(
    number=1,
    title="Pixels to classes",
    exercises=(
        RECALL,
        PANOPTIC,
        BY_HAND,
        SOFTMAX,
        ONE_HOT,
        SINGLE_MAP,
        CAT_MASK,
        *QUESTIONS,
    ),
    predictions=PREDICTIONS,
)
