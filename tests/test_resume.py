"""Nothing is lost: a run that is broken off and taken up again is the run that never was.

Files are compared byte by byte. The clock stands still here, since seconds are the one thing in
them that two runs do not share.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from minisegnet import backend, checkpoint, nn
from minisegnet.train import Run, loop, options
from minisegnet.train.saving import BEST, CONFIG, HISTORY, LAST, saved_history

TINY = {
    "train_size": 7,
    "val_size": 2,
    "size": 16,
    "base": 2,
    "depth": 1,
    "batch_size": 3,
    "crop": 12,
    "schedule_epochs": 3,
    "weight_decay": 0.01,
    "seed": 11,
}


@pytest.fixture(autouse=True)
def still_clock(monkeypatch):
    monkeypatch.setattr(loop.time, "perf_counter", lambda: 0.0)


def train(folder: Path, **given) -> dict[str, bytes]:
    """The files of a new run."""
    run = Run.start({**TINY, **given, "out": str(folder)})
    run.train(run.trainer())
    return files(folder)


def resume(folder: Path, epochs: int) -> dict[str, bytes]:
    """The files of a run that went on, in a program that has drawn other numbers since."""
    backend.manual_seed(987)
    run = Run.open(folder)
    run.change(epochs=epochs)
    run.train(run.trainer())
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    # The one name that is the folder's own.
    found[CONFIG] = found[CONFIG].replace(str(folder).encode(), b"FOLDER")
    return found


def test_the_lists_of_choices_are_those_of_the_options():
    assert len(options.OPTIMIZERS) >= 4
    assert len(options.SCHEDULES) >= 5


@pytest.mark.parametrize(
    "optimizer, schedule", list(product(options.OPTIMIZERS, options.SCHEDULES))
)
def test_two_epochs_and_two_more_are_four_to_the_last_byte(tmp_path, optimizer, schedule):
    chosen = {"optimizer": optimizer, "schedule": schedule, "augment": "turn"}
    straight = train(tmp_path / "straight", epochs=4, **chosen)
    train(tmp_path / "broken", epochs=2, **chosen)
    assert resume(tmp_path / "broken", epochs=4) == straight
    assert set(straight) == {BEST, CONFIG, HISTORY, LAST}
    assert len(saved_history(tmp_path / "broken")) == 4


@pytest.mark.parametrize("augment", options.AUGMENTATIONS)
def test_every_augmentation_goes_on_where_it_was(tmp_path, augment):
    straight = train(tmp_path / "straight", epochs=3, augment=augment)
    train(tmp_path / "broken", epochs=1, augment=augment)
    resume(tmp_path / "broken", epochs=2)
    assert resume(tmp_path / "broken", epochs=3) == straight


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_the_same_seed_gives_the_same_bytes(tmp_path, seed):
    first = train(tmp_path / "a", epochs=2, seed=seed, augment="turn")
    backend.manual_seed(5)
    assert train(tmp_path / "b", epochs=2, seed=seed, augment="turn") == first
    other = train(tmp_path / "c", epochs=2, seed=seed - 1 if seed else 1, augment="turn")
    assert all(other[name] != first[name] for name in (BEST, HISTORY, LAST))


def test_the_history_differs_by_its_seconds_alone(tmp_path, monkeypatch):
    first = train(tmp_path / "a", epochs=2)
    monkeypatch.undo()
    second = train(tmp_path / "b", epochs=2)
    rows = [each[HISTORY].decode().splitlines() for each in (first, second)]
    assert rows[0] != rows[1]
    without = [[row.rpartition(",")[0] for row in each] for each in rows]
    assert without[0] == without[1]
    assert first[BEST] == second[BEST]
    left, right = (checkpoint.load(tmp_path / d / LAST) for d in "ab")
    assert [{**row, "seconds": 0} for row in left["history"]] == [
        {**row, "seconds": 0} for row in right["history"]
    ]


def test_a_checkpoint_lacks_nothing_that_training_reads(tmp_path):
    """What changes during an epoch and is not in the file would be lost: dropout tells."""
    chosen = {"model": "fcn8s", "size": 32, "crop": 32, "depth": None}
    straight = train(tmp_path / "straight", epochs=2, **chosen)
    model = Run.open(tmp_path / "straight").best_model("cpu")
    assert any(isinstance(module, (nn.Dropout, nn.Dropout2d)) for module in model.modules())
    train(tmp_path / "broken", epochs=1, **chosen)
    assert resume(tmp_path / "broken", epochs=2) == straight


def test_a_checkpoint_holds_what_muon_remembers(tmp_path):
    """A momentum for every kernel that mixes channels, running means for all else."""
    train(tmp_path / "run", epochs=1, optimizer="muon")
    model = Run.open(tmp_path / "run").best_model("cpu")
    remembered = checkpoint.load(tmp_path / "run" / LAST)["optimizer"]["state"]
    shapes = [parameter.shape for parameter in model.parameters()]
    mixing = [len(shape) > 1 and shape[1] > 1 for shape in shapes]
    assert 0 < sum(mixing) < len(mixing)
    for number, (shape, mixes) in enumerate(zip(shapes, mixing, strict=True)):
        entry = remembered[number]
        arrays = {name: array for name, array in entry.items() if name != "step"}
        assert set(arrays) == ({"momentum_buffer"} if mixes else {"exp_avg", "exp_avg_sq"})
        assert entry.get("step") == (None if mixes else 2)
        for array in arrays.values():
            assert array.shape == shape
            assert array.dtype == "float32"
            assert abs(array).max() > 0


def test_a_run_from_before_muon_goes_on_with_adam(tmp_path):
    """Its file says adam, and knows nothing of options that came later."""
    straight = train(tmp_path / "straight", epochs=2, optimizer="adam")
    train(tmp_path / "old", epochs=1, optimizer="adam")
    path = tmp_path / "old" / CONFIG
    table = json.loads(path.read_text())
    assert (table["optimizer"], table["momentum"]) == ("adam", None)
    for later in ("momentum", "power", "precision", "capture"):
        del table[later]
    path.write_text(json.dumps(table))
    assert resume(tmp_path / "old", epochs=2) == straight


@pytest.mark.parametrize(
    "before, after", [("muon", "adam"), ("adam", "muon"), ("sgd", "rmsprop"), ("adamw", "sgd")]
)
def test_another_optimizer_cannot_take_over(tmp_path, before, after):
    train(tmp_path / "run", epochs=1, optimizer=before)
    path = tmp_path / "run" / CONFIG
    table = {**json.loads(path.read_text()), "optimizer": after, "momentum": None}
    path.write_text(json.dumps(table))
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in (BEST, HISTORY, LAST)}
    with pytest.raises(ValueError, match="another kind of optimiser") as caught:
        resume(tmp_path / "run", epochs=2)
    assert str(caught.value).endswith(
        "If config.json was changed, change it back; else train again into another folder"
    )
    assert {name: (tmp_path / "run" / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize("before, after", [("cosine", "constant"), ("constant", "cosine")])
def test_another_schedule_cannot_take_over(tmp_path, before, after):
    train(tmp_path / "run", epochs=1, schedule=before)
    path = tmp_path / "run" / CONFIG
    table = {**json.loads(path.read_text()), "schedule": after, "warm_up": None}
    path.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"only .* has a schedule.* change it back"):
        resume(tmp_path / "run", epochs=2)
