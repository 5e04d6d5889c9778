"""Lesson 1, pixels to classes: one output map instead of two."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, distinct


def single_map(logits):
    """What the cat's logit is ahead of the background's."""
    return logits[0] - logits[1]


def _two_map_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {"logits": np.array([[[2.0, 5.0]], [[30.0, 1.0]]])}
    for size in [(2, 2, 3), (2, 4, 3), (2, 3, 5)]:
        yield {"logits": distinct(rng, size, signed=True) / 4}


def _log_odds(logits):
    """The logarithm of p / (1 - p), by the engine."""
    logs = F.log_softmax(tensor(logits), dim=0)
    return logs[0] - logs[1]


SINGLE_MAP = FunctionExercise(
    name="01/one-map",
    question=(
        "Write single_map(logits): from maps (2, rows, columns), the cat's and the background's, "
        "the one map whose sigmoid is the probability of cat."
    ),
    definition=single_map,
    data=_two_map_cases,
    engine=_log_odds,
    mistakes=(
        Mistake(
            "The cat's map alone forgets the background's: a logit of 2 wins against 1 and loses "
            "against 30.",
            lambda logits: logits[0],
        ),
        Mistake(
            "That is the background's map: its sigmoid is the probability of background.",
            lambda logits: logits[1] - logits[0],
        ),
        Mistake(
            "Those are the probabilities already: give the logits that the sigmoid makes them of.",
            lambda logits: 1 / (1 + np.exp(logits[1] - logits[0])),
        ),
        Mistake(
            "Those are the odds, p / (1 - p): take their logarithm.",
            lambda logits: np.exp(logits[0] - logits[1]),
        ),
        Mistake(
            "You divided the logits: divide their exponentials, which subtracts the logits.",
            lambda logits: logits[0] / logits[1],
        ),
    ),
    hints=(
        "Write the softmax of two classes down, and divide above and below by exp(cat).",
        "exp(c) / (exp(c) + exp(b)) = 1 / (1 + exp(b - c)). And a sigmoid is 1 / (1 + exp(-z)).",
        "So -z = b - c: what is z?",
    ),
    explanation=(
        "softmax of (c, b) is sigmoid of c - b: only the difference ever counted. For the cat of "
        "the example that is 2 - 30 = -28."
    ),
)


def cat_mask(logits):
    """1 where the sigmoid is above one half, which is where the logit is above zero."""
    return (logits[0] > 0).astype(int)


def _one_map_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {"logits": np.array([[[-28.0, 0.25, 4.0]]])}
    for size in [(1, 2, 3), (1, 4, 3), (1, 3, 5)]:
        yield {"logits": distinct(rng, size, signed=True) / 8}


CAT_MASK = FunctionExercise(
    name="01/cat-mask",
    question=(
        "Write cat_mask(logits): from one map (1, rows, columns) the mask (rows, columns), 1 where "
        "cat is more probable than not."
    ),
    definition=cat_mask,
    data=_one_map_cases,
    engine=lambda logits: (F.sigmoid(tensor(logits)) > 0.5)[0],
    mistakes=(
        Mistake(
            "Everything is background: argmax over a single map has one candidate, number 0. Ask "
            "whether the logit is above 0.",
            lambda logits: logits.argmax(axis=0),
        ),
        Mistake(
            "Everything is cat: a sigmoid is above 0 everywhere, and the softmax of a single map "
            "is 1 everywhere. Ask whether the logit is above 0.",
            lambda logits: np.ones(logits.shape[1:], int),
        ),
        Mistake(
            "You cut the logits at 0.5: a probability of 0.5 is a logit of 0.",
            lambda logits: logits[0] > 0.5,
        ),
        Mistake(
            "The mask is inside out: the map is the cat's, so large means cat.",
            lambda logits: logits[0] < 0,
        ),
        Mistake(
            "You kept the channel: the mask has two dimensions, so look at logits[0].",
            lambda logits: logits > 0,
        ),
        Mistake(
            "White is for looking at: a mask holds classes, 0 and 1, not 255.",
            lambda logits: 255 * (logits[0] > 0),
        ),
    ),
    hints=(
        "At which logit is the sigmoid one half?",
        "1 / (1 + exp(-z)) is 1/2 when exp(-z) is 1.",
        "logits[0] > 0.",
    ),
    explanation="sigmoid(0) is 0.5, so the sign of the logit decides; no sigmoid is needed.",
)
