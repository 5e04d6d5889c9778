"""Lesson 1, pixels to classes: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise

RECALL = ValueExercise(
    name="01/recall",
    question="An image is an array (3, 48, 64). How many pixels has a network to name in it?",
    definition=lambda: tensor(np.zeros((3, 48, 64))).argmax(dim=0).size,
    mistakes=(
        Mistake("You counted the colours: three numbers make one pixel.", 3 * 48 * 64),
        Mistake(
            "You multiplied colours by rows: the shape is (colours, rows, columns).",
            3 * 48,
        ),
        Mistake("That is a classifier: one word for the whole image.", 1),
    ),
    hints=("The shape is (colours, rows, columns).", "Rows times columns."),
    explanation="48 rows of 64 pixels, and each wants a class of its own.",
)


def _probability_of_cat() -> str:
    """How probable a cat is with a logit of 2 beside a background with 30, in words."""
    p = F.softmax(tensor([2.0, 30.0]), dim=0).numpy()[0]
    words = {"1 in 15": 1 / 15, "1 in 28": 1 / 28, "below 1 in a billion": 1e-9}
    near = [word for word, value in words.items() if abs(p - value) < 0.01 * value]
    return near[0] if near else "below 1 in a billion" if p < 1e-9 else "something else"


def _one_map_is_enough() -> str:
    """Whether the sigmoid of one map can say what the softmax of two says."""
    two = np.random.default_rng(1).normal(size=(2, 3, 5))
    by_two = F.softmax(tensor(two), dim=0).numpy()[0]
    by_one = F.sigmoid(tensor(two[0] - two[1])).numpy()
    return "yes" if np.allclose(by_two, by_one) else "no"


PREDICTIONS = (
    Prediction(
        name="01/cat",
        question=(
            "The cat's logit is 2 and the background's is 30. How probable is the cat: "
            '"1 in 15", "1 in 28" or "below 1 in a billion"?'
        ),
        outcome=_probability_of_cat,
        options=("1 in 15", "1 in 28", "below 1 in a billion"),
        because=(
            "Logits count in powers of e: 28 behind means e to the power of -28 as probable, about "
            "7e-13."
        ),
        traps=(
            Mistake("That is the ratio of the logits: softmax raises e to them first.", "1 in 15"),
            Mistake("28 is how far it lies behind, and it becomes an exponent.", "1 in 28"),
        ),
    ),
    Prediction(
        name="01/single-map",
        question="Can a network with a single output map solve the cat problem, yes or no?",
        outcome=_one_map_is_enough,
        options=("yes", "no"),
        because=(
            "Yes: background is not-cat, so one probability says both. Sigmoid, and binary "
            "cross-entropy to train it."
        ),
        traps=(
            Mistake(
                "Background needs no map of its own: it is what is left over when it is no cat.",
                "no",
            ),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "01/car-park",
        "Cars in a car park touch each other, and you want to count them. What do you need at "
        "least?",
        right="instance",
        wrong={
            "classification": "A classifier says that there are cars: not how many, nor where.",
            "semantic": "Cars that touch become one patch in a semantic mask: you would count "
            "patches.",
            "panoptic": "Panoptic would do, but it also names every pixel of tarmac and sky: more "
            "than you need.",
        },
        hints=("Which of the masks tells two touching cars apart?", "Which of those says least?"),
        explanation="Instance segmentation outlines each thing separately, and leaves stuff alone.",
    ),
    ValueExercise.choice(
        "01/panoptic-means",
        'One text calls it "panoramic": what does panoptic segmentation give each pixel?',
        right="class and instance",
        wrong={
            "a wide view": "That would be panoramic, which is about cameras: panoptic means seeing "
            "everything.",
            "class alone": "That is semantic: two cats would be one.",
            "instance alone": "Then sky and grass would have no name.",
        },
        hints=("It joins the other two kinds.", "Every pixel gets what semantic and instance say."),
        explanation="A class for every pixel, and for things the number of the instance as well.",
    ),
    ValueExercise.choice(
        "01/input-and-target",
        "What goes into F.cross_entropy(input, target)?",
        right="logits and index mask",
        wrong={
            "probabilities and index mask": "It does the softmax itself: twice is once too often, "
            "and the cost of a perfect answer is not 0 any more.",
            "two index masks": "argmax has no gradient, so nothing could be learnt from it.",
            "one-hot maps and logits": "The prediction comes first; and the target may stay an "
            "index mask.",
        },
        hints=(
            "What comes out of the network's last layer?",
            "The loss does the softmax itself, and an integer a pixel says all of the truth.",
        ),
        explanation="Logits (N, classes, H, W) for the prediction, one integer a pixel, (N, H, W), "
        "for the truth. One-hot maps of floats work too and say the same.",
    ),
    ValueExercise.choice(
        "01/one-map-end",
        "What turns a single map of logits into probabilities?",
        right="sigmoid",
        wrong={
            "softmax": "Over one map softmax is 1 everywhere: there is nobody to compete with.",
            "argmax": "argmax decides, and over one map it decides 0 everywhere.",
            "nothing": "Logits are any real numbers: a probability lies between 0 and 1.",
        },
        hints=("Softmax needs a rival.", "1 / (1 + exp(-z))."),
        explanation="With several maps the classes compete, by softmax; one map stands alone, and "
        "sigmoid is softmax against a rival that always says 0.",
    ),
    ValueExercise.choice(
        "01/all-background",
        "One output map, and prediction = logits.argmax(dim=1). Why is everything background?",
        right="one candidate",
        wrong={
            "too few epochs": "Train as long as you like: this line answers 0 whatever the logits.",
            "rare class": "A rare class can do that too, but here not even a perfect network could "
            "say 1.",
            "wrong dimension": "Dimension 1 is that of the classes: but it has length 1.",
        },
        hints=("How long is dimension 1?", "Which numbers can argmax return here?"),
        explanation="The place that argmax returns lies below the length, and the length is 1: "
        "always 0. Compare the logits with 0 instead.",
    ),
    ValueExercise.choice(
        "01/white",
        "A mask file holds 0 and 255. Why does the cost turn negative, and an IoU come out above "
        "1?",
        right="255 is no class",
        wrong={
            "small logits": "Any logits will do it: the sign comes from 1 - y, which is -254.",
            "rounding": "Nothing is rounded: the formulas get a y far outside 0 to 1.",
            "learning rate": "It happens before the first step.",
        },
        hints=("Put y = 255 into y log p + (1 - y) log(1 - p).", "What are the formulas made for?"),
        explanation="The formulas are made for y = 0 and 1. Write mask > 127 first, and look at "
        "np.unique(mask) whenever a file is new to you.",
    ),
    ValueExercise.choice(
        "01/decide",
        "Is a softmax needed before the argmax?",
        right="no",
        wrong={
            "yes": "Softmax keeps the order of a pixel's logits, so the same class wins without "
            "it.",
            "only in training": "In training there is no argmax at all: it has no gradient. The "
            "loss does the softmax.",
        },
        hints=("Can softmax exchange first and second?", "e^z grows with z."),
        explanation="The largest logit is the largest probability. You need the softmax to know "
        "how sure the network is.",
    ),
    ValueExercise.choice(
        "01/coco",
        "How many labelled images has COCO, roughly?",
        right="200,000",
        wrong={
            "20,000": "One text says so, and it is not even a tenth of them.",
            "330,000": "That is about how many images there are, labelled or not.",
            "80": "That is the number of its object classes.",
        },
        hints=("It is in this lesson, under the first picture.", "More than half of 330,000."),
        explanation="About 330,000 images, more than 200,000 of them labelled, 80 object classes.",
    ),
)
