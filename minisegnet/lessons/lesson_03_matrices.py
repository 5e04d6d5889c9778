"""Lesson 3, convolution by hand: windows as columns, one sparse matrix, and the two gradients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor, tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, distinct

# ------------------------------------------------------------------ windows as columns


def columns(x, kh, kw, stride):
    """Every window of x as a column, the windows counted row by row."""
    h, w = x.shape
    found = []
    for top in range(0, h - kh + 1, stride):
        for left in range(0, w - kw + 1, stride):
            found.append(x[top : top + kh, left : left + kw].ravel())
    return np.stack(found, axis=1)


def _columns_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size, kh, kw, stride in [
        ((2, 3), 2, 2, 1),
        ((3, 4), 2, 3, 1),
        ((5, 4), 3, 2, 1),
        ((6, 7), 2, 3, 2),
        ((5, 8), 3, 2, 2),
    ]:
        yield {"x": distinct(rng, size), "kh": kh, "kw": kw, "stride": stride}


def _columns_down_first(x, kh, kw, stride):
    h, w = x.shape
    found = [
        x[top : top + kh, left : left + kw].ravel()
        for left in range(0, w - kw + 1, stride)
        for top in range(0, h - kh + 1, stride)
    ]
    return np.stack(found, axis=1)


def _windows_read_down(x, kh, kw, stride):
    found = columns(x, kh, kw, stride)
    return found.reshape(kh, kw, -1).swapaxes(0, 1).reshape(kh * kw, -1)


COLUMNS = FunctionExercise(
    name="03/columns",
    question="Write columns(x, kh, kw, stride): a matrix with one column for every window of x.",
    definition=columns,
    data=_columns_cases,
    engine=lambda x, kh, kw, stride: F.unfold(tensor(x[None, None]), (kh, kw), stride=stride)[0],
    mistakes=(
        Mistake(
            "Your windows are the rows: stack them as columns, np.stack(found, axis=1).",
            lambda x, kh, kw, stride: columns(x, kh, kw, stride).T,
        ),
        Mistake(
            "You reshaped where you should transpose: the shape is right and the numbers are "
            "shuffled. Use np.stack(found, axis=1).",
            lambda x, kh, kw, stride: columns(x, kh, kw, stride).T.reshape(kh * kw, -1),
        ),
        Mistake(
            "You counted the windows column by column: count them row by row, so that the result "
            "reshapes into the map.",
            _columns_down_first,
        ),
        Mistake(
            "You read each window column by column: read it row by row, as the kernel is read.",
            _windows_read_down,
        ),
        Mistake(
            "You ignored the stride: windows begin every stride cells.",
            lambda x, kh, kw, stride: columns(x, kh, kw, 1),
        ),
        Mistake(
            "You stopped one window early: the last one may begin at row h - kh, so the range ends "
            "at h - kh + 1.",
            lambda x, kh, kw, stride: columns(x[:-1, :-1], kh, kw, stride),
        ),
    ),
    hints=(
        "Collect the windows in a list, each one flattened.",
        "Two loops: tops from 0 to h - kh, lefts from 0 to w - kw, both in steps of the stride.",
        "Append x[top : top + kh, left : left + kw].ravel(), and stack at the end along axis 1.",
    ),
    explanation="This is F.unfold, also known as im2col. The kernel as a row, times this, is the "
    "convolution.",
)

# ------------------------------------------------------------------ one sparse matrix


def matrix(kernel, height, width, stride):
    """One row for each window: the kernel's weights, at the cells that the window sees."""
    kh, kw = kernel.shape
    rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
    C = np.zeros((rows * columns, height * width), kernel.dtype)
    for r in range(rows):
        for c in range(columns):
            for i in range(kh):
                for j in range(kw):
                    cell = (r * stride + i) * width + c * stride + j
                    C[r * columns + c, cell] = kernel[i, j]
    return C


def _matrix_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for kernel, height, width, stride in [
        ((1, 2), 2, 3, 1),
        ((2, 2), 3, 4, 1),
        ((2, 3), 4, 5, 1),
        ((3, 2), 5, 6, 2),
        ((2, 3), 5, 7, 2),
    ]:
        yield {
            "kernel": distinct(rng, kernel),
            "height": height,
            "width": width,
            "stride": stride,
        }


def _matrix_by_unit_maps(kernel, height, width, stride):
    """Column q of C is what the convolution makes of a map with a single 1, in cell q."""
    units = tensor(np.eye(height * width, dtype=kernel.dtype).reshape(-1, 1, height, width))
    made = F.conv2d(units, tensor(kernel[None, None]), stride=stride)
    return made.reshape(height * width, -1).transpose(0, 1)


def _matrix_in_one_run(kernel, height, width, stride):
    kh, kw = kernel.shape
    rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
    C = np.zeros((rows * columns, height * width), kernel.dtype)
    for r in range(rows):
        for c in range(columns):
            cell = r * stride * width + c * stride
            C[r * columns + c, cell : cell + kh * kw] = kernel.ravel()
    return C


