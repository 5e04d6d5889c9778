"""Lesson 11, SegNet and DeconvNet: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.models import UNet

RECALL = ValueExercise(
    name="11/recall",
    question="A padded U-Net with four poolings gets 130 rows. How many rows are to be padded?",
    definition=lambda: UNet(1, 1, base=1, depth=4).next_size(130) - 130,
    mistakes=(
        Mistake("That is how many to crop: 130 - 128.", 2),
        Mistake("You went up to a multiple of 8, for three poolings.", 6),
        Mistake("You went up to a multiple of 32, for five poolings.", 30),
        Mistake("That is the padded size itself.", 144),
    ),
    hints=("Which sizes can be halved four times?", "16 * 9 = 144."),
    explanation="144 is the next multiple of 2**4.",
)

MEMORY = ValueExercise(
    name="11/memory",
    question=(
        "A place within a 2x2 block takes 2 bits, a feature 32. How many times more does U-Net "
        "keep of a map than SegNet?"
    ),
    definition=lambda: (4 * 32) / 2,
    mistakes=(
        Mistake("There are four features for each place: a block has four cells.", 16),
        Mistake("A feature has 32 bits, a place 2: you counted numbers, not bits.", 4),
        Mistake("U-Net keeps the large map, with four cells a block, not the pooled one.", 32),
    ),
    hints=(
        "Take one block of 2x2 cells. What does each network keep of it?",
        "U-Net keeps 4 features of 32 bits; SegNet one place of 2 bits.",
    ),
    explanation="128 bits against 2. (Our engine stores a place as a 64-bit integer: it is for "
    "reading, not for telephones.)",
)


def _row_after_widening() -> int:
    """In which row a number lands that stood at row 2, column 1 of a 4x4 map, if it is 4x5."""
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 2, 1] = 6
    small, places = F.max_pool2d(tensor(x), 2, return_indices=True)
    wide = F.max_unpool2d(small, places, 2, output_size=(4, 5)).numpy()[0, 0]
    return int(np.argwhere(wide == 6)[0, 0])


def _share_of_zeros() -> float:
    """How much of a map is zero after pooling and unpooling."""
    x = tensor(np.random.default_rng(11).uniform(1, 2, (1, 3, 6, 8)))
    small, places = F.max_pool2d(x, 2, return_indices=True)
    return float((F.max_unpool2d(small, places, 2).numpy() == 0).mean())


PREDICTIONS = (
    Prediction(
        name="11/wider",
        question=(
            "A maximum stood at row 2, column 1 of a 4x4 map. You unpool it into a map of 4 rows "
            "and 5 columns. In which row does it land?"
        ),
        outcome=_row_after_widening,
        because=(
            "Its place is 2*4 + 1 = 9, and in rows of five cells the ninth is row 1, column 4. "
            "Places count cells of the map that was pooled: another width scrambles them."
        ),
        traps=(
            Mistake("Only if rows had kept their length: a place is one number, not a pair.", 2),
            Mistake("Rows are counted from 0 here.", 3),
        ),
    ),
    Prediction(
        name="11/zeros",
        question="After 2x2 pooling and unpooling by places: which share of the map is zero?",
        outcome=_share_of_zeros,
        because="One cell of four gets a number back, and the convolution has to fill the rest.",
        traps=(
            Mistake("That is the share that gets a number.", 0.25),
            Mistake("A block has four cells, not two.", 0.5),
            Mistake("Unpooling repeats nothing: the other cells of a block stay zero.", 0),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "11/segnet-up",
        "How does SegNet upsample?",
        right="it unpools by places, then convolves",
        wrong={
            "by transposed convolution": "Some texts say so. Its layers after unpooling are plain "
            "convolutions.",
            "bilinearly": "Nothing is interpolated: numbers go to remembered places.",
            "by repeating cells": "Then it would not need the places.",
        },
        hints=("What does it remember of each pooling?", "What fills the zeros?"),
        explanation="Unpooling puts numbers where maxima stood, and a learned convolution fills "
        "the zeros between them.",
    ),
    ValueExercise.choice(
        "11/carried",
        "What crosses from SegNet's way down to its way up?",
        right="places of maxima",
        wrong={
            "feature maps": "That is U-Net.",
            "scores": "That is FCN.",
            "nothing": "Then edges would be lost as they were without a skip.",
        },
        hints=("Two bits for each block.", "What does return_indices give?"),
        explanation="Places only: next to no memory, and edges stay where they were.",
    ),
    ValueExercise.choice(
        "11/deconvnet-up",
        "What does DeconvNet do after it unpooled?",
        right="transposed convolutions of stride 1",
        wrong={
            "convolutions with stride 2": "These would make the map smaller again.",
            "nothing": "Three cells of four would stay zero.",
            "transposed convolutions of stride 2": "Unpooling has doubled the size already.",
        },
        hints=("Who doubles the size?", "What is left for the learned layer to do?"),
        explanation="Unpooling doubles; the learned stamps of stride 1 fill and shape.",
    ),
    ValueExercise.choice(
        "11/plane",
        "Which plane do pooling indices address?",
        right="the map before pooling",
        wrong={
            "the pooled map": "That has one cell for each block: nothing to choose.",
            "the block": "Within a block two bits would do; the engine's numbers count in the "
            "whole map.",
            "the batch": "Each map of each picture counts for itself.",
        },
        hints=("How large can an index be?", "Row times the width of which map?"),
        explanation="They count cells of the map that was pooled, row by row, so they are only "
        "good for a map of that width.",
    ),
    ValueExercise.choice(
        "11/waist",
        "Why is DeconvNet's input tied to a size, when SegNet's is not?",
        right="its 7x7 layer makes one cell of the map",
        wrong={
            "its indices": "SegNet has them as well.",
            "its stride": "Both halve the map five times.",
            "its transposed convolutions": "These take maps of any size.",
        },
        hints=("What stands in the middle?", "224 / 32 = 7."),
        explanation="In the middle a 7x7 kernel without padding meets a 7x7 map. A smaller picture "
        "leaves it no room.",
    ),
)
