"""Lesson 4, transposed convolution: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _stamped_once(output_padding: int) -> np.ndarray:
    """One cell of value 2, stamped with 1 to 9 at stride 2 and padding 1."""
    kernel = tensor(np.arange(1, 10).reshape(1, 1, 3, 3))
    out = F.conv_transpose2d(
        tensor([[[[2]]]]), kernel, stride=2, padding=1, output_padding=output_padding
    )
    return out.numpy()[0, 0]


def _there_and_back() -> str:
    """What a transposed convolution brings back of a convolution's input."""
    x = tensor(np.arange(1.0, 21.0, dtype=np.float32).reshape(1, 1, 4, 5))
    w = tensor(np.array([[[[1.0, 2.0], [0.0, -1.0]]]], dtype=np.float32))
    back = F.conv_transpose2d(F.conv2d(x, w), w).numpy()
    size, values = back.shape == x.shape, back.shape == x.shape and np.allclose(back, x.numpy())
    return {(True, True): "both", (True, False): "the size"}.get((size, bool(values)), "neither")


def _windows(rows: int, columns: int) -> tuple[int, ...]:
    """The size of the convolution that the recall asks for, by the engine."""
    x, w = tensor(np.zeros((1, 1, rows, columns))), tensor(np.zeros((1, 1, 3, 3)))
    return F.conv2d(x, w, stride=3, padding=1).shape[2:]


