"""Resizing: all options at once against the loops, on every backend, in both memory orders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisegnet.autograd import Tensor
from minisegnet.gradcheck import gradcheck
from minisegnet.kernels import maps, parallel, reference, resample
from minisegnet.ops import upsampling as F
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


def check_adjoint(backend: Any, x: Tensor, y: Tensor, channels_last: bool) -> None:
    """<f(x), g> = <x, f'(g)> for a linear f; with random x and g, of every wrong f' one notices."""
    grad = integers(y.shape, seed=2)
    y.backward(arranged(backend, grad, not channels_last))
    dx = backend.numpy(x.grad)
    assert dx.shape == x.shape
    np.testing.assert_allclose(
        (dx * x.numpy()).sum(), (y.numpy() * grad).sum(), rtol=1e-9, atol=1e-9
    )


FACTORS = st.one_of(st.sampled_from([1, 2, 3, 0.5, 1.5, 2.5]), st.floats(0.4, 4))
MODES = st.sampled_from([("nearest", None), ("bilinear", False), ("bilinear", True)])


@given(
    size=pairs(1, 8),
    target=st.one_of(pairs(1, 17), st.tuples(FACTORS, FACTORS)),
    by_factor=st.booleans(),
    mode=MODES,
    channels_last=st.booleans(),
    seed=st.integers(0, 999),
)
def test_interpolate_is_its_definition(backend, size, target, by_factor, mode, channels_last, seed):
    by_factor = by_factor or any(isinstance(t, float) for t in target)
    out = tuple(int(n * t) if by_factor else int(t) for n, t in zip(size, target, strict=True))
    if 0 in out:
        return
    values = integers((2, 3, *size), seed)
    x = leaf(backend, values, channels_last)
    how = {"scale_factor" if by_factor else "size": target}
    y = F.interpolate(x, **how, mode=mode[0], align_corners=mode[1])
    scales = target if by_factor else (None, None)
    want = reference.interpolate(values, out, scales, mode[0], bool(mode[1]))
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-12, atol=1e-12)
    check_adjoint(backend, x, y, channels_last)


def gradient_by_loops(grad: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """Each output sends its gradient to its sources, with the weights they had."""
    dx = np.zeros((*grad.shape[:2], *size))
    for r, c in np.ndindex(grad.shape[2:]):
        rows, columns = (
            reference.sources(cell, size[a], grad.shape[2 + a], None, mode)
            for a, cell in enumerate((r, c))
        )
        for row, down in rows:
            for column, across in columns:
                dx[:, :, row, column] += down * across * grad[:, :, r, c]
    return dx


@given(size=pairs(1, 6), out=pairs(1, 13), mode=st.sampled_from(["nearest", "bilinear"]))
def test_gradient_of_interpolate_is_its_definition(backend, size, out, mode):
    x = leaf(backend, integers((1, 2, *size), seed=1), channels_last=True)
    grad = integers((1, 2, *out), seed=2)
    F.interpolate(x, out, mode=mode).backward(backend.asarray(grad))
    np.testing.assert_allclose(
        backend.numpy(x.grad), gradient_by_loops(grad, size, mode), atol=1e-12
    )


def test_interpolate_by_the_worked_numbers(backend):
    x = backend.tensor(np.array([[[[1, 3], [2, 0]]]]))
    y = F.interpolate(x, scale_factor=2)
    assert y.dtype == np.int64
    assert y.tolist() == [[[[1, 1, 3, 3], [1, 1, 3, 3], [2, 2, 0, 0], [2, 2, 0, 0]]]]
    row = backend.tensor(np.array([[[[0, 8]]]]))
    assert F.interpolate(row, (1, 4), mode="bilinear").tolist() == [[[[0, 2, 6, 8]]]]
    corners = F.interpolate(row, (1, 5), mode="bilinear", align_corners=True)
    assert corners.tolist() == [[[[0, 2, 4, 6, 8]]]]


def test_nearest_rounds_like_pytorch():
    """2/82 in float32 falls short of 1/41, so that cell 41 still reads the first of two."""
    column = F.interpolate(np.array([[[[5, 7]]]]), (1, 82)).numpy().ravel()
    assert column.tolist() == [5] * 42 + [7] * 40


def test_a_factor_that_keeps_or_doubles_the_size_counts_as_pytorch_counts_it():
    """1.1 leaves 5 cells 5, which PyTorch copies; 2.1 makes 10 of 5, each of them twice."""
    x = np.array([[[[1.0, 2, 4, 7, 11]]]])
    for mode in ("nearest", "bilinear"):
        same = F.interpolate(x, scale_factor=(1, 1.1), mode=mode).numpy()
        np.testing.assert_array_equal(same, x)
    double = F.interpolate(x, scale_factor=(1, 2.1)).numpy()
    np.testing.assert_array_equal(double, np.repeat(x, 2, axis=3))
    # The factor itself counts where the size changes otherwise: floor(o / 2.3).
    other = F.interpolate(x, scale_factor=(1, 2.3)).numpy().ravel()
    assert other.tolist() == [1, 1, 1, 2, 2, 4, 4, 7, 7, 7, 11]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_an_infinite_value_spoils_only_what_it_takes_part_in(backend, mode):
    values = np.arange(1.0, 7).reshape(1, 1, 1, 6)
    values[..., 3] = np.inf
    x = backend.tensor(values, requires_grad=True)
    for width in (3, 5, 6, 11, 18):
        y = F.interpolate(x, (1, width), mode=mode)
        assert not np.isnan(y.numpy()).any()
        grad = np.ones((1, 1, 1, width))
        grad[..., 0] = np.inf
        x.grad = None
        y.backward(backend.asarray(grad))
        dx = backend.numpy(x.grad)
        assert not np.isnan(dx).any()
        assert dx[..., 0] == np.inf
        assert np.isfinite(dx[..., 4:]).all()


def test_a_constant_map_stays_constant():
    x = np.full((1, 1, 3, 4), 0.1, dtype=np.float32)
    for size in ((7, 9), (2, 3), (12, 5)):
        y = F.interpolate(x, size, mode="bilinear").numpy()
        np.testing.assert_allclose(y, 0.1, rtol=2e-7)


@given(case=pairs(1, 9), out=pairs(1, 20), block=st.sampled_from([1, 7, 64]), mode=MODES)
def test_blocks_and_threads_change_nothing(case, out, block, mode):
    x = integers((3, 2, *case), seed=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "WORTH_A_THREAD", 1)
        patch.setattr(parallel, "_threads", 3)
        patch.setattr(resample, "BLOCK", block)
        patch.setattr(resample, "LONG_RUN", block)
        got = F.interpolate(x, out, mode=mode[0], align_corners=mode[1]).numpy()
    want = reference.interpolate(x, out, mode=mode[0], align_corners=bool(mode[1]))
    np.testing.assert_allclose(got, want, atol=1e-12)


@given(size=pairs(1, 4), scale=pairs(1, 4), channels_last=st.booleans(), seed=st.integers(0, 99))
def test_bed_of_nails_is_its_definition(backend, size, scale, channels_last, seed):
    values = integers((2, 3, *size), seed)
    x = leaf(backend, values, channels_last)
    y = F.bed_of_nails(x, scale)
    np.testing.assert_array_equal(y.numpy(), reference.bed_of_nails(values, scale))
    check_adjoint(backend, x, y, channels_last)


@given(
    size=pairs(1, 4), r=st.integers(1, 3), maps_out=st.integers(1, 3), channels_last=st.booleans()
)
def test_pixel_shuffle_is_its_definition(backend, size, r, maps_out, channels_last):
    values = np.arange(2.0 * maps_out * r * r * size[0] * size[1]).reshape(2, -1, *size)
    x = leaf(backend, values, channels_last)
    y = F.pixel_shuffle(x, r)
    np.testing.assert_array_equal(y.numpy(), reference.pixel_shuffle(values, r))
    y.backward(arranged(backend, y.numpy() * 3, channels_last))
    np.testing.assert_array_equal(backend.numpy(x.grad), values * 3)


def test_nails_and_shuffle_by_hand(backend):
    x = backend.tensor(np.array([[[[1, 4], [3, 2]]]]))
    assert F.bed_of_nails(x, 2).tolist() == [
        [[[1, 0, 4, 0], [0, 0, 0, 0], [3, 0, 2, 0], [0, 0, 0, 0]]]
    ]
    channels = backend.tensor(np.arange(8).reshape(1, 8, 1, 1))
    assert F.pixel_shuffle(channels, 2).tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]


def test_gradients_agree_with_differences():
    x = Tensor(integers((2, 8, 3, 4), seed=1) / 3, requires_grad=True)
    for options in (
        {"scale_factor": 2},
        {"size": (2, 7)},
        {"size": (5, 3), "mode": "bilinear"},
        {"scale_factor": (1.5, 2.3), "mode": "bilinear", "align_corners": False},
        {"size": (5, 9), "mode": "bilinear", "align_corners": True},
    ):
        assert gradcheck(lambda x, options=options: F.interpolate(x, **options), [x])
    assert gradcheck(lambda x: F.bed_of_nails(x, (3, 2)), [x])
    assert gradcheck(lambda x: F.pixel_shuffle(x, 2), [x])


def test_float32_stays_float32_and_maps_are_channels_last(backend):
    values = np.random.default_rng(0).random((2, 4, 3, 5), dtype=np.float32)
    x = leaf(backend, values, channels_last=True)
    for y in (
        F.interpolate(x, scale_factor=2),
        F.interpolate(x, (5, 4), mode="bilinear"),
        F.bed_of_nails(x, 2),
        F.pixel_shuffle(x, 2),
    ):
        assert y.dtype == np.float32
        assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_nearest_keeps_integers_exact(backend, dtype):
    values = np.array([[[[1, 0, 1], [0, 0, 1]]]]).astype(dtype)
    if dtype == np.int64:
        values *= 2**60 + 1
    y = F.interpolate(backend.tensor(values), (3, 7))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), reference.interpolate(values, (3, 7)))


def test_an_empty_batch_passes_through():
    x = np.zeros((0, 4, 3, 5), dtype=np.float32)
    assert F.interpolate(x, scale_factor=2, mode="bilinear").shape == (0, 4, 6, 10)
    assert F.bed_of_nails(x, 2).shape == (0, 4, 6, 10)
    assert F.pixel_shuffle(x, 2).shape == (0, 1, 6, 10)


def test_resizing_never_waits_for_the_device():
    x = Tensor(strict.xp.asarray(np.arange(96.0).reshape(1, 4, 4, 6)), requires_grad=True)

    def step() -> None:
        F.interpolate(x, scale_factor=2).sum().backward()
        F.interpolate(x, (5, 7), mode="bilinear").sum().backward()
        F.bed_of_nails(x, 2).sum().backward()
        F.pixel_shuffle(x, 2).sum().backward()

    step()
    with strict.counting() as seen:
        step()
    assert (seen.synchronisations, seen.uploads) == (0, 0)


X = np.arange(1 * 6 * 2 * 3.0).reshape(1, 6, 2, 3)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, ["(6, 2, 3)", "x[None]"], lambda: F.interpolate(X[0], 2)),
        (ValueError, ["both"], lambda: F.interpolate(X, size=2, scale_factor=2)),
        (ValueError, ["neither"], lambda: F.interpolate(X)),
        (ValueError, ["did you mean 'bilinear'"], lambda: F.interpolate(X, 2, mode="bilinar")),
        (ValueError, ["align_corners"], lambda: F.interpolate(X, 2, align_corners=True)),
        (ValueError, ["(0, 0)", "0.3"], lambda: F.interpolate(X, scale_factor=0.3)),
        (ValueError, ["-2"], lambda: F.interpolate(X, scale_factor=-2)),
        (ValueError, ["nan"], lambda: F.interpolate(X, scale_factor=(1, np.nan))),
        (ValueError, ["'2x'"], lambda: F.interpolate(X, scale_factor="2x")),
        (ValueError, ["at least 1"], lambda: F.interpolate(X, size=(0, 2))),
        (TypeError, ["2.5"], lambda: F.interpolate(X, size=2.5)),
        (ValueError, ["no cells"], lambda: F.interpolate(X[:, :, :0], size=2)),
        (ValueError, ["at least 1"], lambda: F.bed_of_nails(X, 0)),
        (ValueError, ["6 channels", "2*2 = 4"], lambda: F.pixel_shuffle(X, 2)),
        (ValueError, ["(2, 3)"], lambda: F.pixel_shuffle(X[0, 0], 2)),
    ],
)
def test_errors_say_what_is_wrong(error, words, call):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.split(":")[0] in ("interpolate", "bed_of_nails", "pixel_shuffle")
    for word in words:
        assert word in message
