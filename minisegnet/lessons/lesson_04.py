"""Lesson 4, transposed convolution: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
    distinct,
)
from minisegnet.lessons.lesson_04_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand

_INPUT = np.array([[1, 2], [3, 4]])
_KERNEL = np.array([[1, 0], [1, 1]])


def scatter(x, kernel, stride):
    """Stamp the kernel, times the cell's value, for every cell of the input."""
    (h, w), (kh, kw) = x.shape, kernel.shape
    out = np.zeros(((h - 1) * stride + kh, (w - 1) * stride + kw), x.dtype)
    for r in range(h):
        for c in range(w):
            top, left = r * stride, c * stride
            out[top : top + kh, left : left + kw] += x[r, c] * kernel
    return out


def _overwrite(x, kernel, stride):
    (h, w), (kh, kw) = x.shape, kernel.shape
    out = np.zeros(((h - 1) * stride + kh, (w - 1) * stride + kw), x.dtype)
    for r in range(h):
        for c in range(w):
            top, left = r * stride, c * stride
            out[top : top + kh, left : left + kw] = x[r, c] * kernel
    return out


_OVERWRITTEN = (
    "You overwrote where windows overlap: several stamps reach one cell, so add them (+=, not =)."
)
_FLIPPED = (
    "The kernel is turned round: a stamp is the kernel as it is. Only the view that slides a "
    "window flips it."
)

BY_HAND = ValueExercise(
    name="04/by-hand",
    question="To which 3x3 table do the stamps of [[1, 2], [3, 4]] by [[1, 0], [1, 1]] add up?",
    definition=lambda: F.conv_transpose2d(tensor(_INPUT[None, None]), tensor(_KERNEL[None, None]))[
        0, 0
    ],
    mistakes=(
        Mistake(_OVERWRITTEN, lambda: _overwrite(_INPUT, _KERNEL, 1)),
        Mistake(_FLIPPED, lambda: scatter(_INPUT, _KERNEL[::-1, ::-1], 1)),
        Mistake(
            "Rows and columns of the input changed places: the 2 stands right of the 1.",
            lambda: scatter(_INPUT.T, _KERNEL, 1),
        ),
        Mistake(
            "You laid the stamps side by side, as stride 2 would: at stride 1 the next stamp "
            "starts one cell further.",
            lambda: scatter(_INPUT, _KERNEL, 2),
        ),
        Mistake(
            "You gathered a window into one number: that is the convolution. Here every cell "
            "gives a whole stamp.",
            lambda: [[int((_INPUT * _KERNEL).sum())]],
        ),
    ),
    hints=(
        "Draw four empty 3x3 tables, one for each input cell.",
        "The stamp of the 2 is [[2, 0], [2, 2]], and its corner lies at row 0, column 1.",
        "The middle cell gets something from all four stamps: 1*1 + 2*1 + 3*0 + 4*1.",
    ),
    explanation="Each cell is the sum of what all the stamps leave there.",
)

# ------------------------------------------------------------------ the loop


def _scatter_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kernel, stride in [
        ((1, 2), (2, 3), 1),
        ((2, 3), (3, 2), 2),
        ((3, 2), (2, 4), 2),
        ((2, 4), (1, 2), 3),
        ((3, 4), (4, 3), 1),
    ]:
        yield {"x": distinct(rng, size), "kernel": distinct(rng, kernel), "stride": stride}


def _step_by_kernel(x, kernel, stride):
    return np.kron(x, kernel)


def _zeros_behind(x, kernel, stride):
    return np.pad(scatter(x, kernel, stride), ((0, stride - 1), (0, stride - 1)))


