"""Joining and choosing: cat, stack, where, maximum, minimum and clip, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet import functional as F
from minisegnet.autograd import tensor
from minisegnet.gradcheck import gradcheck


def channels_last(values):
    if values.ndim < 3:
        return values
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


@st.composite
def parts(draw, least=0):
    """Arrays that differ in length along one axis alone."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = draw(st.integers(0, len(shape) - 1))
    lengths = draw(st.lists(st.integers(least, 4), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    arrays = [rng.normal(size=(*shape[:axis], n, *shape[axis + 1 :])) for n in lengths]
    layout = draw(st.sampled_from([lambda v: v, channels_last]))
    return [layout(v) for v in arrays], draw(st.sampled_from([axis, axis - len(shape)]))


@given(parts())
def test_cat_puts_each_cell_where_it_belongs(backend, case):
    arrays, dim = case
    y = backend.numpy(F.cat([backend.tensor(v) for v in arrays], dim))
    moved, start = np.moveaxis(y, dim, 0), 0
    for values in arrays:
        for row in np.moveaxis(values, dim, 0):
            np.testing.assert_array_equal(moved[start], row)
            start += 1
    assert len(moved) == start


@given(parts(least=1))
def test_cat_gradients(backend, case):
    arrays, dim = case
    inputs = [backend.tensor(v, requires_grad=i != 1) for i, v in enumerate(arrays)]
    assert gradcheck(lambda *parts: F.cat(parts, dim=dim), inputs)


def test_cat_of_one_tensor_with_itself_adds_up_its_gradients(backend):
    x = backend.tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    upstream = backend.asarray(np.array([[1.0, 2.0, 10.0, 20.0]]))
    F.cat((x, x), 1).backward(upstream)
    np.testing.assert_array_equal(backend.numpy(x.grad), [[11.0, 22.0]])


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (["float32", "float64"], "float64"),
        (["float32", "int64"], "float32"),
        (["int64", "float32", "bool"], "float32"),
        (["uint8", "int64"], "int64"),
        (["bool", "uint8"], "uint8"),
        (["float32", "float32"], "float32"),
    ],
)
def test_cat_promotes(backend, dtypes, wanted):
    arrays = [np.arange(1, 3 + i).astype(d) for i, d in enumerate(dtypes)]
    y = F.cat([backend.tensor(v) for v in arrays])
    assert y.dtype == wanted
    np.testing.assert_array_equal(backend.numpy(y), [v for a in arrays for v in a.tolist()])


def test_gradients_return_in_the_dtype_they_left(backend):
    single = backend.tensor(np.ones((1, 2), "float32"), requires_grad=True)
    double = backend.tensor(np.ones((2, 2)), requires_grad=True)
    F.cat([single, double]).backward(backend.asarray(np.array([[1.0, 2], [3, 4], [5, 6]])))
    assert (single.grad.dtype, double.grad.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(backend.numpy(double.grad), [[3, 4], [5, 6]])


def test_cat_keeps_maps_channels_last(backend):
    a, b = (backend.tensor(np.arange(24.0).reshape(1, 3, 4, 2) + i) for i in range(2))
    y = F.cat([a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)], 1)
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous
    assert backend.numpy(y)[0, :, 1, 2].tolist() == [12, 13, 13, 14]


@given(st.data())
def test_stack_is_cat_along_a_new_dimension(backend, data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=0, max_size=3))
    dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    arrays = [rng.normal(size=shape) for _ in range(data.draw(st.integers(1, 3)))]
    inputs = [backend.tensor(v, requires_grad=True) for v in arrays]
    y = np.moveaxis(backend.numpy(F.stack(inputs, dim)), dim, 0)
    assert y.shape == (len(arrays), *shape)
    for found, values in zip(y, arrays, strict=True):
        np.testing.assert_array_equal(found, values)
    if shape:
        assert gradcheck(lambda *parts: F.stack(parts, dim), inputs)


