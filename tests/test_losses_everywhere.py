"""What every loss must do: be finite, ignore what is void, keep float32, take every layout."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minisegnet import losses
from minisegnet.autograd import tensor
from minisegnet.train.objective import build_loss
from minisegnet.train.options import loss_names
from tests import strict_array
from tests.strict_rules import counting
from tests.test_losses import masks

BINARY_ONLY = {"binary_cross_entropy", "balanced_cross_entropy"}
CLASSES_ONLY = {"cross_entropy"}
VARIANTS = {
    "tversky": [{"smooth": 0.0}, {"alpha": 0.0, "beta": 1.0, "smooth": 0.0}],
    "jaccard": [{"smooth": 0.0}],
    "dice": [{"smooth": 0.0}, {"squared": True, "smooth": 0.0}],
    "sensitivity_specificity": [{"smooth": 0.0}, {"ratio": 0.0}, {"ratio": 1.0}],
    "log_cosh_dice": [{"smooth": 0.0}, {"squared": True}],
    "lovasz_softmax": [{"classes": "all"}],
    "hausdorff_distance": [{"alpha": 0.5}, {"alpha": 3.0}],
    "combo": [{"alpha": 0.0}, {"alpha": 1.0}, {"beta": 0.0}, {"beta": 1.0}, {"smooth": 0.0}],
    "exponential_logarithmic": [
        {"smooth": 0.0},
        {"gamma_dice": 0.1, "gamma_cross": 0.1},
        {"gamma_dice": 2.0, "gamma_cross": 2.0},
    ],
    "weighted_cross_entropy": [{"weight": [0.0, 2.0]}, {"weight": [3.0, 0.0]}],
    "balanced_cross_entropy": [{"beta": 0.0}, {"beta": 1.0}],
    "focal": [{"gamma": 0.5}],
}
CASES = [
    pytest.param(name, options, id=f"{name}, {options}" if options else name)
    for name in losses.__all__
    for options in [{}, *VARIANTS.get(name, [])]
]
LAYOUTS = ["(N, H, W)", "(N, 1, H, W)", "(N, 2, H, W)"]


def layouts_of(name):
    taken = LAYOUTS[:2] if name in BINARY_ONLY else LAYOUTS
    return LAYOUTS[2:] if name in CLASSES_ONLY else taken


def in_layout(layout, foreground):
    """Logits in a layout, so that sigmoid or softmax give the foreground this logit."""
    if layout == "(N, 2, H, W)":
        return np.stack([0 * foreground, foreground], axis=1)
    return foreground[:, None] if layout == "(N, 1, H, W)" else foreground


MASKS = {
    "empty": np.zeros((2, 3, 5), int),
    "full": np.ones((2, 3, 5), int),
    "void": np.full((2, 3, 5), 255),
    "mixed": np.random.default_rng(9).integers(0, 2, (2, 3, 5)),
    "one image void": np.stack([np.full((3, 5), 255), np.eye(3, 5, dtype=int)]),
}


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("kind", MASKS)
def test_finite_everywhere(backend, name, options, kind):
    truth = MASKS[kind]
    loss = functools.partial(getattr(losses, name), **options, ignore_index=255)
    for layout in layouts_of(name):
        values = {}
        for size in (0.0, 30.0, 95.0, 1e4):
            for right in (True, False):
                foreground = size * np.where((truth == 1) == right, 1, -1)
                x = in_layout(layout, foreground).astype("float32")
                logits = backend.tensor(x, requires_grad=True)
                value = loss(logits, backend.asarray(truth))
                value.backward()
                gradient = backend.numpy(logits.grad)
                assert value.shape == () and value.dtype == gradient.dtype == np.float32
                assert np.isfinite(value.item()) and np.isfinite(gradient).all()
                assert value.item() >= -1e-6
                values[size, right] = value.item()
                if kind == "void":
                    assert value.item() == 0
                    assert not gradient.any()
        assert values[1e4, True] < 1e-5
        if kind == "mixed" and 0.0 not in options.values():
            assert values[1e4, False] > 0.01


@pytest.mark.parametrize("name", losses.__all__)
@given(st.data())
@settings(max_examples=25)
def test_void_pixels_change_nothing(backend, name, data):
    """Whatever is predicted there, the value is the same, and the gradient there is 0."""
    binary = name in BINARY_ONLY or (name not in CLASSES_ONLY and data.draw(st.booleans()))
    x, truth, void = data.draw(masks(binary=binary))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    truth[rng.random(truth.shape) < 0.3] = void
    loss = functools.partial(getattr(losses, name), ignore_index=void)
    at_void = np.broadcast_to(
        (truth == void).reshape(x.shape) if x.size == truth.size else (truth == void)[:, None],
        x.shape,
    )
    found = []
    for values in (x, np.where(at_void, rng.normal(0, 50, x.shape), x)):
        logits = backend.tensor(values, requires_grad=True)
        value = loss(logits, backend.asarray(truth))
        value.backward()
        gradient = backend.numpy(logits.grad)
        assert not gradient[at_void].any()
        found.append((value.item(), gradient[~at_void]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", losses.__all__)
@given(masks(binary=True), st.sampled_from(["uint8", "int32", "bool"]))
@settings(max_examples=15)
def test_layouts_and_dtypes_are_one(backend, name, case, dtype):
    """A mask in any integer type, logits with or without a channel: the same number."""
    x, truth, void = case
    truth = (truth == 1) if dtype == "bool" else np.where(truth == void, 250, truth)
    foreground = x.reshape(truth.shape)
    layouts = [layout for layout in layouts_of(name) if layout != "(N, 2, H, W)"] or LAYOUTS[2:]
    found = {
        getattr(losses, name)(
            backend.tensor(in_layout(layout, foreground)),
            backend.asarray(truth.astype(kind)),
            ignore_index=250,
        ).item()
        for layout in layouts
        for kind in (dtype, "int64")
    }
    assert np.ptp(list(found)) < 1e-12


@pytest.mark.parametrize("name", losses.__all__)
def test_signature_and_docstring(name):
    function = getattr(losses, name)
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:2] == ["logits", "target"]
    assert parameters["ignore_index"].default == -100
    text = inspect.getdoc(function)
    for part in (".. math::", "Parameters\n---", "Raises\n---", "Examples\n---", ">>> "):
        assert part in text, part
    # The plain cross-entropies are older than any paper on segmentation.
    assert "References\n---" in text or name in ("cross_entropy", "binary_cross_entropy")


@pytest.mark.parametrize("name", losses.__all__)
def test_a_loss_of_integers_and_of_plain_arrays(backend, name):
    x = backend.asarray(np.array([[[2, -1, 3]], [[0, 1, -4]]]))  # two images, or two classes
    logits = x if name not in CLASSES_ONLY else x[None]
    truth = backend.asarray(np.array([[[1, 0, 0]], [[0, 1, 1]]])[: len(logits)])
    value = getattr(losses, name)(logits, truth)
    assert value.dtype == np.float32
    assert np.isfinite(value.item())


def test_every_loss_can_be_asked_for_by_name():
    assert set(loss_names()) == set(losses.__all__)


@pytest.mark.parametrize("name", losses.__all__)
def test_every_loss_trains_by_name(backend, name):
    """As the command line calls it: two maps of logits and a mask, and downhill it goes."""
    rng = np.random.default_rng(5)
    truth = np.zeros((2, 6, 9), int)
    truth[:, 1:4, 2:5] = 1
    truth[0, 5, 8] = 255
    loss = build_loss(name, 2, 255)
    values = rng.normal(0, 1, (2, 2, 6, 9)).astype("float32")
    costs = []
    for _ in range(12):
        logits = backend.tensor(values, requires_grad=True)
        value = loss(logits, backend.asarray(truth))
        value.backward()
        gradient = backend.numpy(logits.grad)
        values = values - np.float32(0.2) * gradient / np.abs(gradient).max()
        costs.append(value.item())
    assert costs[-1] < 0.9 * costs[0], costs


# ------------------------------------------------------------------ on a device


def on_device(name):
    """Logits and a target on the stand-in library, which sees every array and every wait."""
    rng = np.random.default_rng(1)
    classes = 1 if name in BINARY_ONLY else 3
    logits = rng.normal(size=(2, classes, 4, 5)).astype("float32")
    target = rng.integers(0, max(classes, 2), (2, 4, 5))
    return tensor(logits, device="strict", requires_grad=True), tensor(target, device="strict")


@pytest.mark.parametrize("name", losses.__all__)
def test_float32_makes_no_float64(monkeypatch, name):
    """Distance transforms are float64 by nature; nothing else is."""
    logits, target = on_device(name)
    made = []
    original = strict_array.StrictArray.__init__

    def init(self, values):
        made.append(values.dtype)
        original(self, values)

    monkeypatch.setattr(strict_array.StrictArray, "__init__", init)
    getattr(losses, name)(logits, target).backward()
    assert len(made) > 10
    if name not in ("hausdorff_distance", "shape_aware"):
        assert np.dtype("float64") not in made


@pytest.mark.parametrize("name", losses.__all__)
def test_only_the_check_of_the_labels_waits_for_the_device(name):
    logits, target = on_device(name)
    with counting() as seen:
        getattr(losses, name)(logits, target).backward()
    assert seen.synchronisations <= 3
