"""Pooling, unpooling, unfolding: all options at once against the loops, on every backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minisegnet.autograd import Tensor
from minisegnet.gradcheck import gradcheck
from minisegnet.kernels import maps, parallel, reference
from minisegnet.kernels.windows import Windows
from minisegnet.ops import pooling as F
from tests import strict
from tests.geometry import integers, pairs


def arranged(backend: Any, values: np.ndarray, channels_last: bool) -> Any:
    """The array on the backend, in one of the two memory orders."""
    if not channels_last:
        return backend.asarray(values)
    last = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    return backend.asarray(last).transpose(0, 3, 1, 2)


def leaf(backend: Any, values: np.ndarray, channels_last: bool) -> Tensor:
    return Tensor(arranged(backend, values, channels_last), requires_grad=True)


def send(backend: Any, y: Tensor, grad: np.ndarray, channels_last: bool) -> None:
    y.backward(arranged(backend, grad, channels_last))


@dataclass(frozen=True)
class Pool:
    """A map of small integers, so that there are ties, and the options of a pooling."""

    x: np.ndarray
    kernel: tuple[int, int]
    options: dict = field(default_factory=dict)


@st.composite
def pools(draw: st.DrawFn, dilations: int = 3) -> Pool:
    kernel, dilation = draw(pairs(1, 4)), draw(pairs(1, dilations))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    options = {"stride": draw(pairs(1, 4)), "padding": padding, "ceil_mode": draw(st.booleans())}
    size = draw(pairs(1, 8))
    for n, k, p, d in zip(size, kernel, padding, dilation, strict=True):
        assume(n + 2 * p >= d * (k - 1) + 1)
    windows = Windows(size, kernel, options["stride"], padding, dilation, options["ceil_mode"])
    assume(windows.seeing_nothing() is None)
    if dilations > 1:
        options["dilation"] = dilation
    x = np.random.default_rng(draw(st.integers(0, 999))).integers(-3, 4, (2, 3, *size))
    return Pool(x.astype(np.float64), kernel, options)


def added_at(indices: np.ndarray, grad: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The gradient of a max pooling: every value to the cell that its index names."""
    flat = np.zeros((*indices.shape[:2], size[0] * size[1]))
    for n, c, r, s in np.ndindex(indices.shape):
        flat[n, c, indices[n, c, r, s]] += grad[n, c, r, s]
    return flat.reshape(*indices.shape[:2], *size)


@given(case=pools(), channels_last=st.booleans(), special=st.sampled_from([None, np.nan, -np.inf]))
def test_max_pool_is_its_definition(backend, case: Pool, channels_last, special):
    values = case.x.copy()
    if special is not None:
        values[:, :, 1:, ::2] = special
    x = leaf(backend, values, channels_last)
    y, indices = F.max_pool2d(x, case.kernel, **case.options, return_indices=True)
    want, places = reference.max_pool2d(values, case.kernel, **case.options)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(indices.numpy(), places)
    assert indices.dtype == np.int64
    grad = integers(want.shape, seed=1)
    send(backend, y, grad, not channels_last)
    np.testing.assert_array_equal(backend.numpy(x.grad), added_at(places, grad, values.shape[2:]))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int8, np.bool_, np.float32])
@given(case=pools())
def test_max_pool_of_any_dtype_is_exact(backend, dtype, case: Pool):
    values = case.x.astype(dtype)
    if dtype == np.int64:
        values = values + 2**60
    y = F.max_pool2d(backend.tensor(values), case.kernel, **case.options)
    assert y.dtype == dtype
    want, _ = reference.max_pool2d(values, case.kernel, **case.options)
    np.testing.assert_array_equal(y.numpy(), want)


@pytest.mark.parametrize("lowest", [-np.inf, np.iinfo(np.int64).min])
def test_padding_never_wins(backend, lowest):
    x = backend.tensor(np.full((1, 1, 3, 4), lowest))
    y, indices = F.max_pool2d(x, (3, 2), stride=2, padding=1, return_indices=True)
    assert (y.numpy() == lowest).all()
    assert indices.numpy()[0, 0].tolist() == [[0, 1, 3], [4, 5, 7]]


@given(
    case=pools(dilations=1),
    count=st.booleans(),
    divisor=st.sampled_from([None, 3, -2]),
    channels_last=st.booleans(),
)
def test_avg_pool_is_its_definition(backend, case: Pool, count, divisor, channels_last):
    options = {**case.options, "count_include_pad": count, "divisor_override": divisor}
    x = leaf(backend, case.x, channels_last)
    y = F.avg_pool2d(x, case.kernel, **options)
    want = reference.avg_pool2d(case.x, case.kernel, **options)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-12)
    adjoint(backend, x, y, channels_last)


