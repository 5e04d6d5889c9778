"""Matrix products: how cuBLAS is asked for stacks of them, and while a step is recorded."""

from __future__ import annotations

import itertools
import threading
import types

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import backend as libraries
from minisegnet.kernels import products
from minisegnet.replay import Recording
from tests import cuda_on_cpu, strict, strict_graph


def column_major(plan, out):
    """What cuBLAS does with a plan: matrices are found by their first number and their steps."""

    def matrix(x, transposed, rows, columns, leading, step, number):
        of_row, of_column = (leading, 1) if transposed else (1, leading)
        first = np.lib.stride_tricks.as_strided(
            x, (rows, columns), (of_row * x.itemsize, of_column * x.itemsize)
        )
        whole = np.ndarray(
            (rows, columns),
            x.dtype,
            buffer=base_of(x),
            offset=offset_of(x) + number * step * x.itemsize,
            strides=first.strides,
        )
        return whole

    for number in range(plan.batch):
        a = matrix(
            plan.first,
            plan.operations[0],
            plan.m,
            plan.k,
            plan.leading[0],
            plan.steps[0],
            number,
        )
        b = matrix(
            plan.second,
            plan.operations[1],
            plan.k,
            plan.n,
            plan.leading[1],
            plan.steps[1],
            number,
        )
        c = matrix(out, False, plan.m, plan.n, plan.leading[2], plan.steps[2], number)
        c[...] = a @ b
    return out


def base_of(x):
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def offset_of(x):
    address = x.__array_interface__["data"][0]
    return address - base_of(x).__array_interface__["data"][0]


def layouts(rng, batch, rows, columns):
    """The same kind of matrix in every arrangement that the kernels make."""
    shape = (rows, columns) if batch is None else (batch, rows, columns)
    plain = rng.standard_normal(shape)
    yield plain
    yield np.ascontiguousarray(plain.swapaxes(-1, -2)).swapaxes(-1, -2)
    wide = rng.standard_normal((*shape[:-2], rows + 2, columns + 3))
    yield wide[..., 1 : rows + 1, 2 : columns + 2]
    yield wide[..., ::-1, :][..., :rows, :columns]
    yield rng.standard_normal((*shape, 2))[..., 1]
    if batch is not None:
        yield rng.standard_normal((rows, batch, columns)).transpose(1, 0, 2)
        yield np.broadcast_to(rng.standard_normal((rows, columns)), shape)


@pytest.mark.parametrize("batches", [(None, None), (3, 3), (3, None), (None, 2), (1, 1)])
@pytest.mark.parametrize("size", [(2, 5, 3), (1, 4, 3), (4, 1, 2), (3, 2, 1), (1, 1, 4)])
def test_a_plan_gives_the_product(batches, size):
    rng = np.random.default_rng(6)
    rows, inner, columns = size
    tried = 0
    for a, b in itertools.product(
        layouts(rng, batches[0], rows, inner), layouts(rng, batches[1], inner, columns)
    ):
        expected = a @ b
        out = np.full((max(batches[0] or 1, batches[1] or 1), rows, columns), np.nan)
        column_major(products.planned(a, b, out), out)
        np.testing.assert_allclose(out.reshape(expected.shape), expected, atol=1e-12)
        tried += 1
    assert tried >= 25


def test_stacks_of_any_depth(monkeypatch):
    """What comes before and after the plan: broadcasting, empty matrices and ``out``."""
    rng = np.random.default_rng(8)

    class OnTheHost:
        def __init__(self, xp):
            assert xp is np

        def multiply(self, plan, out):
            column_major(plan, out)

    monkeypatch.setattr(products, "_cublas", OnTheHost)
    shapes = [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 1, 2, 3), (4, 3, 1)), ((0, 3), (3, 2))]
    for left, right in shapes:
        a, b = rng.standard_normal(left), rng.standard_normal(right)
        np.testing.assert_allclose(products._by_cublas(np, a, b, None), a @ b, atol=1e-12)
        fitting, other = np.empty_like(a @ b), np.empty((a @ b).shape[::-1]).T
        for out in (fitting, other):
            assert products._by_cublas(np, a, b, out) is out
            np.testing.assert_allclose(out, a @ b, atol=1e-12)
    nothing = products._by_cublas(np, np.ones((2, 0)), np.ones((0, 3)), None)
    np.testing.assert_array_equal(nothing, np.zeros((2, 3)))


