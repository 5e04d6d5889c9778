"""Lesson 6, dilated convolution: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _overlap(kernel: int, stride: int) -> np.ndarray:
    """How many cells reach each output cell of a transposed convolution, away from the border."""
    x, w = tensor(np.ones((1, 1, 9, 9))), tensor(np.ones((1, 1, kernel, kernel)))
    counts = F.conv_transpose2d(x, w, stride=stride).numpy()[0, 0]
    return counts[4 * stride : 5 * stride, 4 * stride : 5 * stride]


RECALL = ValueExercise(
    name="06/recall",
    question=(
        "A transposed convolution with a 7x7 kernel and stride 3: how many times as many input "
        "cells reach the busiest output cell as the least busy one, away from the border?"
    ),
    definition=lambda: _overlap(7, 3).max() / _overlap(7, 3).min(),
    mistakes=(
        Mistake("That is along one axis: in two dimensions both axes count, so square it.", 1.5),
        Mistake("It is not even: 7 does not divide by 3.", 1),
        Mistake("That is how many reach the busiest one: divide by the least.", 9),
        Mistake(
            "That is the average number of cells, 49/9: ask for the most and the least.", 49 / 9
        ),
    ),
    hints=(
        "Along one axis: 7 taps share 3 places. How many fall on each?",
        "3 on one place and 2 on the others; in two dimensions the counts multiply.",
    ),
    explanation="(3/2) squared. Where the kernel divides by the stride it would be 1: uneven "
    "overlap is what draws checkerboards.",
)


def _both_spread() -> str:
    """What comes of a spread map under a kernel that is dilated by as much."""
    rng = np.random.default_rng(6)
    x, w = tensor(rng.integers(1, 9, (1, 1, 5, 6))), tensor(rng.integers(1, 9, (1, 1, 3, 2)))
    plain, made = F.conv2d(x, w), F.conv2d(F.insert_zeros(x, 2), w, dilation=2)
    if np.array_equal(made.numpy(), F.insert_zeros(plain, 2).numpy()):
        return "plain with zeros between"
    return "plain" if np.array_equal(made.numpy(), plain.numpy()) else "something new"


def _cells_seen(rates: tuple[int, ...]) -> int:
    """How many input cells reach one output cell through 3x3 layers of these rates."""
    size = 1 + 2 * sum(rates)
    x = tensor(np.zeros((1, 1, size, size)), requires_grad=True)
    y: Tensor = x
    for rate in rates:
        y = F.conv2d(y, tensor(np.ones((1, 1, 3, 3))), dilation=rate)
    y.sum().backward()
    return int(np.count_nonzero(np.asarray(x.grad)))


def _has_holes(rates: tuple[int, ...]) -> bool:
    return _cells_seen(rates) < (1 + 2 * sum(rates)) ** 2


PREDICTIONS = (
    Prediction(
        name="06/both",
        question=(
            "The map is spread by zeros with insert_zeros(x, 2), and the kernel has dilation 2: "
            'what comes out, "plain" (the plain convolution of x), "plain with zeros between" or '
            '"something new"?'
        ),
        outcome=_both_spread,
        options=("plain", "plain with zeros between", "something new"),
        because=(
            "Where the first tap meets a real cell, all of them do, and where it meets an inserted "
            "zero, they all meet zeros."
        ),
        traps=(
            Mistake(
                "Spreading both does cancel out, but only at every other cell: the windows in "
                "between are there too, and see zeros.",
                "plain",
            ),
            Mistake(
                "Two spreads by the same amount fit into each other: taps and cells lie equally "
                "far apart.",
                "something new",
            ),
        ),
    ),
    Prediction(
        name="06/gridding",
        question=(
            "Three 3x3 layers, all of rate 2: one output cell spans 13x13 = 169 input cells. On "
            "how many of them does it depend?"
        ),
        outcome=lambda: _cells_seen((2, 2, 2)),
        because=(
            "All steps are even, so only every other row and column is ever reached: 7 by 7 of "
            "them. The rest are holes in a grid."
        ),
        traps=(
            Mistake("That is the whole span: many of its cells are never touched.", 169),
            Mistake("That counts three kernels' taps: layers multiply their taps.", 27),
            Mistake("That is the number of paths, 9*9*9: many of them lead to the same cell.", 729),
        ),
    ),
)

QUESTIONS = (
    ValueExercise(
        name="06/reach",
        question="How many cells does a kernel of 5 taps at rate 3 reach over?",
        definition=lambda: (
            20
            - F.conv2d(
                tensor(np.zeros((1, 1, 20, 20))), tensor(np.zeros((1, 1, 5, 5))), dilation=3
            ).shape[2]
            + 1
        ),
        mistakes=(
            Mistake("There is no gap behind the last tap: 5 taps have 4 spaces between them.", 15),
            Mistake("Rate 3 puts 2 gaps between neighbours, not 3.", 17),
            Mistake("Those are the steps from the first tap to the last: count the cells.", 12),
            Mistake("That is the kernel without dilation.", 5),
        ),
        hints=(
            "Draw it: five crosses, with two empty cells between neighbours.",
            "rate * (kernel - 1) + 1.",
        ),
        explanation="3*(5 - 1) + 1.",
    ),
    ValueExercise(
        name="06/rings",
        question=(
            "A transposed convolution: kernel 3, dilation 4, padding 5. How many rings of zeros "
            "does its recipe put around the map?"
        ),
        # At stride 1 the recipe's output is larger than its input by 2 * rings - reach + 1.
        definition=lambda: (
            (
                F.conv_transpose2d(
                    tensor(np.zeros((1, 1, 9, 9))),
                    tensor(np.zeros((1, 1, 3, 3))),
                    padding=5,
                    dilation=4,
                ).shape[2]
                - 9
                + 4 * (3 - 1)
            )
            // 2
        ),
        mistakes=(
            Mistake("You left the dilation out: that would crop instead.", -3),
            Mistake("Padding is taken away: a transposed convolution cuts it off.", 13),
            Mistake("The kernel reaches dilation * (k - 1) further, not dilation * k.", 7),
            Mistake("The dilation spreads the kernel, not the padding: 4*(3 - 1) - 5.", -12),
        ),
        hints=(
            "How far does the dilated kernel reach beyond its first tap?",
            "dilation*(k - 1) - padding.",
        ),
        explanation="dilation*(k - 1) - padding on every side. With a padding above "
        "dilation*(k - 1) it turns negative, and crops.",
    ),
    ValueExercise(
        name="06/third-rate",
        question=(
            "After 3x3 layers of rates 1 and 2, what is the largest third rate that leaves no hole?"
        ),
        definition=lambda: max(rate for rate in range(1, 12) if not _has_holes((1, 2, rate))),
        mistakes=(
            Mistake("That leaves no hole, but you can go further: copies may just touch.", 5),
            Mistake("Doubling leaves no hole, but you can go further: copies may just touch.", 4),
            Mistake("One too many: between copies of 7 cells, 8 apart, a hole of one is left.", 8),
            Mistake(
                "That would do after the first layer alone: rates 1 and 2 already fill 7 cells "
                "in a row.",
                3,
            ),
        ),
        hints=(
            "How many cells in a row do rates 1 and 2 fill?",
            "Three copies of a run of 7 cells: how far apart may they be laid?",
        ),
        explanation="Rates 1 and 2 fill a run of 7 cells. Three copies of it, 7 apart, just touch.",
    ),
    ValueExercise.choice(
        "06/larger",
        "Stride, dilation of the kernel, dilation of the input: which one makes the output larger?",
        right="input dilation",
        wrong={
            "stride": "Stride leaves windows out: the output gets smaller.",
            "kernel dilation": "A wider kernel has less room: without padding the output gets "
            "smaller.",
        },
        hints=(
            "Which of them is step one of the transposed convolution?",
            "More cells to slide over, more windows.",
        ),
        explanation="Zeros between the cells of the input make room for more windows: that is how "
        "a transposed convolution enlarges.",
    ),
    ValueExercise.choice(
        "06/cost",
        "Strides are swapped for rates in a trained network. What gets more expensive?",
        right="time and memory",
        wrong={
            "weights": "Not one weight is added or changed: only their places on the map are.",
            "receptive field": "It stays the same: that is why the weights still fit.",
            "nothing": "The kernels stay the same, but there are many more cells to compute.",
        },
        hints=(
            "How many cells do the later layers have now?",
            "Look at the table: what has grown?",
        ),
        explanation="Every stride of 2 that goes leaves all later layers with four times as many "
        "cells.",
    ),
    ValueExercise.choice(
        "06/cause",
        "Rates 2, 2 and 2 leave a grid of holes. What is behind it?",
        right="a common factor",
        wrong={
            "large rates": "Rates 1, 3 and 9 are large and leave no hole; 2, 2 and 2 are small and "
            "do.",
            "uneven overlap": "That draws the checkerboard of a transposed convolution.",
            "padding": "Holes are there in the middle of the map too, without any padding.",
        },
        hints=(
            "Which cells can steps of 2 reach? Which can they never reach?",
            "The quarter maps of rate 2 stay apart as long as every layer has an even rate.",
        ),
        explanation="If all rates are even, the quarters of the map never meet. Begin with rate 1, "
        "and no later rate above the run that is filled already.",
    ),
    ValueExercise.choice(
        "06/larger-than-map",
        "A padded 3x3 kernel whose rate is larger than the map acts like a kernel of which size?",
        right="1x1",
        wrong={
            "3x3": "Eight of its nine taps fall on padding, whose zeros add nothing.",
            "global": "It reaches beyond the map, but lands nowhere on it: only one tap does.",
        },
        hints=(
            "Where do the eight outer taps land?",
            "Only the middle tap still meets the map.",
        ),
        explanation="Only the middle tap is on the map: all the context that the rate promised is "
        "padding.",
    ),
)
