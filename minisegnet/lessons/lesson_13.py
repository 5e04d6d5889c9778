"""Lesson 13, real images: labels that must not mix, classes that are rare, pixels without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.data import ClassCounts, median_frequency_weights, resize_mask
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
)
from minisegnet.lessons.lesson_13_masks import CLASSES, MIRROR
from minisegnet.lessons.lesson_13_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_LARGE = np.array([[0, 0, 2, 2, 0, 0], [0, 2, 2, 2, 2, 0], [1, 1, 2, 2, 0, 3], [1, 1, 1, 0, 3, 3]])


def _blended(mask: np.ndarray) -> np.ndarray:
    """The mean of each block of 2x2, rounded: what blending makes of labels."""
    blocks = mask.reshape(2, 2, 3, 2).transpose(0, 2, 1, 3).reshape(2, 3, 4)
    return np.floor(blocks.mean(-1) + 0.5).astype(int)


BY_HAND = ValueExercise(
    name="13/by-hand",
    question="Halve the 4x6 mask: each 2x2 block becomes the label that nearest neighbour takes.",
    definition=lambda: resize_mask(_LARGE, (2, 3)),
    mistakes=(
        Mistake(
            "You took means of labels: between the classes 0 and 2 that makes a 1, a class that is "
            "not there.",
            lambda: _blended(_LARGE),
        ),
        Mistake(
            "You took the cell at the top left of each block. The new cell's centre is nearest to "
            "the one at the bottom right (of four equally near ones, the last).",
            lambda: _LARGE[::2, ::2],
        ),
        Mistake(
            "You took the largest label of each block: that is a pooling, and lets high numbers "
            "win.",
            lambda: _LARGE.reshape(2, 2, 3, 2).max((1, 3)),
        ),
        Mistake("Rows and columns changed places.", lambda: resize_mask(_LARGE, (2, 3)).T),
    ),
    hints=(
        "A label is a name. The mean of two names is not a name.",
        "Of each block take the cell at the bottom right.",
        "The first block is 0 0 over 0 2: its label becomes 2.",
    ),
    explanation="One of the labels that are there is taken, and none is made up.",
)

# ------------------------------------------------------------------ pixels without a class


def loss(logits, target, void):
    """The mean cross-entropy over the pixels that have a class."""
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    n, rows, columns = np.nonzero(target != void)
    return -log_p[n, target[n, rows, columns], rows, columns].mean()


def _loss_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for batch, classes, rows, columns, void in [
        (1, 3, 2, 3, 255),
        (2, 2, 3, 4, 2),
        (1, 4, 3, 2, 255),
        (2, 3, 2, 5, 11),
    ]:
        target = rng.integers(0, classes, (batch, rows, columns))
        target[0, 0, 1:] = void
        target[0, 1, 0] = void
        logits = 2 * rng.standard_normal((batch, classes, rows, columns))
        yield {"logits": logits, "target": target, "void": void}


def _log_p(logits: np.ndarray) -> np.ndarray:
    return F.log_softmax(tensor(logits), 1).numpy()


def _picked(logits: np.ndarray, target: np.ndarray, void: int) -> np.ndarray:
    """-log p of the target at each pixel, 0 where there is none."""
    safe = np.where(target == void, 0, target)
    return -np.take_along_axis(_log_p(logits), safe[:, None], 1)[:, 0] * (target != void)


def _along_columns(logits: np.ndarray, target: np.ndarray, void: int) -> float:
    log_p = F.log_softmax(tensor(logits), 3).numpy()
    n, rows, columns = np.nonzero(target != void)
    return -log_p[n, target[n, rows, columns], rows, columns].mean()


LOSS = FunctionExercise(
    name="13/loss",
    question="Write loss(logits, target, void): cross-entropy over pixels that are not void.",
    definition=loss,
    data=_loss_cases,
    engine=lambda logits, target, void: F.cross_entropy(
        tensor(logits), tensor(target), ignore_index=void
    ).item(),
    mistakes=(
        Mistake(
            "You divided by all pixels: void ones are not there, so divide by those that count.",
            lambda logits, target, void: _picked(logits, target, void).mean(),
        ),
        Mistake(
            "You added the pixels up: take the mean.",
            lambda logits, target, void: _picked(logits, target, void).sum(),
        ),
        Mistake(
            "Void pixels were counted as class 0: leave them out.",
            lambda logits, target, void: F.cross_entropy(
                tensor(logits), tensor(np.where(target == void, 0, target))
            ).item(),
        ),
        Mistake(
            "The softmax runs over the classes, dimension 1.",
            _along_columns,
        ),
        Mistake(
            "The minus is missing: the logarithm of a probability is negative.",
            lambda logits, target, void: -loss(logits, target, void),
        ),
        Mistake(
            "You took a mean for each picture and then their mean: a picture with much void would "
            "count as much as a full one.",
            lambda logits, target, void: np.mean(
                [loss(logits[i : i + 1], target[i : i + 1], void) for i in range(len(logits))]
            ),
        ),
    ),
    hints=(
        "target != void says which pixels count.",
        "np.nonzero(target != void) gives their picture, row and column.",
        "-log_p[n, target[n, rows, columns], rows, columns].mean().",
    ),
    explanation="A void pixel has neither a loss nor a share in the mean.",
)

# ------------------------------------------------------------------ rare classes


def weights(masks, num_classes, void):
    """Median frequency balancing: median of all frequencies / frequency of the class."""
    frequencies = []
    for c in range(num_classes):
        with_it = [mask for mask in masks if (mask == c).any()]
        pixels = sum((mask == c).sum() for mask in with_it)
        frequencies.append(pixels / sum((mask != void).sum() for mask in with_it))
    return np.median(frequencies) / np.array(frequencies)


def _weights_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for count, classes, rows, columns, void in [
        (3, 3, 3, 4, 255),
        (4, 4, 4, 3, 255),
        (5, 3, 2, 6, 9),
        (4, 5, 5, 6, 11),
    ]:
        share = rng.dirichlet(np.ones(classes) / 2)
        masks = rng.choice(classes, (count, rows, columns), p=share)
        masks[rng.random(masks.shape) < 0.15] = void
        # Every class somewhere, the last one in a single picture only.
        masks[1:][masks[1:] == classes - 1] = 0
        masks[0, 0, 0] = classes - 1
        masks[-1].ravel()[: classes - 1] = np.arange(classes - 1)
        yield {"masks": masks, "num_classes": classes, "void": void}


def _frequencies(
    masks: np.ndarray,
    num_classes: int,
    void: int,
    everywhere: bool = False,
    all_cells: bool = False,
) -> np.ndarray:
    found = []
    for c in range(num_classes):
        with_it = [mask for mask in masks if everywhere or (mask == c).any()]
        cells = sum(mask.size if all_cells else (mask != void).sum() for mask in with_it)
        found.append(sum((mask == c).sum() for mask in with_it) / cells)
    return np.array(found)


def _by_the_engine(masks: np.ndarray, num_classes: int, void: int) -> np.ndarray:
    pixels = np.array([(masks == c).sum() for c in range(num_classes)])
    valid = (masks != void).sum((1, 2))
    cells = np.array([valid[(masks == c).any((1, 2))].sum() for c in range(num_classes)])
    return median_frequency_weights(ClassCounts(pixels, cells, int((masks == void).sum())))


def _by(rule: Callable[[np.ndarray], np.ndarray], **how: bool) -> Callable[..., np.ndarray]:
    return lambda masks, num_classes, void: rule(_frequencies(masks, num_classes, void, **how))


WEIGHTS = FunctionExercise(
    name="13/weights",
    question="Write weights(masks, num_classes, void): median frequency balancing.",
    definition=weights,
    data=_weights_cases,
    engine=_by_the_engine,
    mistakes=(
        Mistake(
            "A class's frequency counts only the pictures in which it occurs.",
            _by(lambda f: np.median(f) / f, everywhere=True),
        ),
        Mistake(
            "You divided by all cells: void pixels are not there.",
            _by(lambda f: np.median(f) / f, all_cells=True),
        ),
        Mistake("The median over the frequency, not the mean.", _by(lambda f: f.mean() / f)),
        Mistake(
            "It is upside down: a rare class would count less still.",
            _by(lambda f: f / np.median(f)),
        ),
        Mistake("You left the median out: these are plain inverses.", _by(lambda f: 1 / f)),
    ),
    hints=(
        "For each class collect the masks with (mask == c).any().",
        "frequency = its pixels / all pixels of those masks that are not void.",
        "np.median(frequencies) / frequencies.",
    ),
    explanation="The class in the middle gets 1, rarer ones more, common ones less.",
)

LESSON = Lesson(
    number=13,
    title="Real images",
    exercises=(RECALL, BY_HAND, CLASSES, MIRROR, LOSS, WEIGHTS, *QUESTIONS),
    predictions=PREDICTIONS,
)
