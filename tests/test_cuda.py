"""The GPU's own kernels: each equals the plain version beside it.

Their text is compiled for the processor (``tests/cuda_on_cpu.py``), and on a machine with a GPU the
same cases run there.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import backend as libraries
from minisegnet.kernels import cuda, gathering, orthogonal, places, rows, windows
from minisegnet.kernels.phases import phases
from minisegnet.kernels.windows import Windows
from tests import cuda_on_cpu

COMPILED = pytest.mark.skipif(cuda_on_cpu.COMPILER is None, reason="there is no C++ compiler")
MACHINES = [
    pytest.param("numpy", marks=COMPILED),
    pytest.param("strict", marks=COMPILED),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


@pytest.fixture(params=MACHINES)
def machine(request, monkeypatch):
    """Brings arrays to where the kernels run, and values back."""
    if request.param == "cuda":
        if not libraries.cuda_is_available():
            pytest.skip(f"no GPU: {libraries.cuda_problem()}")
        return lambda x: libraries.to_device(x, "cuda")

    def compiled(xp, name, *types):
        return cuda_on_cpu.RawKernel(cuda.source(*types), name)

    monkeypatch.setattr(cuda, "_compiled", compiled)
    return lambda x: libraries.to_device(x, "cpu" if request.param == "numpy" else "strict")


def maps(rng, shape, dtype, last):
    """Values of which some are equal; channels first or last in memory."""
    x = rng.integers(-3, 4, shape).astype(dtype) / 2
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if last else x


def same(found, expected, **tolerance):
    found = libraries.to_numpy(found)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, **tolerance)


WINDOWS = [
    Windows((4, 6), (2, 2), (2, 2)),
    Windows((5, 7), (3, 2), (2, 1), (1, 1)),
    Windows((7, 4), (2, 3), (1, 2), (0, 1), (3, 1)),
    Windows((7, 8), (3, 3), (2, 3), (1, 0), (1, 2), ceil_mode=True),
    Windows((1, 3), (1, 3), (1, 1)),
    Windows((17, 18), (17, 16), (1, 2)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("geometry", WINDOWS)
def test_max_pooling_and_its_gradient(machine, geometry, last, dtype):
    rng = np.random.default_rng(1)
    x = maps(rng, (2, 3, *geometry.size), dtype, last)
    x[0, 1, 0, 1:3] = np.nan
    x[1, 2] = -np.inf
    values, winner = windows.max_over_windows.plain(x, geometry)
    found, won = cuda.max_over_windows(machine(x), geometry)
    same(found, values)
    same(won, winner)
    grad = rng.standard_normal(values.shape).astype(dtype)
    expected = windows.scatter_to_winners.plain(grad, winner, geometry)
    same(cuda.scatter_to_winners(machine(grad), won, geometry), expected, rtol=1e-6)


GEOMETRIES = [
    # size of the map, kernel, stride, padding in front, input dilation, kernel dilation, groups
    ((5, 6), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1), 1),
    ((7, 5), (3, 2), (2, 1), (1, 0), (1, 1), (1, 1), 2),
    ((4, 3), (4, 4), (1, 1), (2, 1), (2, 2), (1, 1), 1),
    ((6, 9), (2, 3), (1, 2), (-1, 2), (1, 1), (2, 1), 3),
    ((3, 4), (3, 5), (2, 3), (2, 4), (3, 2), (1, 2), 1),
    ((5, 8), (2, 3), (1, 1), (0, 2), (1, 1), (2, 3), 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_gathered_windows(machine, case, dtype):
    size, kernel, stride, starts, u, d, groups = case
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 6, *size)).astype(dtype)
    count = 0
    for source in (x.transpose(0, 2, 3, 1), np.ascontiguousarray(x.transpose(0, 2, 3, 1))):
        for phase in phases((4, 5), kernel, starts, stride, u, d):
            plain = gathering.Gathering(source, phase, groups, outputs=100)
            high = phase.rows.length
            for n, r in ((slice(0, 3), slice(0, high)), (slice(1, 2), slice(high // 2, high))):
                expected = np.array(plain.columns(n, r))
                same(cuda.gather(machine(source), phase, groups, n, r), expected)
                count += 1
    assert count >= 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 7, 33, 64), (3, 1, 1, 2), (2, 40, 9, 31)])
def test_columns(machine, shape, dtype, monkeypatch):
    rng = np.random.default_rng(3)
    monkeypatch.setattr(cuda, "SUMMING_THREADS", 64)
    count, columns = shape[0] * shape[2] * shape[3], shape[1]
    table, other = (rng.standard_normal((count, columns)).astype(dtype) + 5 for _ in range(2))
    vectors = [rng.standard_normal(columns).astype(dtype) for _ in range(3)]
    x, y, (a, b, c) = machine(table), machine(other), (machine(v) for v in vectors)
    close = {"rtol": 1e-4 if dtype == "float32" else 1e-12}
    same(cuda.column_sums(x), rows.column_sums.plain(table), **close)
    for found, expected in zip(
        cuda.column_moments(x), rows.column_moments.plain(table), strict=True
    ):
        same(found, expected, **close)
    expected = rows.column_products.plain(table, vectors[0], other)
    for one, other_one in zip(cuda.column_products(x, a, y), expected, strict=True):
        same(one, other_one, **close)
    same(cuda.scale_columns(x, a, b), rows.scale_columns.plain(table, *vectors[:2]), atol=1e-5)
    expected = rows.mix_columns.plain(table, vectors[0], other, *vectors[1:])
    same(cuda.mix_columns(x, a, y, b, c), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("last", [False, True])
def test_values_at_remembered_places(machine, dtype, last):
    """Also where several values name one place: the last of them stays, row by row."""
    rng = np.random.default_rng(4)
    for high, wide, size in ((3, 2, (7, 5)), (4, 5, (2, 3)), (1, 1, (1, 1))):
        values = maps(rng, (2, 3, high, wide), dtype, last)
        where = rng.integers(0, size[0] * size[1], values.shape)
        expected, stayed = places.put.plain(values, where, size)
        found, kept = cuda.put(machine(values), machine(where), size)
        same(found, expected)
        same(kept, np.ones(values.shape, dtype=bool) if stayed is None else stayed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_step_of_adam(machine, dtype, recorded):
    """Three steps beside the optimiser on the processor; the numbers as they are, or as arrays."""
    rng = np.random.default_rng(5)
    weight = ms.Tensor(rng.standard_normal((7, 5)).astype(dtype), requires_grad=True)
    data = machine(weight.data.copy())
    mean, square = (machine(np.zeros((7, 5), dtype=dtype)) for _ in range(2))
    optimizer = ms.optim.Adam([weight], lr=0.3, betas=(0.8, 0.9), eps=1e-3)
    for step in range(1, 4):
        weight.grad = rng.standard_normal((5, 7)).astype(dtype).T
        optimizer.step()
        root, rate = np.sqrt(1 - 0.9**step), 0.3 / (1 - 0.8**step)
        moving = [0.8, 1 - 0.8, float(root), float(rate)]
        if recorded:
            moving = [machine(np.array(value, dtype=dtype)) for value in moving]
        cuda.adam(data, machine(weight.grad), mean, square, moving, 0.9, 1e-3)
    close = {"rtol": 1e-5 if dtype == "float32" else 1e-12}
    same(data, weight.data, **close)
    same(mean, optimizer.state[weight]["exp_avg"], **close)
    same(square, optimizer.state[weight]["exp_avg_sq"], **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recorded", [False, True])
def test_looking_ahead(machine, dtype, recorded):
    """Two steps of momentum 0.75, and what is decomposed after each, for a transposed gradient."""
    rng = np.random.default_rng(6)
    mean = np.zeros((3, 5), dtype=dtype)
    momentum = machine(mean.copy())
    for _ in range(2):
        grad = rng.standard_normal((5, 3)).astype(dtype).T
        mean = mean * 0.75 + grad * 0.25
        moving = [0.75, 0.25]
        if recorded:
            moving = [machine(np.array(value, dtype=dtype)) for value in moving]
        ahead = cuda.look_ahead(momentum, machine(grad), moving)
        same(momentum, mean, rtol=1e-6)
        same(ahead, mean * 0.75 + grad * 0.25, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 3), (3, 8, 8)])
def test_a_quadratic_of_matrices(machine, dtype, shape):
    rng = np.random.default_rng(7)
    matrix, square = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    found = cuda.quadratic(machine(matrix), machine(square.copy()), (3.5, -4.5, 2.0))
    same(found, orthogonal.quadratic.plain(matrix, square, (3.5, -4.5, 2.0)), rtol=1e-5, atol=1e-6)


def three_steps(kind, place):
    """Of an optimiser, on kernels of equal and of other sides, tall and wide, and on a bias."""
    rng = np.random.default_rng(8)
    shapes = [(4, 2, 3, 3), (4, 4), (2, 4, 1, 1), (7, 4), (4, 1, 3, 3), (4,)]
    weights = [ms.Tensor(place(rng.standard_normal(s)), requires_grad=True) for s in shapes]
    optimizer = getattr(ms.optim, kind)(weights, lr=0.1, weight_decay=0.1)
    for _ in range(3):
        for weight in weights:
            weight.grad = place(rng.standard_normal(weight.shape))
        optimizer.step()
    return [libraries.to_numpy(weight.data) for weight in weights]


@pytest.mark.parametrize("machine", MACHINES[1:], indirect=True)
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Muon"])
def test_an_optimiser_steps_alike_with_kernels_and_without(machine, monkeypatch, kind):
    expected, launch, launched = three_steps(kind, np.asarray), cuda._launch, []

    def noted(name, *arguments, **options):
        launched.append(name)
        launch(name, *arguments, **options)

    monkeypatch.setattr(cuda, "_launch", noted)
    monkeypatch.setattr(cuda, "serves", lambda x: x.dtype.kind == "f" and x.size > 0)
    for one, other in zip(three_steps(kind, machine), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)
    own = {"adam", "look_ahead", "quadratic"} if kind == "Muon" else {"adam"}
    assert set(launched) == own


def test_adam_takes_no_mixture_of_numbers():
    data = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(TypeError, match="some of the moving numbers are arrays"):
        cuda.adam(data, data, data, data, [0.9, np.float32(0.1), 1.0, 1.0], 0.9, 1e-8)


@COMPILED
def test_wide_indices(monkeypatch):
    """Arrays of 2**31 numbers and more are counted in 64 bits; small ones are not."""
    used = []

    def compiled(xp, name, *types):
        used.append(types)
        return cuda_on_cpu.RawKernel(cuda.source(*types), name)

    monkeypatch.setattr(cuda, "_compiled", compiled)
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    geometry = Windows((3, 4), (2, 2), (1, 2))
    for reach in (24, 2**31):
        monkeypatch.setattr(cuda, "_reach", lambda array, reach=reach: reach)
        found, _ = cuda.max_over_windows(x, geometry)
        np.testing.assert_array_equal(found, windows.max_over_windows.plain(x, geometry)[0])
    assert used == [("float", "unsigned char", "int"), ("float", "unsigned char", "long long")]


def cupy_that(monkeypatch, gpus, get_version):
    """A module in CuPy's place, asked for the first time."""
    runtime = types.SimpleNamespace(getDeviceCount=lambda: gpus)
    nvrtc = types.SimpleNamespace(getVersion=get_version)
    cupy = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime, nvrtc=nvrtc))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(libraries, "_cuda_problem", None)
    monkeypatch.setattr(libraries, "_by_device", {"cpu": libraries.library_for("cpu")})


def test_why_there_is_no_gpu(monkeypatch):
    def nowhere():
        raise RuntimeError("Failure finding\nlibnvrtc.so.12")

    cupy_that(monkeypatch, gpus=0, get_version=nowhere)
    assert libraries.cuda_problem() == (
        "CuPy is installed but finds no GPU (no CUDA device is visible)"
    )
    cupy_that(monkeypatch, gpus=1, get_version=nowhere)
    problem = libraries.cuda_problem()
    assert "not the libraries of CUDA (Failure finding libnvrtc.so.12)" in problem
    assert "pip install 'cupy-cuda12x[ctk]'" in problem
    assert not libraries.cuda_is_available()


def test_the_processor_takes_the_plain_versions(backend):
    if backend.name == "cupy":
        assert cuda.serves(backend.asarray(np.ones(3, dtype=np.float32)))
        assert not cuda.serves(backend.asarray(np.ones(3, dtype=np.int64)))
    else:
        assert not cuda.serves(backend.asarray(np.ones(3, dtype=np.float32)))
