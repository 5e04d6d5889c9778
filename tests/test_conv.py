"""Convolution and its transpose: against the loops, against each other, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet.autograd import Tensor, tensor
from minisegnet.gradcheck import gradcheck
from minisegnet.kernels import correlate as kernels
from minisegnet.kernels import gathering, parallel, reference
from minisegnet.ops import conv
from minisegnet.ops.padding import pad
from minisegnet.tape import observe
from tests import strict
from tests.geometry import Correlation, Transposed, correlations, integers, pairs, transposed


@given(case=correlations())
def test_correlate_is_its_definition(backend, case: Correlation):
    x, w = backend.asarray(case.x), backend.asarray(case.w)
    got = kernels.correlate(x, w, *case.options)
    want = reference.correlate(case.x, case.w, *case.options)
    np.testing.assert_array_equal(backend.numpy(got), want)


@given(case=correlations())
def test_gradients_of_correlate_are_their_definitions(backend, case: Correlation):
    grad = integers((len(case.x), len(case.w), *case.out), seed=3)
    x, w, g = (backend.asarray(a) for a in (case.x, case.w, grad))
    dx = kernels.input_gradient(g, w, case.x.shape[2:], *case.options)
    dw = kernels.weight_gradient(x, g, case.w.shape[2:], *case.options)
    want_dx = reference.correlate_input_gradient(grad, case.w, case.x.shape[2:], *case.options)
    want_dw = reference.correlate_weight_gradient(case.x, grad, case.w.shape[2:], *case.options)
    np.testing.assert_array_equal(backend.numpy(dx), want_dx)
    np.testing.assert_array_equal(backend.numpy(dw), want_dw)


@pytest.mark.parametrize("numbers", [1, 50, 1000])
@given(case=correlations(), channels_last=st.booleans())
def test_bands_and_memory_order_do_not_matter(numbers: int, case: Correlation, channels_last):
    x = case.x
    if channels_last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "BAND_NUMBERS", numbers)
        patch.setattr(gathering, "WORTH_A_THREAD", 1)
        patch.setattr(parallel, "_threads", 3)
        got = kernels.correlate(x, case.w, *case.options)
        dw = kernels.weight_gradient(x, got, case.w.shape[2:], *case.options)
    np.testing.assert_array_equal(got, reference.correlate(case.x, case.w, *case.options))
    want = reference.correlate_weight_gradient(case.x, got, case.w.shape[2:], *case.options)
    np.testing.assert_array_equal(dw, want)


@pytest.mark.parametrize("convolution", [conv.conv2d, conv.conv_transpose2d])
def test_what_ran_has_the_name_of_the_function_that_was_called(convolution):
    name = convolution.__name__
    x, w = (tensor(integers(s, seed=1) * 1.0) for s in ((1, 2, 3, 4), (2, 2, 2, 1)))
    w.requires_grad = True
    seen = []
    with observe(seen.append):
        out = convolution(x, w)
    assert seen[-1].name == seen[-1].node.name == name
    assert repr(out).endswith(f"op={name})")
    elsewhere = Tensor(strict.xp.ones((2, 2, 2, 1), dtype=x.dtype))
    with pytest.raises(TypeError, match=f"^{name}: .*'cpu' and another on 'strict'"):
        convolution(x, elsewhere)


def test_correlate_keeps_integers_exact():
    x, w = np.arange(12).reshape(1, 2, 2, 3), np.arange(8).reshape(1, 2, 2, 2)
    out = kernels.correlate(x, w)
    assert out.dtype == np.int64
    np.testing.assert_array_equal(out, reference.correlate(x, w))


@settings(max_examples=1000)
@given(case=transposed())
def test_adjoint_identity(case: Transposed):
    """<conv(y), x> = <y, conv_transpose(x)> in exact integers, for the transpose's own sizes."""
    up = conv.conv_transpose2d(case.x, case.w, **case.options).numpy()
    assert up.shape[2:] == case.out
    y = integers(up.shape, seed=5)
    same = {k: v for k, v in case.options.items() if k != "output_padding"}
    down = conv.conv2d(y, case.w, **same).numpy()
    # An output padding of a stride or more gives the convolution cells that x does not have.
    down = down[:, :, : case.x.shape[2], : case.x.shape[3]]
    assert down.shape == case.x.shape
    assert (down * case.x).sum() == (y * up).sum()


