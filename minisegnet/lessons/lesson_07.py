"""Lesson 7, losses: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import losses
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_07_questions import PREDICTIONS, QUESTIONS, RECALL
from minisegnet.losses.boundary import distances_to_boundary


def _logits(p: np.ndarray) -> Tensor:
    """The logits whose sigmoid is p, as a batch of one image if there is no batch."""
    z = np.log(p / (1 - p))
    return tensor(z if z.ndim == 3 else z[None])


def _truth(y: np.ndarray) -> Tensor:
    return tensor(y if y.ndim == 3 else y[None])


def _probabilities_and_masks(
    rng: np.random.Generator, shapes: list[tuple[int, ...]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Probabilities that all differ, and asymmetric masks in which the foreground is rarer."""
    for shape in shapes:
        p = distinct(rng, shape) / (max(9, int(np.prod(shape))) + 1)
        y = np.zeros(shape, np.int64)
        ones = max(1, y.size // 4)
        y.ravel()[rng.permutation(y.size)[:ones]] = 1
        yield p, y


# ------------------------------------------------------------------ the table worked by hand

_P = np.array([[1 / 2, 1 / 4, 7 / 8], [3 / 4, 1 / 8, 1 / 2], [1 / 4, 15 / 16, 1 / 8]])
_Y = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])
_TRUE_CLASS = np.where(_Y == 1, _P, 1 - _P)

BY_HAND = ValueExercise(
    name="07/by-hand",
    question="How many bits does each of the nine pixels cost?",
    definition=lambda: (
        losses.binary_cross_entropy(_logits(_P), _truth(_Y), reduction="none").numpy()[0]
        / np.log(2)
    ),
    mistakes=(
        Mistake(
            "You took the probability of foreground everywhere: where the truth is 0, the true "
            "class has 1 - p.",
            lambda: -np.log2(_P),
        ),
        Mistake("Foreground and background changed places.", lambda: -np.log2(1 - _TRUE_CLASS)),
        Mistake(
            "Those are natural logarithms. Count in bits here: 1/2 costs 1, 1/4 costs 2.",
            lambda: -np.log(_TRUE_CLASS),
        ),
        Mistake(
            "A cost is minus the logarithm: none is below 0.",
            lambda: np.log2(_TRUE_CLASS),
        ),
        Mistake(
            "Those are the probabilities of the true class: how often must you halve to get there?",
            lambda: _TRUE_CLASS,
        ),
    ),
    hints=(
        "First write down, for each pixel, the probability of its true class: p or 1 - p.",
        "1/8 is three times halved, so it costs 3 bits.",
        "The last row has the probabilities 1/4, 1/16 and 1/8.",
    ),
    explanation="How often 1 must be halved to reach the probability of the true class. The loss "
    "is the mean, and with natural logarithms it is 0.69 times as large.",
)

# ------------------------------------------------------------------ binary cross-entropy


def binary_cross_entropy(p, y):
    """The mean cost of a pixel."""
    costs = y * np.log(p) + (1 - y) * np.log(1 - p)
    return -costs.mean()


def _binary_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for p, y in _probabilities_and_masks(rng, [(1, 2), (2, 3), (4, 3), (3, 7), (5, 4)]):
        yield {"p": p, "y": y}


BINARY = FunctionExercise(
    name="07/binary",
    question="Write binary_cross_entropy(p, y): the mean over all pixels, natural logarithms.",
    definition=binary_cross_entropy,
    data=_binary_cases,
    engine=lambda p, y: losses.binary_cross_entropy(_logits(p), _truth(y)),
    mistakes=(
        Mistake(
            "The minus reaches the foreground alone: brackets around both terms, "
            "-(y log p + (1-y) log(1-p)).",
            lambda p, y: np.mean(-y * np.log(p) + (1 - y) * np.log(1 - p)),
        ),
        Mistake(
            "The minus sign is missing: logarithms of probabilities are negative, and a cost is "
            "not.",
            lambda p, y: np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)),
        ),
        Mistake(
            "You forgot the background: false alarms would cost nothing. Add (1-y) log(1-p).",
            lambda p, y: -np.mean(y * np.log(p)),
        ),
        Mistake(
            "p and 1 - p changed places: log p belongs to y, log(1-p) to 1 - y.",
            lambda p, y: -np.mean((1 - y) * np.log(p) + y * np.log(1 - p)),
        ),
        Mistake(
            "You added up, so a larger image costs more: divide by the number of pixels.",
            lambda p, y: -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)),
        ),
        Mistake(
            "You divided by the foreground's pixels: the mean is over all of them.",
            lambda p, y: -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / y.sum(),
        ),
        Mistake(
            "Those are bits: take the natural logarithm, np.log.",
            lambda p, y: -np.mean(y * np.log2(p) + (1 - y) * np.log2(1 - p)),
        ),
    ),
    hints=(
        "y and 1 - y switch: for each pixel one of the two terms is zero.",
        "Each pixel costs -(y log p + (1-y) log(1-p)). What do you do with all of them?",
        "-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)).",
    ),
    explanation="-(1/N) * sum(y log p + (1-y) log(1-p)), with brackets around both terms. The "
    "engine takes logits instead of p, so that it never meets log 0.",
)

