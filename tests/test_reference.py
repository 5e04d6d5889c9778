"""The loops that everything else is held to: worked numbers, hand-made cases, and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minisegnet.kernels import reference
from tests.geometry import Correlation, Transposed, correlations, integers, pairs, transposed


def plane(*rows: list) -> np.ndarray:
    """One image of one channel."""
    return np.array([[list(rows)]])


def test_correlation_multiplies_what_lies_under_each_tap():
    x = plane([1, 2, 3], [4, 5, 6], [7, 8, 9])
    w = plane([1, 10], [100, 1000])
    assert reference.correlate(x, w)[0, 0].tolist() == [[5421, 6532], [8754, 9865]]


def test_correlation_with_every_option_by_hand():
    """Column axis: 1 2 -> zeros inserted 1 0 2 -> padded 0 1 0 2 -> taps 2 apart, stride 1."""
    y = reference.correlate(
        plane([1, 2]),
        plane([3, 5]),
        padding=((0, 0), (1, 0)),
        input_dilation=(1, 2),
        kernel_dilation=(1, 2),
    )
    assert y[0, 0].tolist() == [[0 * 3 + 0 * 5, 1 * 3 + 2 * 5]]
    cropped = reference.correlate(
        plane([1, 2], [7, 9]), plane([3]), padding=((-1, 0), (0, 1)), stride=(1, 2)
    )
    assert cropped[0, 0].tolist() == [[21, 0]]


def test_groups_do_not_see_each_other():
    x = np.array([[[[1]], [[2]], [[3]], [[4]]]])
    w = np.array([[[[1]], [[10]]], [[[100]], [[1000]]], [[[5]], [[7]]], [[[2]], [[3]]]])
    y = reference.correlate(x, w, groups=2)
    assert y.ravel().tolist() == [1 + 20, 100 + 2000, 15 + 28, 6 + 12]


@given(case=correlations())
def test_gradients_of_the_correlation_are_its_adjoints(case: Correlation):
    """<dy, correlate(x, w)> is linear in x and in w, with the gradients as its coefficients."""
    y = reference.correlate(case.x, case.w, *case.options)
    dy = integers(y.shape, seed=1)
    dx = reference.correlate_input_gradient(dy, case.w, case.x.shape[2:], *case.options)
    dw = reference.correlate_weight_gradient(case.x, dy, case.w.shape[2:], *case.options)
    assert dx.shape == case.x.shape
    assert (dy * y).sum() == (dx * case.x).sum() == (dw * case.w).sum()


@pytest.mark.parametrize(
    "transpose", [reference.conv_transpose2d, reference.conv_transpose2d_by_scatter]
)
def test_transposed_convolution_by_the_worked_numbers(transpose):
    first = transpose(plane([1, 2], [3, 4]), plane([1, 0], [1, 1]))
    assert first[0, 0].tolist() == [[1, 2, 0], [4, 7, 2], [3, 7, 4]]
    second = transpose(plane([0, 2], [3, 1]), plane([0, 1], [2, 3]))
    assert second[0, 0].tolist() == [[0, 0, 2], [0, 7, 7], [6, 11, 3]]
    k = plane([1, 2, 3], [4, 5, 6], [7, 8, 9])
    uncovered = transpose(plane([10]), k, (2, 2), padding=(1, 1), output_padding=(1, 1))
    np.testing.assert_array_equal(uncovered, 10 * k[:, :, 1:, 1:])


def test_the_first_step_of_the_worked_example():
    padded = reference.pad_or_crop(plane([1, 2], [3, 4]), ((1, 1), (1, 1)))
    assert padded[0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 4, 0], [0, 0, 0, 0]]
    assert reference.flip(plane([1, 0], [1, 1]))[0, 0].tolist() == [[1, 1], [0, 1]]


@given(case=transposed())
def test_the_two_definitions_of_the_transpose_agree(case: Transposed):
    by_steps = reference.conv_transpose2d(case.x, case.w, **case.options)
    by_scatter = reference.conv_transpose2d_by_scatter(case.x, case.w, **case.options)
    assert by_steps.shape[2:] == case.out
    np.testing.assert_array_equal(by_steps, by_scatter)


@given(case=transposed())
def test_the_transpose_is_the_gradient_of_the_convolution(case: Transposed):
    options = case.options
    up = reference.conv_transpose2d_by_scatter(case.x, case.w, **options)
    rows, columns = options["padding"]
    gradient = reference.correlate_input_gradient(
        case.x,
        case.w,
        up.shape[2:],
        options["stride"],
        ((rows, rows), (columns, columns)),
        kernel_dilation=options["dilation"],
        groups=options["groups"],
    )
    np.testing.assert_array_equal(up, gradient)


@pytest.mark.parametrize(
    ("kernel", "stride", "ratio"), [(2, 2, 1), (3, 2, 4), (4, 2, 1), (5, 2, 2.25), (4, 3, 4)]
)
def test_overlap_counts(kernel, stride, ratio):
    """How often each output cell is stamped, far from the border: the checkerboard's strength."""
    ones = np.ones((1, 1, 8, 9), dtype=int)
    counts = reference.conv_transpose2d(ones, np.ones((1, 1, kernel, kernel)), (stride, stride))
    interior = counts[0, 0, kernel:-kernel, kernel:-kernel]
    assert interior.max() / interior.min() == ratio