def test_the_adjoint_cases_reach_the_corners():
    seen: set[str] = set()

    @settings(max_examples=1000)
    @given(case=transposed())
    def look(case: Transposed):
        options = case.options
        seen.update(["padding > dilation*(k-1)"] if case.crops else [])
        seen.update(name for name in ("output_padding",) if max(options[name]) > 0)
        seen.update(name for name in ("stride", "dilation") if min(options[name]) > 1)
        seen.update(["groups"] if options["groups"] > 1 else [])

    look()
    assert seen == {
        "padding > dilation*(k-1)",
        "output_padding",
        "stride",
        "dilation",
        "groups",
    }


@given(case=transposed())
def test_conv_transpose_is_both_its_definitions(backend, case: Transposed):
    x, w, bias = (backend.tensor(a) for a in (case.x, case.w, case.bias))
    got = backend.numpy(conv.conv_transpose2d(x, w, bias, **case.options))
    shift = case.bias[None, :, None, None]
    for definition in (reference.conv_transpose2d, reference.conv_transpose2d_by_scatter):
        np.testing.assert_array_equal(got, definition(case.x, case.w, **case.options) + shift)


@given(case=transposed())
def test_conv_transpose_is_its_three_steps(backend, case: Transposed):
    """The recipe with public operations, one after another."""
    options = case.options
    x, w = backend.tensor(case.x), backend.tensor(case.w)
    spread = conv.insert_zeros(x, options["stride"])
    around = [
        d * (k - 1) - p
        for d, k, p in zip(options["dilation"], case.w.shape[2:], options["padding"], strict=True)
    ]
    below, beside = options["output_padding"]
    amounts = (around[1], around[1] + beside, around[0], around[0] + below)
    if any(
        n + a + b < 1 or min(a, b) <= -n
        for n, (a, b) in zip(spread.shape[:1:-1], (amounts[:2], amounts[2:]), strict=True)
    ):
        return  # the frame cuts off everything on one side: no picture to correlate
    framed = pad(spread, amounts)
    groups = options["groups"]
    per_group = case.w.shape[0] // groups
    kernels_of_groups = [
        conv.flip(w[g * per_group : (g + 1) * per_group], (2, 3)).transpose(0, 1).numpy()
        for g in range(groups)
    ]
    flipped = backend.tensor(np.concatenate(kernels_of_groups))
    want = conv.conv2d(framed, flipped, dilation=options["dilation"], groups=groups)
    got = conv.conv_transpose2d(x, w, **options)
    np.testing.assert_array_equal(backend.numpy(got), backend.numpy(want))


@settings(max_examples=15)
@given(case=transposed(), seed=st.integers(0, 99))
def test_gradients_of_conv_transpose(backend, case: Transposed, seed: int):
    inputs = [backend.tensor(a / 8, requires_grad=True) for a in (case.x, case.w, case.bias)]
    assert gradcheck(
        lambda x, w, b: conv.conv_transpose2d(x, w, b, **case.options), inputs, seed=seed
    )


