"""Lesson 9, FCN: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _bilinear(x: np.ndarray, factor: int) -> np.ndarray:
    """One map (H, W), upsampled by the bilinear transposed convolution."""
    weight = nn.init.bilinear_(tensor(np.zeros((1, 1, 2 * factor, 2 * factor))))
    out = F.conv_transpose2d(tensor(x[None, None]), weight, stride=factor, padding=factor // 2)
    return out.numpy()[0, 0]


RECALL = ValueExercise(
    name="09/recall",
    question=(
        "A transposed convolution is to upsample bilinearly by 8: which kernel side and which "
        "padding?"
    ),
    definition=(16, 4),
    mistakes=(
        Mistake(
            "The tent is twice as wide as the factor: with 8 the tents do not overlap.", (8, 0)
        ),
        Mistake("The padding is half the factor, not half the kernel.", (16, 8)),
        Mistake("15 is for odd factors, 2*f - f % 2.", (15, 4)),
        Mistake("Without padding a border of half a stamp stays at every side.", (16, 0)),
    ),
    hints=(
        "Between two neighbours the weight falls from 1 to 0. How wide is the whole tent?",
        "Kernel 2*f - f % 2, stride f, padding f // 2.",
    ),
    explanation="Kernel 2*8, stride 8, padding 8/2: so it was in lesson 5.",
)


def _scores(rows: int, columns: int) -> int:
    """How many places the 7x7 layer of a VGG-16 has in a picture of that size."""
    x = tensor(np.zeros((1, 1, rows, columns), dtype=np.float32))
    for _ in range(5):
        x = F.max_pool2d(x, 2)
    return F.conv2d(x, tensor(np.zeros((1, 1, 7, 7), dtype=np.float32))).size


def _in_two_steps() -> str:
    """Whether bilinear upsampling by 2 and then by 4 is that by 8, away from the border."""
    x = np.random.default_rng(9).standard_normal((6, 7))
    once, twice = _bilinear(x, 8), _bilinear(_bilinear(x, 2), 4)
    inside = (slice(16, -16), slice(16, -16))
    return "yes" if np.allclose(once[inside], twice[inside]) else "no"


PREDICTIONS = (
    Prediction(
        name="09/places",
        question=(
            "A classifier for 224x224 pictures has five poolings and a fully connected layer over "
            "the 7x7 map. Slid over a picture of 320x480, how many answers does it give?"
        ),
        outcome=lambda: _scores(320, 480),
        because="The poolings leave 10x15 cells; a window of 7x7 has 4x9 places there.",
        traps=(
            Mistake("One answer is what the cut at 224x224 enforces: without it, it slides.", 1),
            Mistake("That is all cells of the 10x15 map; the window has to fit in.", 150),
            Mistake("A window does not move by its own size, but by one cell.", 2),
        ),
    ),
    Prediction(
        name="09/steps",
        question=(
            "Bilinear upsampling by 2 and the result by 4: is it the same as by 8 at once, away "
            "from the border?"
        ),
        outcome=_in_two_steps,
        options=("yes", "no"),
        because=(
            "The first step draws straight lines and samples them beside their corners; the second "
            "joins the samples and cuts the corners off."
        ),
        traps=(Mistake("Both are made of straight lines, but not of the same ones.", "yes"),),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "09/join",
        "How does FCN join what comes from an earlier map with what comes up?",
        right="sums scores",
        wrong={
            "concatenates features": "That is U-Net, and some texts say it of FCN too.",
            "takes the larger": "A maximum is nowhere in it.",
        },
        hints=("How many channels have the maps that meet?", "One for each class, on both sides."),
        explanation="A 1x1 convolution scores the earlier map, and the scores are added.",
    ),
    ValueExercise.choice(
        "09/once",
        "Which FCN upsamples only once?",
        right="32s",
        wrong={
            "all of them": "16s does it in two steps and 8s in three.",
            "8s": "8s has three steps: by 2, by 2, by 8.",
            "none": "32s goes from 1/32 to full size in one step.",
        },
        hints=("The number in the name is the last stride.", "Which one has no skip?"),
        explanation="FCN-32s has no skip and upsamples once; every skip adds a step.",
    ),
    ValueExercise.choice(
        "09/any-size",
        "Why does an FCN take pictures of any size?",
        right="a convolution slides",
        wrong={
            "it resizes them": "Nothing is resized: a larger picture gives more scores.",
            "poolings adapt": "Its poolings are plain 2x2 ones.",
            "it has no weights": "It has 134 million.",
        },
        hints=(
            "What forced a classifier to one size?",
            "The fully connected layer, and what became of it?",
        ),
        explanation="The layer with a fixed number of inputs is now a kernel, which has room "
        "wherever a window fits.",
    ),
    ValueExercise.choice(
        "09/bilinear",
        "What are the bilinear filters of FCN's upsampling?",
        right="a start that may be learned",
        wrong={
            "fixed by definition": "In the paper they are only where learning starts (all but the "
            "last step's).",
            "interpolation without weights": "They are weights of a transposed convolution.",
        },
        hints=(
            "What does nn.init.bilinear_ fill?",
            "Later the authors fixed them, and found no significant difference.",
        ),
        explanation="They are weights, filled bilinearly and free to learn. The authors' later "
        "release keeps them fixed; it made no significant difference.",
    ),
    ValueExercise.choice(
        "09/hundred",
        "Why do the authors pad pictures by 100 pixels?",
        right="so that small ones pass the 7x7 layer",
        wrong={
            "to avoid edges": "It makes a wide edge of zeros.",
            "to learn positions": "That is at most a side effect.",
            "to make sizes even": "100 does not make an odd size even.",
        },
        hints=(
            "How large must a picture be for a 7x7 window at 1/32?",
            "7*32 = 224 pixels.",
        ),
        explanation="Without it a picture below 224 pixels leaves no room for the 7x7 kernel. What "
        "is too much at the end is cropped.",
    ),
)
