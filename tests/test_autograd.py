"""The tape, the tensor, and the rules of arithmetic."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minisegnet import autograd
from minisegnet.autograd import Tensor, no_grad, op, tensor
from minisegnet.backend import Array
from minisegnet.gradcheck import gradcheck

FLOATS = st.floats(-3, 3).map(lambda v: round(v, 2) + 0.005)


def values(shape: tuple[int, ...], seed: int = 0, low: float = -2.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, 2.0, shape)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / (b * b + 1),
        lambda a, b: (a * a + 0.5) ** b,
        lambda a, b: 2.0**a + b**3,
        lambda a, b: 3 - a + (1 / (b * b + 1)),
        lambda a, b: -a * abs(b),
    ],
)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
def test_broadcast_arithmetic(backend, function, shapes):
    a, b = (values(shape, i) for i, shape in enumerate(shapes.input_shapes))
    inputs = [backend.tensor(x, requires_grad=True) for x in (a, b)]
    got = backend.numpy(function(*inputs))
    np.testing.assert_allclose(got, function(a, b), rtol=1e-12)
    assert gradcheck(function, inputs)


@pytest.mark.parametrize(
    ("left", "right"),
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
     ((3,), (2, 3, 4)), ((2, 4, 3), (3,))],
)  # fmt: skip
def test_matmul(backend, left, right):
    a, b = values(left, 1), values(right, 2)
    inputs = [backend.tensor(x, requires_grad=True) for x in (a, b)]
    np.testing.assert_allclose(backend.numpy(inputs[0] @ inputs[1]), a @ b, rtol=1e-12)
    assert gradcheck(lambda x, y: x @ y, inputs)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "abs"])
def test_functions(backend, name):
    x = values((2, 3), 3, low=0.1)
    got = getattr(backend.tensor(x), name)()
    np.testing.assert_allclose(backend.numpy(got), getattr(np, name)(x), rtol=1e-12)
    assert gradcheck(lambda t: getattr(t, name)(), [backend.tensor(x, requires_grad=True)])


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2), (1,)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_reductions(backend, name, dim, keepdim):
    x = values((2, 3, 4), 4)
    t = backend.tensor(x, requires_grad=True)
    want = getattr(np, name)(x, axis=dim, keepdims=keepdim)
    got = getattr(t, name)(dim=dim, keepdim=keepdim)
    np.testing.assert_allclose(backend.numpy(got), want, rtol=1e-12)
    same = getattr(t, name)(axis=dim, keepdims=keepdim)
    np.testing.assert_array_equal(backend.numpy(same), backend.numpy(got))
    assert gradcheck(lambda u: getattr(u, name)(dim, keepdim), [t])


def test_equal_largest_values_share_the_gradient():
    x = tensor([[1.0, 5.0, 5.0], [7.0, 2.0, 3.0]], requires_grad=True)
    x.max(dim=1).backward(np.array([4.0, 3.0], dtype=np.float32))
    np.testing.assert_array_equal(x.grad, [[0, 2, 2], [3, 0, 0]])


def test_shapes(backend):
    x = values((2, 3, 4), 5)
    t = backend.tensor(x, requires_grad=True)
    for function, want in [
        (lambda u: u.reshape(4, -1), x.reshape(4, -1)),
        (lambda u: u.reshape((3, 8)), x.reshape(3, 8)),
        (lambda u: u.transpose(0, 2), x.swapaxes(0, 2)),
        (lambda u: u.permute(1, 2, 0), x.transpose(1, 2, 0)),
        (lambda u: u.flatten(1), x.reshape(2, 12)),
        (lambda u: u.T, x.T),
    ]:
        np.testing.assert_array_equal(backend.numpy(function(t)), want)
        assert gradcheck(function, [t])


@st.composite
def indices(draw: st.DrawFn):
    shape = (4, 3, 5)
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    lists = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    masks = hnp.arrays(bool, draw(st.sampled_from([(4,), (4, 3), (4, 3, 5)])))
    return draw(st.one_of(basic, lists, masks))


@given(index=indices(), seed=st.integers(0, 99))
def test_indexing_of_every_kind(backend, index, seed):
    x = values((4, 3, 5), seed)
    t = backend.tensor(x, requires_grad=True)

    def on_device(part):
        return backend.asarray(part) if isinstance(part, np.ndarray) else part

    there = tuple(map(on_device, index)) if isinstance(index, tuple) else on_device(index)
    picked = t[there]
    np.testing.assert_array_equal(backend.numpy(picked), x[index])
    if picked.size == 0:
        return
    grad = values(picked.shape, seed + 1)
    picked.backward(backend.asarray(grad))
    want = np.zeros_like(x)
    np.add.at(want, index, grad)  # repeated cells add up
    np.testing.assert_allclose(backend.numpy(t.grad), want, rtol=1e-12)


def test_index_out_of_range_is_refused(backend):
    t = backend.tensor(values((4, 3)))
    for index in (5, (0, 3), (slice(None), backend.asarray(np.array([0, 3]))), (Ellipsis, -4)):
        with pytest.raises(IndexError, match="out of bounds"):
            t[index]


def test_gradients_add_where_a_tensor_is_used_twice():
    x = tensor([2.0, -3.0], requires_grad=True)
    y = x * x + x
    (y * x).sum().backward()  # x^3 + x^2
    np.testing.assert_array_equal(x.grad, [3 * 4 + 2 * 2, 3 * 9 - 2 * 3])


def test_a_gradient_without_dimensions_is_an_array():
    x, y = tensor(2.0, requires_grad=True), tensor([1.0, 4.0], requires_grad=True)
    (x * y).sum().backward()
    assert isinstance(x.grad, np.ndarray)
    assert (x.grad.shape, x.grad.item()) == ((), 5.0)


def test_gradients_of_two_backward_calls_add_up_and_are_not_shared():
    a, b = tensor([1.0, 2.0], requires_grad=True), tensor([5.0, 7.0], requires_grad=True)
    (a + b).sum().backward()
    a.grad *= 10
    np.testing.assert_array_equal(b.grad, [1, 1])
    (a * b).sum().backward()
    np.testing.assert_array_equal(b.grad, [2, 3])
    np.testing.assert_array_equal(a.grad, [15, 17])


def test_only_leaves_get_gradients():
    x = tensor([1.0, 2.0], requires_grad=True)
    middle = x * 3
    middle.sum().backward()
    assert middle.grad is None
    assert not middle.is_leaf
    assert x.is_leaf
    np.testing.assert_array_equal(x.grad, [3, 3])


def test_a_chain_of_50000_ops_goes_backward():
    x = tensor([1.0], requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + x
    y.backward()
    np.testing.assert_array_equal(x.grad, [50_001])
    for _ in range(50_000):  # and one that is dropped without going backward
        y = y * 1.0 + x
    del y
    gc.collect()


def test_a_graph_shared_many_times_is_walked_once():
    x = tensor([1.0], requires_grad=True, dtype="float64")
    y = x
    for _ in range(200):  # 2^200 paths
        y = y * 0.5 + y * 0.5
    y.backward()
    np.testing.assert_allclose(x.grad, [1.0])


def test_a_freed_graph_raises_and_says_what_to_do():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed by an earlier backward.*retain_graph=True"):
        y.backward()


def test_retain_graph_lets_it_go_twice():
    x = tensor([3.0], requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad, [12])


def test_intermediate_results_are_freed_by_backward():
    import weakref

    x = tensor(values((3, 3)), requires_grad=True)
    middle = x * 2
    ref = weakref.ref(middle)
    out = (middle + 1).sum()
    del middle
    assert ref() is None  # an addition needs no values
    out.backward()
    np.testing.assert_array_equal(x.grad, np.full((3, 3), 2.0))


def test_no_grad_records_nothing_and_nests():
    x = tensor([1.0], requires_grad=True)
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @no_grad()
    def inside():
        return (x * 2).requires_grad

    assert inside() is False
    with pytest.raises(ValueError, match="stop"), no_grad():
        raise ValueError("stop")
    assert (x * 2).requires_grad


def test_no_grad_holds_for_its_own_thread_only():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(autograd.is_recording()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_needs_something_to_do():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        tensor([1.0]).backward()
    x = tensor([[1.0, 2.0]], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"shape \(1, 2\), not one value"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\) and the tensor \(1, 2\)"):
        (x * 2).backward(np.ones(2, dtype=np.float32))


def test_a_rule_with_a_gradient_of_the_wrong_shape_is_found():
    @op
    def wrong(x: Array):
        return x * 2, lambda grad: (grad.sum(),)

    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"'wrong' returned a gradient of shape \(\) .*\(2,\)"):
        wrong(x).sum().backward()


def test_an_op_takes_any_number_of_arrays_and_passes_extras_on():
    @op
    def spread(*arrays: Array, scale: float = 1.0):
        total = sum(arrays) * scale
        return (total, total > 2), lambda grad: tuple(grad * scale for _ in arrays)

    a, b = tensor([1.0, 0.0], requires_grad=True), tensor([0.5, 0.25])
    total, large = spread(a, b, a, scale=2.0)
    total.sum().backward()
    np.testing.assert_array_equal(a.grad, [4, 4])
    assert large.tolist() == [True, False]
    assert not large.requires_grad


def test_an_unwanted_gradient_is_not_computed():
    @op
    def product(a: Array, b: Array):
        def never():
            raise AssertionError("computed a gradient that nobody wants")

        return a * b, lambda grad: (lambda: grad * b, never)

    x = tensor([2.0], requires_grad=True)
    product(x, tensor([3.0])).backward()
    np.testing.assert_array_equal(x.grad, [3])


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: tensor(3), np.int64),
        (lambda: tensor([1, 2]), np.int64),
        (lambda: tensor([True]), np.bool_),
        (lambda: tensor(1.5), np.float32),
        (lambda: tensor([1, 2.5]), np.float32),
        (lambda: tensor(np.ones(2)), np.float64),
        (lambda: tensor(np.ones(2, dtype=np.uint8)), np.uint8),
        (lambda: tensor([1], dtype="float64"), np.float64),
        (lambda: np.float64(2) * tensor([1.0]), np.float32),
        (lambda: tensor([1.0]) * np.float64(2), np.float32),
        (lambda: tensor([1.0]) + 2, np.float32),
        (lambda: 2 ** tensor([1.0]), np.float32),
        (lambda: tensor([1, 2]) * 0.5, np.float32),
        (lambda: tensor([1, 2]) / tensor([2, 3]), np.float32),
        (lambda: tensor([1, 2]) * tensor([0.5, 1.5]), np.float32),
        (lambda: np.array([1, 2]) * tensor([0.5, 1.5]), np.float32),
        (lambda: tensor([1.0, 2.0]) * tensor(2.0, dtype="float64"), np.float32),
        (lambda: tensor([1.0]) * tensor([2.0], dtype="float64"), np.float64),
        (lambda: tensor([1, 2]).mean(), np.float32),
        (lambda: tensor([True, True]).sum(), np.int64),
        (lambda: tensor([1, 2]).exp(), np.float32),
        (lambda: tensor([1.0]).to(np.float64), np.float64),
        (lambda: tensor([1.0]).to("float64"), np.float64),
        (lambda: tensor([1.0]).double().float(), np.float32),
    ],
)
def test_dtypes(make, dtype):
    assert make().dtype == dtype


def test_arrays_and_tensors_mix_from_both_sides():
    x = tensor([[1.0, 2.0]], requires_grad=True)
    array = np.array([[3.0], [4.0]], dtype=np.float32)
    for product in (x * array, array * x):
        assert isinstance(product, Tensor)
        np.testing.assert_array_equal(product.numpy(), [[3, 6], [4, 8]])
    assert isinstance(array.T @ (array @ x), Tensor)


def test_comparisons_and_conversions():
    x = tensor([1.0, 2.0, 3.0])
    assert (x > 2).tolist() == [False, False, True]
    assert (x == np.array([1.0, 0.0, 3.0])).tolist() == [True, False, True]
    assert (2 >= x).tolist() == [True, True, False]  # noqa: SIM300
    assert float(x[1]) == 2.0
    assert int(tensor(7)) == 7
    assert [10, 20, 30][tensor(2)] == 30
    assert len(x) == 3
    assert [v.item() for v in x] == [1.0, 2.0, 3.0]
    assert np.asarray(x).dtype == np.float32
    assert x[x > 1.5].tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="neither true nor false"):
        bool(x)
    with pytest.raises(ValueError, match="holds 3 values, not one"):
        x.item()
    with pytest.raises(TypeError):
        x + [1, 2, 3]  # noqa: RUF005


def test_assignment_is_refused_where_it_would_falsify_a_gradient():
    x = tensor([1.0, 2.0])
    x[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    with pytest.raises(RuntimeError, match="falsify the gradient"):
        tensor([1.0], requires_grad=True)[0] = 2.0


def test_what_cannot_be_a_tensor_is_refused():
    with pytest.raises(ValueError, match="rows differ in length"):
        tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match="not real numbers"):
        tensor(["a"])
    with pytest.raises(TypeError, match="not real numbers"):
        tensor([1 + 2j])
    with pytest.raises(TypeError, match="only floating tensors can require a gradient"):
        tensor([1, 2], requires_grad=True)
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        tensor([1.0], device="tpu")


def test_an_integer_result_has_no_gradient():
    assert not tensor([1.5], requires_grad=True).to("int64").requires_grad


def test_moving_to_another_device_carries_the_gradient_back(backend):
    x = tensor(np.array([[1.0, 2.0]]), requires_grad=True)
    y = (x.to(backend.device).to(dtype="float32") * 3).sum()
    assert y.device == backend.device
    assert y.dtype == np.float32
    y.backward()
    assert isinstance(x.grad, np.ndarray)
    np.testing.assert_array_equal(x.grad, [[3, 3]])


def test_mixed_devices_are_refused_with_both_names():
    with pytest.raises(TypeError, match=r"add: one array is on 'cpu' and another on 'strict'"):
        tensor([1.0]) + tensor([1.0], device="strict")
    with pytest.raises(TypeError, match="strict"):
        tensor([1.0]) + tensor([1.0], device="strict").data


def test_repr_shows_what_matters():
    assert repr(tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    x = tensor([1.5], requires_grad=True)
    assert repr(x) == "tensor([1.5], requires_grad=True)"
    assert repr(x * 2) == "tensor([3.], op=multiply)"
    assert repr(tensor([1.5], dtype="float64")) == "tensor([1.5], dtype=float64)"