@settings(max_examples=15)
@given(
    size=pairs(3, 6),
    kernel=pairs(1, 3),
    stride=pairs(1, 3),
    padding=st.one_of(pairs(0, 2), st.sampled_from(["valid"])),
    dilation=pairs(1, 2),
    groups=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_gradients_of_conv(backend, size, kernel, stride, padding, dilation, groups, seed):
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = tuple(max(n, span) for n, span in zip(size, spans, strict=True))
    x = integers((2, 2 * groups, *size), seed) / 8
    w, bias = integers((3 * groups, 2, *kernel), seed + 1) / 8, integers((3 * groups,), seed + 2)
    inputs = [backend.tensor(a, requires_grad=True) for a in (x, w, bias)]
    assert gradcheck(
        lambda x, w, b: conv.conv2d(x, w, b, stride, padding, dilation, groups), inputs, seed=seed
    )


@given(size=pairs(1, 7), kernel=pairs(1, 5), dilation=pairs(1, 3), seed=st.integers(0, 99))
def test_same_padding_keeps_the_size(size, kernel, dilation, seed):
    x, w = integers((1, 2, *size), seed), integers((3, 2, *kernel), seed + 1)
    got = conv.conv2d(x, w, padding="same", dilation=dilation)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    frame = tuple((n // 2, n - n // 2) for n in total)
    assert got.shape[2:] == size
    want = reference.correlate(x, w, padding=frame, kernel_dilation=dilation)
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize(
    ("x", "k", "want"),
    [
        ([[1, 2], [3, 4]], [[1, 0], [1, 1]], [[1, 2, 0], [4, 7, 2], [3, 7, 4]]),
        ([[0, 2], [3, 1]], [[0, 1], [2, 3]], [[0, 0, 2], [0, 7, 7], [6, 11, 3]]),
    ],
)
def test_worked_examples_of_the_lessons(backend, x, k, want):
    got = conv.conv_transpose2d(backend.tensor([[x]]), backend.tensor([[k]]))
    np.testing.assert_array_equal(backend.numpy(got)[0, 0], want)


def test_output_padding_uncovers_cells_of_the_stamp(backend):
    kernel = np.arange(1.0, 10.0).reshape(3, 3) * [1, -1, 2]
    x = backend.tensor(np.full((1, 1, 1, 1), 5.0))
    w = backend.tensor(kernel[None, None])
    got = conv.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1)
    np.testing.assert_array_equal(backend.numpy(got)[0, 0], 5 * kernel[1:, 1:])


@given(size=pairs(1, 5), stride=pairs(1, 4))
def test_insert_zeros(backend, size, stride):
    x = integers((2, 1, *size), 0)
    got = backend.numpy(conv.insert_zeros(backend.tensor(x), stride))
    np.testing.assert_array_equal(got, reference.insert_zeros(x, stride))
    assert gradcheck(
        lambda t: conv.insert_zeros(t, stride), [backend.tensor(x, requires_grad=True)]
    )


@pytest.mark.parametrize("dims", [0, 3, (2, 3), (-1,), (0, 1, 2, 3)])
def test_flip(backend, dims):
    x = integers((2, 1, 3, 4), 1)
    got = conv.flip(backend.tensor(x), dims)
    np.testing.assert_array_equal(backend.numpy(got), np.flip(x, dims))
    assert gradcheck(lambda t: conv.flip(t, dims), [backend.tensor(x, requires_grad=True)])


def test_an_empty_batch_goes_through():
    x = tensor(np.zeros((0, 2, 5, 4)), requires_grad=True)
    w = tensor(integers((3, 2, 2, 2), 0), requires_grad=True)
    y = conv.conv2d(x, w)
    assert y.shape == (0, 3, 4, 3)
    y.sum().backward()
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(w.grad, np.zeros(w.shape))


@pytest.mark.torch
@given(case=transposed())
def test_conv_transpose_agrees_with_torch(case: Transposed):
    torch = pytest.importorskip("torch")
    arrays = (case.x / 8, case.w / 8, case.bias)
    ours = [tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = conv.conv_transpose2d(*ours, **case.options)
    z = torch.nn.functional.conv_transpose2d(*theirs, **case.options)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=1e-10)
    grad = integers(y.shape, 7)
    y.backward(grad)
    z.backward(torch.tensor(grad))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), atol=1e-10)