def adjoint(backend: Any, x: Tensor, y: Tensor, channels_last: bool) -> None:
    """<f(x + e), g> = <f(x), g> + <e, dx> for every cell e: f is linear, so for x itself too."""
    grad = integers(y.shape, seed=2)
    send(backend, y, grad, not channels_last)
    dx = backend.numpy(x.grad)
    np.testing.assert_allclose((dx * x.numpy()).sum(), (y.numpy() * grad).sum(), atol=1e-9)


@given(size=pairs(1, 7), bins=pairs(1, 9), channels_last=st.booleans(), seed=st.integers(0, 999))
def test_adaptive_pools_are_their_definitions(backend, size, bins, channels_last, seed):
    values = np.random.default_rng(seed).integers(-3, 4, (2, 3, *size)).astype(np.float64)
    x = leaf(backend, values, channels_last)
    mean = F.adaptive_avg_pool2d(x, bins)
    np.testing.assert_allclose(
        mean.numpy(), reference.adaptive_avg_pool2d(values, bins), rtol=1e-12
    )
    adjoint(backend, x, mean, channels_last)
    x.grad = None
    y, indices = F.adaptive_max_pool2d(x, bins, return_indices=True)
    want, places = reference.adaptive_max_pool2d(values, bins)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(indices.numpy(), places)
    grad = integers(want.shape, seed=3)
    send(backend, y, grad, not channels_last)
    np.testing.assert_array_equal(backend.numpy(x.grad), added_at(places, grad, size))


def test_adaptive_pools_keep_a_length_and_pass_nan_on(backend):
    x = backend.tensor(np.array([[[[1.0, np.nan, 3.0], [4.0, 7.0, np.nan]]]]))
    assert F.adaptive_avg_pool2d(x, (None, 1)).shape == (1, 1, 2, 1)
    y, indices = F.adaptive_max_pool2d(x, (1, None), return_indices=True)
    np.testing.assert_array_equal(y.numpy(), [[[[4, np.nan, np.nan]]]])
    assert indices.tolist() == [[[[3, 1, 5]]]]


@given(
    size=pairs(1, 4),
    stride=pairs(1, 3),
    kernel=pairs(1, 3),
    spare=st.integers(0, 2),
    channels_last=st.booleans(),
    seed=st.integers(0, 999),
)
def test_unpool_is_its_definition(backend, size, stride, kernel, spare, channels_last, seed):
    """The indices are arbitrary: several values may name one cell, and the last stays."""
    out = tuple(
        (n - 1) * s + k + min(spare, s - 1) for n, s, k in zip(size, stride, kernel, strict=True)
    )
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 99, (2, 3, *size)).astype(np.float64)
    places = rng.integers(0, out[0] * out[1], values.shape)
    x = leaf(backend, values, channels_last)
    indices = arranged(backend, places, not channels_last)
    y = F.max_unpool2d(x, indices, kernel, stride, output_size=out)
    np.testing.assert_array_equal(y.numpy(), reference.max_unpool2d(values, places, out))
    grad = integers(y.shape, seed)
    send(backend, y, grad, channels_last)
    dx, seen = np.zeros_like(values), set()
    for n, c, r, s in reversed(list(np.ndindex(values.shape))):
        place = int(places[n, c, r, s])
        if (n, c, place) not in seen:
            dx[n, c, r, s] = grad[n, c].flat[place]
        seen.add((n, c, place))
    np.testing.assert_array_equal(backend.numpy(x.grad), dx)


@given(case=pools(), channels_last=st.booleans())
def test_unpool_brings_the_maxima_back(backend, case: Pool, channels_last):
    values = case.x + np.arange(case.x.size).reshape(case.x.shape) / 1024
    x = arranged(backend, values, channels_last)
    pooled, indices = F.max_pool2d(x, case.kernel, **case.options, return_indices=True)
    size = case.x.shape[2:]
    options = {"stride": case.options["stride"], "padding": case.options["padding"]}
    default = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(
            pooled.shape[2:], options["stride"], options["padding"], case.kernel, strict=True
        )
    )
    assume(all(abs(a - b) < s for a, b, s in zip(size, default, options["stride"], strict=True)))
    y = F.max_unpool2d(pooled, indices, case.kernel, **options, output_size=size).numpy()
    is_maximum = added_at(indices.numpy(), np.ones(indices.shape), size) > 0
    np.testing.assert_array_equal(y, np.where(is_maximum, values, 0))


def test_unpool_by_the_worked_numbers(backend):
    x = backend.tensor(np.array([[[[1, 4, 4, 8], [7, 0, 3, 2], [3, 1, 2, 1], [2, 0, 3, 5]]]]))
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert values.tolist() == [[[[7, 8], [3, 5]]]]
    y = F.max_unpool2d(backend.tensor(np.array([[[[1, 3], [2, 4]]]])), indices, 2)
    assert y.tolist() == [[[[0, 0, 0, 3], [1, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 4]]]]


