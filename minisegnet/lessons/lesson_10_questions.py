"""Lesson 10, U-Net: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.models import UNet


def _doubled(rows: int, columns: int) -> tuple[int, ...]:
    """The size after a 2x2 transposed convolution of stride 2, by the engine."""
    x, w = tensor(np.zeros((1, 1, rows, columns))), tensor(np.zeros((1, 1, 2, 2)))
    return F.conv_transpose2d(x, w, stride=2).shape[2:]


RECALL = ValueExercise(
    name="10/recall",
    question="What size comes out of 7x10 cells, transposed convolution, kernel 2, stride 2?",
    definition=lambda: _doubled(7, 10),
    mistakes=(
        Mistake("Rows and columns changed places: rows first.", lambda: _doubled(10, 7)),
        Mistake(
            "You forgot how far the last stamp reaches: (h - 1)*2 is where it begins.", (12, 18)
        ),
        Mistake("That is the convolution: it makes maps smaller.", (3, 5)),
        Mistake(
            "You counted one stamp too many: the last begins at (h - 1)*2 and reaches over 2 rows.",
            (16, 22),
        ),
    ),
    hints=(
        "Where does the last stamp begin, and how many rows does it cover?",
        "(h - 1)*2 + 2, for rows and then for columns.",
    ),
    explanation="(h - 1)*stride + kernel on each axis: stamps of 2x2 side by side, a doubling.",
)


def _width_of_a_line() -> int:
    """How many columns a line of one column covers after two poolings and two doublings."""
    picture = np.zeros((1, 1, 8, 16), np.float32)
    picture[..., 6] = 1
    small = F.max_pool2d(F.max_pool2d(tensor(picture), 2), 2)
    back = F.interpolate(small, scale_factor=4).numpy()
    return int((back[0, 0, 0] > 0).sum())


PREDICTIONS = (
    Prediction(
        name="10/line",
        question=(
            "A bright line, one column wide, goes through two 2x2 max-poolings and is then blown "
            "up to the old size, each cell to a 4x4 block. How many columns wide is it?"
        ),
        outcome=_width_of_a_line,
        because=(
            "After two poolings one cell stands for four columns, and nothing says which of them "
            "was bright. Only the skip still knows."
        ),
        traps=(
            Mistake("Blowing up does not know where in the block the line was.", 1),
            Mistake("That is after one pooling; there are two.", 2),
            Mistake("A maximum keeps the line: it does not vanish.", 0),
        ),
    ),
    Prediction(
        name="10/valid",
        question=(
            "The U-Net of the paper has four poolings and pads nothing, so every 3x3 convolution "
            "takes two rows. 572 rows go in. How many come out?"
        ),
        outcome=lambda: UNet(1, 2, base=1, padding="valid", norm=False).output_size((572, 572))[0],
        because=(
            "At the top level each of the four convolutions takes 2 rows, and a row lost deeper "
            "down is worth 2, 4, 8 or 16 of them: 184 in all."
        ),
        traps=(
            Mistake("That is a padded U-Net, which gives back the size it got.", 572),
            Mistake(
                "You took 2 rows for each of the 18 convolutions: deeper down a row is worth more.",
                536,
            ),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "10/join",
        "How does U-Net join a skip with the upsampled map?",
        right="concatenates",
        wrong={
            "adds": "FCN adds, and it adds scores. Here the channels stand side by side.",
            "multiplies": "Nothing is multiplied: the next convolution weighs the channels.",
        },
        hints=(
            "How many channels go into the convolution after it?",
            "Twice as many as come up.",
        ),
        explanation="It lays the channels side by side; the convolution after it weighs them.",
    ),
    ValueExercise.choice(
        "10/paper",
        "What has the U-Net of the paper that many copies of it do not?",
        right="an output smaller than its input",
        wrong={
            "batch norm": "It has none: batch normalisation came to U-Net later.",
            "skips that are added": "It concatenates, and so do the copies.",
            "five poolings": "It has four.",
        },
        hints=("Which padding does it use?", "572 go in, 388 come out."),
        explanation="It pads nothing, so every convolution takes a border, and 572x572 gives "
        "388x388. Large pictures are covered by overlapping tiles.",
    ),
    ValueExercise.choice(
        "10/crop",
        "Why is a skip cropped centrally, and not at a corner?",
        right="so that cells lie on each other",
        wrong={
            "to save memory": "Any crop saves as much.",
            "because borders are noise": "The border of the skip is as good as the rest: it just "
            "has no partner.",
        },
        hints=(
            "Convolutions without padding take the border at all sides alike.",
            "Which pixel of the picture does the middle of each map look at?",
        ),
        explanation="Unpadded convolutions take the same border on all sides, so the middles "
        "belong together. Cropped at a corner, every edge would be off by some pixels.",
    ),
    ValueExercise.choice(
        "10/odd",
        "A padded U-Net with four poolings gets 100 rows. What goes wrong?",
        right="the third pooling meets 25 rows",
        wrong={
            "nothing": "100 halves to 50 and to 25; the next pooling drops a row.",
            "the first pooling meets an odd map": "100 is even.",
            "the output has 104 rows": "It does not get that far: a skip of 25 rows meets a map of "
            "24.",
        },
        hints=("Halve it by hand.", "100, 50, 25, ..."),
        explanation="25 gives 12, and 12 comes back as 24 beside a skip of 25. Pad to 112, the "
        "next multiple of 16.",
    ),
    ValueExercise.choice(
        "10/where",
        "What does the skip bring that the way up does not have?",
        right="where edges are",
        wrong={
            "what things are": "That comes from below, where a cell has seen much of the picture.",
            "larger weights": "It brings maps, not weights.",
            "colour": "Not colour itself: features at full size.",
        },
        hints=("What became of the line in your first guess?", "What does a pooling forget?"),
        explanation="From below comes what is there, from the side where exactly.",
    ),
    ValueExercise.choice(
        "10/cost",
        "What do concatenated skips cost?",
        right="a convolution with twice the channels",
        wrong={
            "nothing": "The convolution after the concatenation has twice as many weights.",
            "one more pooling": "Poolings are as many as before.",
            "a second network": "The maps are there already: they are only kept.",
        },
        hints=(
            "Compare the channels before and after the concatenation.",
            "And the maps must be kept until the way up needs them.",
        ),
        explanation="Twice the input channels in one convolution of each level, and the memory of "
        "the maps that wait.",
    ),
)
