"""The stand-in for CuPy refuses what CuPy refuses, and computes right what it computes."""

from __future__ import annotations

import copy
import pickle

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.backend import (
    array_module,
    cuda_is_available,
    cuda_problem,
    device_of,
    library_for,
    to_device,
    to_numpy,
)
from tests.strict import StrictArray, counting, cupyx, ndimage, special, xp
from tests.strict_rules import RECORDED

HOST = np.array([[3.0, -1.5, 2.0, 0.25], [0.5, 4.0, -2.0, 7.0], [1.0, 9.0, -6.0, 5.0]], np.float32)


@pytest.fixture
def x() -> StrictArray:
    return xp.asarray(HOST)


def same(found: StrictArray, wanted: np.ndarray) -> None:
    """An array of the stand-in with exactly these values, shape and dtype."""
    assert isinstance(found, StrictArray)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found.get(), wanted)


# ---- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: np.asarray(x),
        lambda x: np.float32(x) if x.ndim else None,
        lambda x: np.exp(x),
        lambda x: np.sum(x),
        lambda x: np.add(x, x),
        lambda x: x + HOST,
        lambda x: HOST * x,
        lambda x: HOST @ x.T,
        lambda x: x @ HOST.T,
        lambda x: x > HOST,
        lambda x: x == HOST,
        lambda x: x + [1.0, 2.0, 3.0, 4.0],  # noqa: RUF005
        lambda x: x + HOST[0, 0, None][0, ...],
        lambda x: x.__iadd__(HOST),
        lambda x: x[np.array([0, 2])],
        lambda x: x[0, np.array(1)],
        lambda x: x[HOST > 0],
        lambda x: x.__setitem__(0, HOST[0]),
        lambda x: x.__setitem__(np.array([0]), 1.0),
        lambda x: x.__setitem__(0, [1.0, 2.0, 3.0, 4.0]),
        lambda x: xp.maximum(x, HOST),
        lambda x: xp.where(x > 0, x, HOST),
        lambda x: xp.where(HOST > 0, x, x),
        lambda x: xp.concatenate([x, HOST]),
        lambda x: xp.sum(HOST),
        lambda x: xp.exp([1.0, 2.0]),
        lambda x: xp.sum([1.0, 2.0]),
        lambda x: xp.add.at(x, xp.asarray([0]), HOST[:1]),
        lambda x: xp.matmul(x, x.T, out=np.empty((3, 3), np.float32)),
        lambda x: xp.ascontiguousarray(HOST),
        lambda x: xp.take_along_axis(x, np.zeros((3, 1), int), axis=1),
        lambda x: special.erf(HOST),
        lambda x: ndimage.distance_transform_edt(HOST > 0),
        lambda x: range(3)[x.argmax()],
    ],
)
def test_refuses_host_arrays(x, mix):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        mix(x)
    same(x, HOST)


UNKNOWN_TO_CUPY = [
    lambda m, x: m.add(x, x, where=x > 0),
    lambda m, x: m.sum(x, where=x > 0),
    lambda m, x: m.max(x, initial=0.0),
    lambda m, x: x.max(initial=0.0),
    lambda m, x: x.sum(where=x > 0),
    lambda m, x: m.reshape(x, shape=(4, 3)),
    lambda m, x: m.clip(x, min=0.0, max=1.0),
    lambda m, x: m.clip(x, 0.0),
    lambda m, x: m.take(x, 0, mode="clip"),
    lambda m, x: m.concat([x], dim=0),
    lambda m, x: m.argmax(x, axis=0, where=x > 0),
    lambda m, x: m.lib.stride_tricks.as_strided(x, (2,), (4,), writeable=False),
    lambda m, x: m.einsum("ij->j", x, out=x[0]),
    lambda m, x: m.zeros(3, device="cuda"),
    lambda m, x: x.astype(np.float64, casting="safe"),
    lambda m, x: m.subtract.at(x, m.asarray([0]), 1.0),
    lambda m, x: m.add.at(x.astype(np.int16), m.asarray([0]), 1),
    lambda m, x: m.maximum.at(x.astype(np.float16), m.asarray([0]), 1.0),
    lambda m, x: m.add(x, x, x[0]),
]


