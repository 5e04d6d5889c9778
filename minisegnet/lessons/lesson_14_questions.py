"""Lesson 14, to the GPU: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import numpy as np

from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.metrics import ConfusionMatrix


def _recall_score() -> float:
    """Pixel accuracy with a void pixel among five."""
    matrix = ConfusionMatrix(3, ignore_index=255)
    matrix.update(np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 255, 2]))
    return matrix.pixel_accuracy()


RECALL = ValueExercise(
    name="14/recall",
    question=(
        "Five pixels: the truth is 0 1 2 255 2, where 255 is void, and the prediction 0 1 1 2 2. "
        "What is the pixel accuracy?"
    ),
    definition=_recall_score,
    mistakes=(
        Mistake("You divided by all five: a void pixel is not there.", 3 / 5),
        Mistake("You counted the void pixel as right.", 4 / 5),
        Mistake("That is the share that is wrong.", 1 / 4),
    ),
    hints=("Cross the void pixel out.", "Three of four are right."),
    explanation="Void counts neither above nor below the line.",
)


def _launch_bound() -> int:
    """Steps a second of a network so small that only launches count."""
    return round(1 / (400 * 5e-6))


def _elementwise() -> str:
    """What holds a relu up, by its arithmetic and its bytes on a card of 2 TB/s and 60 TFLOP/s."""
    cells = 8 * 16 * 128 * 128
    times = {
        "arithmetic": cells / 60e12,
        "memory": 2 * 4 * cells / 2e12,
        "launch": 5e-6,
    }
    return max(times, key=times.__getitem__)


PREDICTIONS = (
    Prediction(
        name="14/steps",
        question=(
            "A toy network makes 400 operations a step, and each takes 5 microseconds to launch. "
            "However fast the card computes: how many steps a second at most?"
        ),
        outcome=_launch_bound,
        because=(
            "400 * 5 microseconds are 2 milliseconds, and nothing in them was arithmetic. A "
            "card that computes ten times as fast takes as long."
        ),
        traps=(
            Mistake("That is for one operation a step.", 200_000),
            Mistake("You divided 400 by 5: but 400 times 5 microseconds are 2 ms.", 80),
        ),
    ),
    Prediction(
        name="14/relu",
        question=(
            "A relu on 8x16x128x128 numbers, on a card with 60 teraflop a second and 2 terabyte a "
            "second. Which takes longest: arithmetic, memory or launch?"
        ),
        outcome=_elementwise,
        options=("arithmetic", "memory", "launch"),
        because=(
            "2 million numbers are 0.03 microseconds of arithmetic, 8 of reading and writing, and "
            "5 of launching. Nearly everything but convolutions is like that."
        ),
        traps=(
            Mistake("One comparison a number is next to nothing.", "arithmetic"),
            Mistake("Close: at half the size it would be.", "launch"),
        ),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "14/decides",
        "Who decides where an operation is computed?",
        right="the data",
        wrong={
            "a global switch": "There is none: arrays on both sides can be used side by side.",
            "the operation": "No operation asks for a GPU.",
        },
        hints=("What does array_module(x) look at?", "Move x, and everything follows."),
        explanation="An array belongs to a library, and the library belongs to a device.",
    ),
    ValueExercise.choice(
        "14/waits",
        "Which line makes the program wait for the GPU?",
        right="float(loss)",
        wrong={
            "loss.backward()": "It only queues work.",
            "y = x + 1": "One more kernel in the queue, and the program goes on.",
            "x.shape": "Shapes are known on the host.",
        },
        hints=(
            "Which one needs a number here and now?",
            "A number must be computed to be printed.",
        ),
        explanation="A Python float is on the host, so everything queued before it must be done.",
    ),
    ValueExercise.choice(
        "14/mixing",
        "An image is on the CPU and the weights are on the GPU. What should happen?",
        right="an error that names both",
        wrong={
            "a silent copy": "It would happen at every step, and nobody would know why it is slow.",
            "the CPU computes": "Then all weights would have to come back.",
        },
        hints=("Which of these would you notice?", "Errors should never pass silently."),
        explanation="A copy is the program's decision, and it should be visible in the program.",
    ),
    ValueExercise.choice(
        "14/graph",
        "What does a captured graph of the training step save?",
        right="launches",
        wrong={
            "arithmetic": "The same kernels run.",
            "memory traffic": "The same arrays are read and written.",
            "weights": "They are all there.",
        },
        hints=("What bounds a toy network?", "The card replays the list by itself."),
        explanation="The host launches one graph where it launched hundreds of kernels.",
    ),
    ValueExercise.choice(
        "14/order",
        "Many threads add into one cell at once with atomics. What is lost?",
        right="the same bits each time",
        wrong={
            "some additions": "Atomic means that none is lost.",
            "the device": "It stays where it is.",
            "precision": "Each sum is as precise as the other.",
        },
        hints=("Is (a + b) + c the same as a + (b + c) in float32?", "Who comes first?"),
        explanation="Sums of floats depend on their order, and the order is that of arrival.",
    ),
)
