"""A whole training step: which dtypes it creates, and how often it waits for the device."""

from __future__ import annotations

import numpy as np
import pytest

import minisegnet as ms
from minisegnet.models import UNet
from tests import strict_array
from tests.strict_rules import counting

LOSSES = ["cross_entropy", "dice", "focal"]
OPTIMISERS = ["SGD", "Adam", "AdamW", "RMSprop", "Muon"]


def make_step(device: str, loss: str, optimiser: str, up: str = "transpose"):
    ms.manual_seed(0)
    rng = np.random.default_rng(1)
    model = UNet(3, 4, base=2, depth=2, up=up).to(device)
    options = {"momentum": 0.9} if optimiser in ("SGD", "RMSprop") else {}
    updates = getattr(ms.optim, optimiser)(
        model.parameters(), lr=0.01, weight_decay=1e-3, **options
    )
    images = ms.tensor(rng.random((2, 3, 8, 12), dtype=np.float32), device=device)
    masks = ms.tensor(rng.integers(0, 4, (2, 8, 12)), device=device)

    def step() -> ms.Tensor:
        value = getattr(ms.losses, loss)(model(images), masks)
        updates.zero_grad()
        value.backward()
        ms.optim.clip_grad_norm_(model.parameters(), 1.0)
        updates.step()
        return value

    return model, updates, step


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_float32_step_creates_no_float64_array(monkeypatch, loss, optimiser):
    """The stand-in library sees every array that is made, also inside the ops."""
    _, _, step = make_step("strict", loss, optimiser)
    made: list[tuple[np.dtype, tuple[int, ...]]] = []
    original = strict_array.StrictArray.__init__

    def init(self, values):
        made.append((values.dtype, values.shape))
        original(self, values)

    monkeypatch.setattr(strict_array.StrictArray, "__init__", init)
    for _ in range(2):
        step()
    assert len(made) > 500
    assert [entry for entry in made if entry[0] == np.float64] == []


@pytest.mark.parametrize("up", ["transpose", "bilinear", "nearest"])
def test_everything_that_stays_is_float32(backend, up):
    model, updates, step = make_step(backend.device, "cross_entropy", "Adam", up)
    loss = step()
    assert loss.dtype == np.float32
    for name, parameter in model.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == np.float32, name
    kept = [a for a in model.state_dict().values() if a.dtype.kind == "f"]
    kept += [a for a in _arrays(updates.state_dict()) if a.ndim]
    assert {a.dtype for a in kept} == {np.dtype("float32")}


def _arrays(state):
    if hasattr(state, "dtype"):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _arrays(value)
    elif isinstance(state, (list, tuple)):
        for value in state:
            yield from _arrays(value)


def test_a_step_hardly_waits_for_the_device():
    """Only the check of the labels and the norm of the gradients look at values."""
    _, _, step = make_step("strict", "cross_entropy", "Adam")
    step()
    with counting() as seen:
        step()
    assert seen.synchronisations <= 3
