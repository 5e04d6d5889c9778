"""Ledgers of convolutions: they sum to the op's output, and every factor is where it says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet import explain
from minisegnet.autograd import tensor
from minisegnet.explain.ledger import Cell, Origin
from minisegnet.ops import conv
from tests.geometry import Transposed, integers, pairs, transposed

LEDGERS_A_CASE = 5


def cells_of(shape: tuple[int, ...], seed: int) -> list[Cell]:
    """A few random cells of (N, C, H, W), the corners among the possible."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, shape) for _ in range(LEDGERS_A_CASE))
    return [Cell(int(r), int(c), int(k), int(n)) for n, k, r, c in drawn]


def at(walk: explain.Walkthrough, cell: Cell) -> explain.Ledger:
    return walk.at(cell.row, cell.col, cell.channel, cell.n)


def check_places(walk: explain.Walkthrough, ledger: explain.Ledger, arrays: dict) -> None:
    """Every factor has the value that stands at its index, and in all its places."""
    for term in ledger.terms:
        for factor in term.factors:
            if factor.index is not None:
                assert arrays[str(factor.origin)][factor.index] == factor.value
            else:
                assert factor.value == 0
            for name, index in factor.places.items():
                assert walk.panel(name).values[index] == factor.value, name
    bias = sum(t.value for t in ledger.terms if t.factors[0].origin is Origin.BIAS)
    for name in ("canvas", "C times the column", "C transposed times the column"):
        for index in ledger.places.get(name, ()):
            assert walk.panel(name).values[index] == ledger.total - bias


counted = 0


@settings(max_examples=300)
@given(case=transposed(), seed=st.integers(0, 2**16), with_bias=st.booleans())
def test_transposed_ledgers_sum_to_the_output_in_every_view(
    case: Transposed, seed: int, with_bias: bool
):
    global counted
    x, w = case.x.astype(np.int64), case.w.astype(np.int64)
    bias = case.bias.astype(np.int64) if with_bias else None
    walk = explain.conv_transpose2d(x, w, bias, **case.options)
    out = conv.conv_transpose2d(
        tensor(x), tensor(w), None if bias is None else tensor(bias), **case.options
    ).numpy()
    np.testing.assert_array_equal(walk.result, out)
    assert set(walk.views) == {"zero insertion", "scatter", "matrix"}
    for view in walk.views.values():
        assert view.result.dtype == np.int64
        np.testing.assert_array_equal(view.result, out)
        np.testing.assert_array_equal(view.panel("result").values, out)
    for cell in cells_of(out.shape, seed):
        want = int(out[cell.n, cell.channel, cell.row, cell.col])
        real = set()
        for name, view in walk.views.items():
            ledger = at(view, cell)
            assert type(ledger.total) is int
            assert sum(term.value for term in ledger.terms) == ledger.total == want
            assert str(ledger).endswith(f" = {want}")
            check_places(view, ledger, {"input": x, "kernel": w, "bias": bias})
            counted += name == "zero insertion"
            real.add(tuple(sorted(pair for pair in real_pairs(ledger))))
        assert len(real) == 1, "the views disagree on which input cell meets which weight"
        assert set(real.pop()) == true_pairs(case, cell)


def real_pairs(ledger: explain.Ledger) -> list[tuple]:
    """(input index, weight index) of every term that is no bias and has no made-up zero."""
    return [
        tuple(factor.index for factor in term.factors)
        for term in ledger.real_terms
        if term.factors[0].origin is not Origin.BIAS
    ]


def true_pairs(case: Transposed, cell: Cell) -> set[tuple]:
    """By the definition of the scatter: a*stride + i*dilation - padding = row, and so columns."""
    options = case.options
    stride, padding, dilation = options["stride"], options["padding"], options["dilation"]
    group, o = divmod(cell.channel, case.w.shape[1])
    inputs = case.x.shape[1] // options["groups"]
    found = set()
    for k, a, b, i, j in product(
        range(group * inputs, (group + 1) * inputs),
        *map(range, case.x.shape[2:]),
        *map(range, case.w.shape[2:]),
    ):
        if (a * stride[0] + i * dilation[0] - padding[0]) != cell.row:
            continue
        if (b * stride[1] + j * dilation[1] - padding[1]) == cell.col:
            found.add(((cell.n, k, a, b), (k, o, i, j)))
    return found