@pytest.mark.parametrize("call", UNKNOWN_TO_CUPY)
def test_refuses_arguments_that_cupy_lacks(x, call):
    with pytest.raises((TypeError, ValueError)):
        call(xp, x)


@pytest.mark.parametrize("name", ["multiply", "divide", "logical_and", "power"])
def test_ufunc_at_exists_for_few(x, name):
    with pytest.raises(NotImplementedError, match=f"{name}.at"):
        getattr(xp, name).at(x, xp.asarray([0]), 2.0)


@pytest.mark.parametrize("name", ["maximum", "minimum", "logical_or"])
def test_ufunc_reduce_exists_for_few(x, name):
    with pytest.raises(NotImplementedError, match=f"{name}.reduce"):
        getattr(xp, name).reduce(x)


def test_offers_only_names_of_cupy():
    for name in ("errstate", "nditer", "block", "vecdot", "insert", "str_", "object_", "array2d"):
        assert not hasattr(xp, name)
    for name in ("normal", "permutation", "shuffle", "choice"):
        assert not hasattr(xp.random.default_rng(3), name)
    assert not hasattr(special, "softplus")
    with pytest.raises(AttributeError, match=r"does not model cupy\.RawKernel"):
        xp.RawKernel("code", "name")
    assert "scatter_add" in dir(cupyx)
    assert "tensordot" in dir(xp)


def test_array_has_only_what_cupys_array_has():
    recorded = RECORDED["ndarray"]
    public = {name for name in dir(StrictArray) if not name.startswith("_")}
    assert public <= {*recorded["methods"], *recorded["attributes"]}
    special_names = {name for name in vars(StrictArray) if name.startswith("__")}
    plain = {"__module__", "__doc__", "__qualname__", "__annotations__", "__firstlineno__"}
    plain |= {"__static_attributes__", "__reduce__"} | set(vars(object))
    assert special_names - plain <= set(recorded["special"])
    for lacking in ("__index__", "__contains__", "__round__", "__imatmul__", "__array_wrap__"):
        assert not hasattr(StrictArray, lacking)


def test_unsupported_dtypes(x):
    for values in (["a", "b"], [None, 1], np.array(["2020-01-01"], "M8[D]")):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            xp.asarray(values)


# ---- what it does like CuPy and unlike NumPy ----------------------------------------------------


def test_reductions_and_elements_stay_arrays(x):
    for found, wanted in [
        (x.sum(), HOST.sum()),
        (x.max(), HOST.max()),
        (x.mean(axis=None), HOST.mean()),
        (x.argmin(), HOST.argmin()),
        (xp.any(x > 8), np.bool_(True)),
        (xp.allclose(x, x + 0), np.bool_(True)),
        (xp.array_equal(x, x[:2]), np.bool_(False)),
        (xp.count_nonzero(x > 1), np.int64(6)),
        (x[1, 3], HOST[1, 3]),
        (abs(x[0, 1]) * 2, np.float32(3.0)),
    ]:
        same(found, np.asarray(wanted))


def test_an_element_is_a_view(x):
    cell = x[2, 1]
    cell += 1.0
    assert float(x[2, 1]) == 10.0


def test_integer_indices_wrap_around(x):
    wanted = HOST[[0, 2, 2]]
    same(x[xp.asarray([3, -1, 5])], wanted)
    same(x[[3, -1, 5]], wanted)
    same(x.take(xp.asarray([3, -1, 5]), axis=0), wanted)
    same(xp.take(x, xp.asarray([13]), axis=None), HOST.ravel()[[1]])
    same(x[1:, xp.asarray([4, 7])], HOST[1:, [0, 3]])
    same(x[..., xp.asarray(5)], HOST[..., 1])
    wrapped = xp.take_along_axis(x, xp.asarray([[4], [5], [6]]), axis=1)
    same(wrapped, np.take_along_axis(HOST, np.array([[0], [1], [2]]), axis=1))
    x[xp.asarray([4]), xp.asarray([-3])] = 100.0
    assert float(x[1, 1]) == 100.0
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(IndexError):
        x[xp.asarray([0.0])]


