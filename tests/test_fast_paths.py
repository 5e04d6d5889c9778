"""The fast ways of computing give what the plain ones give, on sizes that are awkward for them."""

from __future__ import annotations

import multiprocessing
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minisegnet as ms
from minisegnet import functional as F
from minisegnet.kernels import correlate as kernels
from minisegnet.kernels import depthwise, elementwise, gathering, memory, parallel, reference
from minisegnet.kernels.gathering import Gathering
from minisegnet.kernels.phases import phases
from tests.geometry import Correlation, correlations, integers


def use_small_bands(monkeypatch, numbers: int) -> None:
    """Bands so small, and threads so eager, that even toy maps are shared among three threads."""
    monkeypatch.setattr(gathering, "BAND_NUMBERS", numbers)
    monkeypatch.setattr(gathering, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(parallel, "_threads", 3)
    monkeypatch.setattr(depthwise, "LEAST_OUTPUTS", 1)


AWKWARD = [
    # images, channels, outputs, size, kernel, stride, padding, dilation, groups
    ("one row", 2, 17, 3, (1, 40), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("one column", 2, 3, 17, (40, 1), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("one channel", 3, 1, 1, (9, 33), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("17 channels", 2, 17, 17, (5, 35), (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("stride 3", 2, 3, 5, (17, 31), (3, 3), (3, 3), (1, 1), (1, 1), 1),
    ("stride 2, kernel 5", 1, 3, 5, (18, 41), (5, 4), (2, 3), (2, 1), (1, 1), 1),
    ("dilation 4", 2, 3, 4, (15, 29), (3, 3), (1, 1), (4, 4), (4, 4), 1),
    ("dilated columns", 2, 3, 4, (9, 29), (3, 3), (1, 1), (1, 4), (1, 4), 1),
    ("groups", 2, 6, 9, (7, 30), (3, 3), (1, 1), (1, 1), (1, 1), 3),
    ("depthwise", 2, 17, 17, (7, 30), (3, 3), (1, 1), (1, 1), (1, 1), 17),
    ("depthwise in blocks of 8", 2, 24, 24, (7, 30), (3, 3), (1, 1), (1, 1), (1, 1), 24),
    ("depthwise in blocks of 4", 2, 12, 12, (9, 30), (3, 2), (2, 3), (1, 0), (1, 2), 12),
    ("depthwise, two each", 2, 5, 10, (7, 30), (3, 2), (2, 1), (1, 1), (1, 1), 5),
    ("1x1", 2, 17, 3, (7, 30), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ("many outputs", 1, 2, 70, (5, 8), (3, 3), (1, 1), (1, 1), (1, 1), 1),
]


@pytest.mark.parametrize(
    "images, channels, outputs, size, kernel, stride, padding, dilation, groups",
    [case[1:] for case in AWKWARD],
    ids=[case[0] for case in AWKWARD],
)
@pytest.mark.parametrize("channels_last, numbers", [(True, 200), (False, 5000)])
def test_correlate_on_awkward_sizes(
    monkeypatch,
    images,
    channels,
    outputs,
    size,
    kernel,
    stride,
    padding,
    dilation,
    groups,
    channels_last,
    numbers,
):
    use_small_bands(monkeypatch, numbers)
    x = integers((images, channels, *size), seed=1)
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    w = integers((outputs, channels // groups, *kernel), seed=2)
    bias = integers((outputs,), seed=3)
    options = (stride, tuple((p, p) for p in padding), (1, 1), dilation, groups)
    y = kernels.correlate(x, w, *options, bias)
    want = reference.correlate(x, w, *options)
    np.testing.assert_array_equal(y, want + bias[:, None, None])
    grad = integers(y.shape, seed=4)
    dx, dw = kernels.gradients(x, grad, w, *options)
    want = reference.correlate_input_gradient(grad, w, x.shape[2:], *options)
    np.testing.assert_array_equal(dx, want)
    want = reference.correlate_weight_gradient(x, grad, w.shape[2:], *options)
    np.testing.assert_array_equal(dw, want)
    np.testing.assert_array_equal(dw, kernels.weight_gradient(x, grad, kernel, *options))
    assert dw.flags.c_contiguous


@given(case=correlations())
def test_both_gradients_at_once(backend, case: Correlation):
    grad = integers((len(case.x), len(case.w), *case.out), seed=3)
    x, w, g = (backend.asarray(a) for a in (case.x, case.w, grad))
    dx, dw = kernels.gradients(x, g, w, *case.options)
    want = reference.correlate_input_gradient(grad, case.w, case.x.shape[2:], *case.options)
    np.testing.assert_array_equal(backend.numpy(dx), want)
    want = reference.correlate_weight_gradient(case.x, grad, case.w.shape[2:], *case.options)
    np.testing.assert_array_equal(backend.numpy(dw), want)


@pytest.mark.parametrize("channels", [8, 4, 3])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan, 3e38])
def test_what_overflows_in_one_channel_stays_there(monkeypatch, channels, wrong):
    """Whether channels are computed in blocks, each among zeros, or one by one."""
    monkeypatch.setattr(depthwise, "LEAST_OUTPUTS", 1)
    x, w = (integers((2, channels, 5, 6), 1), integers((channels, 1, 3, 3), 2))
    x, w, grad = (a.astype(np.float32) for a in (x, w, integers((2, channels, 5, 6), 3)))
    options = ((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), channels)
    clean = kernels.correlate(x, w, *options), *kernels.gradients(x, grad, w, *options)
    x[:, 1, 2, 3] = grad[:, 1, 2, 3] = wrong
    with np.errstate(all="ignore"):
        found = kernels.correlate(x, w, *options), *kernels.gradients(x, grad, w, *options)
    others = [c for c in range(channels) if c != 1]
    for a, b, axis in zip(found, clean, (1, 1, 0), strict=True):
        np.testing.assert_array_equal(a.take(others, axis), b.take(others, axis))
        assert not np.array_equal(a, b)


def test_gradients_that_nobody_wants_are_not_computed(monkeypatch):
    asked: list[str] = []
    for name in ("gradients", "input_gradient", "weight_gradient"):
        original = getattr(kernels, name)

        def spy(*args, name=name, original=original):
            asked.append(name)
            return original(*args)

        monkeypatch.setattr(kernels, name, spy)
    x, w = integers((1, 2, 4, 5), seed=1), integers((3, 2, 3, 3), seed=2)
    for of_x, of_w in ((True, False), (False, True), (True, True)):
        F.conv2d(
            ms.tensor(x, requires_grad=of_x), ms.tensor(w, requires_grad=of_w)
        ).sum().backward()
    assert asked == ["input_gradient", "weight_gradient", "gradients"]


def test_both_ways_of_gathering_are_taken():
    """Windows that overlap in memory where outputs are few, windows apart where they are many."""
    maps = np.arange(2 * 6 * 40 * 3.0).reshape(2, 6, 40, 3)
    phase = next(phases((6, 40), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)))
    few, many = (Gathering(maps, phase, 1, outputs) for outputs in (8, 64))
    overlapping, apart = (g.columns(slice(1, 2), slice(2, 5)).copy() for g in (few, many))
    np.testing.assert_array_equal(overlapping, apart)
    assert not few.columns(slice(1, 2), slice(2, 5)).flags.c_contiguous
    assert many.columns(slice(1, 2), slice(2, 5)).flags.c_contiguous


@given(
    images=st.integers(1, 9),
    rows=st.integers(1, 50),
    outputs=st.sampled_from([4, 80]),
    numbers=st.sampled_from([1, 300, 5000, 1 << 17]),
    threads=st.integers(1, 4),
)
def test_bands_cover_everything_once(images, rows, outputs, numbers, threads):
    phase = next(phases((rows, 9), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "BAND_NUMBERS", numbers)
        patch.setattr(gathering, "WORTH_A_THREAD", 1)
        patch.setattr(parallel, "_threads", threads)
        bands = Gathering(np.zeros((images, rows, 9, 2)), phase, 1, outputs).bands()
    seen = np.zeros((images, rows), dtype=int)
    for n, r in bands:
        seen[n, r] += 1
    assert (seen == 1).all()


# ---------------------------------------------------------------- number by number


def orders(x: np.ndarray) -> list[np.ndarray]:
    """The same values as they lie by default, channels last, with gaps, and backwards."""
    gapped = np.zeros((*x.shape[:3], 2 * x.shape[3]), x.dtype)
    gapped[..., ::2] = x
    return [
        x,
        np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        gapped[..., ::2],
        x[:, ::-1].copy()[:, ::-1],
    ]


@pytest.mark.parametrize("piece", [1, 7, 1 << 17])
def test_number_by_number(monkeypatch, piece):
    monkeypatch.setattr(elementwise, "PIECE", piece)
    elementwise._zeros.cache_clear()
    monkeypatch.setattr(parallel, "_threads", 3)
    a, b = integers((2, 3, 5, 7), seed=1), integers((2, 3, 5, 7), seed=2)
    for x in orders(a):
        np.testing.assert_array_equal(elementwise.positive_part(x), np.maximum(a, 0))
        for y in orders(b):
            np.testing.assert_array_equal(elementwise.where_positive(x, y), a * (b > 0))
            np.testing.assert_array_equal(elementwise.add(x, y), a + b)
    elementwise._zeros.cache_clear()


def test_a_nan_stays_a_nan_in_relu():
    y = F.relu(ms.tensor([1.0, float("nan"), -1.0])).numpy()
    np.testing.assert_array_equal(y, [1.0, np.nan, 0.0])


# ---------------------------------------------------------------- threads and memory


def one_step(threads: int) -> list[np.ndarray]:
    """The weights after three steps of a network whose maps are worth several threads."""
    before = ms.get_num_threads()
    ms.set_num_threads(threads)
    try:
        ms.manual_seed(3)
        model = ms.models.UNet(3, 4, base=8, depth=2)
        optimizer = ms.optim.Adam(model.parameters(), lr=0.01)
        rng = np.random.default_rng(5)
        images = ms.tensor(rng.random((3, 3, 48, 64), dtype=np.float32))
        masks = ms.tensor(rng.integers(0, 4, (3, 48, 64)))
        for _ in range(3):
            loss = F.cross_entropy(model(images), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [parameter.numpy() for parameter in model.parameters()]
    finally:
        ms.set_num_threads(before)


def test_the_same_threads_give_the_same_bits():
    for a, b in zip(one_step(2), one_step(2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_threads_give_the_same_but_for_rounding():
    for a, b in zip(one_step(1), one_step(3), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


@pytest.mark.parametrize("number, error", [(0, ValueError), (-2, ValueError), (1.5, TypeError)])
def test_wrong_numbers_of_threads(number, error):
    with pytest.raises(error, match="set_num_threads"):
        ms.set_num_threads(number)


def test_shares_are_worked_on_in_order_and_errors_come_through(monkeypatch):
    monkeypatch.setattr(parallel, "_threads", 3)
    assert parallel.run_bands(np, lambda i: i * i, [(i,) for i in range(10)]) == [
        i * i for i in range(10)
    ]
    names = parallel.run_shares(np, lambda _: threading.current_thread().name, range(9))
    assert len(set(names)) == 3

    def fail_on(i):
        if i == 7:
            raise ArithmeticError("band 7")

    with pytest.raises(ArithmeticError, match="band 7"):
        parallel.run_bands(np, fail_on, [(i,) for i in range(10)])
    # From within a share there is nobody to help, and nobody to wait for in vain.
    nested = parallel.run_shares(
        np, lambda some: parallel.run_bands(np, lambda i: i, [(i,) for i in some]), range(6)
    )
    assert nested == [[0, 1], [2, 3], [4, 5]]


def test_helpers_heed_numpy_errstate(monkeypatch):
    monkeypatch.setattr(parallel, "_threads", 2)

    def overflow(_):
        return np.full(3, 1e38, np.float32) * np.float32(1e38)

    with np.errstate(over="ignore"):
        parallel.run_shares(np, overflow, range(4))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.run_shares(np, overflow, range(4))


def test_blas_gets_its_threads_back():
    class Library(SimpleNamespace):
        def set_num_threads(self, number):
            self.num_threads = number

    library = Library(num_threads=5)
    guard = parallel._OneBlasThread()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_blas", lambda: [library])
        with guard:
            with guard:
                assert library.num_threads == 1
            assert library.num_threads == 1
        assert library.num_threads == 5


@pytest.mark.skipif(not hasattr(parallel.os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_helpers_of_its_own():
    one_step(2)
    process = multiprocessing.get_context("fork").Process(target=one_step, args=(2,))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_memory_is_left_alone_if_the_environment_says_so(monkeypatch):
    monkeypatch.setenv("MINISEGNET_KEEP_MEMORY", "0")
    assert memory.keep_freed_memory.__wrapped__() is False
    monkeypatch.delenv("MINISEGNET_KEEP_MEMORY")
    monkeypatch.setattr(memory, "_is_glibc", lambda: False)
    assert memory.keep_freed_memory.__wrapped__() is False


def test_steps_do_not_gather_memory():
    """What NumPy holds after the fifth step is what it held after the third."""
    model = ms.models.UNet(3, 4, base=4, depth=2)
    optimizer = ms.optim.Adam(model.parameters())
    images = ms.tensor(np.random.default_rng(5).random((2, 3, 32, 48), dtype=np.float32))
    masks = ms.tensor(np.random.default_rng(6).integers(0, 4, (2, 32, 48)))
    held = []
    tracemalloc.start()
    try:
        for _ in range(5):
            F.cross_entropy(model(images), masks).backward()
            optimizer.step()
            optimizer.zero_grad()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[4] - held[2] < 20_000
