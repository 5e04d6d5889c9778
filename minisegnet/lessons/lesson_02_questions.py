"""Lesson 2, a tiny autograd: its recall, its predictions and its questionnaire."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import Mistake, Prediction, ValueExercise
from minisegnet.lessons.lesson_02_engine import Value, calculate, plain_walk, walk_once


def _logits(*places: int) -> tuple[int, ...]:
    """The shape of 5 maps of logits for 2 images of 4 rows and 6 columns, axes rearranged."""
    images, weight = tensor(np.zeros((2, 3, 4, 6))), tensor(np.zeros((5, 3, 1, 1)))
    shape = F.conv2d(images, weight).shape
    return tuple(shape[i] for i in places or range(4))


RECALL = ValueExercise(
    name="02/recall",
    question="Two images of 4 rows and 6 columns, five classes: what shape have the logits?",
    definition=_logits,
    mistakes=(
        Mistake("The classes come second, before rows and columns.", lambda: _logits(0, 2, 3, 1)),
        Mistake("That is the index mask: the logits have a map for each class.", (2, 4, 6)),
        Mistake("Images first, then classes.", lambda: _logits(1, 0, 2, 3)),
        Mistake("Rows before columns.", lambda: _logits(0, 1, 3, 2)),
        Mistake("Three colours came in, but five maps come out.", (2, 3, 4, 6)),
    ),
    hints=("(N, classes, H, W).", "N is 2, and there is one map for each of five classes."),
    explanation="(N, classes, H, W): one map for each class, for each image.",
)


def _walked(walk: Callable[[Value], None]) -> float:
    """The gradient of x that a walk leaves on y = p + q, p = h * 3, q = h * 5, h = x * 2."""
    start = {"x": Value(7), "two": Value(2), "three": Value(3), "five": Value(5)}
    last = calculate("h = x * two; p = h * three; q = h * five; y = p + q", start)
    last.grad = 1
    walk(last)
    return start["x"].grad


def _best_step() -> str:
    """Which step makes the central difference of exp at 1 most accurate in float64."""

    def error(eps: float) -> float:
        return abs((math.exp(1 + eps) - math.exp(1 - eps)) / (2 * eps) - math.exp(1))

    return min(("1e-1", "1e-5", "1e-14"), key=lambda eps: error(float(eps)))


def _ones_notice() -> str:
    """Whether an upstream of ones tells the wrong softmax rule from the right one."""
    x = tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]], "float64", requires_grad=True)
    y = F.softmax(x, dim=1)
    grad = np.ones(y.shape)
    y.backward(grad)
    p = y.numpy()
    wrong = p * (grad - grad.mean(axis=1, keepdims=True))
    return "no" if np.allclose(np.asarray(x.grad), wrong) else "yes"


PREDICTIONS = (
    Prediction(
        name="02/walk",
        question=(
            "h = x * 2, p = h * 3, q = h * 5, y = p + q. A walk from y hands on whatever gradient "
            "has arrived so far: what does it give x?"
        ),
        outcome=lambda: _walked(plain_walk),
        because=(
            "The walk comes through h twice: first with 3, then with 3 + 5, and so x gets 2 * 3 + "
            "2 * 8. The true slope is 2 * 3 + 2 * 5."
        ),
        traps=(
            Mistake("That is the true slope: this walk misses it.", 16),
            Mistake(
                "That would be so if it never came through a value twice: wrong as well.",
                lambda: _walked(walk_once),
            ),
        ),
    ),
    Prediction(
        name="02/step",
        question=(
            "Which step makes the difference quotient most accurate in float64: 1e-1, 1e-5 or "
            "1e-14?"
        ),
        outcome=_best_step,
        options=("1e-1", "1e-5", "1e-14"),
        because=(
            "A large step sees the curve, with an error of eps squared; a tiny one subtracts two "
            "nearly equal numbers, whose last digits are rounding, and divides that by eps."
        ),
        traps=(
            Mistake(
                "The smaller the better would hold for exact numbers: float64 carries 16 digits.",
                "1e-14",
            ),
            Mistake("So large a step sees the curve.", "1e-1"),
        ),
    ),
    Prediction(
        name="02/ones",
        question=(
            "For softmax, p * (grad - mean of grad) is a wrong rule. Does a check with an upstream "
            "of ones notice, yes or no?"
        ),
        outcome=_ones_notice,
        options=("yes", "no"),
        because=(
            "Probabilities sum to 1 whatever the logits, so with ones the true gradient is 0. The "
            "wrong rule says 0 too."
        ),
        traps=(Mistake("It compares every entry, but all of them are 0 on both sides.", "yes"),),
    ),
)

QUESTIONS = (
    ValueExercise.choice(
        "02/why-add",
        "A value is used twice. Why do its gradients add?",
        right="both ways move y",
        wrong={
            "average": "Nothing is averaged: y moves by the sum of what comes through each way.",
            "convention": "It is no choice: raise the value by a little and look at y.",
            "the last one counts": "That is the bug of = in place of +=.",
        },
        hints=("Raise x by a little in y = x * x.", "Both factors grow."),
        explanation="A small move of the value reaches y by both ways, and small moves add up.",
    ),
    ValueExercise.choice(
        "02/why-order",
        "Why does backward go in topological order?",
        right="complete first",
        wrong={
            "speed": "A walk without it is slow as well, but first of all it is wrong.",
            "memory": "Memory can be freed on the way, but that is not why.",
            "alphabetical": "Names play no part.",
        },
        hints=(
            "What did the walk do when it came to h for the first time?",
            "A gradient must not be passed on before all its shares are there.",
        ),
        explanation="A gradient is complete only when all the users of a value have sent their "
        "share; then it is passed on, once.",
    ),
    ValueExercise.choice(
        "02/why-loop",
        "Why does the real engine keep a list instead of calling itself?",
        right="deep graphs",
        wrong={
            "style": "It is not prettier: the function that calls itself is shorter.",
            "wrong order": "A function that calls itself finds the same order, as far as it gets.",
            "gradients add": "They add in both.",
        },
        hints=("What happened to the chain?", "Python stops after about a thousand calls."),
        explanation="Every call waits for the one inside it, and Python allows a thousand or so "
        "of them. A list can be as long as memory lasts.",
    ),
    ValueExercise.choice(
        "02/why-random",
        "Why is gradcheck's upstream gradient random, and not ones?",
        right="ones hide errors",
        wrong={
            "speed": "Ones would be as quick.",
            "averaging": "It is one draw, not an average of many.",
            "float64": "Ones exist in float64 too.",
        },
        hints=("What do probabilities sum to?", "Recall the rule with the plain mean."),
        explanation="With ones a rule is asked one question, about the sum of the outputs. Where "
        "the sum cannot change, any rule that says 0 looks right.",
    ),
    ValueExercise.choice(
        "02/why-float64",
        "Why does gradcheck insist on float64?",
        right="differences cancel",
        wrong={
            "larger numbers": "Range is not the trouble: digits are.",
            "speed": "It is slower, if anything.",
            "autograd needs it": "Backward works in float32 all day: it is the difference that "
            "does not.",
        },
        hints=(
            "How many digits has float32, and how many are left of f(x + eps) - f(x - eps)?",
            "About 7, less those that both numbers share.",
        ),
        explanation="Two nearly equal numbers lose the digits that they share. Of float32's seven "
        "about one would be left.",
    ),
    ValueExercise.choice(
        "02/twice",
        "You go backward on two batches and never clear .grad. What stands there?",
        right="the sum",
        wrong={
            "the last": "Gradients add: across uses of a value, and across calls of backward.",
            "the mean": "Nobody divides: that is for you to do, if you want it.",
            "an error": "The engine takes it for what you want: batches in two halves are summed "
            "so.",
        },
        hints=("+= all the way.", "That is what optimizer.zero_grad() is for."),
        explanation="backward adds to .grad. Call zero_grad() before each step, or add up on "
        "purpose.",
    ),
)