def _matrix_of_width(kernel, height, width, stride, step):
    """The matrix with another step from one row of the map to the next."""
    kh, kw = kernel.shape
    rows, columns = (height - kh) // stride + 1, (width - kw) // stride + 1
    C = np.zeros((rows * columns, height * width), kernel.dtype)
    for number in range(rows * columns):
        r, c = divmod(number, columns)
        for i, j in np.ndindex(kh, kw):
            C[number, (r * stride + i) * step + c * stride + j] = kernel[i, j]
    return C


MATRIX = FunctionExercise(
    name="03/matrix",
    question=(
        "Write matrix(kernel, height, width, stride): the matrix C that takes a flattened map to "
        "its flattened convolution."
    ),
    definition=matrix,
    data=_matrix_cases,
    engine=_matrix_by_unit_maps,
    mistakes=(
        Mistake(
            "You made its transpose: windows are the rows of C, cells of the map its columns.",
            lambda kernel, height, width, stride: matrix(kernel, height, width, stride).T,
        ),
        Mistake(
            "You wrote the kernel in one run: between two rows of the kernel lies a whole row of "
            "the map, width cells.",
            _matrix_in_one_run,
        ),
        Mistake(
            "Cell (r, c) of the map is number r * width + c: you stepped by the output's columns.",
            lambda kernel, height, width, stride: _matrix_of_width(
                kernel, height, width, stride, (width - kernel.shape[1]) // stride + 1
            ),
        ),
        Mistake(
            "You turned the kernel round: each row of C holds it as it stands.",
            lambda kernel, height, width, stride: matrix(kernel[::-1, ::-1], height, width, stride),
        ),
        Mistake(
            "You ignored the stride: it moves the windows apart, so that there are fewer rows.",
            lambda kernel, height, width, stride: matrix(kernel, height, width, 1),
        ),
        Mistake(
            "The windows did not move: row number r * columns + c belongs to the window that "
            "begins at (r * stride, c * stride).",
            lambda kernel, height, width, stride: np.tile(
                matrix(kernel, height, width, stride)[:1],
                (len(matrix(kernel, height, width, stride)), 1),
            ),
        ),
    ),
    hints=(
        "How many windows, how many cells? That is the shape of C.",
        "Window (r, c) is row r * columns + c of C; cell (a, b) of the map is column "
        "a * width + b.",
        "Tap (i, j) of window (r, c) sees cell (r * stride + i, c * stride + j).",
    ),
    explanation="Each row of C is a window and each column a cell: who sees it, by which weight.",
)

# ------------------------------------------------------------------ the two gradients


def input_gradient(upstream, weight):
    """Slide the flipped kernel over the padded upstream gradient."""
    kh, kw = weight.shape[2:]
    flipped = F.flip(weight, (2, 3)).transpose(0, 1)
    return F.conv2d(upstream, flipped, padding=(kh - 1, kw - 1))


def weight_gradient(x, upstream):
    """Slide the upstream gradient over the map, summing over the images."""
    return F.conv2d(x.transpose(0, 1), upstream.transpose(0, 1)).transpose(0, 1)


def _by_backward(x: np.ndarray, weight: np.ndarray, upstream: np.ndarray) -> list[np.ndarray]:
    """The gradients of map and weight, by the engine's tape."""
    maps, kernels = (tensor(a.astype(np.float64), requires_grad=True) for a in (x, weight))
    F.conv2d(maps, kernels).backward(upstream.astype(np.float64))
    return [np.asarray(leaf.grad) for leaf in (maps, kernels)]


def _input_gradient_by_backward(upstream: Tensor, weight: Tensor) -> np.ndarray:
    n, _, rows, columns = upstream.shape
    _, channels, kh, kw = weight.shape
    x = np.zeros((n, channels, rows + kh - 1, columns + kw - 1))
    return _by_backward(x, weight.numpy(), upstream.numpy())[0]


def _weight_gradient_by_backward(x: Tensor, upstream: Tensor) -> np.ndarray:
    (_, channels, h, w), (_, outputs, rows, columns) = x.shape, upstream.shape
    weight = np.zeros((outputs, channels, h - rows + 1, w - columns + 1))
    return _by_backward(x.numpy(), weight, upstream.numpy())[1]


def _input_gradient_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for upstream, weight in [
        ((1, 1, 1, 2), (1, 1, 2, 3)),
        ((1, 2, 2, 3), (2, 2, 3, 2)),
        ((2, 3, 2, 2), (3, 2, 2, 3)),
        ((1, 2, 3, 4), (2, 3, 3, 3)),
    ]:
        yield {
            "upstream": tensor(distinct(rng, upstream, signed=True)),
            "weight": tensor(distinct(rng, weight, signed=True)),
        }


def _gather(upstream, kernel, padding):
    return F.conv2d(upstream, kernel, padding=padding)


def _full(weight):
    return weight.shape[2] - 1, weight.shape[3] - 1


