"""Lesson 6, dilated convolution: what a stack of layers sees, and by how many paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake

# ------------------------------------------------------------------ the receptive field


def receptive_field(layers):
    """How many rows of the input lie between the first and the last that reach one cell."""
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += dilation * (kernel - 1) * step
        step *= stride
    return field


def _field_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    yield {"layers": [(3, 1, 2)]}
    yield {"layers": [(3, 1, 1), (3, 1, 2), (3, 1, 4)]}
    yield {"layers": [(5, 2, 1), (3, 1, 1)]}
    yield {"layers": [(3, 2, 2), (4, 1, 3), (2, 3, 1), (3, 1, 2)]}
    for _ in range(3):
        layers = rng.integers((2, 1, 1), (6, 4, 4), (int(rng.integers(2, 5)), 3))
        yield {"layers": [tuple(int(n) for n in layer) for layer in layers]}


def _field_by_gradient(layers: Sequence[tuple[int, int, int]]) -> int:
    """From the first cell with a gradient to the last, when one output cell sends it back."""
    length = receptive_field(layers) + 5
    x = tensor(np.zeros((1, 1, 1, length)), requires_grad=True)
    y: Tensor = x
    for kernel, stride, dilation in layers:
        y = F.conv2d(y, tensor(np.ones((1, 1, 1, kernel))), None, (1, stride), 0, (1, dilation))
    y[0, 0, 0, 0].backward()
    reached = np.flatnonzero(np.asarray(x.grad))
    return int(reached[-1] - reached[0] + 1)


def _field_with_own_stride(layers):
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        step *= stride
        field += dilation * (kernel - 1) * step
    return field


RECEPTIVE_FIELD = FunctionExercise(
    name="06/receptive-field",
    question=(
        "Write receptive_field(layers), layers being (kernel, stride, dilation), first layer "
        "first: how many rows of the input one output cell spans."
    ),
    definition=receptive_field,
    data=_field_cases,
    engine=_field_by_gradient,
    mistakes=(
        Mistake(
            "You ignored the strides: after a stride of s, neighbouring cells lie s times as far "
            "apart in the input.",
            lambda layers: 1 + sum(d * (k - 1) for k, _, d in layers),
        ),
        Mistake(
            "You ignored the dilations: a layer adds dilation * (kernel - 1) steps.",
            lambda layers: receptive_field([(k, s, 1) for k, s, _ in layers]),
        ),
        Mistake(
            "A layer adds kernel - 1 steps, not kernel: the first tap adds nothing.",
            lambda layers: receptive_field([(k + 1, s, d) for k, s, d in layers]),
        ),
        Mistake(
            "A layer's own stride counts only for the layers after it: add first, then multiply "
            "the step.",
            _field_with_own_stride,
        ),
        Mistake(
            "You counted the steps alone: with no layer at all a cell still sees one cell, itself.",
            lambda layers: receptive_field(layers) - 1,
        ),
        Mistake(
            "That is what the last layer sees of the map before it: go on down to the input.",
            lambda layers: receptive_field(layers[-1:]),
        ),
        Mistake(
            "You multiplied the layers' reaches: each layer adds to the field.",
            lambda layers: int(np.prod([d * (k - 1) + 1 for k, _, d in layers])),
        ),
    ),
    hints=(
        "Begin with one cell, and go through the layers: how much does each one add?",
        "A layer adds dilation * (kernel - 1) steps between neighbours of its own input. How long "
        "is such a step, counted in cells of the network's input?",
        "Keep two numbers: field += dilation * (kernel - 1) * step, and then step *= stride.",
    ),
    explanation="Kernels and rates add to the field, strides multiply what comes after them.",
)

# ------------------------------------------------------------------ rates instead of strides


def rates_for(strides):
    """The rate that each layer needs once no layer has a stride any more."""
    rates, step = [], 1
    for stride in strides:
        rates.append(step)
        step *= stride
    return rates


def _rates_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for strides in [[2, 1], [1, 2, 1], [2, 1, 2, 1], [3, 1, 2, 2], [2, 3, 1, 2, 1]]:
        yield {"strides": strides}


def _rates_by_positions(strides: Sequence[int]) -> list[int]:
    """How far apart in the input the neighbours are that each layer sees."""
    positions, rates = tensor(np.arange(200.0).reshape(1, 1, 1, -1)), []
    for stride in strides:
        rates.append(int(positions[0, 0, 0, 1].item() - positions[0, 0, 0, 0].item()))
        positions = F.conv2d(positions, tensor(np.ones((1, 1, 1, 1))), stride=(1, stride))
    return rates


RATES = FunctionExercise(
    name="06/rates",
    question=(
        "Write rates_for(strides): the list of the layers' dilation rates, once all strides are "
        "replaced by 1."
    ),
    definition=rates_for,
    data=_rates_cases,
    engine=_rates_by_positions,
    mistakes=(
        Mistake(
            "A layer's own stride is in its rate: a stride spreads only what comes after it.",
            lambda strides: [int(n) for n in np.cumprod(strides)],
        ),
        Mistake(
            "You took over the stride of the layer before: the strides of all layers before it "
            "count, multiplied.",
            lambda strides: [1, *strides[:-1]],
        ),
        Mistake(
            "Strides multiply: after 2 and 2, neighbours lie 4 cells apart.",
            lambda strides: [1 + sum(s - 1 for s in strides[:i]) for i in range(len(strides))],
        ),
        Mistake(
            "You turned each stride into a rate of the same layer: a strided layer looks at "
            "neighbours, and only the layers after it find them far apart.",
            lambda strides: list(strides),
        ),
        Mistake(
            "You gave every layer the whole stride of the network: the first one has no stride "
            "before it.",
            lambda strides: [int(np.prod(strides))] * len(strides),
        ),
    ),
    hints=(
        "Behind a stride of 2 every other cell is left. How far apart are neighbours then, counted "
        "in cells that were there before?",
        "The first layer keeps rate 1. After strides 2 and 3, neighbours are 6 cells apart.",
        "Append the step to the list, then multiply the step by the stride.",
    ),
    explanation="The product of the strides before it. The weights stay as they are, so a trained "
    "network can be changed this way.",
)

# ------------------------------------------------------------------ paths


def paths(rates):
    """How many paths lead from each input cell to one output cell, 3 taps a layer."""
    counts = np.ones(1, int)
    for rate in rates:
        wider = np.zeros(len(counts) + 2 * rate, int)
        for tap in range(3):
            wider[tap * rate : tap * rate + len(counts)] += counts
        counts = wider
    return counts


def _paths_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for rates in [[1], [2, 2], [1, 2], [2, 2, 2], [1, 2, 5], [3, 1, 4], [1, 2, 9]]:
        yield {"rates": rates}


def _paths_by_gradient(rates: Sequence[int]) -> np.ndarray:
    """The gradient of one output cell, when every weight is 1."""
    x = tensor(np.zeros((1, 1, 1, 1 + 2 * sum(rates))), requires_grad=True)
    y: Tensor = x
    for rate in rates:
        y = F.conv2d(y, tensor(np.ones((1, 1, 1, 3))), dilation=(1, rate))
    y.sum().backward()
    return np.asarray(x.grad)[0, 0, 0]


def _paths_overwritten(rates):
    counts = np.ones(1, int)
    for rate in rates:
        wider = np.zeros(len(counts) + 2 * rate, int)
        for tap in range(3):
            wider[tap * rate : tap * rate + len(counts)] = counts
        counts = wider
    return counts


def _paths_added(rates):
    total = np.zeros(1 + 2 * sum(rates), int)
    middle = sum(rates)
    for rate in rates:
        total[[middle - rate, middle, middle + rate]] += 1
    return total


PATHS = FunctionExercise(
    name="06/paths",
    question=(
        "Write paths(rates): for layers of 3 taps in one dimension, how many paths lead from each "
        "cell of the receptive field to one output cell."
    ),
    definition=paths,
    data=_paths_cases,
    engine=_paths_by_gradient,
    mistakes=(
        Mistake(
            "You overwrote where copies overlap: several paths may lead to one cell, so add them "
            "(+=, not =).",
            _paths_overwritten,
        ),
        Mistake(
            "You marked which cells are seen: count how many paths lead to each.",
            lambda rates: (paths(rates) > 0).astype(int),
        ),
        Mistake(
            "You added up what each layer sees by itself: the next layer's taps reach out from "
            "every cell that was reached already.",
            _paths_added,
        ),
        Mistake(
            "The taps lie too far apart: rate r means r cells, with r - 1 between them.",
            lambda rates: paths([rate + 1 for rate in rates]),
        ),
        Mistake(
            "You left the rates out: the copies lie rate cells apart.",
            lambda rates: paths([1] * len(rates)),
        ),
        Mistake(
            "That is the last layer alone: go on from its taps to the layer before.",
            lambda rates: paths(rates[-1:]),
        ),
    ),
    hints=(
        "Begin at the output cell: one cell, one path. What do the three taps of a layer make of "
        "it?",
        "Each layer lays three copies of the counts rate cells apart, and adds them up.",
        "wider has 2 * rate cells more; for tap in range(3): "
        "wider[tap * rate : tap * rate + len(counts)] += counts.",
    ),
    explanation="Each layer stamps three copies: lesson 4 in one dimension. A zero is a hole in "
    "the receptive field.",
)