def test_padding_by_hand():
    x = plane([1, 2, 3], [4, 5, 6])
    constant = reference.pad(x, ((0, 1), (1, -1)), value=7)
    assert constant[0, 0].tolist() == [[7, 1, 2], [7, 4, 5], [7, 7, 7]]
    reflect = reference.pad(x, ((1, 0), (2, 1)), "reflect")
    assert reflect[0, 0].tolist() == [[6, 5, 4, 5, 6, 5], [3, 2, 1, 2, 3, 2], [6, 5, 4, 5, 6, 5]]
    replicate = reference.pad(x, ((0, 2), (1, -2)), "replicate")
    assert replicate[0, 0].tolist() == [[1, 1], [4, 4], [4, 4], [4, 4]]


POOLED = plane([1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5])


def test_max_pool_and_unpool_by_the_worked_numbers():
    values, indices = reference.max_pool2d(POOLED, (2, 2), (2, 2))
    assert values[0, 0].tolist() == [[7, 8], [3, 5]]
    back = reference.max_unpool2d(plane([1, 3], [2, 4]), indices, (4, 4))
    assert back[0, 0].tolist() == [[0, 0, 0, 3], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4]]


def test_padding_never_wins_a_window_and_the_first_of_equals_does():
    values, indices = reference.max_pool2d(plane([-5, -3, -3]), (1, 2), (1, 2), padding=(0, 1))
    assert values.ravel().tolist() == [-5, -3]
    assert indices.ravel().tolist() == [0, 1]


