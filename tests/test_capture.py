"""Training steps that never wait for the device, and steps replayed as a CUDA graph."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import minisegnet as ms
from minisegnet import backend as libraries
from minisegnet import nn
from minisegnet.models import SegNetBasic, UNet
from minisegnet.replay import Flags, Recording, deferred, number, refuse
from minisegnet.train import OptionError, Run, Trainer
from minisegnet.train.capture import REHEARSALS
from tests import strict_graph
from tests.strict_rules import counting


class Dropping(nn.Module):
    """A small network with everything that the host draws or counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4, momentum=None)
        self.drop, self.drop_maps = nn.Dropout(0.3), nn.Dropout2d(0.4)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.norm(self.first(x)).relu() if hasattr(x, "relu") else self.norm(self.first(x))
        return self.last(self.drop_maps(self.drop(x)))


def unet():
    return UNet(3, 4, base=2, depth=1)


def bilinear():
    return UNet(3, 4, base=2, depth=2, up="bilinear")


def segnet():
    return SegNetBasic(in_channels=3, num_classes=4, base=2)


def batches(count, size=(8, 16), last=2):
    rng = np.random.default_rng(3)
    numbers = [2] * (count - 1) + [last]
    return [
        (rng.random((n, 3, *size), dtype=np.float32), rng.integers(0, 4, (n, *size)))
        for n in numbers
    ]


def train(device, make, optimizer, data, capture=False, epochs=2, schedule=True, **options):
    ms.manual_seed(5)
    model = make().to(device)
    updates = getattr(ms.optim, optimizer)(model.parameters(), lr=0.02, **options)
    rates = None
    if schedule:
        moving = "momentum" in options or "betas" in updates.param_groups[0]
        rates = ms.optim.OneCycleLR(updates, 0.05, total_steps=64, cycle_momentum=moving)
    trainer = Trainer(
        model,
        ms.losses.cross_entropy,
        updates,
        num_classes=4,
        schedule=rates,
        schedule_every="step",
        clip_grad=0.5,
        capture=capture,
    )
    history = trainer.fit(data, epochs=epochs)
    return trainer, [row.train_loss for row in history]


def values(trainer):
    return {k: v.get() for k, v in trainer.model.state_dict().items()}


CASES = [
    (unet, "SGD", {"momentum": 0.9, "weight_decay": 1e-3}),
    (bilinear, "Adam", {}),
    (unet, "RMSprop", {"momentum": 0.5}),
    (unet, "Muon", {"weight_decay": 0.1}),
    (Dropping, "AdamW", {"weight_decay": 0.1}),
    (Dropping, "SGD", {}),
    (segnet, "Adam", {"amsgrad": True}),
]


@pytest.mark.parametrize(("make", "optimizer", "options"), CASES)
def test_a_captured_run_is_the_run_without(monkeypatch, make, optimizer, options):
    """Same weights, same optimiser state, same losses: nothing was recorded that should move."""
    strict_graph.install(monkeypatch)
    size = (32, 32) if make is segnet else (8, 16)
    data = batches(5, size)
    plain, losses = train("strict", make, optimizer, data, **options)
    assert strict_graph.events == []
    captured, captured_losses = train("strict", make, optimizer, data, capture=True, **options)
    assert strict_graph.events.count("begin") == strict_graph.events.count("end") == 1
    assert strict_graph.events.count("launch") == 2 * 5 - REHEARSALS
    np.testing.assert_allclose(captured_losses, losses, rtol=1e-6)
    expected = values(plain)
    for name, array in values(captured).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)
    steps = [state.get("step") for state in captured.optimizer.state.values()]
    assert steps == [state.get("step") for state in plain.optimizer.state.values()]


