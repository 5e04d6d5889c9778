"""Lesson 12, context: modules that see far, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.kernels import reference, reference_pooling
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Lesson, Mistake, distinct
from minisegnet.lessons.lesson_12_fields import BY_HAND, ENERGY
from minisegnet.lessons.lesson_12_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the atrous pyramid


def atrous_pyramid(x, weights, rates):
    """Convolutions of several rates side by side on one map, summed."""
    pairs = zip(weights, rates, strict=True)
    return sum(F.conv2d(x, weight, padding="same", dilation=rate) for weight, rate in pairs)


def _pyramid_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernels, rates in [
        ((1, 2, 5, 7), ((3, 3), (3, 1)), (1, 2)),
        ((2, 2, 6, 9), ((3, 3), (1, 3), (3, 3)), (1, 2, 4)),
        ((1, 2, 9, 8), ((3, 5), (3, 3)), (2, 3)),
    ]:
        weights = (tensor(distinct(rng, (2, 2, *sides), signed=True)) for sides in kernels)
        yield {"x": tensor(distinct(rng, size)), "weights": tuple(weights), "rates": rates}


def _by_loops(x: np.ndarray, w: np.ndarray, rate: int = 1) -> np.ndarray:
    """The convolution that keeps the size, by its definition."""
    rows, columns = rate * (w.shape[2] // 2), rate * (w.shape[3] // 2)
    padding = (rows, rows), (columns, columns)
    return reference.correlate(x, w, padding=padding, kernel_dilation=(rate, rate))


def _pyramid_by_loops(x, weights, rates):
    pairs = zip(weights, rates, strict=True)
    return sum(_by_loops(x.numpy(), weight.numpy(), rate) for weight, rate in pairs)


def _branches(x, weights, rates):
    pairs = zip(weights, rates, strict=True)
    return [F.conv2d(x, weight, padding="same", dilation=rate) for weight, rate in pairs]


def _in_a_row(x, weights, rates):
    for weight, rate in zip(weights, rates, strict=True):
        x = F.conv2d(x, weight, padding="same", dilation=rate)
    return x


ATROUS_PYRAMID = FunctionExercise(
    name="12/atrous-pyramid",
    question=(
        "Write atrous_pyramid(x, weights, rates): one convolution of x for each weight and rate, "
        "of x's size, and their sum."
    ),
    definition=atrous_pyramid,
    data=_pyramid_cases,
    engine=_pyramid_by_loops,
    mistakes=(
        Mistake(
            "You put the layers in a row: in a pyramid, all of them look at the same map x.",
            _in_a_row,
        ),
        Mistake(
            "You concatenated the branches, as DeepLab v3 does: version 2 adds them up.",
            lambda x, weights, rates: F.cat(_branches(x, weights, rates), 1),
        ),
        Mistake(
            "All your branches have rate 1: pass dilation=rate.",
            lambda x, weights, rates: atrous_pyramid(x, weights, [1] * len(rates)),
        ),
        Mistake(
            "Only the last branch is left: add to the total.",
            lambda x, weights, rates: _branches(x, weights, rates)[-1],
        ),
        Mistake(
            "You divided by the number of branches: the scores are summed, not averaged.",
            lambda x, weights, rates: atrous_pyramid(x, weights, rates) / len(rates),
        ),
        Mistake(
            "You added x itself: the atrous pyramid has no such shortcut.",
            lambda x, weights, rates: x + atrous_pyramid(x, weights, rates),
        ),
    ),
    hints=(
        'F.conv2d takes dilation=rate, and padding="same" to keep the size.',
        "Each branch begins from x, not from the branch before it.",
        "Add up F.conv2d(x, weight, padding='same', dilation=rate) over the pairs.",
    ),
    explanation="One map, looked at in several sizes at once.",
)

# ------------------------------------------------------------------ pyramid pooling


def pyramid_pooling(x, weights, bins):
    """x, and for each number of bins its means, mixed by a 1x1 convolution and enlarged."""
    maps = [x]
    for weight, count in zip(weights, bins, strict=True):
        mixed = F.conv2d(F.adaptive_avg_pool2d(x, count), weight, padding="same")
        maps.append(F.interpolate(mixed, size=x.shape[2:], mode="bilinear"))
    return F.cat(maps, 1)


def _pooling_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, sides, bins in [
        ((1, 2, 5, 8), (1, 1), (1, 2)),
        ((2, 3, 6, 9), (3, 5), (1, 2, 3)),
        ((1, 2, 13, 7), (1, 1), (1, 2, 3, 6)),
    ]:
        x, shape = distinct(rng, size) * 1.0, (2, size[1], *sides)
        weights = tuple(tensor(distinct(rng, shape, signed=True) * 1.0) for _ in bins)
        yield {"x": tensor(x), "weights": weights, "bins": bins}


def _pooling_by_loops(x, weights, bins):
    maps = [x.numpy()]
    for weight, count in zip(weights, bins, strict=True):
        means = reference_pooling.adaptive_avg_pool2d(x.numpy(), (count, count))
        mixed = _by_loops(means, weight.numpy())
        maps.append(reference_pooling.interpolate(mixed, x.shape[2:], mode="bilinear"))
    return np.concatenate(maps, axis=1)


def _pooled_with(x, weights, bins, pool=F.adaptive_avg_pool2d, mode="bilinear"):
    maps = [x]
    for weight, count in zip(weights, bins, strict=True):
        mixed = F.conv2d(pool(x, count), weight, padding="same")
        maps.append(F.interpolate(mixed, size=x.shape[2:], mode=mode))
    return F.cat(maps, 1)


def _without_mixing(x, weights, bins):
    pooled = (F.adaptive_avg_pool2d(x, count) for count in bins)
    return F.cat([x, *(F.interpolate(p, size=x.shape[2:], mode="bilinear") for p in pooled)], 1)


PYRAMID_POOLING = FunctionExercise(
    name="12/pyramid-pooling",
    question=(
        "Write pyramid_pooling(x, weights, bins): x, and behind it, for each number of bins, x "
        "averaged in bins, convolved by its weight (same size), and enlarged to x's size."
    ),
    definition=pyramid_pooling,
    data=_pooling_cases,
    engine=_pooling_by_loops,
    mistakes=(
        Mistake(
            "x itself is missing: the means are context for it, not a substitute.",
            lambda x, weights, bins: pyramid_pooling(x, weights, bins)[:, x.shape[1] :],
        ),
        Mistake(
            "x comes first, and the means behind it: the layers that follow count on the order.",
            lambda x, weights, bins: F.cat(
                [pyramid_pooling(x, weights, bins)[:, x.shape[1] :], x], 1
            ),
        ),
        Mistake(
            "You pooled windows of that many cells: bins are how many cells come out, whatever "
            "the size of x. That is adaptive_avg_pool2d.",
            lambda x, weights, bins: _pooled_with(x, weights, bins, F.avg_pool2d),
        ),
        Mistake(
            "You took each bin's largest value: PSPNet takes the mean.",
            lambda x, weights, bins: _pooled_with(x, weights, bins, F.adaptive_max_pool2d),
        ),
        Mistake(
            "You enlarged by copying cells: mode='bilinear' blends them.",
            lambda x, weights, bins: _pooled_with(x, weights, bins, mode="nearest"),
        ),
        Mistake(
            "The convolutions are missing: without them context has more channels than x.",
            _without_mixing,
        ),
        Mistake(
            "All maps were pooled into the first number of bins.",
            lambda x, weights, bins: pyramid_pooling(x, weights, [bins[0]] * len(bins)),
        ),
    ),
    hints=(
        "Begin with a list that holds x, append a map for each number of bins, and F.cat them.",
        "F.adaptive_avg_pool2d(x, count), then F.conv2d with the weight and padding='same'.",
        "Back to size: F.interpolate(mixed, size=x.shape[2:], mode='bilinear').",
    ),
    explanation="One bin tells every pixel what the whole image holds; six bins tell it roughly "
    "where. (The authors' code enlarges with align_corners=True; this is without.)",
)

# ------------------------------------------------------------------ chained residual pooling


def chained_pooling(x, weights):
    """Pool and convolve again and again, and add up what comes of every step."""
    path = total = F.relu(x)
    for weight in weights:
        path = F.conv2d(F.max_pool2d(path, 5, stride=1, padding=2), weight, padding="same")
        total = total + path
    return total


def _chain_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernels in [
        ((1, 2, 6, 9), ((3, 1),)),
        ((2, 2, 7, 8), ((3, 3), (1, 3))),
        ((1, 2, 11, 9), ((3, 3), (3, 1), (3, 3))),
    ]:
        weights = (tensor(rng.integers(-2, 3, (2, 2, *sides)) * 1.0) for sides in kernels)
        yield {
            "x": tensor(distinct(rng, size, signed=True) * 1.0),
            "weights": tuple(weights),
        }


def _chain_by_loops(x, weights):
    path = total = np.maximum(x.numpy(), 0)
    for weight in weights:
        pooled, _ = reference_pooling.max_pool2d(path, (5, 5), (1, 1), (2, 2))
        path = _by_loops(pooled, weight.numpy())
        total = total + path
    return total


def _chain_with(x, weights, pool=None, first=F.relu, kept=True, parallel=False):
    pool = pool or (lambda path: F.max_pool2d(path, 5, stride=1, padding=2))
    start = path = total = first(x)
    for weight in weights:
        path = F.conv2d(pool(start if parallel else path), weight, padding="same")
        total = total + path if kept else path
    return total


def _convolved_first(x, weights):
    path = total = F.relu(x)
    for weight in weights:
        path = F.max_pool2d(F.conv2d(path, weight, padding="same"), 5, stride=1, padding=2)
        total = total + path
    return total


CHAINED_POOLING = FunctionExercise(
    name="12/chained-pooling",
    question=(
        "Write chained_pooling(x, weights): ReLU first; each step takes the one before, max-pools "
        "it (5x5, stride 1, same size) and convolves it (same size); the sum of all, with the "
        "first."
    ),
    definition=chained_pooling,
    data=_chain_cases,
    engine=_chain_by_loops,
    mistakes=(
        Mistake(
            "Every step began from x: in a chain it begins from the step before, and sees further "
            "each time.",
            lambda x, weights: _chain_with(x, weights, parallel=True),
        ),
        Mistake(
            "Only the last step came back: all of them are added to the first.",
            lambda x, weights: _chain_with(x, weights, kept=False),
        ),
        Mistake(
            "The ReLU at the beginning is missing.",
            lambda x, weights: _chain_with(x, weights, first=lambda x: x),
        ),
        Mistake("You convolved before pooling: pool, then convolve.", _convolved_first),
        Mistake(
            "You took means: each step keeps the strongest value around, max_pool2d.",
            lambda x, weights: _chain_with(
                x, weights, pool=lambda path: F.avg_pool2d(path, 5, stride=1, padding=2)
            ),
        ),
        Mistake(
            "The first term is missing from the sum: begin with total = relu(x).",
            lambda x, weights: chained_pooling(x, weights) - F.relu(x),
        ),
        Mistake(
            "You pooled without a stride, so pooling took its kernel for it, and the map shrank: "
            "stride=1.",
            lambda x, weights: _chain_with(x, weights, pool=lambda p: F.max_pool2d(p, 5)),
        ),
    ),
    hints=(
        "Keep two maps: path, the last step, and total, the sum.",
        "F.max_pool2d(path, 5, stride=1, padding=2) keeps the size.",
        'path = F.conv2d(pooled, weight, padding="same"), then total = total + path.',
    ),
    explanation="Each link looks 2 cells further by pooling and 1 by its 3x3 kernel; a link that "
    "learns zeros does no harm.",
)

LESSON = Lesson(
    number=12,
    title="Context",
    exercises=(
        RECALL,
        BY_HAND,
        ENERGY,
        ATROUS_PYRAMID,
        PYRAMID_POOLING,
        CHAINED_POOLING,
        *QUESTIONS,
    ),
    predictions=PREDICTIONS,
)