def test_the_first_of_repeated_assignments_wins():
    flat = xp.zeros((3, 2), dtype=np.float32)
    flat[xp.asarray([2, 0, 2])] = xp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    same(flat, np.array([[3, 4], [0, 0], [1, 2]], np.float32))
    column = flat[:, 1]
    column[xp.asarray([1, 1])] = xp.asarray([7.0, 8.0])
    assert float(flat[1, 1]) == 7.0


def test_elementwise_results_are_in_c_order(x):
    turned = x.T
    assert (turned.flags.f_contiguous, turned.flags.c_contiguous) == (True, False)
    for result in (turned + 1, -turned, xp.exp(turned), xp.maximum(turned, 0), turned > 0):
        assert result.flags.c_contiguous
    assert turned.copy().flags.c_contiguous
    assert (turned + 1).strides == (12, 4)
    for result in (turned.astype("f8"), xp.empty_like(turned), xp.zeros_like(turned)):
        assert result.flags.f_contiguous
    assert xp.copy(turned).flags.f_contiguous
    assert xp.asarray(HOST.T).flags.f_contiguous
    assert xp.asarray(np.ones((2, 3, 4)).transpose(0, 2, 1)).flags.c_contiguous


def test_empty_memory_holds_nonsense():
    assert np.isnan(xp.empty((2, 3)).get()).all()
    assert (xp.empty_like(xp.zeros(3, dtype=np.int32)).get() != 0).all()


def test_nothing_warns(x):
    with np.errstate(all="raise"):
        zero = xp.zeros((2,), dtype=np.float32)
        np.testing.assert_array_equal((1 / zero).get(), [np.inf, np.inf])
        assert np.isnan(xp.log(zero - 1).get()).all()


def test_scalars_promote_as_in_numpy_2(x):
    assert (x * 2.5).dtype == (2 - x).dtype == (x**2).dtype == np.float32
    assert (x * np.float64(2)).dtype == (np.float64(2) * x).dtype == np.float64
    assert (x * np.float32(2)).dtype == (x + xp.zeros((), dtype=np.float32)).dtype == np.float32
    assert (x + xp.zeros(())).dtype == np.float64
    assert (x > np.float64(1)).dtype == np.bool_
    x *= np.float64(2)
    same(x, HOST * np.float32(2))
    with pytest.raises(TypeError):
        xp.arange(3).__iadd__(0.5)


def test_numbers_of_repeats_are_on_the_host(x):
    same(xp.repeat(x, [1, 0, 2], axis=0), np.repeat(HOST, [1, 0, 2], axis=0))
    with pytest.raises(ValueError, match="on the host"):
        xp.repeat(x, xp.asarray([1, 0, 2]), axis=0)


def test_counts_what_reaches_the_host(x):
    with counting() as seen:
        y = (x * 2 + xp.arange(4, dtype=np.float32)).sum(axis=0)
        y[1:] = xp.maximum(y[:-1], 0)
        xp.add.at(y, xp.argmax(x, axis=1), 1.0)
        xp.concatenate([x] * 8)
        xp.concatenate([x] * 8 + [x.astype("float64")])
        xp.concatenate([xp.empty((1 << 19,), dtype="float32")] * 9)
    assert (seen.synchronisations, seen.uploads) == (0, 0)
    for wait in (
        lambda: float(x.sum()),
        lambda: int(x.argmax()),
        lambda: bool(x[0, 0] > 0),
        lambda: x.get(),
        lambda: x[0, 0].item(),
        lambda: x.tolist(),
        lambda: xp.asnumpy(x),
        lambda: x[x > 0],
        lambda: x.__setitem__(x > 100, 0.0),
        lambda: xp.nonzero(x),
        lambda: xp.where(x > 0),
        lambda: xp.unique(x),
        lambda: repr(x),
        lambda: xp.bincount(xp.arange(3)),
    ):
        with counting() as seen:
            wait()
        assert (seen.synchronisations, seen.uploads) == (1, 0)
    for send in (
        lambda: xp.asarray(HOST),
        lambda: xp.array([1, 2]),
        lambda: x[[0, 2]],
        lambda: xp.concatenate([x] * 9),
        lambda: xp.stack([x] * 9),
    ):
        with counting() as seen:
            send()
        assert (seen.synchronisations, seen.uploads) == (0, 1)