def shaped(*shapes):
    return [tensor(np.ones(shape, "float32")) for shape in shapes]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.cat([], 1), ValueError, "cat: there is nothing to join"),
        (lambda: F.cat(shaped((2, 3))[0]), TypeError, r"cat: got one tensor of shape \(2, 3\)"),
        (lambda: F.cat([*shaped((2, 3)), [1, 2]]), TypeError, "cat: entry 1 is a list"),
        (lambda: F.cat(shaped((2, 3), (2, 3)), 2), IndexError, "cat: dim 2 is out of range"),
        (lambda: F.cat(shaped((2, 3), (2,))), ValueError, "cat: tensor 1 has 1 dimensions"),
        (
            lambda: F.cat(shaped((1, 2, 57, 31), (1, 8, 56, 31)), 1),
            ValueError,
            "cat: tensor 0 is 57x31 but tensor 1 is 56x31 .*57 is odd, so a pooling dropped a row: "
            "pad the input to a multiple",
        ),
        (
            lambda: F.cat(shaped((1, 2, 8, 30), (1, 8, 8, 31)), 1),
            ValueError,
            "31 is odd, so a pooling dropped a column",
        ),
        (
            lambda: F.cat(shaped((1, 2, 64, 30), (1, 8, 32, 15)), 1),
            ValueError,
            "64x30 but tensor 1 is 32x15.*resize one of them",
        ),
        (
            lambda: F.cat(shaped((1, 2, 5), (1, 3, 5), (2, 2, 7)), 1),
            ValueError,
            r"cat: along dimension 1 .*\(1, 2, 5\) and tensor 2 \(2, 2, 7\): 1 and 2 in dimension "
            "0, 5 and 7 in dimension 2",
        ),
        (lambda: F.stack([]), ValueError, "stack: there is nothing to join"),
        (lambda: F.stack(shaped((2, 3), (3, 2))), ValueError, r"stack: tensor 1 has .*\(3, 2\)"),
        (lambda: F.stack(shaped((2, 3)), 4), IndexError, "stack: dim 4 is out of range"),
        (lambda: F.where(tensor([1, 0]), 1.0, 2.0), TypeError, "where: the condition is int64"),
        (lambda: F.clip(tensor([1.0])), ValueError, "clip: give min, max or both"),
        (lambda: F.clip(tensor([1.0]), tensor([2.0])), TypeError, "clip: min is a Tensor"),
        (lambda: F.maximum(*shaped((2, 3), (2, 4))), ValueError, r"maximum:.*\(2, 4\)"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def broadcastable(draw, rng, shape):
    """An array that broadcasts to the shape: some axes of length 1, some leading ones left out."""
    lengths = [1 if draw(st.booleans()) else n for n in shape]
    return rng.normal(size=lengths[draw(st.integers(0, len(shape))) :])


@st.composite
def operands(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng, shape, *(broadcastable(draw, rng, shape) for _ in range(3))


@given(operands())
def test_where(backend, case):
    _, _, c, a, b = case
    condition = backend.tensor(np.asarray(c > 0))
    x, y = backend.tensor(a, requires_grad=True), backend.tensor(b, requires_grad=True)
    found = backend.numpy(F.where(condition, x, y))
    c, a, b = np.broadcast_arrays(c > 0, a, b)
    wanted = [p if yes else q for yes, p, q in zip(c.flat, a.flat, b.flat, strict=True)]
    np.testing.assert_array_equal(found, np.array(wanted).reshape(c.shape))
    if x.ndim and y.ndim:
        assert gradcheck(lambda x, y: F.where(condition, x, y), [x, y])


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [
        (np.ones(2, "float32"), 0.5, "float32"),
        (np.ones(2, "float32"), np.float64(0.5), "float32"),
        (2, np.ones(2, "float64"), "float64"),
        (np.ones(2, "int64"), 0.5, "float32"),
        (np.ones(2, "int64"), np.ones(2, "float32"), "float32"),
        (1.0, 0.0, "float32"),
        (1, 0, "int64"),
    ],
)
def test_where_with_numbers(backend, a, b, dtype):
    values = [backend.tensor(v) if isinstance(v, np.ndarray) else v for v in (a, b)]
    y = F.where(backend.tensor(np.array([True, False])), *values)
    assert y.dtype == dtype
    np.testing.assert_array_equal(backend.numpy(y), [np.ravel(a)[0], np.ravel(b)[-1]])


def test_where_keeps_an_infinite_branch_out_of_the_gradient(backend):
    x = backend.tensor(np.array([0.0, 4.0]), requires_grad=True)
    safe = F.where(x > 0, x, 1.0)
    F.where(x > 0, safe.sqrt(), 0.0).sum().backward()
    np.testing.assert_array_equal(backend.numpy(x.grad), [0.0, 0.25])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@given(case=operands())
def test_maximum_and_minimum(backend, name, case):
    _, _, a, b, _ = case
    x, y = backend.tensor(a, requires_grad=True), backend.tensor(b, requires_grad=True)
    choose = max if name == "maximum" else min
    found = backend.numpy(getattr(F, name)(x, y))
    p, q = np.broadcast_arrays(a, b)
    wanted = [choose(v, w) for v, w in zip(p.flat, q.flat, strict=True)]
    np.testing.assert_array_equal(found, np.array(wanted).reshape(p.shape))
    if x.ndim and y.ndim:
        assert gradcheck(getattr(F, name), [x, y])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_equal_values_share_the_gradient(backend, name):
    x = backend.tensor(np.array([1.0, 5.0, 2.0]), requires_grad=True)
    y = backend.tensor(np.array([1.0, 2.0, 5.0]), requires_grad=True)
    getattr(F, name)(x, y).backward(backend.asarray(np.array([6.0, 10.0, 20.0])))
    first, second = ([3, 10, 0], [3, 0, 20]) if name == "maximum" else ([3, 0, 20], [3, 10, 0])
    np.testing.assert_array_equal(backend.numpy(x.grad), first)
    np.testing.assert_array_equal(backend.numpy(y.grad), second)


def test_maximum_with_a_number(backend):
    x = backend.tensor(np.array([1.0, 5.0], "float32"), requires_grad=True)
    y = F.maximum(x, np.float64(3))
    y.backward(backend.asarray(np.array([7.0, 9.0], "float32")))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(backend.numpy(y), [3, 5])
    np.testing.assert_array_equal(backend.numpy(x.grad), [0, 9])


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=8),
    st.none() | st.integers(-3, 3),
    st.none() | st.integers(-3, 3),
)
def test_clip(backend, values, low, high):
    if low is None and high is None:
        low = 1
    x = backend.tensor(np.array(values, "float32"), requires_grad=True)
    y = F.clip(x, low, None if high is None else np.float64(high))
    upstream = np.arange(2.0, 2 + len(values))
    y.backward(backend.asarray(upstream.astype("float32")))
    wanted, gradient = [], []
    for v, g in zip(values, upstream, strict=True):
        clipped = v if low is None else max(v, low)
        wanted.append(clipped if high is None else min(clipped, high))
        # At the bounds themselves the gradient still passes.
        outside = (low is not None and v < low) or (high is not None and v > high)
        gradient.append(0.0 if outside else g)
    assert y.dtype == x.grad.dtype == np.float32
    np.testing.assert_array_equal(backend.numpy(y), wanted)
    np.testing.assert_array_equal(backend.numpy(x.grad), gradient)


