"""``detect_anomaly``: the first number that is not finite, by operation, line and layer."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import anomaly, nn, tape
from minisegnet import functional as F
from minisegnet.anomaly import AnomalyError
from minisegnet.autograd import tensor

HERE = __file__


def line_of(text: str) -> int:
    """The number of the line of this file that holds a text."""
    lines = Path(HERE).read_text(encoding="utf-8").splitlines()
    (number,) = (i for i, line in enumerate(lines, start=1) if line.strip() == text)
    return number


def test_the_operation_and_the_line_that_made_it(backend):
    x = backend.tensor(np.array([[2.0, 3.0, 0.0], [1.0, 5.0, 7.0]], np.float32), requires_grad=True)

    def program():
        shifted = x * 2.0
        logs = shifted.log()  # the first
        logs.sum().backward()

    with pytest.raises(AnomalyError) as caught, ms.detect_anomaly():
        program()
    error = caught.value
    assert (error.op, error.backward, error.layer) == ("log", False, "")
    assert (error.file, error.source) == (HERE, "logs = shifted.log()  # the first")
    assert error.line == line_of("logs = shifted.log()  # the first")
    assert "log made -inf (1 of 6 values, the first at (0, 2))" in str(error)
    assert f"{HERE}:{error.line}: logs = shifted.log()" in str(error)
    assert "its input: (2, 3) in 0..14: clip its input" in str(error)
    assert isinstance(error, FloatingPointError)


@pytest.mark.parametrize(
    "make, op, made",
    [
        (lambda x: x / (x - x), "divide", "nan"),
        (lambda x: (x * 50.0).exp(), "exp", "inf"),
        (lambda x: (-x).sqrt(), "sqrt", "nan"),
        (lambda x: x**-1.0, "power", "inf"),
        (lambda x: F.conv2d(x[None, None] * 3e38, x[None, None]), "multiply", "inf"),
        (lambda x: F.conv2d(x[None, None] * 1e37, x[None, None] * 9.0), "conv2d", "inf"),
        (
            lambda x: F.conv_transpose2d(x[None, None] * 1e37, x[None, None] * 9.0),
            "conv_transpose2d",
            "inf",
        ),
    ],
)
def test_every_kind_of_operation(make, op, made):
    x = tensor([[0.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(AnomalyError, match=f"^{op} made {made} ") as caught, ms.detect_anomaly():
        make(x)
    assert caught.value.op == op
    assert caught.value.source.startswith(("(lambda", "make", "lambda"))


def test_on_the_way_back_it_is_the_line_of_the_way_there():
    x = tensor([[4.0, 0.0, 9.0]], requires_grad=True)
    with ms.detect_anomaly():
        roots = (x * 3.0).sqrt()  # steep at 0
        loss = (roots * 2.0).sum()
    with pytest.raises(AnomalyError, match=r"^the gradient of sqrt is inf \(1 of 3") as caught:
        loss.backward()  # outside: what was recorded inside is looked at
    assert caught.value.backward
    assert caught.value.source == "roots = (x * 3.0).sqrt()  # steep at 0"
    assert caught.value.line == line_of("roots = (x * 3.0).sqrt()  # steep at 0")
    assert x.grad is None


@pytest.mark.parametrize("convolution", [F.conv2d, F.conv_transpose2d])
def test_convolutions_go_by_the_name_that_was_called(convolution):
    name = convolution.__name__
    x, weight = np.ones((1, 1, 3, 4), np.float32), np.full((1, 1, 1, 2), 1e30, np.float32)
    given = [tensor(x * 1e-5, requires_grad=True), tensor(weight, requires_grad=True)]
    with ms.detect_anomaly():
        out = convolution(*given)
        with pytest.raises(AnomalyError, match=f"^the gradient of {name} is inf") as caught:
            out.backward(np.full(out.shape, 1e10, np.float32))
    assert caught.value.op == name
    weight[0, 0, 0, 1] = np.nan
    with pytest.raises(AnomalyError, match=rf"input.* of {name}\w* is nan"), ms.detect_anomaly():
        convolution(tensor(x), tensor(weight))


def test_a_gradient_that_nobody_wants_may_be_anything():
    x = tensor([-2.0, 3.0], requires_grad=True)
    with ms.detect_anomaly():
        (x ** tensor([2.0, 2.0])).sum().backward()
    np.testing.assert_array_equal(x.grad, [-4.0, 6.0])


def test_what_came_in_broken_is_not_blamed_on_the_operation():
    bad = tensor([1.0, float("nan")])
    with (
        pytest.raises(AnomalyError, match=r"^input 2 of add is nan \(1 of 2 .* before any"),
        ms.detect_anomaly(),
    ):
        tensor([1.0, 2.0]) + bad
    with pytest.raises(AnomalyError, match=r"^the input of exp is nan"), ms.detect_anomaly():
        bad.exp()
    y = tensor([1.0, 2.0], requires_grad=True)
    with ms.detect_anomaly():
        z = y * 2.0
        with pytest.raises(AnomalyError, match="the gradient that comes back to multiply is inf"):
            z.backward(np.array([np.inf, 1.0], np.float32))


class Steep(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(np.full((3, 1, 1), 2.0, np.float32))

    def forward(self, x):
        return (x * self.scale).log()  # in the layer


def network():
    ms.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), Steep())
    return nn.Sequential({"stem": nn.ReLU(), "body": body})


def test_inside_a_network_it_names_the_layer():
    x = np.random.default_rng(0).normal(size=(2, 2, 4, 6)).astype(np.float32)
    model = network()
    with pytest.raises(AnomalyError) as caught, ms.detect_anomaly():
        model(tensor(x))
    assert caught.value.layer == "body.2 (Steep)"
    assert caught.value.source == "return (x * self.scale).log()  # in the layer"
    assert "in body.2 (Steep)" in str(caught.value)

    model.body[0].weight.data[:] = np.nan
    with (
        pytest.raises(AnomalyError, match="input 2 of conv2d is nan") as caught,
        ms.detect_anomaly(),
    ):
        model(tensor(x))
    assert caught.value.layer.startswith("body.0 (Conv2d 2, 3, kernel_size=(3, 3)")
    assert caught.value.source == "model(tensor(x))"  # the engine's own lines are not the user's


def test_on_the_way_back_it_names_the_layer_too():
    model = network()
    model.body[2].forward = lambda x: (x * 0.0).sqrt()
    with ms.detect_anomaly():
        loss = model(tensor(np.ones((1, 2, 3, 5), np.float32))).sum()
    with pytest.raises(AnomalyError, match="gradient of sqrt") as caught:
        loss.backward()
    assert caught.value.layer == "body.2 (Steep)"


def test_nested_and_as_a_decorator():
    zero = tensor([0.0])
    with ms.detect_anomaly() as _, ms.detect_anomaly(), pytest.raises(AnomalyError):
        zero.log()
    detect = ms.detect_anomaly()
    with detect:
        with detect:
            pass
        with pytest.raises(AnomalyError):
            zero.log()

    @ms.detect_anomaly()
    def decorated(x):
        return x.log()

    for _ in range(2):
        with pytest.raises(AnomalyError):
            decorated(zero)
    assert not tape.is_observed()
    with np.errstate(divide="ignore"):
        assert zero.log().item() == -np.inf


def test_it_holds_for_its_own_thread_only():
    seen = []

    def elsewhere():
        with np.errstate(divide="ignore"):
            seen.append(tensor([0.0]).log().item())

    with ms.detect_anomaly():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [-np.inf]


def test_values_and_gradients_are_those_without_it():
    x = np.random.default_rng(1).normal(size=(2, 3, 16, 24)).astype(np.float32)
    target = np.random.default_rng(2).integers(0, 4, (2, 16, 24))
    grads = []
    for looked_at in (False, True):
        ms.manual_seed(7)
        model = ms.models.UNet(3, 4, base=2, depth=2)
        with ms.detect_anomaly() if looked_at else contextlib.nullcontext():
            loss = ms.losses.cross_entropy(model(tensor(x)), tensor(target))
            loss.backward()
        grads.append([loss.data, *(p.grad for p in model.parameters())])
    for left, right in zip(*grads, strict=True):
        np.testing.assert_array_equal(left, right)


def test_nothing_is_looked_at_outside(monkeypatch):
    """Off, it leaves no trace: no observer, no wrapped rule, no call of its own."""
    with ms.detect_anomaly():
        pass
    monkeypatch.setattr(anomaly, "_look", lambda event: pytest.fail("it looks"))
    monkeypatch.setattr(anomaly, "_guard", lambda *_: pytest.fail("it guards"))
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert not tape.is_observed()
    start = time.perf_counter()
    for _ in range(100):
        x * 2.0
    assert time.perf_counter() - start < 1.0


def test_graphs_are_freed_as_without_it():
    gc.collect()
    gc.disable()
    try:
        with ms.detect_anomaly():
            x = tensor(np.ones(5, np.float32), requires_grad=True)
            middle = x.exp()
            kept = weakref.ref(middle)
            loss = (middle * middle).sum()
            del middle
            loss.backward()
            assert kept() is None
    finally:
        gc.enable()