# The four functions that are used, declared as in cublas_api.h and computing on the host.
_HOST_CUBLAS = r"""
#include <cstddef>
static void* stream_set; static void* workspace_set; static size_t workspace_size;
extern "C" int cublasCreate_v2(void** handle) { *handle = (void*)0x5eed; return 0; }
extern "C" int cublasSetStream_v2(void* handle, void* stream) {
    stream_set = stream; workspace_set = 0; return handle == (void*)0x5eed ? 0 : 1; }
extern "C" int cublasSetWorkspace_v2(void* handle, void* place, size_t size) {
    workspace_set = place; workspace_size = size; return handle == (void*)0x5eed ? 0 : 1; }
template <typename T> static void product(int ta, int tb, int m, int n, int k, T alpha,
    const T* a, int lda, const T* b, int ldb, T beta, T* c, int ldc) {
    for (int i = 0; i < m; ++i) for (int j = 0; j < n; ++j) {
        T sum = 0;
        for (int l = 0; l < k; ++l)
            sum += a[ta ? l + (long)i * lda : i + (long)l * lda]
                 * b[tb ? j + (long)l * ldb : l + (long)j * ldb];
        c[i + (long)j * ldc] = alpha * sum + (beta == 0 ? 0 : beta * c[i + (long)j * ldc]);
    } }
extern "C" int cublasGemmStridedBatchedEx(void* handle, int ta, int tb, int m, int n, int k,
    const void* alpha, const void* a, int type_a, int lda, long long step_a,
    const void* b, int type_b, int ldb, long long step_b,
    const void* beta, void* c, int type_c, int ldc, long long step_c,
    int batch, int compute, int algorithm) {
    if (handle != (void*)0x5eed || !workspace_set || workspace_size != 32 << 20) return 1;
    if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || algorithm != -1) return 7;
    if (type_a != type_b || type_a != type_c) return 15;
    for (int i = 0; i < batch; ++i) {
        if (type_a == 0 && (compute == 68 || compute == 77))
            product(ta, tb, m, n, k, *(const float*)alpha, (const float*)a + i * step_a, lda,
                (const float*)b + i * step_b, ldb, *(const float*)beta,
                (float*)c + i * step_c, ldc);
        else if (type_a == 1 && compute == 70)
            product(ta, tb, m, n, k, *(const double*)alpha, (const double*)a + i * step_a, lda,
                (const double*)b + i * step_b, ldb, *(const double*)beta,
                (double*)c + i * step_c, ldc);
        else return 15;
    }
    return compute == 77 ? 77 : 0;
}
"""