def test_at_least_a_thousand_ledgers_were_looked_at():
    if counted:  # the test above ran in this process
        assert counted >= 1000


@settings(max_examples=60)
@given(case=transposed())
def test_the_overlap_counts_are_the_numbers_of_real_terms(case: Transposed):
    walk = explain.conv_transpose2d(case.x, case.w, **case.options)
    overlap = walk.outputs["overlap counts"]
    inputs = case.x.shape[1] // case.options["groups"]
    assert overlap.shape == walk.result.shape[2:]
    for row, col in product(*map(range, overlap.shape)):
        real = walk.views["scatter"].at(row, col).terms
        assert len(real) == overlap[row, col] * inputs


@settings(max_examples=100)
@given(case=transposed())
def test_the_steps_end_in_what_the_recipe_says(case: Transposed):
    """Slide the flipped kernel over the padded input with public operations."""
    options = case.options
    walk = explain.conv_transpose2d(case.x, case.w, **options)
    padded = walk.panel("padded input").values
    flipped = walk.panel("flipped kernel").values
    again = conv.conv2d(
        tensor(padded), tensor(flipped), dilation=options["dilation"], groups=options["groups"]
    )
    np.testing.assert_array_equal(again.numpy(), walk.result)
    marks = next(s.marks for s in walk.steps if "padded input" in s.arrays)["padded input"]
    made_up = np.zeros(padded.shape, bool)
    for where in marks.values():
        assert not (made_up & where).any(), "a cell has two marks"
        made_up |= where
    assert (padded[made_up] == 0).all()
    # Every cell that is not marked is a cell of the input, in order.
    kept = padded[~made_up]
    if not any(p > d * (k - 1) for p, d, k in zip(
        options["padding"], options["dilation"], case.w.shape[2:], strict=True
    )):  # fmt: skip
        np.testing.assert_array_equal(kept, case.x.ravel())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    groups = draw(st.integers(1, 3))
    kernel, stride, dilation = draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(1, 3))
    padding = draw(pairs(0, 3))
    least = [
        max(d * (k - 1) + 1 - 2 * p, 1) for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    size = tuple(n + draw(st.integers(0, 3)) for n in least)
    seed = draw(st.integers(0, 2**16))
    x = integers((draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *size), seed)
    w = integers((groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel), seed + 1)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x.astype(np.int64), w.astype(np.int64), integers((len(w),), 3).astype(np.int64), options


@settings(max_examples=120)
@given(case=convolutions(), seed=st.integers(0, 2**16))
def test_convolution_ledgers_sum_to_the_output(case, seed: int):
    x, w, bias, options = case
    walk = explain.conv2d(x, w, bias, **options)
    out = conv.conv2d(tensor(x), tensor(w), tensor(bias), **options).numpy()
    for view in (walk, *walk.views.values()):
        np.testing.assert_array_equal(view.result, out)
        np.testing.assert_array_equal(view.panel("result").values, out)
    for cell in cells_of(out.shape, seed):
        ledgers = [at(view, cell) for view in walk.views.values()]
        for view, ledger in zip(walk.views.values(), ledgers, strict=True):
            want = out[cell.n, cell.channel, cell.row, cell.col]
            assert sum(term.value for term in ledger.terms) == ledger.total == want
            check_places(view, ledger, {"input": x, "kernel": w, "bias": bias})
        sliding, matrix = (sorted(real_pairs(ledger)) for ledger in ledgers)
        assert sliding == matrix


def test_floats_sum_as_the_engine_does():
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 2, 3, 2))
    walk = explain.conv_transpose2d(x, w, stride=(2, 3), padding=(0, 1), dilation=(1, 2))
    assert walk.result.dtype == np.float64
    for cell in cells_of(walk.result.shape, 1):
        ledgers = [at(view, cell).total for view in walk.views.values()]
        np.testing.assert_allclose(ledgers, walk.result[cell.n, cell.channel, cell.row, cell.col])
    half = explain.conv2d(x[:1].astype(np.float32), w[:2, :1].repeat(3, 1).astype(np.float32))
    assert half.result.dtype == np.float32