def _mirrored(weight):
    return F.flip(weight, (2, 3)).transpose(0, 1)


INPUT_GRADIENT = FunctionExercise(
    name="03/input-gradient",
    question=(
        "Write input_gradient(upstream, weight): the gradient of the map, at stride 1 without "
        "padding, as one F.conv2d."
    ),
    definition=input_gradient,
    data=_input_gradient_cases,
    engine=_input_gradient_by_backward,
    mistakes=(
        Mistake(
            "The kernel is not flipped: who gathers reads it backwards, F.flip(weight, (2, 3)).",
            lambda upstream, weight: _gather(upstream, weight.transpose(0, 1), _full(weight)),
        ),
        Mistake(
            "The kernel is flipped up-down only: flip it left-right as well, dimensions 2 and 3.",
            lambda upstream, weight: _gather(
                upstream, F.flip(weight, 2).transpose(0, 1), _full(weight)
            ),
        ),
        Mistake(
            "The channels go the wrong way: the gradient goes from out to in, so exchange the "
            "first two dimensions of the weight, transpose(0, 1).",
            lambda upstream, weight: _gather(upstream, F.flip(weight, (2, 3)), _full(weight)),
        ),
        Mistake(
            "You reshaped the weight to exchange its channels, which shuffles the numbers: use "
            "transpose(0, 1).",
            lambda upstream, weight: _gather(
                upstream,
                F.flip(weight, (2, 3)).reshape(weight.shape[1], weight.shape[0], *weight.shape[2:]),
                _full(weight),
            ),
        ),
        Mistake(
            "The ring of zeros is too thin: a window that touches one cell of the map counts too, "
            "so pad by k - 1.",
            lambda upstream, weight: _gather(
                upstream, _mirrored(weight), (weight.shape[2] // 2, weight.shape[3] // 2)
            ),
        ),
        Mistake(
            "Padding for rows and columns changed places: (kh - 1, kw - 1).",
            lambda upstream, weight: _gather(upstream, _mirrored(weight), _full(weight)[::-1]),
        ),
    ),
    hints=(
        "Which windows saw a given cell, and with which tap?",
        "Near the border fewer windows saw the cell: zeros stand for the missing ones, k - 1 on "
        "every side.",
        "F.conv2d(upstream, F.flip(weight, (2, 3)).transpose(0, 1), padding=(kh - 1, kw - 1)).",
    ),
    explanation="The loop sends forwards, this gathers backwards: the same products. Lesson 4 "
    "calls it the transposed convolution.",
)


def _weight_gradient_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for x, upstream in [
        ((1, 1, 2, 3), (1, 1, 1, 2)),
        ((2, 2, 2, 3), (2, 2, 1, 2)),
        ((3, 2, 3, 4), (3, 4, 2, 3)),
        ((2, 3, 4, 3), (2, 2, 3, 1)),
    ]:
        yield {
            "x": tensor(distinct(rng, x, signed=True)),
            "upstream": tensor(distinct(rng, upstream, signed=True)),
        }


WEIGHT_GRADIENT = FunctionExercise(
    name="03/weight-gradient",
    question=(
        "Write weight_gradient(x, upstream): the gradient of the weight (out, in, rows, columns), "
        "as one F.conv2d."
    ),
    definition=weight_gradient,
    data=_weight_gradient_cases,
    engine=_weight_gradient_by_backward,
    mistakes=(
        Mistake(
            "You did not exchange images and channels: the sum runs over images here, so "
            "transpose(0, 1) both maps first.",
            lambda x, upstream: F.conv2d(x, upstream),
        ),
        Mistake(
            "Your result is (in, out, rows, columns): exchange the first two dimensions back at "
            "the end.",
            lambda x, upstream: weight_gradient(x, upstream).transpose(0, 1),
        ),
        Mistake(
            "Only the first image counts in yours: every image used the weights, so all of them "
            "add up.",
            lambda x, upstream: weight_gradient(x[:1], upstream[:1]),
        ),
        Mistake(
            "You took the mean over the images: their gradients add up. (A loss may divide by the "
            "number of images; a convolution does not.)",
            lambda x, upstream: weight_gradient(x, upstream).numpy() / x.shape[0],
        ),
        Mistake(
            "You flipped the upstream gradient: weight and map run in the same direction here, so "
            "nothing is flipped.",
            lambda x, upstream: weight_gradient(x, F.flip(upstream, (2, 3))),
        ),
        Mistake(
            "Your result is upside down and left to right: nothing is flipped for the weight.",
            lambda x, upstream: F.flip(weight_gradient(x, upstream), (2, 3)),
        ),
    ),
    hints=(
        "What did weight (i, j) meet while the window was at (r, c)?",
        "It met x[r + i, c + j] and got upstream[r, c] back: slide the upstream gradient over x.",
        "F.conv2d sums over dimension 1 and these are images now: transpose(0, 1) of both maps, "
        "and of the result.",
    ),
    explanation="A weight was used in every window of every image, so everything adds up: the two "
    "maps, correlated.",
)