def test_a_smaller_last_batch_is_trained_on_without_the_graph(monkeypatch):
    strict_graph.install(monkeypatch)
    data = batches(5, last=1)
    plain, losses = train("strict", unet, "Adam", data)
    captured, captured_losses = train("strict", unet, "Adam", data, capture=True)
    assert strict_graph.events.count("launch") == 2 * 4 - REHEARSALS
    np.testing.assert_allclose(captured_losses, losses, rtol=1e-6)
    expected = values(plain)
    for name, array in values(captured).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_loading_a_state_records_anew(monkeypatch):
    strict_graph.install(monkeypatch)
    data = batches(4)
    trainer, _ = train("strict", unet, "Adam", data, capture=True, schedule=False)
    before = trainer.state_dict()
    trainer.fit(data, epochs=3)
    expected = values(trainer)
    trainer.load_state_dict(before)
    trainer.fit(data, epochs=3)
    assert strict_graph.events.count("begin") == 2
    for name, array in values(trainer).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_a_changed_weight_decay_records_anew(monkeypatch):
    strict_graph.install(monkeypatch)
    data = batches(4)
    trainer, _ = train("strict", unet, "SGD", data, capture=True, schedule=False)
    trainer.optimizer.param_groups[0]["weight_decay"] = 0.5
    trainer.fit(data, epochs=3)
    assert strict_graph.events.count("begin") == 2
    next(iter(trainer.model.parameters())).requires_grad = False
    frozen = next(iter(trainer.model.parameters())).data.get()
    trainer.fit(data, epochs=4)
    assert strict_graph.events.count("begin") == 3
    np.testing.assert_array_equal(next(iter(trainer.model.parameters())).data.get(), frozen)


def test_an_optimiser_outlives_what_was_recorded(monkeypatch):
    """CuPy frees a pool's memory with the pool, whatever arrays still lie in it."""
    strict_graph.install(monkeypatch)
    data = batches(4)
    trainers = [
        train("strict", unet, "SGD", data, capture, schedule=False, momentum=0.9)[0]
        for capture in (False, True)
    ]
    trainers[1]._captured = None
    gc.collect()
    assert strict_graph.events[-1] == "free" and strict_graph.events.count("free") == 1
    for trainer in trainers:
        trainer.fit(data, epochs=3)
    expected = values(trainers[0])
    for name, array in values(trainers[1]).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_recording_anew_takes_the_same_memory(monkeypatch):
    strict_graph.install(monkeypatch)
    data = batches(4)
    trainers = []
    for capture in (False, True):
        trainer, _ = train("strict", unet, "SGD", data, capture, schedule=False, momentum=0.9)
        trainer.optimizer.param_groups[0]["weight_decay"] = 0.5
        trainer.fit(data, epochs=3)
        trainers.append(trainer)
    assert strict_graph.events.count("begin") == 2 and "free" not in strict_graph.events
    expected = values(trainers[0])
    for name, array in values(trainers[1]).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_another_precision_records_anew(monkeypatch):
    strict_graph.install(monkeypatch)
    monkeypatch.setenv("CUPY_TF32", "0")
    monkeypatch.setattr(libraries, "_tf32", None)
    data = batches(4)
    trainer, _ = train("strict", unet, "Adam", data, capture=True, schedule=False)
    ms.set_tf32(True)
    trainer.fit(data, epochs=3)
    assert strict_graph.events.count("begin") == 2


def test_an_interrupted_recording_ends(monkeypatch):
    """The stream can be used again, and garbage is collected again."""
    strict_graph.install(monkeypatch)

    def interrupted():
        assert not gc.isenabled()
        raise KeyboardInterrupt

    recorded = Recording(interrupted, "strict")
    with pytest.raises(KeyboardInterrupt):
        recorded.record()
    assert strict_graph.events[-1] == "end" and gc.isenabled()