# ------------------------------------------------------------------ balanced


def balanced(p, y):
    """Cross-entropy in which both sides weigh the same."""
    beta = np.mean(y == 0)
    foreground = beta * y * np.log(p)
    background = (1 - beta) * (1 - y) * np.log(1 - p)
    return -np.mean(foreground + background)


def _weighed(p, y, weigh):
    on, off = weigh(np.mean(y == 0))
    return -np.mean(on * y * np.log(p) + off * (1 - y) * np.log(1 - p))


def _divided_by_weights(p, y):
    beta = np.mean(y == 0)
    return balanced(p, y) / np.mean(beta * y + (1 - beta) * (1 - y))


BALANCED = FunctionExercise(
    name="07/balanced",
    question="Write balanced(p, y): beta, the background's share, weighs the foreground; 1 - beta "
    "weighs the background; the mean is over all pixels.",
    definition=balanced,
    data=_binary_cases,
    engine=lambda p, y: losses.balanced_cross_entropy(_logits(p), _truth(y)),
    mistakes=(
        Mistake(
            "Beta went to the wrong side: the rare side gets the share of the other.",
            lambda p, y: _weighed(p, y, lambda beta: (1 - beta, beta)),
        ),
        Mistake(
            "You weighed the foreground only: the background counts 1 - beta.",
            lambda p, y: _weighed(p, y, lambda beta: (beta, 1)),
        ),
        Mistake(
            "Both sides got beta: nothing is balanced, all is only smaller.",
            lambda p, y: _weighed(p, y, lambda beta: (beta, beta)),
        ),
        Mistake(
            "A beta of 1/2 is the plain cross-entropy, halved: take beta from the mask.",
            lambda p, y: _weighed(p, y, lambda beta: (0.5, 0.5)),
        ),
        Mistake(
            "You weighed the foreground by beta / (1 - beta) and the background by 1: the ratio is "
            "right, as a `pos_weight`, but on another scale.",
            lambda p, y: _weighed(p, y, lambda beta: (beta / (1 - beta), 1)),
        ),
        Mistake(
            "You divided by the sum of the weights: that is the weighted cross-entropy. Here it is "
            "the number of pixels.",
            _divided_by_weights,
        ),
        Mistake(
            "You added up: take the mean over the pixels.", lambda p, y: balanced(p, y) * y.size
        ),
    ),
    hints=(
        "Begin with beta = np.mean(y == 0).",
        "It is the cross-entropy of before; only each of its two terms gets a factor.",
        "-np.mean(beta * y * np.log(p) + (1 - beta) * (1 - y) * np.log(1 - p)).",
    ),
    explanation="With 1 % foreground, each of its pixels counts 99 times as much as one of the "
    "background: both sides together weigh the same.",
)

# ------------------------------------------------------------------ focal


def focal(p, y, gamma):
    """Cross-entropy that turns away from what is already right."""
    right = np.where(y == 1, p, 1 - p)
    return np.mean((1 - right) ** gamma * -np.log(right))


def _focal_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    shapes: list[tuple[int, ...]] = [(1, 2), (2, 3), (4, 3), (3, 7), (5, 4)]
    for (p, y), gamma in zip(_probabilities_and_masks(rng, shapes), (2, 1, 3, 0.5, 0), strict=True):
        yield {"p": p, "y": y, "gamma": gamma}


def _focused(p, y, focus):
    right = np.where(y == 1, p, 1 - p)
    return np.mean(focus(right) * -np.log(right))