@given(case=pools(), channels_last=st.booleans(), seed=st.integers(0, 99))
def test_unfold_and_fold_are_their_definitions(backend, case: Pool, channels_last, seed):
    options = {k: v for k, v in case.options.items() if k != "ceil_mode"}
    x = leaf(backend, case.x, channels_last)
    columns = F.unfold(x, case.kernel, **options)
    want = reference.unfold(case.x, case.kernel, **options)
    np.testing.assert_array_equal(columns.numpy(), want)
    values, size = integers(want.shape, seed), case.x.shape[2:]
    laid = backend.tensor(values, requires_grad=True)
    y = F.fold(laid, size, case.kernel, **options)
    folded = reference.fold(values, size, case.kernel, **options)
    np.testing.assert_array_equal(y.numpy(), folded)
    # Each is the other's gradient.
    columns.backward(backend.asarray(values))
    np.testing.assert_array_equal(backend.numpy(x.grad), folded)
    grad = integers(case.x.shape, seed + 1)
    send(backend, y, grad, channels_last)
    np.testing.assert_array_equal(
        backend.numpy(laid.grad), reference.unfold(grad, case.kernel, **options)
    )


def test_a_convolution_is_one_product_with_the_unfolded_map():
    x, w = integers((2, 3, 5, 7), seed=1), integers((4, 3, 2, 3), seed=2)
    columns = F.unfold(x, (2, 3), padding=(1, 0), stride=(2, 1)).numpy()
    want = reference.correlate(x, w, (2, 1), ((1, 1), (0, 0)))
    np.testing.assert_array_equal((w.reshape(4, -1) @ columns).reshape(want.shape), want)


def test_gradients_agree_with_differences():
    rng = np.random.default_rng(5)
    x = Tensor(rng.permutation(2 * 2 * 5 * 7).reshape(2, 2, 5, 7) / 7.0, requires_grad=True)
    options = {"stride": (1, 2), "padding": (1, 1), "ceil_mode": True}
    assert gradcheck(lambda x: F.max_pool2d(x, (3, 2), dilation=(2, 1), **options), [x])
    assert gradcheck(lambda x: F.avg_pool2d(x, (3, 2), count_include_pad=False, **options), [x])
    assert gradcheck(lambda x: F.adaptive_avg_pool2d(x, (3, 4)), [x])
    assert gradcheck(lambda x: F.adaptive_max_pool2d(x, (3, 4)), [x])
    indices = rng.integers(0, 40, x.shape)
    assert gradcheck(lambda x: F.max_unpool2d(x, indices, 2), [x])
    assert gradcheck(lambda x: F.unfold(x, (2, 3), padding=1), [x])
    columns = F.unfold(x, (2, 3), padding=1).detach()
    columns.requires_grad = True
    assert gradcheck(lambda c: F.fold(c, (5, 7), (2, 3), padding=1), [columns])


@given(case=pools())
def test_threads_change_nothing(case: Pool):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "WORTH_A_THREAD", 1)
        patch.setattr(parallel, "_threads", 3)
        x = Tensor(case.x, requires_grad=True)
        y = F.max_pool2d(x, case.kernel, **case.options)
        y.sum().backward()
    want, places = reference.max_pool2d(case.x, case.kernel, **case.options)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(x.grad, added_at(places, np.ones_like(want), case.x.shape[2:]))


def test_float32_stays_float32_and_the_memory_order_stays(backend):
    values = np.random.default_rng(0).random((2, 3, 5, 6), dtype=np.float32)
    for channels_last in (False, True):
        x = leaf(backend, values, channels_last)
        for y in (
            F.max_pool2d(x, 2),
            F.avg_pool2d(x, 3, padding=1, count_include_pad=False),
            F.adaptive_avg_pool2d(x, 2),
            F.adaptive_max_pool2d(x, 2),
        ):
            assert y.dtype == np.float32
            y.sum().backward()
            assert x.grad.dtype == np.float32
        last = F.max_pool2d(x, 2).data.transpose(0, 2, 3, 1)
        assert last.flags.c_contiguous is channels_last
        assert F.unfold(x, 2).dtype == np.float32


def test_no_average_becomes_float64_on_the_way(monkeypatch):
    """Windows and bins of different sizes divide by a map of counts, which must not promote."""
    seen = []
    for name in ("spread_over_windows", "resample"):
        kernel = getattr(F, name)

        def spy(x, *tables, kernel=kernel):
            seen.append(x.dtype)
            return kernel(x, *tables)

        monkeypatch.setattr(F, name, spy)
    x = Tensor(np.ones((1, 2, 5, 7), dtype=np.float32), requires_grad=True)
    F.avg_pool2d(x, 3, 2, 1, count_include_pad=False).sum().backward()
    F.adaptive_avg_pool2d(x, (2, 3)).sum().backward()
    assert seen == [np.float32] * 3


