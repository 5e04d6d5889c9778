"""Lesson 3, convolution by hand: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.nn import Conv2d


def _gradient_of_a() -> float:
    a, b = tensor(3.0, requires_grad=True), tensor(4.0)
    (a * b + a * a).backward()
    return float(np.asarray(a.grad))


RECALL = ValueExercise(
    name="03/recall",
    question="y = a*b + a*a with a = 3 and b = 4: what is the gradient of y with respect to a?",
    definition=_gradient_of_a,
    mistakes=(
        Mistake("That is the path through a*b alone: a is used elsewhere too, so add.", 4),
        Mistake("That is the path through a*a alone: a is used elsewhere too, so add.", 6),
        Mistake("a*a uses a twice: each use sends back the other factor.", 7),
        Mistake("That is y itself.", 21),
    ),
    hints=(
        "How many times is a used?",
        "Each use of a sends something back: b from a*b, and a from each side of a*a. Add it up.",
    ),
    explanation="b + a + a: what is used in several places gets a gradient from each of them. A "
    "kernel's weight is used in every window.",
)


def _share_not_zero() -> str:
    """How much of the matrix of a 3x3 convolution on 32x32 cells, padding 1, is not zero."""
    units = tensor(np.eye(32 * 32, dtype=np.float32).reshape(-1, 1, 32, 32))
    made = F.conv2d(units, tensor(np.ones((1, 1, 3, 3), np.float32)), padding=1).numpy()
    share = np.count_nonzero(made) / made.size
    return "under 1 %" if share < 0.01 else "about 10 %" if share < 0.2 else "about half"


def _single_one() -> int:
    """The corner of what a convolution with 1 to 9 makes of a single 1 amid zeros."""
    x = np.zeros((1, 1, 5, 5), np.int64)
    x[0, 0, 2, 2] = 1
    made = F.conv2d(tensor(x), tensor(np.arange(1, 10).reshape(1, 1, 3, 3)))
    return int(made.numpy()[0, 0, 0, 0])


PREDICTIONS = (
    Prediction(
        name="03/zeros",
        question=(
            "A 3x3 kernel on a map of 32x32 cells, with padding 1: how much of its matrix C is not "
            'zero, "under 1 %", "about 10 %" or "about half"?'
        ),
        outcome=_share_not_zero,
        options=("under 1 %", "about 10 %", "about half"),
        because="A row of C has an entry for each of 1,024 cells, and a window sees nine at most.",
        traps=(
            Mistake(
                "That would be a map of about 9x10 cells: the larger the map, the emptier C.",
                "about 10 %",
            ),
        ),
    ),
    Prediction(
        name="03/single-one",
        question=(
            "A map of 5x5 zeros has a single 1 in its middle. The kernel [[1, 2, 3], [4, 5, 6], "
            "[7, 8, 9]] slides over it: which number stands in the top left corner of the 3x3 "
            "output?"
        ),
        outcome=_single_one,
        because=(
            "The first window has the 1 in its bottom right corner, under the last weight. A cell "
            "meets the kernel backwards, though nobody flipped it."
        ),
        traps=(
            Mistake(
                "You expected a copy of the kernel, which is what stamping would leave: a sliding "
                "window reads it from the other end.",
                1,
            ),
            Mistake("You expected the window not to see the 1: its last cell does.", 0),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "03/name",
        "A network's convolution does not flip its kernel. What do mathematicians call that?",
        right="cross-correlation",
        wrong={
            "convolution": "Theirs flips the kernel first. A learned kernel does not mind: it is "
            "learned the way it is used.",
            "transposed convolution": "That goes the other way, one cell in and many out.",
        },
        hints=(
            "Theirs turns the kernel upside down and left to right before it slides.",
            "It measures how well window and kernel agree: they are correlated.",
        ),
        explanation="Cross-correlation. Since the weights are learned, flipping them would change "
        "nothing but their order.",
    ),
    ValueExercise(
        name="03/groups",
        question="How many weights has a 3x3 convolution from 12 to 18 channels in 6 groups?",
        definition=lambda: sum(
            parameter.data.size
            for parameter in Conv2d(12, 18, 3, groups=6, bias=False).parameters()
        ),
        mistakes=(
            Mistake(
                "You ignored the groups: a kernel sees only its group's channels.", 18 * 12 * 9
            ),
            Mistake(
                "You divided twice: there are 18 kernels whatever the groups, each over fewer "
                "channels.",
                18 // 6 * (12 // 6) * 9,
            ),
            Mistake("You left the kernel's nine taps out.", 18 * 2),
            Mistake("You counted one output channel for each group.", 6 * 2 * 9),
        ),
        hints=(
            "How many channels does one kernel see? The weight is (out, in / groups, 3, 3).",
            "18 kernels of 12/6 channels and 9 taps.",
        ),
        explanation="18 * (12/6) * 9: groups divide the weights and the work, since each kernel "
        "sees fewer channels.",
    ),
    ValueExercise.choice(
        "03/same",
        'A kernel of 4 rows keeps the size by padding="same": where do its 3 zeros go?',
        right="1 above, 2 below",
        wrong={
            "2 above, 1 below": "The other way round: windows are counted from the top left, and "
            "what is left over comes at the end.",
            "3 below": "As even as can be: only the odd one is one-sided.",
            "2 above, 2 below": "That is one zero too many: the output would grow by a row.",
        },
        hints=(
            "To keep the size takes k - 1 zeros along each axis.",
            "Share them as evenly as you can; the odd one goes to the end.",
        ),
        explanation="k - 1 zeros keep the size, and an odd number of them has no middle. The odd "
        "one goes to the bottom and right.",
    ),
    ValueExercise.choice(
        "03/price",
        "Windows as columns turn a convolution into one matrix product: what is the price?",
        right="memory",
        wrong={
            "more products": "The products are the same, one for each weight and window.",
            "accuracy": "The terms are the same, and only summed in another order.",
        },
        hints=(
            "How often does one cell of the map occur among the columns?",
            "Look at the megabytes you printed.",
        ),
        explanation="Each cell is copied once for every window that sees it. Bands keep that "
        "small: a few rows of windows at a time.",
    ),
    ValueExercise.choice(
        "03/flip",
        "The gradient's loop does not flip the kernel, its convolution does. Why?",
        right="sending forwards, gathering backwards",
        wrong={
            "the chain rule flips": "The chain rule multiplies and adds. It flips nothing.",
            "they differ": "They give the same numbers: you have printed both.",
        },
        hints=(
            "Cell q was seen by window o under tap q - o.",
            "Fix o and let q run; then fix q and let o run.",
        ),
        explanation="Tap q - o rises with q and falls with o. Who stands on the window walks "
        "forwards along the kernel, who stands on the cell walks backwards.",
    ),
    ValueExercise.choice(
        "03/strided",
        "At stride 2 both gradients need one more thing: what is done with the upstream gradient?",
        right="zeros between its cells",
        wrong={
            "nothing": "Its neighbours came from windows two cells apart: side by side they would "
            "meet the wrong cells.",
            "repeat its cells": "Repeating a gradient would count it twice: put zeros there.",
        },
        hints=(
            "At stride 1 there would be a window in between. What came out of it?",
            "It is as if the windows between had been thrown away: their gradient is zero.",
        ),
        explanation="A stride throws every other window away, and what was thrown away has "
        "gradient zero. Lesson 4 begins here.",
    ),
)
