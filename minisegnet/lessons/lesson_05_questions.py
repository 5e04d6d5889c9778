"""Lesson 5, upsampling and checkerboards: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _stamped_size(rows: int, columns: int) -> tuple[int, ...]:
    """The size of the transposed convolution that the recall asks for, by the engine."""
    x, w = tensor(np.zeros((1, 1, rows, columns))), tensor(np.zeros((1, 1, 4, 4)))
    return F.conv_transpose2d(x, w, stride=2, padding=1).shape[2:]


RECALL = ValueExercise(
    name="05/recall",
    question="What size does a transposed convolution make of 5x7 cells, kernel 4, stride 2, "
    "padding 1?",
    definition=lambda: _stamped_size(5, 7),
    mistakes=(
        Mistake("Rows and columns changed places: rows first.", lambda: _stamped_size(7, 5)),
        Mistake(
            "Padding is cut off both sides: take it away twice.", (4 * 2 - 1 + 4, 6 * 2 - 1 + 4)
        ),
        Mistake("Padding was added: here it cuts off.", (4 * 2 + 2 + 4, 6 * 2 + 2 + 4)),
        Mistake(
            "The last stamp begins at (size - 1) * stride: you went one stride too far.",
            (5 * 2 - 2 + 4, 7 * 2 - 2 + 4),
        ),
        Mistake("That is the size of the convolution, the way down.", (2, 3)),
    ),
    hints=(
        "Where does the last stamp begin, how far does it reach, what is cut off?",
        "(size - 1)*stride - 2*padding + kernel, for rows and then for columns.",
    ),
    explanation="Exactly twice the size: kernel 4, stride 2, padding 1 doubles every map.",
)


def _in_the_middle(kernel: np.ndarray) -> np.ndarray:
    """One period of what a kernel stamps at stride 2 for a map of ones, away from the border."""
    ones = np.ones((1, 1, 6, 6), kernel.dtype)
    stamped = F.conv_transpose2d(tensor(ones), tensor(kernel[None, None]), stride=2)
    return stamped.numpy()[0, 0, 6:8, 6:8]


def _busiest_over_quietest() -> float:
    counts = _in_the_middle(np.ones((3, 3), int))
    return float(counts.max() / counts.min())


def _flat_or_pattern() -> str:
    kernel = np.random.default_rng(5).standard_normal((2, 2))
    return "flat" if np.ptp(_in_the_middle(kernel)) < 1e-6 else "a pattern"


PREDICTIONS = (
    Prediction(
        name="05/busiest",
        question=(
            "A 3x3 kernel of ones stamps a map of ones at stride 2. Away from the border, how many "
            "times as large as the smallest cell is the largest?"
        ),
        outcome=_busiest_over_quietest,
        because=(
            "Along an axis, every other cell gets two stamps and the rest one. Two axes multiply."
        ),
        traps=(
            Mistake("That is one axis: the other one doubles it again.", 2),
            Mistake("You expected every cell to get the same.", 1),
            Mistake("That is the kernel's share of a block, 3/2 squared: counts are whole.", 2.25),
            Mistake("That is how many cells a stamp covers.", 9),
        ),
    ),
    Prediction(
        name="05/safe",
        question=(
            "A 2x2 kernel of random weights stamps a map of ones at stride 2, where no stamps "
            'overlap: is the output "flat" or "a pattern"?'
        ),
        outcome=_flat_or_pattern,
        options=("flat", "a pattern"),
        because=(
            "Each of the four cells of a block has a weight of its own, and nothing makes the four "
            "equal."
        ),
        traps=(
            Mistake(
                "Equal counts are only half of it: the weights behind them differ as well.", "flat"
            ),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "05/plane",
        "Which cells do the indices of a max-pooling count?",
        right="those of the map that was pooled",
        wrong={
            "those of the pooled map": "There are as many indices as pooled cells, but each names "
            "a cell of the larger map.",
            "those of the window": "A place in the window would not do: windows may overlap or "
            "stick out.",
            "those of the padded map": "Padding never wins, and the indices do not count it.",
        },
        hints=(
            "In the lesson's table of 4x4 cells, the 5 had index 15.",
            "row * width + column: whose width?",
        ),
        explanation="row * width + column in the map that was pooled, without its padding: so "
        "unpooling needs that map's width, and scrambles with another.",
    ),
    ValueExercise.choice(
        "05/tie",
        "Two cells of a window are equally large. Which one does max-pooling remember?",
        right="the first",
        wrong={
            "the last": "That rule is for unpooling, where later values overwrite.",
            "both": "There is one index for each window.",
            "a random one": "Nothing here is random: the same input gives the same index.",
        },
        hints=(
            "The loop keeps what it has until it finds something larger.",
            "Row by row, from the top left.",
        ),
        explanation="The first, row by row: a later one must be larger, not as large, to win.",
    ),
    ValueExercise.choice(
        "05/meet",
        "Windows overlapped, so two values name one cell. What does unpooling do?",
        right="the last stays",
        wrong={
            "they add up": "Stamps add up, and so do gradients of pooling. Unpooling places.",
            "the largest stays": "It compares nothing: that was pooling's task.",
            "it raises": "It is allowed, and happens whenever one cell wins two windows.",
        },
        hints=(
            "`=` or `+=`?",
            "Look at your loop in unpool.",
        ),
        explanation="`=`: the last one stays, row by row, and it alone gets that cell's gradient.",
    ),
    ValueExercise.choice(
        "05/corners",
        "Why does align_corners change cells that are far from the corners?",
        right="the step changes",
        wrong={
            "rounding": "Nothing is rounded: it is another coordinate.",
            "padding": "No padding is involved.",
            "another filter": "The filter is the same, it is read at other places.",
        },
        hints=(
            "How far apart do two neighbours of the output read?",
            "n / length in one case, (n - 1) / (length - 1) in the other.",
        ),
        explanation="Two neighbours read (n - 1) / (length - 1) apart instead of n / length, so "
        "the places drift against each other from cell to cell.",
    ),
    ValueExercise.choice(
        "05/divides",
        "The stride divides the kernel. What do you know for sure?",
        right="equal counts",
        wrong={
            "equal sums": "Each cell of a block sums other weights, and they are free.",
            "no pattern": "Kernel 2 at stride 2 made one, with a count of 1 everywhere.",
        },
        hints=(
            "Which artefact is there before any weight is known?",
            "As many stamps for every cell: is it as much, too?",
        ),
        explanation="Every cell gets equally many stamps. What the weights make of it is up to the "
        "training.",
    ),
    ValueExercise.choice(
        "05/fraction",
        'What is a "fractionally strided convolution"?',
        right="a transposed convolution",
        wrong={
            "a resize-convolution": "One text says so, but the stride is a fraction because of "
            "inserted zeros, not because a map was resized.",
            "a sub-pixel convolution": "Its convolution has stride 1, and then rearranges.",
            "a dilated convolution": "That one spreads the kernel: here the input is spread.",
        },
        hints=(
            "Which one steps a fraction of an input cell for each output cell?",
            "Lesson 4: insert zeros, then slide with stride 1.",
        ),
        explanation="Another name for the transposed convolution itself. Resize-convolution is "
        "another thing: its kernel sees copies where this one sees zeros.",
    ),
    ValueExercise.choice(
        "05/icnr",
        "What does ICNR make equal?",
        right="the kernels of a block",
        wrong={
            "all kernels": "Different output maps keep different kernels.",
            "the overlap counts": "They are equal already: sub-pixel convolution has no uneven "
            "overlap.",
            "the kernel's weights": "Inside a kernel the weights stay random.",
        },
        hints=(
            "Which channels become neighbours in the large map?",
            "A group of r*r channels.",
        ),
        explanation="The r*r kernels whose channels become one block. Then the layer starts as a "
        "convolution followed by nearest neighbour, without a pattern.",
    ),
    ValueExercise.choice(
        "05/start",
        "A transposed convolution is initialised by bilinear_. What happens in training?",
        right="it is learned on",
        wrong={
            "it stays bilinear": "Only if you freeze it. An initialisation is a start.",
            "it turns to nearest": "Nothing pulls it there.",
        },
        hints=(
            "Is an initial value a constraint?",
            "Who changes a weight?",
        ),
        explanation="It is a weight like any other. (FCN's authors froze it in a later release "
        "and report no significant difference.)",
    ),
)
