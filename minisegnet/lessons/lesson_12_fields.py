"""Lesson 12, context: a random field by hand and as a loop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet.crf import DenseCRF
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, ValueExercise

# ------------------------------------------------------------------ the table worked by hand

_COSTS = np.array([[[5, 8, 2], [9, 7, 7], [6, 1, 6]], [[7, 3, 8], [8, 5, 5], [9, 6, 0]]])
_FOUR = ((-1, 0), (1, 0), (0, -1), (0, 1))
_EIGHT = (*_FOUR, (-1, -1), (-1, 1), (1, -1), (1, 1))


def relabelled(
    price: int = 2,
    near: tuple[tuple[int, int], ...] = _FOUR,
    at_once: bool = True,
    costs: np.ndarray = _COSTS,
) -> np.ndarray:
    """One round from the cheapest labels: cost plus the price for every neighbour unlike it."""
    before = costs.argmin(axis=0)
    after = before.copy()
    heard = before if at_once else after
    rows, columns = before.shape
    for r in range(rows):
        for c in range(columns):
            beside = [
                heard[r + i, c + j] for i, j in near if 0 <= r + i < rows and 0 <= c + j < columns
            ]
            total = [costs[k, r, c] + price * sum(one != k for one in beside) for k in (0, 1)]
            after[r, c] = np.argmin(total)
    return after


BY_HAND = ValueExercise(
    name="12/by-hand",
    question="Which label does each pixel choose, once it hears its neighbours' first choices?",
    definition=relabelled,
    mistakes=(
        Mistake(
            "Those are the first choices, by the unary costs alone: now add 2 for each neighbour "
            "with another label.",
            lambda: _COSTS.argmin(axis=0),
        ),
        Mistake(
            "You changed the labels while walking on: all pixels listen to the first choices.",
            lambda: relabelled(at_once=False),
        ),
        Mistake(
            "You asked diagonal neighbours too: here only above, below, left and right count.",
            lambda: relabelled(near=_EIGHT),
        ),
        Mistake(
            "You subtracted the price: a neighbour that disagrees makes a label dearer.",
            lambda: relabelled(price=-2),
        ),
        Mistake(
            "You let the neighbours vote and forgot each pixel's own costs.",
            lambda: relabelled(costs=(_COSTS.argmin(axis=0) != [[[0]], [[1]]]) / 10),
        ),
        Mistake("0 and 1 changed places: 0 is ground, the first table.", lambda: 1 - relabelled()),
    ),
    hints=(
        "First write down the cheaper label of every pixel.",
        "The left pixel of the middle row prefers 1 (8 against 9). Its neighbours are 0 above, 1 "
        "on the right and 0 below.",
        "So 1 costs it 8 + 2*2 = 12, and 0 costs 9 + 2*1 = 11: it changes to 0.",
    ),
    explanation="Two pixels change their minds: both were nearly undecided, and outvoted.",
)

# ------------------------------------------------------------------ every pair counts


def energy(labels, unary, image, weight, place, colour):
    """The unary costs, and a price for every pair of unlike labels, once."""
    rows, columns = labels.shape
    pixels = [(r, c) for r in range(rows) for c in range(columns)]
    total = 0.0
    for n, (r, c) in enumerate(pixels):
        total += unary[labels[r, c], r, c]
        for i, j in pixels[:n]:
            if labels[r, c] != labels[i, j]:
                apart = ((r - i) ** 2 + (c - j) ** 2) / (2 * place**2)
                unlike = (image[r, c] - image[i, j]) ** 2 / (2 * colour**2)
                total += weight * np.exp(-apart - unlike)
    return total


def _energy_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for rows, columns, classes in [(1, 3, 2), (2, 3, 2), (3, 4, 3), (4, 3, 2)]:
        scores = rng.normal(size=(classes, rows, columns))
        yield {
            "labels": rng.permutation(np.arange(rows * columns) % classes).reshape(rows, columns),
            "unary": np.log(np.exp(scores).sum(axis=0)) - scores,
            "image": rng.random((rows, columns)),
            "weight": float(rng.uniform(1, 4)),
            "place": float(rng.uniform(1, 3)),
            "colour": float(rng.uniform(0.2, 0.8)),
        }


def _by_engine(labels, unary, image, weight, place, colour):
    field = DenseCRF(
        -unary,
        image[None],
        appearance_weight=weight,
        smoothness_weight=0.0,
        theta_alpha=place,
        theta_beta=colour,
        normalize=False,
        exact=True,
    )
    return field.energy(labels)


def _unary_alone(labels, unary, image, weight, place, colour):
    return energy(labels, unary, image, 0.0, place, colour)


def _for_like(labels, unary, image, weight, place, colour):
    """The price paid by pairs of like labels: all pairs less those of unlike labels."""
    everyone = np.arange(labels.size).reshape(labels.shape)
    nothing = np.zeros((labels.size, *labels.shape))
    pairs = energy(everyone, nothing, image, weight, place, colour)
    unlike = energy(labels, 0 * unary, image, weight, place, colour)
    return _unary_alone(labels, unary, image, weight, place, colour) + pairs - unlike


def _neighbours_only(labels, unary, image, weight, place, colour):
    total = _unary_alone(labels, unary, image, weight, place, colour)
    for axis in (0, 1):
        unlike = np.diff(labels, axis=axis) != 0
        step = np.diff(image, axis=axis)
        price = weight * np.exp(-1 / (2 * place**2) - step**2 / (2 * colour**2))
        total += (price * unlike).sum()
    return total


ENERGY = FunctionExercise(
    name="12/energy",
    question=(
        "Write energy(labels, unary, image, weight, place, colour): unary[k, r, c] is what class k "
        "costs at a pixel; a pair of unlike labels costs weight * exp(-|p - q|² / (2 place²) - "
        "(I - J)² / (2 colour²))."
    ),
    definition=energy,
    data=_energy_cases,
    engine=_by_engine,
    mistakes=(
        Mistake(
            "You counted every pair twice, from both ends.",
            lambda labels, unary, image, weight, place, colour: energy(
                labels, unary, image, 2 * weight, place, colour
            ),
        ),
        Mistake("The pairs are missing: those are the unary costs alone.", _unary_alone),
        Mistake("You charged pairs of like labels: only unlike ones pay.", _for_like),
        Mistake(
            "You left the colour out: pixels of unlike colours may differ nearly for free.",
            lambda labels, unary, image, weight, place, colour: energy(
                labels, unary, 0 * image, weight, place, colour
            ),
        ),
        Mistake(
            "You left the place out: pixels far apart pay less.",
            lambda labels, unary, image, weight, place, colour: energy(
                labels, unary, image, weight, 1e9, colour
            ),
        ),
        Mistake(
            "The exponents lack their 2: divide by 2 * place**2 and 2 * colour**2.",
            lambda labels, unary, image, weight, place, colour: energy(
                labels, unary, image, weight, place / 2**0.5, colour / 2**0.5
            ),
        ),
        Mistake(
            "You asked neighbours only: in this field every pair of pixels counts, far or near.",
            _neighbours_only,
        ),
    ),
    hints=(
        "First the unary costs: unary[labels[r, c], r, c], summed over the pixels.",
        "For pairs, list all pixels and let each look back at those before it in the list: so "
        "every pair comes once.",
        "If the labels differ, add weight * np.exp(-((r - i)**2 + (c - j)**2) / (2 * place**2) - "
        "(image[r, c] - image[i, j])**2 / (2 * colour**2)).",
    ),
    explanation="N pixels have N*(N-1)/2 pairs: 933 million at 180x240. The engine "
    "filters instead.",
)
