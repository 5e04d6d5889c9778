"""Lesson 7, losses: its recall, its predictions and its questionnaire."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minisegnet import functional as F
from minisegnet import losses
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise


def _reach() -> int:
    """How many rows a 3x3 kernel of dilation 3 covers: as many as leave a single window."""
    x, w = tensor(np.zeros((1, 1, 20, 20))), tensor(np.zeros((1, 1, 3, 3)))
    return 20 - F.conv2d(x, w, dilation=3).shape[2] + 1


RECALL = ValueExercise(
    name="07/recall",
    question="A 3x3 kernel has dilation 3. Over how many rows does it reach?",
    definition=_reach,
    mistakes=(
        Mistake("Three taps have two gaps between them, not three: 3 * 3 is too much.", 9),
        Mistake("That is without dilation.", 3),
        Mistake("Dilation 3 puts two zeros into each gap, not one.", 5),
        Mistake("You counted the steps: the first tap needs none, so there is one more.", 6),
    ),
    hints=("Draw the three taps, with two zeros between each.", "dilation * (kernel - 1) + 1."),
    explanation="dilation * (kernel - 1) + 1: three taps and two gaps of two.",
)

#: Constant answers, and logits that come as near to them as a float can say.
_ANSWERS = {"0": -100.0, "1 in 100": float(np.log(1 / 99)), "1 in 2": 0.0, "1": 100.0}


def _cheapest(loss: Callable[..., Tensor], **options: float) -> str:
    """Which constant answer costs least where 2 of 200 pixels are foreground."""
    mask = np.zeros((1, 10, 20), np.int64)
    mask[0, 4, 11:13] = 1
    costs = {
        name: loss(tensor(np.full(mask.shape, z)), tensor(mask), **options).item()
        for name, z in _ANSWERS.items()
    }
    return min(costs, key=lambda name: costs[name])


PREDICTIONS = (
    Prediction(
        name="07/cheapest",
        question=(
            "1 % of the pixels are foreground, and the same p is given to all pixels. Which p is "
            'cheapest in binary cross-entropy, "0", "1 in 100", "1 in 2" or "1"?'
        ),
        outcome=lambda: _cheapest(losses.binary_cross_entropy),
        options=tuple(_ANSWERS),
        because=(
            "Cross-entropy wants honest probabilities, and 1 % is the honest one. It is below 1/2 "
            "everywhere, so everything is background."
        ),
        traps=(
            Mistake(
                "0 is never wrong about the background, but where there is foreground it costs "
                "minus log 0: infinitely much.",
                "0",
            ),
            Mistake("1 in 2 is unsure of everything: each pixel costs log 2.", "1 in 2"),
        ),
    ),
    Prediction(
        name="07/cheapest-dice",
        question=(
            "The same image, and the Dice loss without smooth: which constant p is cheapest, "
            '"0", "1 in 100", "1 in 2" or "1"?'
        ),
        outcome=lambda: _cheapest(losses.dice, smooth=0.0),
        options=tuple(_ANSWERS),
        because=(
            "With f pixels of foreground among n, the overlap of a constant p is "
            "2*p*f / (p*n + f), and that only grows with p. Dice would rather find too much than "
            "nothing; but a smooth of 1 rewards finding nothing, too, if f is a few pixels."
        ),
        traps=(
            Mistake("That is what cross-entropy says. Dice does not count true negatives.", "0"),
            Mistake("Dice has no use for honest probabilities: it wants overlap.", "1 in 100"),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "07/brackets",
        "-(1/N) * sum(y log p) + (1-y) log(1-p), without the brackets: what is wrong?",
        right="false alarms are rewarded",
        wrong={
            "nothing": "The minus reaches the first term only, so the second has the wrong sign.",
            "the scale": "It is not only larger or smaller: the sign of one term is wrong.",
            "misses are free": "The foreground's term is the one that came out right.",
        },
        hints=(
            "Which term does the minus not reach?",
            "Take y = 0 and let p grow: what does log(1-p) do?",
        ),
        explanation="log(1-p) is negative and falls with p: the surer a false alarm, the lower "
        "the loss. One text prints it so; -(1/N) * sum(y log p + (1-y) log(1-p)) is meant.",
    ),
    ValueExercise.choice(
        "07/background",
        "A network is trained by cross-entropy on 1 % foreground. Why is everything background, "
        "at least at first?",
        right="the share is the cheapest guess",
        wrong={
            "a bug": "Other bugs do that too, but here it is the optimum without evidence.",
            "too few filters": "Even a single bias gets there: it needs no filter at all.",
            "the sigmoid": "The sigmoid can say any probability, and says 1 % because it pays.",
        },
        hints=("What did the first prediction turn out to be?", "Is 0.01 above 1/2?"),
        explanation="Before it can tell pixels apart, the best it can say is the share of the "
        "foreground, and that is below 1/2 everywhere. Then evidence must outweigh 99 to 1.",
    ),
    ValueExercise.choice(
        "07/dice-to-iou",
        "A mask has a Dice coefficient of 4/5. What is its IoU?",
        right="2/3",
        wrong={
            "4/5": "Dice is not IoU: they agree at 0 and at 1 only.",
            "8/9": "You went the other way: 2J/(1+J) makes Dice of IoU. Back it is D/(2-D).",
            "2/5": "Half is right only for very small overlaps.",
        },
        hints=("D = 2J / (1 + J). Solve for J.", "J = D / (2 - D)."),
        explanation="J = D / (2 - D). Dice is never below IoU, so a table of Dice looks better: "
        "ask which of them a paper reports.",
    ),
    ValueExercise.choice(
        "07/gamma",
        "What is the focal loss with a gamma of 0?",
        right="cross-entropy",
        wrong={
            "zero": "Anything to the power of 0 is 1, not 0.",
            "balanced cross-entropy": "Gamma looks at how right a pixel is, not at its class.",
            "Dice": "It is still a mean over pixels: no region in it.",
        },
        hints=("What is (1 - q) to the power of 0?", "A factor of 1 changes nothing."),
        explanation="(1 - q)**0 is 1. With gamma 2 alone everything was still background in the "
        "experiment: focal turns away from easy pixels, alpha from frequent ones.",
    ),
    ValueExercise.choice(
        "07/misses",
        "You would rather have false alarms than misses. What do you raise in the Tversky loss?",
        right="beta",
        wrong={
            "alpha": "That is the price of false alarms: you would get fewer of them, and more "
            "misses.",
            "smooth": "That moves both quotients towards 1, whatever the mistake.",
        },
        hints=("Which of the two multiplies FN?", "TP / (TP + alpha*FP + beta*FN)."),
        explanation="Beta is the price of a false negative, that is, of a miss.",
    ),
    ValueExercise.choice(
        "07/smooth",
        "What is `smooth` in the Dice loss for?",
        right="empty masks",
        wrong={
            "blurred edges": "Nothing is blurred: it is one number in a quotient.",
            "log of zero": "There is no logarithm in it.",
            "speed": "It costs an addition.",
        },
        hints=("When is the denominator 0?", "Put p = 0 and y = 0 into the formula."),
        explanation="Nothing predicted where nothing is gives s/s: a loss of 0 and no 0/0. With "
        "a few pixels of false alarm it still has a gradient that takes them away.",
    ),
    ValueExercise.choice(
        "07/compound",
        "What does the cross-entropy contribute to a compound loss?",
        right="a slope at every pixel",
        wrong={
            "balance": "That is the region's part: cross-entropy counts pixels as they come.",
            "the outline": "That is what boundary losses look at.",
            "overlap": "That is the region's part.",
        },
        hints=("Dice sees sums only.", "What does each pixel get from -log p, however wrong?"),
        explanation="Where p is almost 0, Dice's gradient vanishes with the sigmoid's; the "
        "cross-entropy still pulls each pixel, and the region keeps the balance.",
    ),
)