SCATTER = FunctionExercise(
    name="04/scatter",
    question="Write scatter(x, kernel, stride): the sum of the stamps of every cell of x.",
    definition=scatter,
    data=_scatter_cases,
    engine=lambda x, kernel, stride: F.conv_transpose2d(
        tensor(x[None, None]), tensor(kernel[None, None]), stride=stride
    )[0, 0],
    mistakes=(
        Mistake(_OVERWRITTEN, _overwrite),
        Mistake(_FLIPPED, lambda x, kernel, stride: scatter(x, kernel[::-1, ::-1].copy(), stride)),
        Mistake(
            "You stepped by the kernel's size, so stamps never overlap: the stamp of cell (r, c) "
            "begins at (r * stride, c * stride).",
            _step_by_kernel,
        ),
        Mistake(
            "You ignored the stride: the stamp of cell (r, c) begins at (r * stride, c * stride).",
            lambda x, kernel, stride: scatter(x, kernel, 1),
        ),
        Mistake(
            "Input and kernel changed places: at stride 1 nobody can tell, at stride 2 it shows.",
            lambda x, kernel, stride: scatter(kernel, x, stride),
        ),
        Mistake(
            "There are rows and columns too many at the end: the last stamp begins at "
            "(h - 1) * stride, so the size is (h - 1) * stride + k.",
            _zeros_behind,
        ),
    ),
    hints=(
        "Begin with zeros as large as the output, and walk over the cells of the input.",
        "The output has (h - 1) * stride + kh rows; the stamp of (r, c) begins at row r * stride.",
        "In the loop: out[top : top + kh, left : left + kw] += x[r, c] * kernel.",
    ),
    explanation="One loop over the input; += because stamps overlap; no kernel is flipped.",
)

# ------------------------------------------------------------------ the three steps


def recipe(x, weight, stride, padding, output_padding, dilation):
    """Insert zeros, pad, flip the kernel and convolve with stride 1."""
    kh, kw = weight.shape[2:]
    spread = F.insert_zeros(x, stride)
    rows = dilation * (kh - 1) - padding
    columns = dilation * (kw - 1) - padding
    padded = F.pad(spread, (columns, columns + output_padding, rows, rows + output_padding))
    kernel = F.flip(weight, (2, 3)).transpose(0, 1)
    return F.conv2d(padded, kernel, dilation=dilation)


def _recipe_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, weight, stride, padding, extra, dilation in [
        ((1, 1, 1, 2), (1, 1, 2, 3), 1, 0, 0, 1),
        ((1, 2, 2, 3), (2, 2, 3, 2), 2, 1, 1, 1),
        ((2, 2, 3, 2), (2, 3, 2, 3), 3, 0, 2, 2),
        ((1, 3, 3, 4), (3, 2, 3, 2), 2, 2, 0, 1),
        ((1, 2, 2, 4), (2, 2, 2, 3), 1, 1, 1, 3),
    ]:
        yield {
            "x": tensor(distinct(rng, size, signed=True)),
            "weight": tensor(distinct(rng, weight, signed=True)),
            "stride": stride,
            "padding": padding,
            "output_padding": extra,
            "dilation": dilation,
        }


def _steps(x, weight, stride, frame, dilation, kernel=None):
    """The recipe with a step changed: ``frame`` maps a kernel side to (before, after)."""
    top, left = (frame(k) for k in weight.shape[2:])
    padded = F.pad(F.insert_zeros(x, stride), (*left, *top))
    kernel = F.flip(weight, (2, 3)).transpose(0, 1) if kernel is None else kernel
    return F.conv2d(padded, kernel, dilation=dilation)


def _not_flipped(x, weight, s, p, a, d):
    return _steps(
        x, weight, s, lambda k: (d * (k - 1) - p, d * (k - 1) - p + a), d, weight.transpose(0, 1)
    )


def _half_flipped(x, weight, s, p, a, d):
    kernel = F.flip(weight, 2).transpose(0, 1)
    return _steps(x, weight, s, lambda k: (d * (k - 1) - p, d * (k - 1) - p + a), d, kernel)


def _channels_as_they_are(x, weight, s, p, a, d):
    kernel = F.flip(weight, (2, 3))
    return _steps(x, weight, s, lambda k: (d * (k - 1) - p, d * (k - 1) - p + a), d, kernel)


def _channels_reshaped(x, weight, s, p, a, d):
    flipped = F.flip(weight, (2, 3))
    kernel = flipped.reshape(weight.shape[1], weight.shape[0], *weight.shape[2:])
    return _steps(x, weight, s, lambda k: (d * (k - 1) - p, d * (k - 1) - p + a), d, kernel)


def _zeros_appended(x, weight, s, p, a, d):
    return F.pad(F.conv_transpose2d(x, weight, stride=s, padding=p, dilation=d), (0, a, 0, a))


