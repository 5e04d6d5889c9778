"""Lesson 14, to the GPU: bytes that move, and a model of a step's time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, ValueExercise

_IMAGES = np.zeros((8, 3, 128, 128), np.float32).nbytes
_MASKS = np.zeros((8, 128, 128), np.int64).nbytes

MOVED = ValueExercise(
    name="14/moved",
    question=(
        "A training step of 8 float32 pictures of 3x128x128 with int64 masks: how many bytes must "
        "go to the GPU, at least?"
    ),
    definition=lambda: _IMAGES + _MASKS,
    mistakes=(
        Mistake("The masks go there too: the loss is computed there.", _IMAGES),
        Mistake(
            "A number of float32 has 4 bytes, one of int64 has 8.", (_IMAGES + _MASKS // 2) // 4
        ),
        Mistake("Masks of int64 have 8 bytes a pixel.", _IMAGES + _MASKS // 2),
        Mistake("You counted one picture; a step has eight.", (_IMAGES + _MASKS) // 8),
    ),
    hints=(
        "The weights stay there from step to step.",
        "8*3*128*128 numbers of 4 bytes, and 8*128*128 of 8 bytes.",
    ),
    explanation="2.6 million bytes, a fraction of a millisecond over PCI Express. Not the amount "
    "hurts but every stop on the way.",
)


def step_time(flops, moved, rate, bandwidth, launch):
    """Seconds of a step: each operation takes as long as its slowest part, one after another."""
    return sum(max(f / rate, m / bandwidth, launch) for f, m in zip(flops, moved, strict=True))


def _step_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for count in (3, 4, 6, 5):
        flops, moved = 10.0 ** rng.uniform(6, 11, count), 10.0 ** rng.uniform(4, 9, count)
        flops[0], moved[1] = 10.0, 10.0
        flops[1] = 1.0
        yield {
            "flops": flops,
            "moved": moved,
            "rate": float(rng.uniform(1, 9)) * 1e13,
            "bandwidth": float(rng.uniform(1, 3)) * 1e12,
            "launch": float(rng.uniform(3, 9)) * 1e-6,
        }


def _parts(f, m, rate, bandwidth, launch):
    f, m = np.asarray(f), np.asarray(m)
    return f / rate, m / bandwidth, np.full(len(f), launch)


STEP = FunctionExercise(
    name="14/step-time",
    question=(
        "Write step_time(flops, moved, rate, bandwidth, launch): the seconds of all operations, "
        "each as slow as its arithmetic, its memory or its launch."
    ),
    definition=step_time,
    data=_step_cases,
    mistakes=(
        Mistake(
            "You added arithmetic, memory and launch: they overlap, and the slowest one counts.",
            lambda *a: float(sum(part.sum() for part in _parts(*a))),
        ),
        Mistake(
            "Take the slowest part for each operation, then add up: not the other way round.",
            lambda *a: float(max(part.sum() for part in _parts(*a))),
        ),
        Mistake(
            "You forgot the launch: even nothing takes some microseconds.",
            lambda *a: float(np.maximum(*_parts(*a)[:2]).sum()),
        ),
        Mistake(
            "You forgot the memory: a relu hardly computes, but reads and writes all.",
            lambda *a: float(np.maximum(_parts(*a)[0], _parts(*a)[2]).sum()),
        ),
        Mistake(
            "That is the slowest operation alone: they follow one another.",
            lambda *a: float(np.max(_parts(*a))),
        ),
    ),
    hints=(
        "For one operation: flops / rate, moved / bandwidth, and launch. Which of them counts?",
        "sum(max(f / rate, m / bandwidth, launch) for ...).",
    ),
    explanation="The roofline model with a floor: below some size only the launches count.",
)
