"""Checkpoints and ``config.json``, damaged, foreign or hostile, through the command line."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from minisegnet import checkpoint
from tests.refusals import a_run, command, put, refuse
from tests.test_bad_images import COLOUR

BEST, LAST, CONFIG = "model.safetensors", "last.safetensors", "config.json"


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(Path("x.png"), COLOUR)
    return a_run(tmp_path / "run")


COMMANDS = {
    BEST: [("evaluate", "run", "--json"), ("predict", "run", "x.png", "--out", "out")],
    LAST: [("resume", "run", "--epochs", "2")],
    CONFIG: [
        *(("evaluate", "run"), ("predict", "run", "x.png", "--out", "out")),
        ("resume", "run", "--epochs", "2"),
    ],
}


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


def packed(state: object) -> bytes:
    checkpoint.save(state, "packed.safetensors")
    content = Path("packed.safetensors").read_bytes()
    Path("packed.safetensors").unlink()
    return content


@pytest.mark.parametrize("name", [BEST, LAST])
@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:5], "cut off"),
        (lambda whole: whole[:300], "cut off"),
        (lambda whole: whole[:-1], "cut off"),
        (lambda whole: whole + b"more", "is damaged"),
        (lambda whole: bytes(len(whole)), "not a safetensors file"),
        (lambda whole: b"epoch,loss\n1,2\n", "not a safetensors file"),
        (lambda whole: pickle.dumps({"w": Bomb()}, protocol=2), "is a pickle"),
        (lambda whole: pickle.dumps({"w": Bomb()}, protocol=5), "is a pickle"),
        (lambda whole: b"PK\x03\x04" + whole, "is a zip archive"),
        (lambda whole: (2**62).to_bytes(8, "little") + whole[8:], "cut off"),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(capsys, run, name, damage, words):
    put(run / name, damage((run / name).read_bytes()))
    for arguments in COMMANDS[name]:
        line = refuse(capsys, *arguments, words=(name, words))
        assert any(advice in line for advice in ("another checkpoint", "save", "copy it again"))
    assert not Path("exploded").exists()


def weights_and_state(run: Path) -> tuple[dict, dict]:
    return checkpoint.load(run / BEST), checkpoint.load(run / LAST)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda w: {"a.weight": np.zeros(3, np.float32)}, "missing: down.0.0.weight"),
        (lambda w: {**w, "extra": np.zeros(3)}, "unexpected: extra"),
        (lambda w: {**w, "down.0.0.weight": w["down.0.0.weight"][:1]}, "shapes differ: down.0.0"),
        (lambda w: {**w, "down.0.0.weight": w["down.0.0.weight"].T}, "shapes differ"),
        (lambda w: {**w, "down.0.0.weight": 7}, "down.0.0.weight"),
        (lambda w: {**w, "down.0.0.weight": "seven"}, "is a str"),
        (lambda w: {**w, "down.0.0.weight": w["down.0.0.weight"] * np.nan}, "not finite"),
        (lambda w: {**w, "down.0.1.running_var": w["down.0.1.running_var"] / 0}, "not finite"),
        (lambda w: {n: x.astype(np.complex64) for n, x in w.items()}, "complex64"),
        (lambda w: [1, 2], "the state is of type list"),
        (lambda w: 3, "the state is of type int"),
        (lambda w: None, "the state is of type NoneType"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_of_another_network_are_refused(capsys, run, change, words):
    weights, last = weights_and_state(run)
    changed = change(weights)
    put(run / BEST, packed(changed))
    for arguments in COMMANDS[BEST]:
        if words.endswith("NoneType"):
            assert command(capsys, *arguments)[0] == 2
        else:
            refuse(capsys, *arguments, words=(BEST, words))
    if isinstance(changed, dict):
        put(run / LAST, packed({**last, "model": changed}))
        refuse(capsys, *COMMANDS[LAST][0], words=(LAST, words))


def row(**changes: object) -> dict[str, object]:
    numbers = {"train_loss": 1.0, "val_loss": 1.0, "pixel_accuracy": 0.5, "mean_iou": 0.3}
    return {"epoch": 1, **numbers, "seconds": 0.1, **changes}


@pytest.mark.parametrize(
    "part, value, words",
    [
        *((part, 3, f"{part} is of type int") for part in ("model", "optimizer", "schedule")),
        *((part, "x", f"{part} is of type str") for part in ("generator", "history")),
        *((part, [], f"{part} is of type list") for part in ("model", "generator", "best_epoch")),
        ("optimizer", {}, "not the state of an optimiser"),
        ("schedule", {}, "another kind of schedule"),
        ("generator", {}, "PCG64"),
        ("generator", {"bit_generator": "MT19937"}, "PCG64"),
        ("history", [{}], "row 1 of the history"),
        ("history", ["row"], "row 1 of the history"),
        ("history", [row(epoch=2)], "row 1 of the history"),
        ("history", [row(mean_iou=None)], "row 1 of the history"),
        ("history", [row(train_loss="nan")], "row 1 of the history"),
        ("history", [row(more=3)], "row 1 of the history"),
        ("history", [], "best_epoch is 1 and the history has 0"),
        ("best_epoch", 99, "best_epoch is 99 and the history has 1"),
        ("best_epoch", 0, "best_epoch is 0"),
        ("best_epoch", -1, "best_epoch is -1"),
    ],
)
def test_a_state_that_cannot_be_one_is_refused_before_anything_is_written(
    capsys, run, part, value, words
):
    _, last = weights_and_state(run)
    put(run / LAST, packed({**last, part: value}))
    refuse(capsys, *COMMANDS[LAST][0], words=(LAST, words))


def test_every_part_is_needed(capsys, run):
    _, last = weights_and_state(run)
    for part in last:
        put(run / LAST, packed({name: value for name, value in last.items() if name != part}))
        refuse(capsys, *COMMANDS[LAST][0], words=(LAST, f"lacks {part}"))
    for other in ([1], 3, "x", {}):
        put(run / LAST, packed(other))
        refuse(capsys, *COMMANDS[LAST][0], words=(LAST, "lacks best_epoch, generator"))


def test_moments_of_another_shape_are_refused(capsys, run):
    _, last = weights_and_state(run)
    moments = last["optimizer"]["state"]
    first = next(iter(moments))
    moments[first] = {
        name: value[:1] if hasattr(value, "shape") and value.ndim else value
        for name, value in moments[first].items()
    }
    put(run / LAST, packed(last))
    refuse(capsys, *COMMANDS[LAST][0], words=(LAST,))


# ---------------------------------------------------------------------------- config.json


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"[]", "must hold an object"),
        (b"null", "must hold an object"),
        (b"\xff\xfe{}", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "is damaged"),
        (b"{}", "'found' is missing"),
    ],
)
def test_a_config_that_is_no_config(capsys, run, content, words):
    put(run / CONFIG, content)
    for arguments in COMMANDS[CONFIG]:
        line = refuse(capsys, *arguments, words=("config.json",))
        assert words in line or (content == b"{}" and "lacks" in line)


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("model", "unte", "did you mean 'unet'?"),
        ("model", 3, "model is 3"),
        ("classes", 1, "classes is 1: give a whole number from 2 to 256"),
        ("size", 10**9, "size is 1000000000"),
        ("batch_size", 0, "batch_size is 0"),
        ("lr", "fast", "lr is 'fast'"),
        ("lr", float("inf"), "lr is inf"),
        ("seed", -1, "seed is -1"),
        ("device", "gpu", "did you mean 'cpu'?"),
        ("base", 3, "shapes differ"),
        ("depth", 2, "shapes differ"),
        ("zzz", 1, "unknown key 'zzz'"),
        ("data", "rhapes", "run/config.json: --train-size is for procedural shapes"),
        ("bach_size", 1, "did you mean 'batch_size'?"),
        ("found", None, "'found' is missing"),
        ("found", [], "'found' is missing"),
    ],
)
def test_a_config_with_a_wrong_value(capsys, run, key, value, words):
    table = json.loads((run / CONFIG).read_text())
    put(run / CONFIG, json.dumps({**table, key: value}))
    for arguments in COMMANDS[CONFIG]:
        refuse(capsys, *arguments, words=(words,))


@pytest.mark.parametrize(
    "fact, value",
    [
        *(("channels", value) for value in (None, 0, 7, -1, True, "3", 3.0)),
        *(("class_names", value) for value in ([], [1, 2, 3], "abc", ["a", "b"])),
        *(("palette", value) for value in ([], ["#12345z"] * 3, [0, 1, 2], ["red"] * 3)),
        *(("mean", value) for value in ([1], [], ["a"] * 3, [None] * 3, [float("nan")] * 3)),
        *(("std", value) for value in ([0, 0, 0], [1, -1, 1], [float("inf")] * 3, 1.0)),
        *(("values", value) for value in ([], ["x"] * 3, [0.5, 1, 2])),
        *(("void_value", value) for value in ("x", 1.5, [0])),
        *(("resize", value) for value in (1, "yes", None)),
    ],
)
def test_facts_that_no_run_has_written(capsys, run, fact, value):
    table = json.loads((run / CONFIG).read_text())
    table["found"][fact] = value
    put(run / CONFIG, json.dumps(table))
    refuse(capsys, "evaluate", "run", words=(f"config.json is damaged: found.{fact} is ",))


def test_a_config_cannot_say_where_to_write(capsys, run, tmp_path):
    table = json.loads((run / CONFIG).read_text())
    for target in (str(tmp_path / "elsewhere"), "../elsewhere", "/nonexistent/x"):
        put(run / CONFIG, json.dumps({**table, "out": target}))
        assert command(capsys, "resume", "run", "--epochs", "2")[0] == 0
        assert {path.name for path in tmp_path.iterdir()} == {"run", "x.png"}


# ---------------------------------------------------------------------------- a run in pieces


def test_a_folder_that_lacks_files(capsys, run):
    (run / BEST).unlink()
    refuse(capsys, *COMMANDS[BEST][0], words=("has no weights yet", "minisegnet resume run"))
    (run / CONFIG).unlink()
    for arguments in COMMANDS[CONFIG]:
        refuse(capsys, *arguments, words=("run holds no run (no config.json)",))


@pytest.mark.parametrize("name", [BEST, LAST, CONFIG])
def test_a_folder_where_a_file_should_be(capsys, run, name):
    (run / name).unlink()
    (run / name).mkdir()
    for arguments in COMMANDS[name]:
        refuse(capsys, *arguments)


def test_it_is_taken_up_again_once_the_file_is_back(capsys, run):
    whole = (run / LAST).read_bytes()
    put(run / LAST, whole[:-7])
    refuse(capsys, *COMMANDS[LAST][0], words=("cut off",))
    put(run / LAST, whole)
    assert command(capsys, *COMMANDS[LAST][0])[0] == 0
    assert len(checkpoint.load(run / LAST)["history"]) == 2