# ---- what it computes ---------------------------------------------------------------------------


COMPUTATIONS = [
    lambda m, x: x + x[0] * 2 - 1 / x,
    lambda m, x: 3 - x,
    lambda m, x: 2.0**x,
    lambda m, x: x @ x.T,
    lambda m, x: x // 2 + x % 3,
    lambda m, x: (x > 0) & ~(x < 2) | (x == 0.25) ^ (x != 7),
    lambda m, x: m.where(x > 0, x, -1.0),
    lambda m, x: m.pad(x, ((1, 0), (0, 2)), mode="reflect"),
    lambda m, x: m.concatenate([x, x[:1] * 5], axis=0),
    lambda m, x: m.stack([x, -x], axis=1),
    lambda m, x: m.einsum("ij,kj->ki", x, x * x),
    lambda m, x: m.tensordot(x, x[:, :2], axes=([0], [0])),
    lambda m, x: m.lib.stride_tricks.sliding_window_view(x, (2, 3)).sum(axis=(2, 3)),
    lambda m, x: m.flip(x, axis=1)[:, ::2],
    lambda m, x: m.moveaxis(x[None], 0, 2).squeeze(),
    lambda m, x: m.clip(x, -1.0, 4.0),
    lambda m, x: m.cumsum(x, axis=1, dtype="float64"),
    lambda m, x: x.reshape(2, -1).transpose().ravel(),
    lambda m, x: x.std(axis=0, ddof=1, keepdims=True),
    lambda m, x: m.argsort(x, axis=1),
    lambda m, x: m.take_along_axis(x, m.argmax(x, axis=0)[None], axis=0),
    lambda m, x: m.broadcast_to(x[:1], (3, 4)) + m.eye(3, 4, dtype="float32"),
    lambda m, x: m.linalg.norm(x, axis=1),
    lambda m, x: m.full_like(x, 3) * m.linspace(0, 1, 4, dtype="float32"),
    lambda m, x: m.maximum(x, 0, out=m.empty((3, 4), dtype="float32")),
    lambda m, x: m.matmul(x, x.T, out=m.empty((3, 3), dtype="float32")),
    lambda m, x: m.add.reduce(x, axis=0) + m.multiply.accumulate(x, axis=1),
    lambda m, x: m.swapaxes(x, 0, 1).mean(axis=1),
    lambda m, x: m.isfinite(x / m.zeros_like(x)),
]


@pytest.mark.parametrize("compute", COMPUTATIONS)
def test_computes_what_numpy_computes(x, compute):
    with np.errstate(all="ignore"):
        wanted = compute(np, HOST)
    same(compute(xp, x), wanted)


@given(
    array=hnp.arrays(np.float32, (4, 3, 5), elements=st.floats(-8, 8, width=32)),
    index=hnp.basic_indices((4, 3, 5)),
    number=st.integers(-3, 3),
)
def test_basic_indices_read_write_and_view(array, index, number):
    device = xp.asarray(array.copy())
    same(device[index], np.asarray(array[index]))
    view = device[index]
    array[index] = array[index] * 2 + number
    view *= 2
    view += number
    same(device, array)
    device[index] = number
    array[index] = number
    same(device, array)