def test_clip_of_integers(backend):
    x = backend.tensor(np.array([-3, 1, 7]))
    assert F.clip(x, 0, 5).dtype == np.int64
    y = F.clip(x, 0, 5.5)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(backend.numpy(y), [0, 1, 5.5])


@pytest.mark.torch
@given(st.data())
def test_choosing_as_torch(data):
    """With many ties, and with values on the bounds."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    a, b = rng.integers(-2, 3, (2, 3, 4)).astype("float32")
    upstream = rng.standard_normal((3, 4), "float32")
    low, high = sorted(rng.integers(-2, 3, 2).tolist())
    for ours, theirs in (
        (lambda a, b: F.maximum(a, b), torch.maximum),
        (lambda a, b: F.minimum(a, b), torch.minimum),
        (lambda a, b: F.where(a > b, a, b * 2), lambda a, b: torch.where(a > b, a, b * 2)),
        (lambda a, b: F.clip(a, low, high) + b, lambda a, b: torch.clamp(a, low, high) + b),
        (lambda a, b: F.stack([a, b], 1)[:, 0] + b, lambda a, b: torch.stack([a, b], 1)[:, 0] + b),
    ):
        x, y = (tensor(v, requires_grad=True) for v in (a, b))
        t, u = (torch.tensor(v, requires_grad=True) for v in (a, b))
        found, wanted = ours(x, y), theirs(t, u)
        np.testing.assert_array_equal(found.numpy(), wanted.detach())
        found.backward(upstream)
        wanted.backward(torch.tensor(upstream))
        np.testing.assert_array_equal(x.grad, t.grad)
        np.testing.assert_array_equal(y.grad, u.grad)
