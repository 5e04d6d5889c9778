"""The numbers that the lessons work by hand: the results, the ledgers, and what is printed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from minisegnet import explain
from minisegnet.metrics import ConfusionMatrix


def rows(matrix: list[list]) -> list[str]:
    """The rows as they are printed, without what separates the columns."""
    return [" ".join(map(str, row)) for row in matrix]


def printed(walk: explain.Walkthrough) -> list[str]:
    """The lines that it prints, blanks run together."""
    return [" ".join(line.split()) for line in str(walk).splitlines()]


def assert_prints(walk: explain.Walkthrough, matrix: list[list]) -> None:
    assert walk.result.tolist() == matrix
    lines = printed(walk)
    start = (
        len(lines) - 1 - lines[::-1].index(next(x for x in lines[::-1] if x.startswith("result")))
    )
    assert lines[start + 1 : start + 1 + len(matrix)] == rows(matrix)


def test_the_classification_end():
    walk = explain.softmax([2, 30], names=["cat", "background"])
    assert walk.result[0] == pytest.approx(7e-13, rel=0.02)
    assert walk.result[1] == pytest.approx(1, abs=1e-12)
    assert walk.outputs["class"] == 1
    assert str(walk.at(0, 0)) == "exp(2 - 30) / (exp(2 - 30) + exp(30 - 30)) = 6.914e-13"
    assert "class 1 (background)" in str(walk)
    as_maps = explain.softmax(np.array([2.0, 30.0]).reshape(1, 2, 1, 1), dim=1)
    assert as_maps.at(0, 0, channel=1).total == pytest.approx(1)
    assert as_maps.outputs["class"].tolist() == [[[1]]]


def test_transposed_convolution_of_stride_1():
    walk = explain.conv_transpose2d([[1, 2], [3, 4]], [[1, 0], [1, 1]], padding=0)
    assert_prints(walk, [[1, 2, 0], [4, 7, 2], [3, 7, 4]])
    padded = walk.panel("padded input").values
    assert padded.tolist() == [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]]
    assert walk.panel("flipped kernel").values.tolist() == [[1, 1], [0, 1]]
    assert str(walk.at(1, 1)) == "1*1 + 2*1 + 3*0 + 4*1 = 7"
    assert str(walk.at(0, 0)) == "0*1 + 0*1 + 0*0 + 1*1 = 1"
    assert "rows and columns: (2 - 1)*1 - 2*0 + 1*(2 - 1) + 0 + 1 = 3" in printed(walk)


def test_the_scatter_view():
    walk = explain.conv_transpose2d([[0, 2], [3, 1]], [[0, 1], [2, 3]]).views["scatter"]
    assert_prints(walk, [[0, 0, 2], [0, 7, 7], [6, 11, 3]])
    stamps = next(step for step in walk.steps if step.title == "Stamp").arrays
    assert len(stamps) == 4
    assert sum(stamps.values()).tolist() == walk.result.tolist()
    assert stamps["3 * kernel, from (1, 0)"].tolist() == [[0, 0, 0], [0, 3, 0], [6, 9, 0]]
    assert str(walk.at(1, 1)) == "0*3 + 2*2 + 3*1 + 1*0 = 7"
    assert str(walk.at(2, 1)) == "3*3 + 1*2 = 11"


def test_nearest_neighbour():
    walk = explain.interpolate([[1, 3], [2, 0]], scale_factor=2)
    assert_prints(walk, [[1, 1, 3, 3], [1, 1, 3, 3], [2, 2, 0, 0], [2, 2, 0, 0]])
    assert str(walk.at(1, 2)) == "input[0, 1] = 3"


def test_bed_of_nails():
    walk = explain.bed_of_nails([[1, 4], [3, 2]], 2)
    assert walk.result.tolist() == [[1, 0, 4, 0], [0, 0, 0, 0], [3, 0, 2, 0], [0, 0, 0, 0]]
    lines = printed(walk)
    assert "1 · 4 ·" in lines and "3 · 2 ·" in lines and "· inserted zero" in lines
    assert str(walk.at(1, 2)) == "inserted zero = 0"


def test_max_pooling_and_unpooling():
    x = [[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]
    pooled = explain.max_pool2d(x, 2)
    assert_prints(pooled, [[7, 8], [3, 5]])
    assert pooled.outputs["indices"].tolist() == [[4, 3], [8, 15]]
    assert str(pooled.at(1, 0)) == "max(3, 1, 2, 0) = 3"
    unpooled = explain.max_unpool2d([[1, 3], [2, 4]], pooled.outputs["indices"], 2)
    assert unpooled.result.tolist() == [[0, 0, 0, 3], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4]]
    assert str(unpooled.at(0, 3)) == "input[0, 1] = 3"
    assert unpooled.at(0, 0).total == 0


def test_output_padding_uncovers():
    kernel = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    walk = explain.conv_transpose2d([[10]], kernel, stride=2, padding=1, output_padding=1)
    np.testing.assert_array_equal(walk.result, 10 * kernel[1:, 1:])
    assert_prints(walk, [[50, 60], [80, 90]])
    canvas = walk.views["scatter"].panel("canvas")
    assert canvas.values.tolist() == (10 * kernel).tolist()
    assert canvas.frame == (1, 1, 3, 3)
    assert str(walk.at(1, 1).short) == "10*9 = 90"
    # Appending zeros, the classic mistake, would leave these cells empty.
    marks = walk.steps[-1].marks["result"]["uncovered by output padding"]
    assert marks.tolist() == [[False, True], [True, True]]
    assert (walk.result[marks] != 0).all()


@pytest.mark.parametrize(
    ("kernel", "stride", "ratio"), [(2, 2, 1), (3, 2, 4), (4, 2, 1), (5, 2, 2.25), (4, 3, 4)]
)
def test_overlap_counts(kernel: int, stride: int, ratio: float):
    assert explain.overlap_ratio(kernel, stride) == ratio
    ones = np.ones((7, 7), int)
    walk = explain.conv_transpose2d(ones, np.ones((kernel, kernel), int), stride=stride)
    inside = walk.outputs["overlap counts"][2 * stride : -2 * stride, 2 * stride : -2 * stride]
    assert inside.max() / inside.min() == ratio
    np.testing.assert_array_equal(walk.result, walk.outputs["overlap counts"])
    counted = next(step for step in walk.steps if step.title == "Count the overlap")
    assert ("checkerboards" in counted.sentence) == (ratio > 1)


def test_dice_and_jaccard():
    prediction, truth = [[1, 1, 1, 0], [0, 1, 0, 0]], [[1, 0, 1, 1], [0, 0, 0, 0]]
    jaccard, dice = explain.iou(prediction, truth), explain.dice(prediction, truth)
    assert str(jaccard.at()) == "2 / (2 + 2 + 1) = 0.4"
    assert str(dice.at()) == "2*2 / (2*2 + 2 + 1) = 4/7 = 0.5714"
    j = jaccard.at().total
    assert dice.at().total == 2 * j / (1 + j) == Fraction(4, 7)
    matrix = ConfusionMatrix(2)
    matrix.update(np.array(prediction), np.array(truth))
    assert (jaccard.result, dice.result) == (matrix.iou()[1], matrix.dice()[1])


def test_the_toy_u_net_of_480():
    """Two valid 4x4 stride-2 convolutions and back: 480 -> 239 -> 118 -> 238, not 239."""
    sizes = explain.sizes(118, 238, kernels=[4], strides=[2])
    assert sizes[0].padding == sizes[0].output_padding == 0
    walk = explain.conv2d(np.zeros((480, 8), int), np.ones((4, 4), int), stride=2)
    assert walk.facts[1] == "rows: floor((480 + 2*0 - 1*(4 - 1) - 1) / 2) + 1 = 239"


def test_the_upsampling_of_the_fcns():
    """Kernels 4, 4 and 16 with strides 2, 2 and 8: even overlap, x2, x2 and x8."""
    for kernel, stride, padding in ((4, 2, 1), (4, 2, 1), (16, 8, 4)):
        found = explain.sizes(7, 7 * stride, kernels=[kernel], strides=[stride])
        assert (found[0].padding, found[0].output_padding) == (padding, 0)
        assert found[0].overlap_ratio == 1