def test_a_step_that_looks_at_a_value_is_refused(monkeypatch):
    strict_graph.install(monkeypatch)

    class Looking(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = unet()

        def forward(self, x):
            if float(x.data.max()) > 9:
                return x
            return self.inner(x)

    with pytest.raises(ValueError, match=r"recorded.*looks at a value.*without capture"):
        train("strict", Looking, "Adam", batches(4), capture=True)
    assert strict_graph.events.count("begin") == strict_graph.events.count("end")


def test_capture_needs_a_gpu():
    with pytest.raises(ValueError, match="'cpu' records no CUDA graphs: train without capture"):
        train("cpu", unet, "Adam", batches(2), capture=True)


@pytest.mark.parametrize("make", [unet, Dropping, segnet])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop", "Muon"])
def test_a_step_of_the_trainer_never_waits(make, optimizer):
    data = batches(6, (32, 32) if make is segnet else (8, 16))
    trainer, _ = train("strict", make, optimizer, data[:2], epochs=1, schedule=False)
    with counting() as seen:
        for images, masks in data[2:]:
            trainer._step(images, masks)
    assert seen.synchronisations == 0


@pytest.mark.parametrize("loss", sorted(set(ms.losses.__all__) - {"hinge"}))
def test_no_loss_waits_when_checks_are_deferred(loss):
    function = getattr(ms.losses, loss)
    rng = np.random.default_rng(4)
    binary = loss in ("binary_cross_entropy", "balanced_cross_entropy")
    logits = ms.tensor(
        rng.standard_normal((2, 1 if binary else 3, 6, 5)).astype(np.float32),
        device="strict",
        requires_grad=True,
    )
    target = ms.tensor(rng.integers(0, 2 if binary else 3, (2, 6, 5)), device="strict")
    with deferred(Flags()):
        function(logits, target).backward()
        with counting() as seen:
            function(logits, target).backward()
    assert seen.synchronisations == 0


def test_wrong_labels_are_told_of_later():
    """With their values in the first step, and without later on, when the losses are read."""
    data = batches(6)
    data[0][1][0, 1, 2] = 9
    with pytest.raises(ValueError, match=r"the labels hold 9, but with 4 classes"):
        train("strict", unet, "Adam", data)
    data = batches(6)
    data[3][1][0, 1, 2] = 9
    with pytest.raises(ValueError, match=r"hold others, but with 4 classes they go from 0 to 3"):
        train("strict", unet, "Adam", data)


def test_wrong_labels_are_found_in_a_captured_step(monkeypatch):
    strict_graph.install(monkeypatch)
    data = batches(7)
    data[4][1][1, 0, 3] = -3
    with pytest.raises(ValueError, match=r"hold others, but with 4 classes they go from 0 to 3"):
        train("strict", unet, "Adam", data, capture=True)


def test_flags_stay_until_they_are_read(backend):
    flags = Flags()
    right, wrong = (backend.asarray(np.array([False, value])) for value in (False, True))
    with deferred(flags):
        refuse(right, ValueError("first"))
        flags.read()
        if backend.name == "numpy":
            with pytest.raises(KeyError, match="second"):
                refuse(wrong, KeyError("second"))
            return
        refuse(wrong, KeyError("second"))
        refuse(right, KeyError("second"))
    with pytest.raises(KeyError, match="second"):
        flags.read()
    flags.read()


def test_numbers_of_more_than_one_block(monkeypatch):
    """More numbers than go to the device in one piece: each still has its own place."""
    strict_graph.install(monkeypatch)
    start = strict_graph.strict.xp.zeros(1500, dtype="float32")
    counts = {"step": 0}

    def work():
        out = start.copy()
        for i in range(1500):
            out[i] = number(lambda i=i: i * 1000 + counts["step"], start)
        return out

    recorded = Recording(work, "strict")
    recorded.rehearse()
    recorded.record()
    for step in (3, 7):
        counts["step"] = step
        expected = np.arange(1500, dtype=np.float32) * 1000 + step
        np.testing.assert_array_equal(recorded.replay().get(), expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_many_arrays_are_joined_on_the_device(backend, axis):
    rng = np.random.default_rng(6)
    for count in (2, 9, 12):
        shapes = [[2, 3, 4] for _ in range(count)]
        for place, shape in enumerate(shapes):
            shape[axis] = place % 4
        arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
        on_device = [backend.asarray(a) for a in arrays]
        with counting() as seen:
            joined = libraries.concatenate(on_device, axis=axis)
        assert (seen.synchronisations, seen.uploads) == (0, 0)
        np.testing.assert_array_equal(backend.numpy(joined), np.concatenate(arrays, axis=axis))


def test_a_network_that_joins_many_maps_is_recorded(monkeypatch):
    strict_graph.install(monkeypatch)

    class Joining(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 2, 3, padding=1)
            self.last = nn.Conv2d(18, 4, 1)

        def forward(self, x):
            maps = self.first(x)
            return self.last(ms.functional.cat([maps * (i + 1) for i in range(9)], 1))

    data = batches(4)
    _, losses = train("strict", Joining, "Muon", data)
    _, captured_losses = train("strict", Joining, "Muon", data, capture=True)
    assert strict_graph.events.count("launch") == 2 * 4 - REHEARSALS
    np.testing.assert_allclose(captured_losses, losses, rtol=1e-6)


def test_muon_turns_many_matrices_of_one_size_in_a_recorded_step(monkeypatch):
    strict_graph.install(monkeypatch)

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)
            self.others = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(20))

        def forward(self, x):
            x = self.first(x)
            for other in self.others:
                x = x + other(x)
            return x

    data = batches(4)
    plain, _ = train("strict", Deep, "Muon", data)
    captured, _ = train("strict", Deep, "Muon", data, capture=True)
    expected = values(plain)
    for name, array in values(captured).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_norm_of_gradients_on_the_device(backend):
    """Against float64, also for huge, zero and infinite gradients."""
    rng = np.random.default_rng(2)
    for scale in (1.0, 1e-3, 1e18, 0.0, np.inf):
        arrays = [(rng.standard_normal(s) * scale).astype(np.float32) for s in ((3, 2), (4,))]
        tensors = [backend.tensor(np.zeros_like(a)) for a in arrays]
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor.grad = backend.asarray(array.copy())
        found = float(ms.optim.clip_grad_norm_on_device_(tensors, 1.5))
        norm = np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays))
        np.testing.assert_allclose(found, norm, rtol=1e-6)
        factor = min(1.0, 1.5 / (norm + 1e-6)) if np.isfinite(norm) else 1.0
        for tensor, array in zip(tensors, arrays, strict=True):
            np.testing.assert_allclose(backend.numpy(tensor.grad), array * factor, rtol=1e-6)


