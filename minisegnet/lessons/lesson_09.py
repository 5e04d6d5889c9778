"""Lesson 9, FCN: a classifier slid over a picture, scores summed, and the sizes in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet import nn
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_09_questions import PREDICTIONS, QUESTIONS, RECALL
from minisegnet.lessons.lesson_09_sizes import ROWS

# ------------------------------------------------------------------ the table worked by hand

_MAP = np.array([[2, 0, 1, 3, 1], [1, 4, 0, 2, 5], [0, 2, 3, 1, 0], [6, 1, 0, 2, 4]])
_WEIGHTS = np.array([1, 0, 2, 0, 3, -1])
_WINDOW = (2, 3)


def _slid(x: np.ndarray, weights: np.ndarray, step: int = 1) -> np.ndarray:
    kernel = tensor(weights.reshape(1, 1, *_WINDOW))
    return F.conv2d(tensor(x[None, None]), kernel, stride=step).numpy()[0, 0]


BY_HAND = ValueExercise(
    name="09/by-hand",
    question="Slide the classifier with the weights 1 0 2 0 3 -1, made for 2x3 cells, over 4x5.",
    definition=lambda: _slid(_MAP, _WEIGHTS),
    mistakes=(
        Mistake(
            "You read the weights backwards: the first weight belongs to the first cell of the "
            "window.",
            lambda: _slid(_MAP, _WEIGHTS[::-1]),
        ),
        Mistake(
            "The weights go row by row: 1 0 2 over 0 3 -1.",
            lambda: _slid(_MAP, _WEIGHTS.reshape(3, 2).T),
        ),
        Mistake(
            "You classified the top left window and stopped: there are nine windows.",
            lambda: [[_slid(_MAP, _WEIGHTS)[0, 0]]],
        ),
        Mistake(
            "The window moves by one cell, not by its own size.",
            lambda: np.array([_slid(_MAP, _WEIGHTS)[::2, 0]]).T,
        ),
    ),
    hints=(
        "Cut out the window at the top left, two rows of three cells, and multiply cell by cell.",
        "2*1 + 0*0 + 1*2 + 1*0 + 4*3 + 0*(-1) = 16.",
        "Then the same one cell to the right; nine times in all.",
    ),
    explanation="A fully connected layer that slides is a convolution: its kernel is the window.",
)

# ------------------------------------------------------------------ fully connected, sliding


def slide(x, weight, rows, columns):
    """A fully connected layer for windows of rows x columns, over a map of any size."""
    kernel = weight.reshape(weight.shape[0], x.shape[1], rows, columns)
    return F.conv2d(x, kernel)


def _slide_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for x, outputs, rows, columns in [
        ((1, 2, 2, 3), 2, 2, 3),
        ((1, 2, 4, 5), 3, 2, 3),
        ((2, 3, 4, 3), 2, 3, 2),
        ((1, 3, 3, 6), 4, 1, 4),
    ]:
        size = (outputs, x[1] * rows * columns)
        yield {
            "x": tensor(distinct(rng, x)),
            "weight": tensor(distinct(rng, size, signed=True)),
            "rows": rows,
            "columns": columns,
        }


def _window_by_window(x: Tensor, weight: Tensor, rows: int, columns: int) -> Tensor:
    """The layer as it was: every window made one long row, times the weight."""
    windows = F.unfold(x, (rows, columns))
    scores = weight @ windows
    size = (x.shape[2] - rows + 1, x.shape[3] - columns + 1)
    return scores.reshape(x.shape[0], weight.shape[0], *size)


def _with_kernel(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def wrong(x, weight, rows, columns):
        return F.conv2d(x, make(weight, x.shape[1], rows, columns))

    return wrong


SLIDE = FunctionExercise(
    name="09/slide",
    question=(
        "Write slide(x, weight, rows, columns): the layer with weights (outputs, "
        "channels*rows*columns), at every window of x."
    ),
    definition=slide,
    data=_slide_cases,
    engine=_window_by_window,
    mistakes=(
        Mistake(
            "The channels come first in the long row, then the rows, then the columns: reshape to "
            "(outputs, channels, rows, columns).",
            _with_kernel(
                lambda w, c, rows, columns: w.reshape(w.shape[0], rows, columns, c).permute(
                    0, 3, 1, 2
                )
            ),
        ),
        Mistake(
            "Rows and columns changed places in the kernel: a transpose is no reshape.",
            _with_kernel(
                lambda w, c, rows, columns: w.reshape(w.shape[0], c, columns, rows).permute(
                    0, 1, 3, 2
                )
            ),
        ),
        Mistake(
            "You flipped the kernel: the layer multiplies the window as it lies there.",
            _with_kernel(
                lambda w, c, rows, columns: F.flip(w.reshape(w.shape[0], c, rows, columns), (2, 3))
            ),
        ),
        Mistake(
            "You kept the top left window only: without the cut it works at every place.",
            lambda x, w, rows, columns: slide(x[:, :, :rows, :columns], w, rows, columns),
        ),
        Mistake(
            "You moved by the size of the window: move by one cell, stride 1.",
            lambda x, w, rows, columns: F.conv2d(
                x, w.reshape(w.shape[0], x.shape[1], rows, columns), stride=(rows, columns)
            ),
        ),
    ),
    hints=(
        "Which shape has the weight of a convolution?",
        "weight.reshape(outputs, channels, rows, columns), and F.conv2d does the rest.",
    ),
    explanation=(
        "The numbers stay, in the same order; only the shape is another. At a map as large as the "
        "window it is the old layer."
    ),
)

# ------------------------------------------------------------------ the sum of the scores


def upsample(x, factor):
    """Bilinear, by a transposed convolution that could learn better."""
    channels = x.shape[1]
    weight = tensor(np.zeros((channels, 1, 2 * factor, 2 * factor), dtype=x.dtype))
    nn.init.bilinear_(weight)
    return F.conv_transpose2d(x, weight, stride=factor, padding=factor // 2, groups=channels)


def fcn8s(score3, score4, score5):
    """Logits at full size from the scores at strides 8, 16 and 32."""
    at_16 = upsample(score5, 2) + score4
    at_8 = upsample(at_16, 2) + score3
    return upsample(at_8, 8)


def _score_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for batch, classes, rows, columns in [(1, 1, 1, 2), (1, 2, 2, 3), (2, 2, 1, 3)]:
        sizes = {"score3": 4, "score4": 2, "score5": 1}
        yield {
            name: tensor(rng.standard_normal((batch, classes, rows * times, columns * times)))
            for name, times in sizes.items()
        }


FCN8S = FunctionExercise(
    name="09/fcn8s",
    question=(
        "Write fcn8s(score3, score4, score5) with upsample(x, factor): join the scores of strides "
        "8, 16 and 32, up to full size."
    ),
    definition=fcn8s,
    data=_score_cases,
    mistakes=(
        Mistake(
            "That is FCN-32s: one step up from the coarsest scores. The two skips are missing.",
            lambda s3, s4, s5: upsample(s5, 32),
        ),
        Mistake(
            "That is FCN-16s: the scores of stride 8 are missing.",
            lambda s3, s4, s5: upsample(upsample(s5, 2) + s4, 16),
        ),
        Mistake(
            "You brought each to full size by itself and added there: FCN adds on the way, at "
            "stride 16 and at stride 8. (The numbers come close and are not the same.)",
            lambda s3, s4, s5: upsample(s5, 32) + upsample(s4, 16) + upsample(s3, 8),
        ),
        Mistake(
            "You took means: scores are summed.",
            lambda s3, s4, s5: upsample(0.5 * (upsample(0.5 * (upsample(s5, 2) + s4), 2) + s3), 8),
        ),
        Mistake(
            "You concatenated the scores: FCN sums them, class by class. U-Net concatenates.",
            lambda s3, s4, s5: upsample(
                F.cat([s3, upsample(F.cat([s4, upsample(s5, 2)], 1), 2)], 1), 8
            ),
        ),
        Mistake(
            "You repeated cells on the way: upsample is bilinear.",
            lambda s3, s4, s5: upsample(
                _repeated(_repeated(s5) + s4) + s3,
                8,
            ),
        ),
    ),
    hints=(
        "By how much must the scores of stride 32 grow to lie on those of stride 16?",
        "at_16 = upsample(score5, 2) + score4, and so on.",
        "Three calls of upsample: by 2, by 2 and by 8.",
    ),
    explanation="Two small steps with a sum after each, and one step of 8 at the end.",
)


def _repeated(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


LESSON = Lesson(
    number=9,
    title="FCN",
    exercises=(RECALL, BY_HAND, SLIDE, FCN8S, ROWS, *QUESTIONS),
    predictions=PREDICTIONS,
)
