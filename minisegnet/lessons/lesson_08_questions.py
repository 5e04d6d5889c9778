"""Lesson 8, metrics: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.metrics import ConfusionMatrix


def _score_of(hits: int, alarms: int, misses: int) -> ConfusionMatrix:
    """A matrix with so many true positives, false positives and false negatives."""
    matrix = ConfusionMatrix(2)
    counts = [hits, alarms, misses]
    matrix.update(np.repeat([1, 1, 0], counts), np.repeat([1, 0, 1], counts))
    return matrix


RECALL = ValueExercise(
    name="08/recall",
    question="There are 3 hits, 2 false alarms and 2 misses. What is Dice's coefficient?",
    definition=lambda: _score_of(3, 2, 2).dice()[1],
    mistakes=(
        Mistake("That is the IoU: Dice has a 2 before TP, above and below.", 3 / 7),
        Mistake("That is the Dice loss, 1 minus the coefficient.", 4 / 10),
        Mistake("There is a 2 below the line too: 2*TP + FP + FN.", 6 / 7),
        Mistake("There is a 2 above the line too.", 3 / 10),
    ),
    hints=("2*TP above the line.", "2*TP / (2*TP + FP + FN)."),
    explanation="6 / (6 + 2 + 2). The IoU of the same masks is 3/7.",
)


def _all_white() -> float:
    """The mean IoU of a prediction that is all background, where 78 % are background."""
    truth = np.repeat([0, 1], [78, 22])
    matrix = ConfusionMatrix(2)
    matrix.update(np.zeros_like(truth), truth)
    return matrix.mean_iou()


def _one_line() -> str:
    """What IoU's one-line form makes of two empty masks."""
    a = b = np.zeros((3, 4), bool)
    with np.errstate(invalid="ignore"):
        try:
            value = (a & b).sum() / (a | b).sum()
        except ZeroDivisionError:
            return "an error"
    return f"{value:g}"


PREDICTIONS = (
    Prediction(
        name="08/all-white",
        question=(
            "78 % of the pixels are background, printed white, and a network says white "
            "everywhere. What is its mean IoU over the two classes?"
        ),
        outcome=_all_white,
        tolerance=0.011,
        because=(
            "The background has an IoU of 0.78, the foreground one of 0: the mean is half of 0.78."
        ),
        traps=(
            Mistake("That is the pixel accuracy, and the IoU of the background alone.", 0.78),
            Mistake("That is the class average, the mean of the recalls 1 and 0.", 0.5),
            Mistake("The foreground has 0, but the background counts as well.", 0),
        ),
    ),
    Prediction(
        name="08/both-empty",
        question=(
            "The IoU in one line, (a & b).sum() / (a | b).sum(), of two empty masks: "
            '"0", "1", "nan" or "an error"?'
        ),
        outcome=_one_line,
        options=("0", "1", "nan", "an error"),
        because=(
            "0/0 is nan in NumPy, with a warning that is easily overlooked, and a mean over "
            "images then is nan too."
        ),
        traps=(
            Mistake("Nothing was missed: why should it be 0? The formula does not know.", "0"),
            Mistake("A perfect answer, one could say, but the formula does not know.", "1"),
            Mistake("Python's own 0/0 is an error; NumPy's numbers only warn.", "an error"),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "08/white",
        "A network predicts all white and has an accuracy of 78 %. Why does it, and why so high?",
        right="78 % is the background's share",
        wrong={
            "it has learnt 78 %": "It has learnt one number: how common the background is.",
            "the metric is broken": "Pixel accuracy does what it says: it counts pixels, and most "
            "are background.",
            "overfitting": "Overfitting would be far better on training images than on others: "
            "here both are 78 %.",
        },
        hints=(
            "What does the confusion matrix of an all-background answer look like?",
            "Remember the cheapest constant of the last lesson.",
        ),
        explanation="White everywhere is the first stop of training (lesson 7), and accuracy "
        "rewards it with the background's share. Look at the mean IoU and at the pictures; then "
        "weigh the classes, or use a region-based loss, and train longer.",
    ),
    ValueExercise.choice(
        "08/empty",
        "Both masks are empty. Is Dice 0 or 1?",
        right="neither",
        wrong={
            "0": "Nothing was there and nothing was claimed: that is no failure.",
            "1": "A convention that one may choose and must then say: images without objects "
            "would lift the mean.",
        },
        hints=("Put TP = FP = FN = 0 into the formula.", "0/0 is not a number."),
        explanation="0/0 is undefined: nan, and left out of means. If your task rewards finding "
        "nothing, count such images separately. (The Dice loss takes the overlap as 1 there, by "
        "its smoothing: training needs a number.)",
    ),
    ValueExercise.choice(
        "08/class-average",
        "What is the class average in CamVid's tables?",
        right="mean recall",
        wrong={
            "mean (TP+TN)/all": "One text says so: that is near 1 for every rare class, found or "
            "not.",
            "mean precision": "That divides by what was claimed. The tables divide by what is "
            "true.",
            "mean IoU": "That is a column of its own.",
        },
        hints=("It asks of each class: what share was found?", "TP / (TP + FN)."),
        explanation="For each class the share of its true pixels that was found, then the mean.",
    ),
    ValueExercise.choice(
        "08/absent",
        "A class is in neither of the masks. What do you do with its IoU in the mean?",
        right="leave it out",
        wrong={
            "count it as 0": "Then a perfect prediction would score below 1.",
            "count it as 1": "Then more classes that never occur would make any network better.",
            "drop the image": "The other classes of the image are as good as ever.",
        },
        hints=("What would a perfect prediction score?", "nan, and np.nanmean."),
        explanation="It is 0/0, nan. Over a whole data set, counted in one matrix, few classes "
        "are absent.",
    ),
    ValueExercise.choice(
        "08/files",
        "Masks hold 0 and 255, and the loss is negative, the IoU over 1. What do you do?",
        right="mask > 127",
        wrong={
            "clip the loss": "That hides a target that is still wrong.",
            "lower learning rate": "The very first loss is wrong already.",
            "255 classes": "There are two: 255 is only how white is stored.",
        },
        hints=("Which values do the formulas take y for?", "np.unique(mask) shows what is there."),
        explanation="Both formulas are made for 0 and 1. Turn a mask into classes when you read "
        "it; where 255 stands for void, say ignore_index=255 instead.",
    ),
    ValueExercise.choice(
        "08/mean-of-images",
        "The IoU of each image, then the mean, or one matrix for all images. Are they the same?",
        right="no",
        wrong={
            "yes": "They agree only by accident: a mean of quotients is not the quotient of sums.",
            "only for IoU": "Dice differs in the same way.",
        },
        hints=("Which of them gives a tiny object the weight of a large one?", "Look at break it."),
        explanation="Image by image each counts alike; in one matrix each pixel does. Data sets "
        "are usually scored by one matrix. Say which one you use.",
    ),
    ValueExercise.choice(
        "08/stray",
        "A mask is perfect but for one stray pixel far away. Which score notices most?",
        right="Hausdorff distance",
        wrong={
            "IoU": "One pixel among thousands: it barely moves.",
            "Dice": "It moves even less than IoU.",
            "pixel accuracy": "It moves by one pixel in all the image's.",
        },
        hints=("Which of them is a distance?", "Which is decided by the worst pixel alone?"),
        explanation="Overlap counts pixels wherever they are; Hausdorff sees only how far the "
        "worst one is. Report both if outlines matter.",
    ),
)