def test_capture_on_the_command_line(tmp_path):
    """Without a GPU it is refused before anything is written."""
    given = {"capture": True, "device": "cpu", "out": str(tmp_path / "run"), "train_size": 8}
    with pytest.raises(OptionError, match=r"--capture .* on the CPU: leave it out"):
        Run.start(given)
    assert not (tmp_path / "run").exists()


def test_precision_reaches_the_backend(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(libraries, "set_tf32", told.append)
    small = {"train_size": 8, "val_size": 2, "epochs": 1, "device": "cpu"}
    for precision in ("tf32", "float32"):
        run = Run.start({**small, "precision": precision, "out": str(tmp_path / precision)})
        run.trainer()
    assert told == [True, False]


@pytest.mark.gpu
@pytest.mark.parametrize(("make", "optimizer", "options"), CASES)
def test_a_captured_run_on_a_gpu(make, optimizer, options):
    if not libraries.cuda_is_available():
        pytest.skip(f"no GPU: {libraries.cuda_problem()}")
    size = (32, 32) if make is segnet else (8, 16)
    data = batches(5, size, last=1)
    plain, losses = train("cuda", make, optimizer, data, **options)
    captured, captured_losses = train("cuda", make, optimizer, data, capture=True, **options)
    np.testing.assert_allclose(captured_losses, losses, rtol=1e-3)
    expected = values(plain)
    for name, array in values(captured).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-2, atol=1e-3, err_msg=name)