@given(
    array=hnp.arrays(np.int64, (4, 3, 5), elements=st.integers(-99, 99)),
    indices=hnp.integer_array_indices((4, 3, 5)),
    data=st.data(),
)
def test_integer_indices_read_and_add(array, indices, data):
    device = xp.asarray(array)
    on_device = tuple(xp.asarray(part) for part in indices)
    same(device[on_device], array[indices])
    wanted = array.copy()
    values = data.draw(hnp.arrays(np.int64, array[indices].shape, elements=st.integers(-9, 9)))
    np.add.at(wanted, indices, values)
    xp.add.at(device, on_device, xp.asarray(values))
    same(device, wanted)


def test_masks(x):
    same(x[x > 1], HOST[HOST > 1])
    same(x[xp.asarray([True, False, True])], HOST[[0, 2]])
    x[x < 0] = 0.0
    same(x, np.where(HOST < 0, np.float32(0), HOST))


def test_scatter_with_other_operations(x):
    xp.maximum.at(x, (xp.asarray([0, 0]), xp.asarray([1, 1])), xp.asarray([5.0, 3.0]))
    assert float(x[0, 1]) == 5.0
    cupyx.scatter_add(x, xp.asarray([2, 2]), 1.5)
    same(x[2], HOST[2] + np.float32(3))
    xp.put_along_axis(x, xp.asarray([[1], [2], [7]]), 42.0, axis=1)
    assert [float(x[0, 1]), float(x[1, 2]), float(x[2, 3])] == [42.0, 42.0, 42.0]


def test_mirrors_of_scipy(x):
    assert special.erf(x).dtype == np.float32
    np.testing.assert_allclose(special.expit(x[0]).get(), 1 / (1 + np.exp(-HOST[0])), rtol=1e-6)
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]], bool)
    found = ndimage.distance_transform_edt(xp.asarray(mask))
    np.testing.assert_allclose(found.get()[:, 0], [np.sqrt(5), 2.0, np.sqrt(5)])


def test_copies(x):
    for duplicate in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.copy()):
        same(duplicate, HOST)
        duplicate[0] = 0.0
    same(x, HOST)
    for itself in (xp.asarray(x), xp.ascontiguousarray(x), x.astype("f4", copy=False)):
        assert itself is x
    assert xp.array(x) is not x


def test_random_numbers_are_seeded():
    first, second = (xp.random.default_rng(5).standard_normal((2, 3)) for _ in range(2))
    same(first, second.get())


def test_none_compares_to_nothing(x):
    same(x == None, np.zeros((3, 4), bool))  # noqa: E711
    same(x != None, np.ones((3, 4), bool))  # noqa: E711


def test_is_a_library_of_the_engine(x):
    assert device_of(x) == "strict"
    assert array_module(x) is xp is library_for("strict").module
    same(to_device(HOST, "strict"), HOST)
    np.testing.assert_array_equal(to_numpy(x), HOST)
    with pytest.raises(TypeError, match=r"'strict'.*'cpu'|'cpu'.*'strict'"):
        array_module(x, HOST)


def test_defers_to_a_class_that_opts_out(x):
    class Wrapper:
        __array_ufunc__ = None

        def __rmul__(self, other):
            return "mine"

    assert x * Wrapper() == "mine"


# ---- whether all that is true of CuPy -----------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_is_available(), reason=f"no GPU: {cuda_problem()}")
def test_cupy_has_the_same_manners(x):
    cupy = library_for("cuda").module
    on_gpu = cupy.asarray(HOST)
    for call in UNKNOWN_TO_CUPY:
        with pytest.raises((TypeError, ValueError)):
            call(cupy, on_gpu)
    for compute in COMPUTATIONS:
        found, wanted = compute(cupy, on_gpu), compute(xp, x)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert found.flags.c_contiguous == wanted.flags.c_contiguous
        np.testing.assert_allclose(found.get(), wanted.get(), rtol=1e-5)
    assert (on_gpu.T + 1).flags.c_contiguous
    assert on_gpu.T.astype("f8").flags.f_contiguous
    np.testing.assert_array_equal(on_gpu[cupy.asarray([3, -1, 5])].get(), HOST[[0, 2, 2]])