FOCAL = FunctionExercise(
    name="07/focal",
    question="Write focal(p, y, gamma): the mean of (1 - q)**gamma * -log q, where q is the "
    "probability of the true class.",
    definition=focal,
    data=_focal_cases,
    engine=lambda p, y, gamma: losses.focal(_logits(p), _truth(y), gamma=gamma),
    mistakes=(
        Mistake(
            "You wrote q**gamma, which favours what is right already: take (1 - q)**gamma.",
            lambda p, y, gamma: _focused(p, y, lambda q: q**gamma),
        ),
        Mistake(
            "The factor has p where it needs the probability of the *true* class: for the "
            "background that is 1 - p.",
            lambda p, y, gamma: _focused(p, y, lambda q: (1 - p) ** gamma),
        ),
        Mistake(
            "The background is missing: its true class has the probability 1 - p.",
            lambda p, y, gamma: np.mean(y * (1 - p) ** gamma * -np.log(p)),
        ),
        Mistake(
            "Gamma is an exponent, not a factor.",
            lambda p, y, gamma: _focused(p, y, lambda q: gamma * (1 - q)),
        ),
        Mistake(
            "You raised the logarithm to gamma: that is the exponential-logarithmic loss.",
            lambda p, y, gamma: np.mean((-np.log(np.where(y == 1, p, 1 - p))) ** gamma),
        ),
        Mistake(
            "That is the plain cross-entropy: the factor (1 - q)**gamma is missing.",
            lambda p, y, gamma: _focused(p, y, lambda q: 1),
        ),
    ),
    hints=(
        "First q: np.where(y == 1, p, 1 - p).",
        "-np.log(q) is the cross-entropy of each pixel. Multiply by what is still wrong, to the "
        "power of gamma.",
        "np.mean((1 - q) ** gamma * -np.log(q)).",
    ),
    explanation="A pixel with q = 0.9 and gamma 2 counts a hundredth, one with q = 0.1 four "
    "fifths. A gamma of 0 leaves the cross-entropy.",
)

# ------------------------------------------------------------------ regions

_FOUND = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]])
_TRUE = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 0]])


def _overlap_losses() -> list[float]:
    z, y = tensor(200.0 * _FOUND[None] - 100.0), tensor(_TRUE[None])
    return [
        losses.dice(z, y, smooth=0.0).item(),
        losses.jaccard(z, y, smooth=0.0).item(),
        losses.tversky(z, y, alpha=1 / 3, beta=1.0, smooth=0.0).item(),
    ]


OVERLAPS = ValueExercise(
    name="07/overlaps",
    question="What are the Dice, the Jaccard and the Tversky loss (alpha 1/3, beta 1)?",
    definition=_overlap_losses,
    mistakes=(
        Mistake("Those are the overlaps: a loss is 1 minus the overlap.", (4 / 9, 2 / 7, 2 / 5)),
        Mistake("Dice and Jaccard changed places: Dice has the 2s.", (5 / 7, 5 / 9, 3 / 5)),
        Mistake(
            "Alpha and beta changed places: alpha is the price of false alarms, beta that of "
            "misses.",
            (5 / 9, 5 / 7, 11 / 17),
        ),
        Mistake(
            "Dice has a 2 above and below the line: 2*TP / (2*TP + FP + FN).",
            (7 / 9, 5 / 7, 3 / 5),
        ),
        Mistake(
            "You counted the background's pixels below the line as well: true negatives have no "
            "part in an overlap.",
            (1 - 4 / 11, 1 - 2 / 9, 1 - 2 / 7),
        ),
    ),
    hints=(
        "Mark each pixel of the two tables: TP, FP or FN. How many are there of each?",
        "TP = 2, FP = 3, FN = 2. Dice is 1 - 2*TP / (2*TP + FP + FN).",
        "Jaccard is 1 - TP / (TP + FP + FN), Tversky 1 - TP / (TP + alpha*FP + beta*FN).",
    ),
    explanation="TP = 2, FP = 3, FN = 2. Alpha = beta = 1/2 would make Tversky the Dice loss, "
    "alpha = beta = 1 the Jaccard loss.",
)


def dice_loss(p, y, smooth):
    """One minus the overlap of the predicted and the true region."""
    overlap = (p * y).sum()
    return 1 - (2 * overlap + smooth) / (p.sum() + y.sum() + smooth)


def _dice_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    shapes: list[tuple[int, ...]] = [(1, 1, 3), (1, 2, 3), (2, 3, 2), (3, 2, 5), (2, 4, 3)]
    masks = _probabilities_and_masks(rng, shapes)
    for (p, y), smooth in zip(masks, (1, 0, 1, 0.5, 2), strict=True):
        yield {"p": p, "y": y, "smooth": smooth}