def test_same_and_valid_padding():
    x, w = integers((1, 1, 4, 5), 0).astype(int), integers((1, 1, 2, 3), 1).astype(int)
    same = explain.conv2d(x, w, padding="same")
    assert same.result.shape == x.shape
    assert same.at(3, 4).total == same.result[0, 0, 3, 4]
    origins = [term.factors[0].origin for term in same.at(3, 4).terms]
    assert origins == [
        Origin.INPUT, Origin.INPUT, Origin.PADDING, Origin.PADDING, Origin.PADDING, Origin.PADDING,
    ]  # fmt: skip
    assert explain.conv2d(x, w, padding="valid").result.shape == (1, 1, 3, 3)


def test_where_each_factor_came_from():
    walk = explain.conv_transpose2d(
        [[1, 2], [3, 4]], [[5, 6], [7, 8]], stride=2, padding=0, output_padding=1
    )
    sources = [tuple(f.source for f in term.factors) for term in walk.at(1, 1).terms]
    assert sources == [
        ("input[0, 0]", "kernel[1, 1]"),
        ("inserted zero", "kernel[1, 0]"),
        ("inserted zero", "kernel[0, 1]"),
        ("inserted zero", "kernel[0, 0]"),
    ]
    places = [dict(term.factors[1].places) for term in walk.at(1, 1).terms]
    assert places[1] == {"kernel": (1, 0), "flipped kernel": (0, 1)}
    assert [t.factors[0].origin for t in walk.at(4, 4).terms][-1] is Origin.EXTRA
    assert next(t.factors[0].origin for t in walk.at(0, 0).terms) is Origin.PADDING


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.conv2d([[1, 2], [3]], [[1]]), "rows of input differ in length"),
        (lambda: explain.conv2d([[1, 2]], np.ones((1, 1, 1, 1))), "give two matrices, or four"),
        (lambda: explain.conv2d([1, 2], [[1]]), "give one matrix"),
        (lambda: explain.conv2d([[1, 2]], [[1, 2, 3]]), "the kernel spans 3 columns"),
        (lambda: explain.conv2d([[]], [[1]]), "holds no values"),
        (lambda: explain.conv_transpose2d([[1]], [[1]], output_padding=1), "must be smaller"),
        (lambda: explain.conv_transpose2d([["a"]], [[1]]), "give integers or floats"),
    ],
)
def test_errors_say_what_to_do(call, message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_cells_out_of_range():
    walk = explain.conv2d([[1, 2, 3]], [[1, 2]])
    assert walk.at(-1, -1).total == walk.result[-1, -1]
    with pytest.raises(IndexError, match="no column 2 in the 1x2 result: choose 0 to 1"):
        walk.at(0, 2)
    with pytest.raises(IndexError, match="no channel 1"):
        walk.at(0, 0, channel=1)
    with pytest.raises(TypeError, match="name a cell"):
        walk.at()
    with pytest.raises(TypeError, match="name a cell"):
        walk.at(1)


def test_large_inputs_only_fail_in_the_matrix_view():
    x = np.zeros((1, 2, 60, 60))
    walk = explain.conv2d(x, np.ones((2, 2, 3, 3)))
    assert walk.at(3, 4).total == 0
    with pytest.raises(ValueError, match="explain a smaller input"):
        walk.views["matrix"]
    with pytest.raises(KeyError, match="did you mean 'matrix'"):
        walk.views["matrx"]