@pytest.mark.skipif(cuda_on_cpu.COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arguments_arrive_at_cublas(monkeypatch, dtype):
    """The call itself: a library with cuBLAS's functions multiplies on the host."""
    strict_graph.install(monkeypatch)
    library = cuda_on_cpu.compiled(_HOST_CUBLAS)
    monkeypatch.setattr(products, "_load", lambda major: library)
    monkeypatch.setattr(products, "_local", threading.local())
    monkeypatch.setattr(strict_graph.Stream, "ptr", 0x57, raising=False)
    device = types.SimpleNamespace(cublas_handle=1)
    monkeypatch.setattr(strict_graph.Cuda, "Device", lambda: device, raising=False)
    runtime = types.SimpleNamespace(runtimeGetVersion=lambda: 12090)
    monkeypatch.setattr(strict_graph.Cuda, "runtime", runtime, raising=False)
    rng = np.random.default_rng(9)
    for left, right in [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((4, 1, 6), (4, 6, 2))]:
        for a, b in zip(layouts(rng, *_batch(left)), layouts(rng, *_batch(right)), strict=False):
            a, b = a.astype(dtype), b.astype(dtype)
            x, y = strict.StrictArray(a), strict.StrictArray(b)
            found = products._by_cublas(strict.xp, x, y, None).get()
            np.testing.assert_allclose(found, a @ b, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(products, "tf32_is_on", lambda: True)
    if dtype == "float32":
        with pytest.raises(RuntimeError, match="cublasGemmStridedBatchedEx failed with status 77"):
            products._by_cublas(strict.xp, x, y, None)


def _batch(shape):
    return (None, *shape) if len(shape) == 2 else shape


def test_the_loaded_library_is_found(tmp_path):
    maps = tmp_path / "maps"
    lines = [
        "7f00-7f10 r-xp 00000000 08:01 12 /opt/a folder/libcublas.so.12.4.5",
        "7f10-7f20 r--p 00010000 08:01 12 /opt/a folder/libcublas.so.12.4.5",
        "7f20-7f30 r-xp 00000000 08:01 13 /opt/libcublasLt.so.12",
        "7f30-7f40 rw-p 00000000 00:00 0",
    ]
    maps.write_text("\n".join(lines), encoding="utf-8")
    assert products._mapped(str(maps)) == ["/opt/a folder/libcublas.so.12.4.5"]
    assert products._mapped(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("major", "expected"), [(12, "a/libcublas.so.12"), (13, "b/libcublas.so.13")]
)
def test_of_two_libraries_the_one_of_cupy_is_taken(monkeypatch, major, expected):
    """PyTorch may have brought one for another CUDA."""
    monkeypatch.setattr(products, "_mapped", lambda: ["a/libcublas.so.12", "b/libcublas.so.13"])
    monkeypatch.setattr(products.ctypes, "CDLL", str)
    products._load.cache_clear()
    assert products._load(major) == expected
    products._load.cache_clear()


def test_what_goes_to_cublas_directly(monkeypatch):
    """Stacks always do: CuPy would copy transposed ones, and round nothing to TF32."""
    monkeypatch.setattr(products, "device_of", lambda array: "cuda")
    monkeypatch.setattr(products, "_by_cublas", lambda xp, a, b, out: "directly")
    monkeypatch.setattr(products, "_can_do_without_cupy", lambda xp: True)
    xp = strict.xp
    one, some = xp.ones((2, 2), dtype="float32"), xp.ones((3, 2, 2), dtype="float32")
    for a, b in ((some, some), (one, some), (some, one)):
        assert products.matmul(a, b) == "directly"
    for a, b in (
        (one, one),
        (one[0], some),
        (some.astype("int64"), one),
        (one, one.astype("int8")),
    ):
        assert products.matmul(a, b).shape == np.matmul(a.get(), b.get()).shape


def test_without_cublas_stacks_go_by_cupy(monkeypatch):
    """Where the library cannot be found by its name, CuPy's own product is there still."""
    monkeypatch.setattr(products, "device_of", lambda array: "cuda")

    def missing(xp):
        raise RuntimeError("cuBLAS was not found")

    monkeypatch.setattr(products, "_cublas", missing)
    products._can_do_without_cupy.cache_clear()
    a, b = (strict.xp.ones(shape, dtype="float32") for shape in ((3, 2, 4), (3, 4, 5)))
    assert products.matmul(a, b).get().tolist() == np.full((3, 2, 5), 4).tolist()
    products._can_do_without_cupy.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_stacks_on_a_gpu(dtype):
    if not libraries.cuda_is_available():
        pytest.skip(f"no GPU: {libraries.cuda_problem()}")
    rng = np.random.default_rng(10)
    for left, right in [((2, 5, 7), (7, 3)), ((4, 1, 6), (4, 6, 2)), ((3, 7, 5), (3, 5, 2))]:
        for a, b in zip(layouts(rng, *_batch(left)), layouts(rng, *_batch(right)), strict=False):
            a, b = a.astype(dtype), b.astype(dtype)
            x, y = (libraries.to_device(v, "cuda") for v in (a, b))
            np.testing.assert_allclose(products.matmul(x, y).get(), a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recorded_products_on_a_gpu(dtype):
    if not libraries.cuda_is_available():
        pytest.skip(f"no GPU: {libraries.cuda_problem()}")
    rng = np.random.default_rng(7)
    for left, right in [((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((4, 1, 6), (4, 6, 2))]:
        a, b = (rng.standard_normal(s).astype(dtype) for s in (left, right))
        x, y = (libraries.to_device(v, "cuda") for v in (a, b))
        recorded = Recording(lambda x=x, y=y: products.matmul(x, y), "cuda")
        np.testing.assert_allclose(recorded.rehearse().get(), a @ b, rtol=1e-4, atol=1e-4)
        recorded.record()
        x[...] = x * 2
        np.testing.assert_allclose(recorded.replay().get(), 2 * a @ b, rtol=1e-4, atol=1e-4)


def test_tf32_is_off_until_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("CUPY_TF32", "0")
    monkeypatch.setattr(libraries, "_tf32", None)
    assert not libraries.tf32_is_on()
    told = []

    class Linalg:
        COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = "default", "tf32"

        @staticmethod
        def set_compute_type(dtype, kind):
            told.append((dtype, kind))

    class Cupy:
        class _core:
            _routines_linalg = Linalg

    class Library:
        module = Cupy

    monkeypatch.setitem(libraries._by_device, "cuda", Library)
    ms.set_tf32(True)
    assert libraries.tf32_is_on() and libraries.os.environ["CUPY_TF32"] == "1"
    ms.set_tf32(False)
    assert not libraries.tf32_is_on() and libraries.os.environ["CUPY_TF32"] == "0"
    assert told == [("float32", "tf32"), ("float32", "default")]
