"""Lesson 13, real images: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise

RECALL = ValueExercise(
    name="13/recall",
    question=(
        "Pyramid pooling with bins 1, 2, 3 and 6: into how many cells is a map averaged in all?"
    ),
    definition=lambda: sum(
        F.adaptive_avg_pool2d(tensor(np.zeros((1, 1, 12, 18))), bins).size for bins in (1, 2, 3, 6)
    ),
    mistakes=(
        Mistake("Bins are counted on each side: a pyramid's level has bins * bins cells.", 12),
        Mistake("The level of a single bin, the mean of the whole map, counts too.", 49),
        Mistake("You counted the finest level only.", 36),
    ),
    hints=("How many cells has the level with 3 bins?", "1*1 + 2*2 + 3*3 + 6*6."),
    explanation="1 + 4 + 9 + 36: from the whole picture to sixths of it.",
)


def _sign_of_the_loss() -> str:
    """The sign of binary cross-entropy, by its formula, where a mask says 255."""
    p, y = 1 / (1 + np.exp(-5.0)), 255.0
    value = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return "negative" if value < 0 else "positive"


def _made_up() -> int:
    """The label between class 0 and class 2 when a mask is interpolated."""
    edge = tensor(np.array([[[[0.0, 2.0]]]]))
    enlarged = F.interpolate(edge, size=(1, 6), mode="bilinear").numpy().round()
    return int(np.setdiff1d(enlarged, [0, 2])[0])


PREDICTIONS = (
    Prediction(
        name="13/sign",
        question=(
            "A mask file holds 0 and 255, and nobody converted it. A network is sure of the "
            "foreground, and right. Is its binary cross-entropy there positive or negative?"
        ),
        outcome=_sign_of_the_loss,
        options=("positive", "negative"),
        because=(
            "-(255 log p + (1 - 255) log(1 - p)): the second term has a negative weight, and the "
            "surer the network, the deeper the loss falls. It is never done."
        ),
        traps=(Mistake("A loss is positive if targets are 0 and 1; 255 is neither.", "positive"),),
    ),
    Prediction(
        name="13/between",
        question=(
            "A mask has class 0 (road), 1 (person) and 2 (car). Where a car touches the road, the "
            "mask is enlarged bilinearly and rounded. Which class appears between the two?"
        ),
        outcome=_made_up,
        because="Between 0 and 2 lies 1: everything gets a rim of persons.",
        traps=(
            Mistake("That would be the nearest neighbour, and right.", 0),
            Mistake("That too would be one of the two that are there.", 2),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "13/interpolate",
        "How is a mask resized?",
        right="nearest neighbour",
        wrong={
            "bilinear": "Between two labels it makes a third one up.",
            "as its image": "An image may blend colours; labels are names.",
            "not at all": "It must stay with its image.",
        },
        hints=("What is the mean of road and car?", "No label may appear that was not there."),
        explanation="One of the labels that are there is taken; the image may be blended.",
    ),
    ValueExercise.choice(
        "13/void",
        "What happens to void pixels?",
        right="neither loss nor score counts them",
        wrong={
            "they are background": "Then the network learns that unlabelled things are nothing.",
            "a class of their own": "Nothing unites them but that nobody labelled them.",
            "only the loss leaves them out": "A score that counts them compares with nothing.",
        },
        hints=("Has anybody said what is there?", "Loss and score must agree."),
        explanation="Nobody knows what is there, so nothing is learnt from them and nothing held "
        "against the network.",
    ),
    ValueExercise.choice(
        "13/rare",
        "Poles are 1 % of the pixels. What does a class weight do?",
        right="trades accuracy for recall of poles",
        wrong={
            "makes poles easier to see": "The picture stays the same.",
            "raises every score": "Pixel accuracy usually falls.",
            "adds pictures of poles": "It counts those that are there more.",
        },
        hints=("What does a miss cost, and what a false alarm?", "Look at both columns."),
        explanation="A miss costs more, so more poles are found, and more is called a pole that is "
        "none.",
    ),
    ValueExercise.choice(
        "13/overfit",
        "The training loss falls, the validation loss rises. What is it, and what helps most?",
        right="overfitting: more varied pictures",
        wrong={
            "underfitting: a larger network": "It fits its pictures only too well.",
            "a learning rate too low": "The training loss falls well.",
            "overfitting: more epochs": "They are what made it worse.",
        },
        hints=("Which pictures does it know by heart?", "Mirrored and cropped, each is new."),
        explanation="It learns its few pictures by heart. Augmentation makes many of few.",
    ),
    ValueExercise.choice(
        "13/order",
        "Which of these may be done to an image without its mask?",
        right="brightness",
        wrong={
            "mirroring": "Pixels move: labels must move too.",
            "cropping": "The labels would belong to other pixels.",
            "turning": "Then the labels must be turned as well.",
        },
        hints=("Which one moves no pixel?", "Light is not a place."),
        explanation="What changes colours leaves labels alone; what moves pixels moves labels.",
    ),
)