def _image_by_image(p, y, smooth):
    return np.mean([dice_loss(*pair, smooth) for pair in zip(p, y, strict=True)])


def _jaccard_loss(p, y, smooth, times=1):
    both = (p * y).sum()
    return 1 - (times * both + smooth) / (p.sum() + y.sum() - both + smooth)


DICE = FunctionExercise(
    name="07/dice",
    question="Write dice_loss(p, y, smooth) for a batch (N, H, W): plain denominators, sums over "
    "the whole batch.",
    definition=dice_loss,
    data=_dice_cases,
    engine=lambda p, y, smooth: losses.dice(_logits(p), _truth(y), smooth=smooth),
    mistakes=(
        Mistake(
            "That is the overlap: minimising it would drive the regions apart. Take 1 minus it.",
            lambda p, y, smooth: 1 - dice_loss(p, y, smooth),
        ),
        Mistake(
            "Dice has twice the overlap above the line: without it a perfect answer gets 1/2.",
            lambda p, y, smooth: 1 - ((p * y).sum() + smooth) / (p.sum() + y.sum() + smooth),
        ),
        Mistake(
            "That is the Jaccard loss: Dice divides by the two sizes, not by the union.",
            _jaccard_loss,
        ),
        Mistake(
            "Twice the overlap, but divided by the union: a perfect answer gets a loss of -1. "
            "Divide by the sum of the sizes.",
            lambda p, y, smooth: _jaccard_loss(p, y, smooth, times=2),
        ),
        Mistake(
            "Those are squared denominators: a loss of its own. Plain ones add up p and y.",
            lambda p, y, smooth: (
                1 - (2 * (p * y).sum() + smooth) / ((p * p).sum() + (y * y).sum() + smooth)
            ),
        ),
        Mistake(
            "You decided before you compared: p > 0.5 has no gradient. Use p itself.",
            lambda p, y, smooth: dice_loss(p > 0.5, y, smooth),
        ),
        Mistake(
            "You took the mean over images: an image without foreground would then count as much "
            "as a full one. Sum over the batch.",
            _image_by_image,
        ),
        Mistake(
            "`smooth` is missing below the line: a perfect answer would score above 1.",
            lambda p, y, smooth: 1 - (2 * (p * y).sum() + smooth) / (p.sum() + y.sum()),
        ),
    ),
    hints=(
        "Which three sums do you need?",
        "The overlap is (p * y).sum(), the sizes are p.sum() and y.sum().",
        "1 - (2 * overlap + smooth) / (p.sum() + y.sum() + smooth).",
    ),
    explanation="The background's pixels that are left alone are in none of the sums: however "
    "many there are, they cannot drown the object.",
)

# ------------------------------------------------------------------ boundaries

_STRIP = np.array([0, 0, 0, 1, 1, 1, 1, 0])
_FAR = np.array([3, 2, 1, 1, 2, 2, 1, 1])

DISTANCES = ValueExercise(
    name="07/distances",
    question="How far is each pixel of the strip 0 0 0 1 1 1 1 0 from the nearest pixel of the "
    "other side?",
    definition=lambda: distances_to_boundary(_STRIP[None, :, None, None] == 1)[0, :, 0, 0],
    mistakes=(
        Mistake(
            "Inside the object counts too: a hole in its middle is a far mistake.",
            lambda: _FAR * (1 - _STRIP),
        ),
        Mistake("Outside the object counts too: a far false alarm is bad.", lambda: _FAR * _STRIP),
        Mistake(
            "One too little: a pixel next to the other side is at distance 1 of it.",
            lambda: _FAR - 1,
        ),
        Mistake(
            "Without signs: the squares would lose them anyway.", lambda: _FAR * (1 - 2 * _STRIP)
        ),
        Mistake(
            "You took the edge of the strip for a boundary: beyond it there is nothing.",
            (1, 2, 1, 1, 2, 2, 1, 1),
        ),
    ),
    hints=(
        "For each 0 find the nearest 1, for each 1 the nearest 0.",
        "The first 0 is three steps from the first 1.",
    ),
    explanation="Both sides have distances: squared, they are the weights of the Hausdorff "
    "distance loss.",
)

LESSON = Lesson(
    number=7,
    title="Losses",
    exercises=(RECALL, BY_HAND, BINARY, BALANCED, FOCAL, OVERLAPS, DICE, DISTANCES, *QUESTIONS),
    predictions=PREDICTIONS,
)
