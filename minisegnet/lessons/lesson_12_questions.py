"""Lesson 12, context: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _unpooled() -> tuple[int, int]:
    """Where unpooling puts a number whose place is 7, in a map of 3 rows and 5 columns."""
    places, value = tensor(np.array([[[[7]]]])), tensor(np.ones((1, 1, 1, 1)))
    wide = F.max_unpool2d(value, places, (3, 5), output_size=(3, 5)).numpy()[0, 0]
    row, column = np.argwhere(wide)[0]
    return int(row), int(column)


RECALL = ValueExercise(
    name="12/recall",
    question="Unpooling puts a number at place 7 of a map of 3 rows and 5 columns: (row, column)?",
    definition=_unpooled,
    mistakes=(
        Mistake("You divided by the number of rows: a row has 5 cells, so count in fives.", (2, 1)),
        Mistake("Rows and columns changed places: rows first.", (2, 1.0001)),
        Mistake("Places begin at 0, so place 7 is the eighth cell.", (1, 1)),
    ),
    hints=("Number the cells row by row, from 0.", "7 = 1*5 + 2."),
    explanation="row * 5 + column, in the plane of the number's own image and channel.",
)


def _at_best() -> float:
    """The share of right answers of the best guess that does not know how the coin fell."""
    lamps = np.array([1, 2])
    return float(max((lamps == guess).mean() for guess in (1, 2)))


def _tells_where() -> str:
    """Which pooling shows that something moved from the left half of a map to the right."""
    left, right = np.zeros((2, 1, 1, 6, 8))
    left[0, 0, 2, 1] = right[0, 0, 2, 6] = 1
    moved = {
        name: not np.array_equal(
            *(F.adaptive_avg_pool2d(tensor(x), bins).numpy() for x in (left, right))
        )
        for name, bins in (("one bin", 1), ("2x2 bins", 2))
    }
    told = [name for name, differs in moved.items() if differs]
    return {0: "neither", 1: told[0], 2: "both"}[len(told)]


PREDICTIONS = (
    Prediction(
        name="12/where",
        question=(
            "A bright spot moves from the left half of a map to the right half. Which pooling "
            'shows it: into "one bin", into "2x2 bins", "both" or "neither"?'
        ),
        outcome=_tells_where,
        options=("2x2 bins", "both", "neither", "one bin"),
        because=(
            "One bin is the mean of everything: it tells what is there and not where. That is why "
            "PSPNet pools into 2x2, 3x3 and 6x6 bins too."
        ),
        traps=(
            Mistake("The mean of the whole map is the same wherever the spot is.", "both"),
            Mistake("The one bin holds the mean of all cells, wherever they are.", "one bin"),
            Mistake("Left and right fall into different columns of bins.", "neither"),
        ),
    ),
    Prediction(
        name="12/short-sighted",
        question=(
            "A lamp, red or blue by the toss of a coin, decides the class of all shapes. A network "
            "sees 12 pixels far. Which share of the shapes' pixels beyond that can it name rightly?"
        ),
        outcome=_at_best,
        tolerance=0.1,
        because=(
            "It sees the shape and not the lamp, so it guesses. No training helps: what it needs "
            "is not in what it sees."
        ),
        traps=(
            Mistake("A guess between two is right half of the time.", 0),
            Mistake("Nothing near those pixels tells the two classes apart.", 1),
            Mistake("There are three classes, but ground is never in doubt.", 1 / 3),
        ),
    ),
)


def _span_of_chain() -> int:
    """How many rows can change one row of four links of 5x5 pooling and a 3x3 kernel."""
    path: Tensor = tensor(np.eye(41).reshape(41, 1, 41, 1))  # a spike in each row, map by map
    for _ in range(4):
        pooled = F.max_pool2d(path, (5, 1), stride=1, padding=(2, 0))
        path = F.conv2d(pooled, tensor(np.ones((1, 1, 3, 1))), padding=(1, 0))
    return int(np.count_nonzero(path.numpy()[:, 0, 20, 0]))


QUESTIONS = (
    ValueExercise(
        name="12/span",
        question=(
            "A 3x3 kernel of rate 12 on a map at 1/8 of the image: how many pixels of the image "
            "apart are its first and its last tap?"
        ),
        definition=lambda: (3 - 1) * 12 * 8,
        mistakes=(
            Mistake("Those are cells of the map: each stands for 8 pixels.", 24),
            Mistake("That is from the middle tap: there is one on the other side too.", 96),
            Mistake("Three taps have two spaces between them, not three.", 288),
            Mistake("That is without the rate: neighbouring taps lie 12 cells apart.", 16),
        ),
        hints=("How many cells lie from tap to tap?", "2 spaces of 12 cells of 8 pixels."),
        explanation="That is the large field of view of DeepLab v1.",
    ),
    ValueExercise(
        name="12/chain",
        question=(
            "Four links, each a 5x5 max-pooling of stride 1 and a 3x3 kernel: how many rows does "
            "the last one see?"
        ),
        definition=_span_of_chain,
        mistakes=(
            Mistake("That is on one side: it sees as far on the other.", 12),
            Mistake("The cell itself counts too.", 24),
            Mistake("You left the 3x3 kernels out: each adds 1 on either side.", 17),
            Mistake("You left the pooling out: each window adds 2 on either side.", 9),
        ),
        hints=(
            "Pooling is a window like a kernel: how far does it reach on one side?",
            "Each link adds 2 + 1 rows on either side.",
        ),
        explanation="1 + 2*4*(2 + 1): far, without a rate and without a hole.",
    ),
    ValueExercise.choice(
        "12/join",
        "How does DeepLab v2 join the branches of its atrous pyramid?",
        right="sum",
        wrong={
            "concatenate": "That is version 3, which mixes them by a 1x1 convolution afterwards.",
            "maximum": "No branch is dropped: every one has its say.",
        },
        hints=("Which exercise was it?", "Each branch gives scores."),
        explanation="Every branch gives scores for the classes, and scores add up.",
    ),
    ValueExercise.choice(
        "12/image-pooling",
        "Why did DeepLab v3 add a mean over the whole image to its pyramid?",
        right="large rates miss the map",
        wrong={
            "sharper edges": "A mean over the image has no edge at all.",
            "fewer weights": "It is one branch more, with weights of its own.",
            "speed": "It is cheap, but it saves nothing.",
        },
        hints=(
            "Lesson 6: what is left of a 3x3 kernel whose rate is larger than the map?",
            "Its outer taps fall on padding.",
        ),
        explanation="At a large rate most taps fall on padding, and the kernel becomes 1x1. The "
        "mean sees everything at any size.",
    ),
    ValueExercise.choice(
        "12/decoder",
        "What does the decoder of DeepLab v3+ bring back from an early map?",
        right="edges",
        wrong={
            "context": "Early maps see little: context comes from the pyramid.",
            "pooling places": "That is SegNet.",
            "more classes": "The number of classes stays.",
        },
        hints=("What do early maps have that late ones lack?", "They are at 1/4 of the size."),
        explanation="An early map is sharp and knows little; the pyramid knows much and is coarse.",
    ),
    ValueExercise.choice(
        "12/appearance",
        "Which pairs pay most in the appearance kernel?",
        right="alike, labels unlike",
        wrong={
            "unlike, labels unlike": "Pixels of unlike colours may well be of unlike classes: "
            "their price is near 0.",
            "alike, labels alike": "Equal labels pay nothing, whatever the pixels.",
        },
        hints=("Who pays at all?", "The exponent is 0 for pixels of one colour at one place."),
        explanation="Alike pixels should have one label; so edges of labels move to edges of "
        "colour.",
    ),
    ValueExercise.choice(
        "12/transformer",
        "Which of these networks is a transformer?",
        right="SETR",
        wrong={
            "HRNet": "HRNet is convolutional: it keeps maps of high resolution all the way.",
            "OCRNet": "OCRNet is convolutional with an attention to regions of objects; some texts "
            "list it wrongly.",
        },
        hints=("Two of them are convolutional.", "The name says TRansformer at its end."),
        explanation="Its encoder lets all patches look at each other: context from the first "
        "layer on.",
    ),
)