def test_averages_of_integers_are_float32(backend):
    x = backend.tensor(np.array([[[[1, 2], [3, 5]]]]))
    for y in (F.avg_pool2d(x, 2), F.adaptive_avg_pool2d(x, 1)):
        assert y.dtype == np.float32
        assert y.tolist() == [[[[2.75]]]]


def test_an_empty_batch_passes_through():
    x = np.zeros((0, 3, 4, 6), dtype=np.float32)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert values.shape == indices.shape == (0, 3, 2, 3)
    assert F.max_unpool2d(values, indices, 2).shape == x.shape
    assert F.avg_pool2d(x, 3).shape == (0, 3, 1, 2)
    assert F.adaptive_avg_pool2d(x, 2).shape == F.adaptive_max_pool2d(x, 2).shape == (0, 3, 2, 2)
    assert F.unfold(x, 2).shape == (0, 12, 15)


def test_pooling_never_waits_for_the_device():
    x = Tensor(strict.xp.asarray(np.arange(48.0).reshape(1, 2, 4, 6)), requires_grad=True)

    def step() -> None:
        F.max_pool2d(x, 3, 2, 1).sum().backward()
        F.avg_pool2d(x, 3, 2, 1, count_include_pad=False).sum().backward()
        F.adaptive_avg_pool2d(x, (2, 4)).sum().backward()
        F.unfold(x, 2).sum().backward()

    step()
    with strict.counting() as seen:
        step()
    assert (seen.synchronisations, seen.uploads) == (0, 0)


X = np.arange(2 * 3 * 5 * 7.0).reshape(2, 3, 5, 7)
PLACES = np.zeros((2, 3, 5, 7), dtype=np.int64)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["(5, 7)", "x[None, None]"], lambda: F.max_pool2d(X[0, 0], 2)),
        (ValueError, ["6 rows", "5 + 2*0 = 5"], lambda: F.max_pool2d(X, (6, 2))),
        (ValueError, ["3*(4 - 1) + 1 = 10"], lambda: F.max_pool2d(X, (1, 4), dilation=3)),
        (ValueError, ["padding 2", "at most 1"], lambda: F.max_pool2d(X, 3, padding=(1, 2))),
        (ValueError, ["stride", "at least 1"], lambda: F.max_pool2d(X, 2, stride=0)),
        (TypeError, ["kernel_size", "2.5"], lambda: F.avg_pool2d(X, 2.5)),
        (
            ValueError,
            ["dilation 2", "all 1 columns"],
            lambda: F.max_pool2d(X[..., :1], (1, 2), 1, (0, 1), 2),
        ),
        (ValueError, ["divisor_override"], lambda: F.avg_pool2d(X, 2, divisor_override=0)),
        (ValueError, ["output_size", "at least 1"], lambda: F.adaptive_avg_pool2d(X, (0, 2))),
        (TypeError, ["output_size"], lambda: F.adaptive_avg_pool2d(X, (1, 2, 3))),
        (ValueError, ["no cells"], lambda: F.adaptive_max_pool2d(X[:, :, :0], 2)),
        (ValueError, ["(2, 3, 4, 7)"], lambda: F.max_unpool2d(X, PLACES[:, :, 1:], 2)),
        (TypeError, ["float64", "integers"], lambda: F.max_unpool2d(X, PLACES * 1.0, 2)),
        (TypeError, ["indices"], lambda: F.max_unpool2d(X, None, 2)),
        (IndexError, ["140", "10*14"], lambda: F.max_unpool2d(X, PLACES + 140, 2)),
        (IndexError, ["-1", "(0, 0, 0, 0)"], lambda: F.max_unpool2d(X, PLACES - 1, 2)),
        (
            ValueError,
            ["12 rows", "between 9 and 11"],
            lambda: F.max_unpool2d(X, PLACES, 2, output_size=(12, 14)),
        ),
        (ValueError, ["6 rows"], lambda: F.unfold(X, (6, 1))),
        (ValueError, ["9 values", "2*2"], lambda: F.fold(X[0, :, :3].reshape(1, 9, 7), (2, 2), 2)),
        (ValueError, ["7 columns", "2*1"], lambda: F.fold(X[:1, 0, :4], (3, 2), 2)),
    ],
)
def test_errors_say_what_is_wrong(error, words, call):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.split(":")[0].endswith(("pool2d", "unfold", "fold"))
    for word in words:
        assert word in message