RECIPE = FunctionExercise(
    name="04/recipe",
    question=(
        "Write recipe(x, weight, stride, padding, output_padding, dilation) by the three steps, "
        "for maps (N, C, H, W)."
    ),
    definition=recipe,
    data=_recipe_cases,
    engine=lambda x, weight, stride, padding, output_padding, dilation: F.conv_transpose2d(
        x,
        weight,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    ),
    mistakes=(
        Mistake(
            "The kernel is not flipped: turn it up-down and left-right, F.flip(weight, (2, 3)).",
            _not_flipped,
        ),
        Mistake(
            "The kernel is flipped up-down only: turn it left-right as well, dimensions 2 and 3.",
            _half_flipped,
        ),
        Mistake(
            "Channels swapped: the weight is (in, out, kH, kW), and conv2d takes (out, in, kH, kW):"
            " exchange the first two dimensions.",
            _channels_as_they_are,
        ),
        Mistake(
            "You reshaped the weight to exchange its channels, which shuffles the numbers: use "
            "transpose(0, 1).",
            _channels_reshaped,
        ),
        Mistake(
            "Output padding appended zeros: it belongs into step 2, so that the kernel still "
            "slides over it.",
            _zeros_appended,
        ),
        Mistake(
            "Output padding went to the top and left: it goes to the bottom and right.",
            lambda x, w, s, p, a, d: _steps(
                x, w, s, lambda k: (d * (k - 1) - p + a, d * (k - 1) - p), d
            ),
        ),
        Mistake(
            "Padding was added instead of cut off: it makes step 2 pad less, "
            "dilation * (k - 1) - padding.",
            lambda x, w, s, p, a, d: _steps(
                x, w, s, lambda k: (d * (k - 1) + p, d * (k - 1) + p + a), d
            ),
        ),
        Mistake(
            "You padded as if the kernel were not dilated: its reach is dilation * (k - 1), not "
            "k - 1.",
            lambda x, w, s, p, a, d: _steps(x, w, s, lambda k: (k - 1 - p, k - 1 - p + a), d),
        ),
    ),
    hints=(
        "Three lines: F.insert_zeros, F.pad, F.conv2d of the flipped kernel.",
        "Step 2 pads dilation * (k - 1) - padding on every side, output_padding more at the "
        "bottom and right. F.pad takes (left, right, top, bottom), and a negative number crops.",
        "Step 3: F.conv2d(padded, F.flip(weight, (2, 3)).transpose(0, 1), dilation=dilation).",
    ),
    explanation="A transposed convolution is a convolution of the spread-out, padded input.",
)

# ------------------------------------------------------------------ sizes


def output_size(size, kernel, stride, padding, output_padding, dilation):
    """How many rows a transposed convolution makes of ``size`` rows."""
    stamped = (size - 1) * stride + dilation * (kernel - 1) + 1
    return stamped - 2 * padding + output_padding


def _size_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    names = ("size", "kernel", "stride", "padding", "output_padding", "dilation")
    for values in [(2, 3, 1, 0, 0, 1), (4, 3, 2, 1, 1, 1), (5, 2, 3, 1, 2, 2), (7, 4, 2, 3, 0, 3)]:
        yield dict(zip(names, values, strict=True))
    for _ in range(4):
        stride, dilation = (int(n) for n in rng.integers(2, 5, 2))
        kernel, rows = (int(n) for n in rng.integers(2, 6, 2))
        extra, padding = int(rng.integers(1, stride)), int(rng.integers(1, 3))
        values = (rows + 3, kernel, stride, padding, extra, dilation)
        yield dict(zip(names, values, strict=True))


SIZE = FunctionExercise(
    name="04/size",
    question=(
        "Write output_size(size, kernel, stride, padding, output_padding, dilation): the rows that "
        "come out."
    ),
    definition=output_size,
    data=_size_cases,
    engine=lambda size, kernel, stride, padding, output_padding, dilation: F.conv_transpose2d(
        tensor(np.zeros((1, 1, size, size))),
        tensor(np.zeros((1, 1, kernel, kernel))),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    ).shape[2],
    mistakes=(
        Mistake(
            "Padding is cut off at both sides: take 2 * padding away, not one.",
            lambda h, k, s, p, a, d: (h - 1) * s - p + d * (k - 1) + a + 1,
        ),
        Mistake(
            "Padding was added: a transposed convolution cuts it off.",
            lambda h, k, s, p, a, d: (h - 1) * s + 2 * p + d * (k - 1) + a + 1,
        ),
        Mistake(
            "You forgot the dilation: the kernel reaches over dilation * (k - 1) + 1 rows.",
            lambda h, k, s, p, a, d: (h - 1) * s - 2 * p + k + a,
        ),
        Mistake(
            "You forgot the output padding: it uncovers that many rows more.",
            lambda h, k, s, p, a, d: (h - 1) * s - 2 * p + d * (k - 1) + 1,
        ),
        Mistake(
            "The last stamp begins at (size - 1) * stride: you moved it one stride too far.",
            lambda h, k, s, p, a, d: h * s - 2 * p + d * (k - 1) + a + 1,
        ),
        Mistake(
            "One row is missing: a kernel of k taps reaches over dilation * (k - 1) + 1 rows.",
            lambda h, k, s, p, a, d: (h - 1) * s - 2 * p + d * (k - 1) + a,
        ),
        Mistake(
            "That is the size of a convolution, which makes maps smaller.",
            lambda h, k, s, p, a, d: (h + 2 * p - d * (k - 1) - 1) // s + 1,
        ),
    ),
    hints=(
        "Where does the last stamp begin, and how far does it reach?",
        "The stamps cover (size - 1) * stride + dilation * (kernel - 1) + 1 rows.",
        "Padding cuts off rows at the top and at the bottom; output padding gives some back.",
    ),
    explanation=(
        "(size - 1)*stride - 2*padding + dilation*(kernel - 1) + output_padding + 1. One text has "
        "a single padding there, and no dilation or output padding."
    ),
)


