"""The confusion matrix against its definition as loops, and the identities between its scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet.autograd import Tensor
from minisegnet.metrics import ConfusionMatrix
from tests import strict

VOID = 255


def counts_by_loop(prediction, target, k, ignore_index):
    counts = [[0] * k for _ in range(k)]
    for p, t in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        if t != ignore_index:
            counts[t][p] += 1
    return counts


def scores_by_loop(prediction, target, k, ignore_index):
    """(IoU, Dice, recall) of each class, from sets of pixels and not from a matrix."""
    prediction, target = prediction.ravel().tolist(), target.ravel().tolist()
    counted = [i for i, t in enumerate(target) if t != ignore_index]
    scores = []
    for c in range(k):
        true = {i for i in counted if target[i] == c}
        claimed = {i for i in counted if prediction[i] == c}
        both = len(true & claimed)
        if c == ignore_index or not true | claimed:
            scores.append((math.nan, math.nan, math.nan))
            continue
        recall = both / len(true) if true else math.nan
        scores.append((both / len(true | claimed), 2 * both / (len(true) + len(claimed)), recall))
    return np.array(scores, float).reshape(k, 3)


def mean_of_present(values):
    present = [v for v in values if not math.isnan(v)]
    return sum(present) / len(present) if present else math.nan


@st.composite
def maps(draw):
    """Class maps of some shape with absent classes and void pixels, of differing dtypes."""
    k = draw(st.integers(1, 7))
    shape = draw(st.lists(st.integers(0, 6), min_size=1, max_size=3).map(tuple))
    ignore_index = draw(st.sampled_from([None, VOID, 100, 0, k - 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = rng.permutation(k)[: draw(st.integers(1, k))]
    target = rng.choice(classes, size=shape)
    prediction = np.where(rng.random(shape) < 0.6, target, rng.integers(0, k, shape))
    if ignore_index is not None:
        target[rng.random(shape) < 0.25] = ignore_index
    dtypes = st.sampled_from([np.uint8, np.int32, np.int64, np.uint16])
    prediction, target = prediction.astype(draw(dtypes)), target.astype(draw(dtypes))
    return k, ignore_index, prediction, target


def filled(k, ignore_index, prediction, target):
    matrix = ConfusionMatrix(k, ignore_index)
    matrix.update(prediction, target)
    return matrix


# ------------------------------------------------------------------ against the definition


@given(maps())
@settings(max_examples=150, deadline=None)
def test_every_score_equals_its_definition(case):
    k, ignore_index, prediction, target = case
    matrix = filled(*case)
    np.testing.assert_array_equal(
        matrix.matrix, counts_by_loop(prediction, target, k, ignore_index)
    )
    expected = scores_by_loop(prediction, target, k, ignore_index)
    np.testing.assert_allclose(matrix.iou(), expected[:, 0], rtol=1e-14)
    np.testing.assert_allclose(matrix.dice(), expected[:, 1], rtol=1e-14)
    np.testing.assert_allclose(matrix.class_accuracy(), expected[:, 2], rtol=1e-14)
    for mean, column in [
        (matrix.mean_iou(), 0),
        (matrix.mean_dice(), 1),
        (matrix.mean_class_accuracy(), 2),
    ]:
        np.testing.assert_allclose(mean, mean_of_present(expected[:, column]), rtol=1e-13)

    counted = target != ignore_index if ignore_index is not None else np.ones(target.shape, bool)
    total = int(counted.sum())
    right = int((counted & (prediction == target)).sum())
    np.testing.assert_allclose(matrix.pixel_accuracy(), right / total if total else math.nan)
    weighted = [
        int((counted & (target == c)).sum()) / total * expected[c, 0]
        for c in range(k)
        if (counted & (target == c)).any()
    ]
    np.testing.assert_allclose(
        matrix.frequency_weighted_iou(), sum(weighted) if total else math.nan, rtol=1e-13
    )


def test_worked_example_of_asymmetric_numbers():
    target = np.array([[0, 0, 0, 1, 1], [2, 2, 1, VOID, 0]])
    prediction = np.array([[0, 1, 0, 1, 2], [2, 1, 1, 0, 0]])
    matrix = filled(4, VOID, prediction, target)
    np.testing.assert_array_equal(
        matrix.matrix, [[3, 1, 0, 0], [0, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    )
    assert matrix.matrix.dtype == np.int64
    np.testing.assert_allclose(matrix.iou(), [3 / 4, 2 / 5, 1 / 3, np.nan])
    np.testing.assert_allclose(matrix.dice(), [6 / 7, 4 / 7, 1 / 2, np.nan])
    np.testing.assert_allclose(matrix.class_accuracy(), [3 / 4, 2 / 3, 1 / 2, np.nan])
    assert matrix.pixel_accuracy() == pytest.approx(6 / 9)
    assert matrix.mean_iou() == pytest.approx((3 / 4 + 2 / 5 + 1 / 3) / 3)
    assert matrix.mean_class_accuracy() == pytest.approx((3 / 4 + 2 / 3 + 1 / 2) / 3)
    fw = (4 * 3 / 4 + 3 * 2 / 5 + 2 * 1 / 3) / 9
    assert matrix.frequency_weighted_iou() == pytest.approx(fw)


def test_predicting_the_majority_flatters_pixel_accuracy_only():
    target = np.zeros((10, 10), int)
    target[:2, :] = 1
    target[2, :2] = 1  # 78 % of the pixels are background
    matrix = filled(2, None, np.zeros_like(target), target)
    assert matrix.pixel_accuracy() == pytest.approx(0.78)
    assert matrix.mean_iou() == pytest.approx(0.39)
    assert matrix.mean_class_accuracy() == pytest.approx(0.5)
    # (TP + TN) / all per class is another number: it would be 0.78 for both classes.
    np.testing.assert_allclose(matrix.class_accuracy(), [1.0, 0.0])


# ------------------------------------------------------------------ identities


@given(maps())
@settings(max_examples=60, deadline=None)
def test_dice_follows_from_jaccard(case):
    matrix = filled(*case)
    jaccard = matrix.iou()
    np.testing.assert_allclose(matrix.dice(), 2 * jaccard / (1 + jaccard), rtol=1e-13)


@given(maps(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_renaming_the_classes_renames_the_scores(case, random):
    k, ignore_index, prediction, target = case
    order = list(range(k))
    random.shuffle(order)
    rename = np.arange(256)
    rename[:k] = order
    new_void = ignore_index if ignore_index is None else int(rename[ignore_index])
    before, after = filled(*case), filled(k, new_void, rename[prediction], rename[target])
    np.testing.assert_array_equal(after.matrix[np.ix_(order, order)], before.matrix)
    np.testing.assert_array_equal(after.iou()[order], before.iou())
    np.testing.assert_allclose(after.mean_iou(), before.mean_iou(), rtol=1e-13)
    assert after.pixel_accuracy() == pytest.approx(before.pixel_accuracy(), nan_ok=True)


@given(maps(), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_batches_add_up(case, cut):
    k, ignore_index, prediction, target = case
    whole = filled(*case)
    one = filled(k, ignore_index, prediction[:cut], target[:cut])
    two = filled(k, ignore_index, prediction[cut:], target[cut:])
    np.testing.assert_array_equal((one + two).matrix, whole.matrix)
    one.update(prediction[cut:], target[cut:])
    np.testing.assert_array_equal(one.matrix, whole.matrix)


@given(maps())
@settings(max_examples=40, deadline=None)
def test_exchanging_truth_and_prediction_transposes(case):
    k, _, prediction, target = case
    target = np.minimum(target, k - 1)
    there, back = filled(k, None, prediction, target), filled(k, None, target, prediction)
    np.testing.assert_array_equal(there.matrix.T, back.matrix)
    np.testing.assert_array_equal(there.iou(), back.iou())


@given(maps(), st.integers(-5, 300))
@settings(max_examples=40, deadline=None)
def test_what_is_predicted_on_void_does_not_matter(case, garbage):
    k, _, prediction, target = case
    target, prediction = np.minimum(target.astype(np.int64), k - 1), prediction.astype(np.int64)
    target[..., ::2] = VOID
    other = prediction.copy()
    other[target == VOID] = garbage
    np.testing.assert_array_equal(
        filled(k, VOID, prediction, target).matrix, filled(k, VOID, other, target).matrix
    )


# ------------------------------------------------------------------ absent and void classes


def test_absent_class_is_nan_without_a_warning():
    matrix = filled(3, None, np.array([[0, 0, 1]]), np.array([[0, 1, 1]]))
    np.testing.assert_array_equal(np.isnan(matrix.iou()), [False, False, True])
    assert matrix.mean_iou() == pytest.approx(0.5)


def test_class_predicted_but_not_there_scores_zero_and_has_no_recall():
    matrix = filled(3, None, np.array([0, 2, 1]), np.array([0, 0, 1]))
    np.testing.assert_allclose(matrix.iou(), [0.5, 1.0, 0.0])
    np.testing.assert_allclose(matrix.class_accuracy(), [0.5, 1.0, np.nan])
    assert matrix.mean_iou() == pytest.approx(0.5)
    assert matrix.mean_class_accuracy() == pytest.approx(0.75)


def test_void_inside_the_classes_has_no_score_but_predicting_it_is_wrong():
    matrix = filled(3, 2, np.array([0, 2, 1, 1]), np.array([0, 0, 1, 2]))
    np.testing.assert_array_equal(matrix.matrix, [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(matrix.iou(), [0.5, 1.0, np.nan])
    assert matrix.mean_iou() == pytest.approx(0.75)
    assert matrix.pixel_accuracy() == pytest.approx(2 / 3)


@pytest.mark.parametrize("target", [np.full((2, 3), VOID), np.zeros((0, 3), int)])
def test_nothing_counted_is_nan_everywhere(target):
    matrix = filled(2, VOID, np.zeros(target.shape, int), target)
    assert np.isnan(matrix.iou()).all()
    for score in (
        matrix.mean_iou(),
        matrix.mean_dice(),
        matrix.pixel_accuracy(),
        matrix.mean_class_accuracy(),
        matrix.frequency_weighted_iou(),
    ):
        assert isinstance(score, float) and math.isnan(score)
    assert "mean IoU -" in repr(matrix)


# ------------------------------------------------------------------ what may be passed


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_logits_are_argmaxed(k, height, width, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, k, height, width)).astype(np.float32)
    target = rng.integers(0, k, (2, height, width))
    expected = filled(k, None, logits.argmax(axis=1), target)
    np.testing.assert_array_equal(filled(k, None, logits, target).matrix, expected.matrix)
    one_image = filled(k, None, logits[0], target[0])
    np.testing.assert_array_equal(
        one_image.matrix, filled(k, None, logits[0].argmax(axis=0), target[0]).matrix
    )


def test_tensors_lists_and_booleans():
    expected = [[1, 1], [0, 2]]
    prediction, target = [[0, 1], [1, 1]], [[0, 0], [1, 1]]
    as_bool = [np.array(x, bool) for x in (prediction, target)]
    as_tensor = [Tensor(np.array(x)) for x in (prediction, target)]
    for pair in ((prediction, target), as_bool, as_tensor):
        np.testing.assert_array_equal(filled(2, None, *pair).matrix, expected)


def test_unusual_memory_layout():
    target = np.arange(24).reshape(2, 3, 4) % 5
    prediction = (np.arange(24).reshape(2, 3, 4) // 3) % 5
    expected = filled(5, None, prediction, target).matrix
    strided = filled(5, None, prediction.transpose(2, 0, 1), target.transpose(2, 0, 1))
    np.testing.assert_array_equal(strided.matrix, expected)


def test_matrix_is_a_picture_of_its_moment():
    matrix = filled(2, None, np.array([0, 1]), np.array([0, 0]))
    before = matrix.matrix
    matrix.update(np.array([1]), np.array([1]))
    np.testing.assert_array_equal(before, [[1, 1], [0, 0]])
    with pytest.raises(ValueError, match="read-only"):
        before[0, 0] = 7
    matrix.reset()
    np.testing.assert_array_equal(matrix.matrix, np.zeros((2, 2)))


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("prediction", "target", "match"),
    [
        ([0, 1], [0, 7], r"target holds the label 7 at 1 pixel\(s\), outside 0\.\.2"),
        ([0, 1], [-1, -1], r"target holds the label -1 at 2 pixel.*ignore_index=-1"),
        ([0, 3], [0, 2], r"prediction holds the label 3 .*outside 0\.\.2"),
        ([0, -2], [0, 2], r"prediction holds the label -2"),
        ([0, 0], [0, 255], r"target holds the label 255 .*0 and 255.*mask > 127"),
        ([0, 1, 2], [0, 255, 1], r"target holds the label 255 .*ignore_index=255"),
    ],
)
def test_labels_out_of_range(prediction, target, match):
    matrix = filled(3, None, np.array([2]), np.array([1]))
    with pytest.raises(ValueError, match=match):
        matrix.update(np.array(prediction), np.array(target))
    assert matrix.matrix.sum() == 1, "a refused update must count nothing"


def test_labels_out_of_range_beside_void_pixels():
    matrix = ConfusionMatrix(2, ignore_index=9)
    with pytest.raises(ValueError, match=r"target holds the label 4 at 1 pixel"):
        matrix.update(np.array([0, 1, 1]), np.array([9, 4, 1]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.uint64])
def test_narrow_types_do_not_wrap(dtype):
    matrix = ConfusionMatrix(20)  # 20 * 19 + 19 does not fit into 8 bits
    matrix.update(np.array([19, 3], dtype), np.array([19, 18], dtype))
    assert matrix.matrix[19, 19] == 1 and matrix.matrix[18, 3] == 1 and matrix.matrix.sum() == 2


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (np.array([[0.0, 255.0]]), "float64 .*0 and 255.*mask > 127"),
        (np.array([[0.0, 1.0]], np.float32), "float32 .*astype"),
        (np.array([[0.25, 0.5]], np.float32), "threshold or argmax"),
        (np.array([["a", "b"]]), "integers or booleans"),
    ],
)
def test_maps_that_are_not_integers(mask, match):
    good = np.array([[0, 1]])
    with pytest.raises(TypeError, match="target .*" + match):
        ConfusionMatrix(2).update(good, mask)
    with pytest.raises(TypeError, match="prediction .*" + match):
        ConfusionMatrix(2).update(mask, good)


@pytest.mark.parametrize(
    ("prediction", "target"), [((2, 3), (3, 2)), ((1, 4, 5), (4, 5)), ((6,), (2, 3))]
)
def test_shapes_that_differ_name_both(prediction, target):
    with pytest.raises(ValueError) as caught:
        ConfusionMatrix(2).update(np.zeros(prediction, int), np.zeros(target, int))
    assert str(prediction) in str(caught.value) and str(target) in str(caught.value)


@pytest.mark.parametrize(
    ("logits", "target", "match"),
    [
        ((2, 4, 5, 6), (2, 5, 6), r"\(2, 4, 5, 6\) hold 4 maps for 3 classes"),
        ((2, 1, 5, 6), (2, 5, 6), r"logits\[:, 0\] > 0"),
        ((2, 3, 5, 6), (2, 6, 5), r"\(2, 3, 5, 6\) do not fit .*\(2, 6, 5\)"),
        ((3, 5), (5,), r"\(3, 5\) do not fit .*\(5,\)"),
    ],
)
def test_logits_that_do_not_fit(logits, target, match):
    with pytest.raises(ValueError, match=match):
        ConfusionMatrix(3).update(np.zeros(logits), np.zeros(target, int))


def test_logits_with_nan():
    logits = np.zeros((1, 2, 3, 4), np.float32)
    logits[0, 1, 2, 1] = np.nan
    with pytest.raises(ValueError, match="nan"):
        ConfusionMatrix(2).update(logits, np.zeros((1, 3, 4), int))


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_classes is 0"):
        ConfusionMatrix(0)
    for wrong in (2.0, "2", None, True):
        with pytest.raises(TypeError, match="num_classes"):
            ConfusionMatrix(wrong)
    with pytest.raises(TypeError, match="ignore_index"):
        ConfusionMatrix(2, ignore_index=1.5)
    with pytest.raises(ValueError, match="1 class_names for 2 classes"):
        ConfusionMatrix(2, class_names=["sky"])
    with pytest.raises(ValueError, match=r"\(2, None\) here but \(3, None\)"):
        ConfusionMatrix(2) + ConfusionMatrix(3)
    with pytest.raises(ValueError, match=r"\(2, 255\) here but \(2, None\)"):
        ConfusionMatrix(2, 255).merge(ConfusionMatrix(2))
    with pytest.raises(TypeError):
        ConfusionMatrix(2) + 1


# ------------------------------------------------------------------ reading it


def test_table_and_repr():
    matrix = ConfusionMatrix(3, ignore_index=VOID, class_names=["background", "cell", "wall"])
    matrix.update(np.array([0, 0, 1, 0]), np.array([0, 1, 1, VOID]))
    assert repr(matrix) == (
        "ConfusionMatrix(num_classes=3, ignore_index=255: 3 pixels, mean IoU 0.5000, "
        "pixel accuracy 0.6667)"
    )
    lines = str(matrix).splitlines()
    assert lines[1].split() == ["background", "1", "0.5000", "0.6667", "1.0000"]
    assert lines[2].split() == ["cell", "2", "0.5000", "0.6667", "0.5000"]
    assert lines[3].split() == ["wall", "0", "-", "-", "-"]
    assert lines[4].split() == ["mean", "3", "0.5000", "0.6667", "0.7500"]
    assert len({len(line) for line in lines[:5]}) == 1, "the columns are not aligned"


# ------------------------------------------------------------------ NumPy, CuPy and its stand-in


@pytest.mark.parametrize("as_tensor", [False, True])
def test_counting_where_the_arrays_are(backend, as_tensor):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    target = rng.integers(0, 3, (2, 4, 5), dtype=np.uint8)
    target[0, 1] = VOID
    here = backend.tensor if as_tensor else backend.asarray
    expected = filled(3, VOID, logits.argmax(1), target).matrix
    matrix = ConfusionMatrix(3, VOID)
    matrix.update(here(logits.argmax(1)), here(target))
    assert type(matrix.matrix) is np.ndarray
    np.testing.assert_array_equal(matrix.matrix, expected)
    matrix.update(here(logits), here(target))
    np.testing.assert_array_equal(matrix.matrix, 2 * expected)
    matrix.update(here(target[:0]), here(target[:0]))
    np.testing.assert_array_equal(matrix.matrix, 2 * expected)
    with pytest.raises(ValueError, match="label 8"):
        matrix.update(here(np.array([[0, 8]])), here(np.array([[1, 1]])))
    with pytest.raises(TypeError, match="0 and 255"):
        matrix.update(here(np.array([[0, 1]])), here(np.array([[0.0, 255.0]])))
    with pytest.raises(ValueError, match="nan"):
        matrix.update(here(logits * np.float32(np.nan)), here(target))
    np.testing.assert_array_equal(matrix.matrix, 2 * expected)


def test_counting_moves_nothing_but_the_counts():
    target = strict.xp.asarray(np.array([[[0, 2, 1], [2, 2, VOID]]]))
    matrix = ConfusionMatrix(3, VOID)
    with strict.counting() as seen:
        matrix.update(target, target)
    # bincount looks for the largest label, then the counts come back.
    assert (seen.synchronisations, seen.uploads) == (2, 0)
    np.testing.assert_array_equal(matrix.matrix, np.diag([1, 1, 3]))


def test_arrays_on_two_devices_are_refused():
    here = np.array([[1, 1]])
    with pytest.raises(TypeError, match="'cpu' and another on 'strict'"):
        ConfusionMatrix(2).update(here, strict.xp.asarray(here))