def test_nearest_nails_and_shuffle_by_hand():
    blocks = reference.interpolate(plane([1, 3], [2, 0]), (4, 4))[0, 0]
    assert blocks.tolist() == [[1, 1, 3, 3], [1, 1, 3, 3], [2, 2, 0, 0], [2, 2, 0, 0]]
    nails = reference.bed_of_nails(plane([1, 4], [3, 2]), (2, 3))[0, 0]
    assert nails.tolist() == [
        [1, 0, 0, 4, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [3, 0, 0, 2, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    x = np.arange(8).reshape(1, 8, 1, 1)
    assert reference.pixel_shuffle(x, 2)[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_bilinear_by_hand():
    x = plane([0.0, 8.0])
    halves = reference.interpolate(x, (1, 4), mode="bilinear")
    assert halves.ravel().tolist() == [0, 2, 6, 8]
    corners = reference.interpolate(x, (1, 5), mode="bilinear", align_corners=True)
    assert corners.ravel().tolist() == [0, 2, 4, 6, 8]
    # 1 / 1.5 of a cell a step: coordinates 0 (from -1/6), 1/2 and 7/6.
    factor = reference.interpolate(x, (1, 3), (None, 1.5), "bilinear")
    np.testing.assert_allclose(factor.ravel(), [0, 4, 8])


def test_integers_stay_integers():
    x = plane([2**60 + 1, 5, -3], [1, 2, 3])
    values, _ = reference.max_pool2d(x, (2, 2), (1, 1))
    assert values.ravel().tolist() == [2**60 + 1, 5]
    assert reference.correlate(x, plane([1, -1])).dtype == np.int64


@st.composite
def pools(draw: st.DrawFn, dilations: int = 3) -> dict:
    """A map with ties, and options of a pooling that PyTorch accepts."""
    kernel, dilation = draw(pairs(1, 4)), draw(pairs(1, dilations))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    options = {"stride": draw(pairs(1, 4)), "padding": padding, "ceil_mode": draw(st.booleans())}
    size = draw(pairs(2, 8))
    for n, k, p, d in zip(size, kernel, padding, dilation, strict=True):
        assume(d <= n)
        assume(n + 2 * p >= d * (k - 1) + 1)
    x = np.random.default_rng(draw(st.integers(0, 99))).integers(-3, 4, (2, 2, *size))
    return {"x": x.astype(np.float64), "kernel": kernel, "dilation": dilation, "options": options}


@pytest.mark.torch
@given(case=pools(), mark=st.sampled_from([None, np.nan, -np.inf]))
def test_max_pool_is_pytorchs(case, mark):
    torch = pytest.importorskip("torch")
    x = case["x"].copy()
    if mark is not None:
        x[:, :, ::2, 1:] = mark
    options = {**case["options"], "dilation": case["dilation"]}
    want = torch.nn.functional.max_pool2d(
        torch.tensor(x), case["kernel"], **options, return_indices=True
    )
    got = reference.max_pool2d(x, case["kernel"], **options)
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.torch
@given(case=pools(dilations=1), count=st.booleans(), divisor=st.sampled_from([None, 3]))
def test_avg_pool_is_pytorchs(case, count, divisor):
    torch = pytest.importorskip("torch")
    options = {
        **case["options"],
        "count_include_pad": count,
        "divisor_override": divisor,
    }
    want = torch.nn.functional.avg_pool2d(torch.tensor(case["x"]), case["kernel"], **options)
    got = reference.avg_pool2d(case["x"], case["kernel"], **options)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.torch
@given(size=pairs(1, 7), bins=pairs(1, 9), seed=st.integers(0, 99))
def test_adaptive_pools_are_pytorchs(size, bins, seed):
    F = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    x = integers((2, 2, *size), seed)
    mean = F.adaptive_avg_pool2d(torch.tensor(x), bins)
    np.testing.assert_allclose(reference.adaptive_avg_pool2d(x, bins), mean, rtol=1e-12)
    values, indices = F.adaptive_max_pool2d(torch.tensor(x), bins, return_indices=True)
    got = reference.adaptive_max_pool2d(x, bins)
    np.testing.assert_array_equal(got[0], values)
    np.testing.assert_array_equal(got[1], indices)


@pytest.mark.torch
@given(
    size=pairs(1, 7),
    target=st.one_of(pairs(1, 17), st.tuples(*[st.floats(1, 4)] * 2)),
    mode=st.sampled_from(["nearest", "bilinear", "corners"]),
    seed=st.integers(0, 99),
)
def test_interpolate_is_pytorchs(size, target, mode, seed):
    torch = pytest.importorskip("torch")
    x = integers((2, 2, *size), seed)
    corners = None if mode == "nearest" else mode == "corners"
    name = "nearest" if mode == "nearest" else "bilinear"
    given_as = "scale_factor" if isinstance(target[0], float) else "size"
    want = torch.nn.functional.interpolate(
        torch.tensor(x), **{given_as: target}, mode=name, align_corners=corners
    ).numpy()
    scales = target if given_as == "scale_factor" else (None, None)
    got = reference.interpolate(x, want.shape[2:], scales, name, bool(corners))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.torch
@given(case=pools(), seed=st.integers(0, 99))
def test_unfold_and_fold_are_pytorchs(case, seed):
    F = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    options = {k: v for k, v in case["options"].items() if k != "ceil_mode"}
    options["dilation"] = case["dilation"]
    columns = F.unfold(torch.tensor(case["x"]), case["kernel"], **options).numpy()
    got = reference.unfold(case["x"], case["kernel"], **options)
    np.testing.assert_array_equal(got, columns)
    size, columns = case["x"].shape[2:], integers(columns.shape, seed)
    want = F.fold(torch.tensor(columns), size, case["kernel"], **options)
    np.testing.assert_array_equal(reference.fold(columns, size, case["kernel"], **options), want)


@pytest.mark.torch
@given(case=transposed())
def test_conv_transpose_is_pytorchs(case: Transposed):
    torch = pytest.importorskip("torch")
    want = torch.nn.functional.conv_transpose2d(
        torch.tensor(case.x), torch.tensor(case.w), **case.options
    )
    np.testing.assert_array_equal(reference.conv_transpose2d(case.x, case.w, **case.options), want)


@pytest.mark.torch
@given(case=correlations())
def test_correlation_and_its_gradients_are_pytorchs(case: Correlation):
    torch = pytest.importorskip("torch")
    (top, bottom), (left, right) = case.padding
    x, w = (torch.tensor(a, requires_grad=True) for a in (case.x, case.w))
    n, c, height, width = x.shape
    down, across = case.input_dilation
    spread = x.new_zeros(n, c, (height - 1) * down + 1, (width - 1) * across + 1)
    spread[:, :, ::down, ::across] = x
    padded = torch.nn.functional.pad(spread, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(
        padded, w, None, case.stride, 0, case.kernel_dilation, case.groups
    )
    np.testing.assert_array_equal(
        reference.correlate(case.x, case.w, *case.options), y.detach().numpy()
    )
    dy = integers(tuple(y.shape), seed=2)
    y.backward(torch.tensor(dy))
    dx = reference.correlate_input_gradient(dy, case.w, case.x.shape[2:], *case.options)
    dw = reference.correlate_weight_gradient(case.x, dy, case.w.shape[2:], *case.options)
    np.testing.assert_array_equal(dx, x.grad)
    np.testing.assert_array_equal(dw, w.grad)