def output_padding(size, kernel, stride, padding, dilation):
    """What a stride leaves over: the rows at the end that no window began at."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) % stride


def _ambiguous_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    names = ("size", "kernel", "stride", "padding", "dilation")
    for values in [(7, 3, 2, 1, 1), (8, 3, 2, 1, 1), (12, 2, 3, 1, 2), (13, 4, 4, 2, 1)]:
        yield dict(zip(names, values, strict=True))
    for _ in range(8):
        stride, padding, dilation = (int(n) for n in rng.integers((2, 1, 1), (5, 4, 4)))
        kernel, extra = (int(n) for n in rng.integers((2, 0), (5, 9)))
        values = (dilation * (kernel - 1) + 1 + extra, kernel, stride, padding, dilation)
        yield dict(zip(names, values, strict=True))


def _by_trying(size, kernel, stride, padding, dilation):
    """The output padding with which the engine comes back to ``size``."""
    w = tensor(np.zeros((1, 1, kernel, kernel)))
    y = F.conv2d(tensor(np.zeros((1, 1, size, size))), w, None, stride, padding, dilation)
    for extra in range(stride):
        back = F.conv_transpose2d(y, w, None, stride, padding, extra, dilation=dilation)
        if back.shape[2] == size:
            return extra
    raise ValueError("no output padding comes back to the size")


OUTPUT_PADDING = FunctionExercise(
    name="04/output-padding",
    question=(
        "Write output_padding(size, kernel, stride, padding, dilation): the one that brings the "
        "convolution of a map with that many rows back to its size."
    ),
    definition=output_padding,
    data=_ambiguous_cases,
    engine=_by_trying,
    mistakes=(
        Mistake(
            "You took the rest of the size alone: kernel, padding and dilation move the windows.",
            lambda h, k, s, p, d: h % s,
        ),
        Mistake(
            "Padding is on both sides: count it twice.",
            lambda h, k, s, p, d: (h + p - d * (k - 1) - 1) % s,
        ),
        Mistake(
            "You forgot the dilation: the window reaches over dilation * (kernel - 1) + 1 rows.",
            lambda h, k, s, p, d: (h + 2 * p - k) % s,
        ),
        Mistake(
            "One too many: a window reaches over dilation * (kernel - 1) + 1 rows, so take 1 more "
            "away.",
            lambda h, k, s, p, d: (h + 2 * p - d * (k - 1)) % s,
        ),
        Mistake(
            "Always stride - 1: that is right for one size in stride. Which rows are left over?",
            lambda h, k, s, p, d: s - 1,
        ),
        Mistake(
            "Always 0: that is right only when the windows reach the last row.",
            lambda h, k, s, p, d: 0,
        ),
    ),
    hints=(
        "The convolution rounds down. What does it throw away?",
        "Write down floor((size + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1, and look "
        "at the rest of that division.",
        "(size + 2*padding - dilation*(kernel - 1) - 1) % stride.",
    ),
    explanation=(
        "The convolution's size is rounded down, so `stride` different sizes give the same one: "
        "you choose which of them comes back, by output_padding."
    ),
)

LESSON = Lesson(
    number=4,
    title="Transposed convolution",
    exercises=(RECALL, BY_HAND, SCATTER, RECIPE, SIZE, OUTPUT_PADDING, *QUESTIONS),
    predictions=PREDICTIONS,
)