RECALL = ValueExercise(
    name="04/recall",
    question="What size comes out of 9x13 cells, kernel 3, stride 3, padding 1?",
    definition=lambda: _windows(9, 13),
    mistakes=(
        Mistake("Rows and columns changed places: rows first.", lambda: _windows(13, 9)),
        Mistake(
            "You counted the steps: the first window needs none, so there is one more.",
            lambda: ((9 + 2 - 3) // 3, (13 + 2 - 3) // 3),
        ),
        Mistake(
            "Padding is on both sides: add it twice.",
            lambda: ((9 + 1 - 3) // 3 + 1, (13 + 1 - 3) // 3 + 1),
        ),
        Mistake(
            "You rounded up: a window that does not fit whole is not there.",
            lambda: (-(-(9 + 2 - 3) // 3) + 1, -(-(13 + 2 - 3) // 3) + 1),
        ),
    ),
    hints=(
        "How many cells has the padded map, and how many steps of 3 does the window have room for?",
        "floor((size + 2*padding - kernel) / stride) + 1, for rows and then for columns.",
    ),
    explanation="floor((size + 2*padding - kernel) / stride) + 1 on each axis.",
)

PREDICTIONS = (
    Prediction(
        name="04/corner",
        question=(
            "One cell, 2, is stamped with the kernel 1 to 9 at stride 2, padding 1 and output "
            "padding 1. Which number stands in the bottom right corner?"
        ),
        outcome=lambda: int(_stamped_once(output_padding=1)[-1, -1]),
        because=(
            "Padding cuts a ring off the stamp, and output padding uncovers its bottom and right "
            "again: it never appends zeros."
        ),
        traps=(
            Mistake("You expected a zero to be appended.", 0),
            Mistake("That is the middle of the stamp, without output padding.", 10),
            Mistake("That is the kernel's corner, not yet times the cell's value.", 9),
        ),
    ),
    Prediction(
        name="04/back",
        question=(
            "A convolution at stride 1, then the transposed one with the same kernel: what comes "
            'back, "the size", "the values", "both" or "neither"?'
        ),
        outcome=_there_and_back,
        options=("the size", "the values", "both", "neither"),
        because="The matrix is transposed, not inverted: it maps back into the same space, not to "
        "the same point.",
        traps=(
            Mistake(
                "The name deconvolution promises that, and the arithmetic does not keep it.", "both"
            ),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "04/inverse",
        "At stride 2, why is the matrix C of a convolution transposed and not inverted?",
        right="no inverse",
        wrong={
            "too slow": "An inverse would not be too slow but missing: C has fewer rows than "
            "columns.",
            "same thing": "The two are the same only if C is orthogonal, which a kernel makes it "
            "almost never.",
        },
        hints=(
            "How many rows and columns has C?",
            "A map that makes few numbers of many has forgotten something.",
        ),
        explanation="At stride 2 C makes few numbers of many, so nothing can undo it. Its "
        "transpose promises less: the size again, and the way back for gradients.",
    ),
    ValueExercise.choice(
        "04/chooser",
        "Which size comes back at stride 2 is ambiguous: who chooses?",
        right="output padding",
        wrong={
            "the kernel": "The kernel shifts all candidates alike: several sizes still remain.",
            "padding": "Padding changes the size by two at a time, at both ends: it cannot take "
            "the one row.",
            "the input": "The input is the same for all the candidates: it cannot know.",
        },
        hints=(
            "The convolution rounds down: which sizes give the same?",
            "Which option adds single rows?",
        ),
        explanation="You choose, by output_padding from 0 to stride - 1: a network knows which "
        "size its encoder had.",
    ),
    ValueExercise.choice(
        "04/zeros",
        "Why are the cells of output padding not zero?",
        right="stamps reach them",
        wrong={
            "bias": "They differ from zero without any bias.",
            "rounding": "Nothing is rounded: with integers they are exact integers.",
            "borders repeat": "No border is repeated: the same sum over stamps stands there as "
            "everywhere.",
        },
        hints=(
            "Where were these cells before padding cut them off?",
            "Compare the output with the whole stamped table.",
        ),
        explanation="They were always part of the stamped table; padding had hidden them. They "
        "are zero only beyond the last stamp.",
    ),
    ValueExercise.choice(
        "04/one-sided",
        "Output padding goes to the bottom and right only. Why one-sided?",
        right="windows start top left",
        wrong={
            "convention only": "Not a free choice: at the top it would move every stamp, and the "
            "transpose would no longer match its convolution.",
            "symmetry": "There is nothing symmetric in it: one row is one side.",
        },
        hints=(
            "Which rows did the convolution skip?",
            "Windows begin at row 0 and step by the stride.",
        ),
        explanation="Windows are counted from the top left, so rows left over are at the bottom "
        "and right. That is where they come back.",
    ),
    ValueExercise.choice(
        "04/flip",
        "The sliding view flips the kernel, the stamping loop does not. Why?",
        right="two ends of one product",
        wrong={
            "different results": "They give the same numbers: that is what you have checked.",
            "padding": "Padding has no part in it: they agree without any.",
        },
        hints=(
            "Output cell r gets x[q] * k[r - q].",
            "Walk along q with r fixed: how does the kernel's index run?",
        ),
        explanation="out[r] sums x[q] * k[r - q]. With q fixed, r runs forward along the kernel; "
        "with r fixed, q runs backward along it. Backward is flipped.",
    ),
    ValueExercise.choice(
        "04/layout",
        "Why is the weight (in, out, kH, kW) here, where a convolution has (out, in, kH, kW)?",
        right="same array as the convolution",
        wrong={
            "memory order": "It is not about speed: any order could be laid out in memory.",
            "historic accident": "There is a reason: it lets two operations share one weight.",
        },
        hints=(
            "Whose way back is it?",
            "Put one array into conv2d and into conv_transpose2d: which channels fit?",
        ),
        explanation="The array that takes in to out forwards takes out to in backwards: nothing "
        "is rearranged, the roles are.",
    ),
    ValueExercise.choice(
        "04/shrink",
        "Why does padding make the output smaller?",
        right="it is the convolution's padding",
        wrong={
            "it adds zeros": "Zeros around the input make the output larger: padding takes them "
            "away.",
            "stride": "It shrinks the output at stride 1 as well.",
        },
        hints=(
            "Read the convolution from its output back to its input.",
            "A convolution puts a ring on before it slides. Read that backwards.",
        ),
        explanation="The convolution put a ring around its input; on the way back that ring is "
        "dropped.",
    ),
)
