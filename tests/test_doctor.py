"""``minisegnet doctor``: it says what works, and fails where something does not."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from minisegnet import backend as libraries
from minisegnet.cli import main

# The command of that name hides the module.
doctor = importlib.import_module("minisegnet.cli.doctor")


def findings(capsys, code=0):
    """What ``doctor --json`` finds, by name."""
    assert main(["doctor", "--json"]) == code
    out, err = capsys.readouterr()
    assert err == ""
    table = json.loads(out)
    assert table["ok"] is (code == 0)
    return {check["name"]: check for check in table["checks"]}


def test_a_sound_installation(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = findings(capsys)
    assert all(check["ok"] for check in found.values())
    assert found["numpy"]["found"] == np.__version__
    assert str(tmp_path) in found["folder"]["found"]
    first, last = (float(x) for x in found["train cpu"]["found"].split("loss ")[1].split(" to "))
    assert 0 < last < first < 3
    assert ("train cuda" in found) == libraries.cuda_is_available()
    assert list(tmp_path.iterdir()) == []


def test_in_words_it_ends_with_the_verdict(capsys):
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[-1] == "all is well"
    assert any(line.startswith("train cpu    3 steps in ") for line in lines)
    assert any(line.startswith("numbers      float32 stays float32") for line in lines)


def test_every_device_that_is_found_is_trained_on(capsys, monkeypatch):
    """The stand-in for CuPy is a device too, and gives the losses of NumPy."""
    monkeypatch.setattr(doctor, "_devices", lambda: ["cpu", "strict"])
    found = findings(capsys)
    losses = [found[f"train {d}"]["found"].split("loss ")[1] for d in ("cpu", "strict")]
    assert losses[0] == losses[1]


def test_it_leaves_the_generator_as_it_was(capsys):
    libraries.manual_seed(3)
    before = libraries.generator().bit_generator.state
    findings(capsys)
    assert libraries.generator().bit_generator.state == before


def broken_step(*_):
    raise RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU:\nno kernel image")


@pytest.mark.parametrize(
    "name, replaced, by, words, advice",
    [
        ("train cpu", "_losses_of_some_steps", broken_step, "no kernel image", "pip install"),
        ("train cpu", "_losses_of_some_steps", lambda _: [1.0, 1.5], "should fall", "pip install"),
        ("train cpu", "_losses_of_some_steps", lambda _: [1.0, float("nan")], "nan", "pip install"),
        ("tqdm", "version_of", lambda p: None if p == "tqdm" else "99.1", "not installed", "pip"),
        ("scipy", "version_of", lambda p: "0.9.1" if p == "scipy" else "99", "0.9.1", "--upgrade"),
    ],
)
def test_what_does_not_work_is_named_with_what_to_do(
    capsys, monkeypatch, name, replaced, by, words, advice
):
    monkeypatch.setattr(doctor, replaced, by)
    monkeypatch.setattr(doctor, "_required", lambda: {"scipy": "1.13", "tqdm": "4.66"})
    found = findings(capsys, code=1)
    assert [n for n, check in found.items() if not check["ok"]] == [name]
    assert words in found[name]["found"]
    assert advice in found[name]["advice"]
    assert "\n" not in found[name]["found"]
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"failed: {name}"
    (line,) = (line for line in out.splitlines() if "FAILED" in line)
    assert line.startswith(name)
    assert found[name]["advice"] in line


def test_a_gpu_that_fails_does_not_fail_the_rest(capsys, monkeypatch):
    honest = doctor._losses_of_some_steps
    monkeypatch.setattr(doctor, "_devices", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(
        doctor, "_losses_of_some_steps", lambda d: honest(d) if d == "cpu" else broken_step()
    )
    found = findings(capsys, code=1)
    assert found["train cpu"]["ok"]
    assert "--device cpu" in found["train cuda"]["advice"]


def test_a_folder_that_cannot_be_written_to(capsys, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = findings(capsys, code=1)
    assert "Permission denied" in found["folder"]["found"]
    assert "--out" in found["folder"]["advice"]


def test_float32_that_widens_is_noticed(monkeypatch):
    class Widening(np.ndarray):
        def __mul__(self, other):
            return np.asarray(self, np.float64) * other

    monkeypatch.setattr(doctor.np, "arange", lambda *a, **k: np.linspace(0, 11, 12).view(Widening))
    finding = doctor._data_types()
    assert not finding.ok
    assert finding.found == "float32 turns into float64"


def test_least_versions_are_those_of_the_package():
    required = doctor._required()
    if not required:
        pytest.skip("minisegnet is not installed, only on the path")
    assert {"numpy", "scipy", "pillow", "click"} <= set(required)
    assert doctor._numbers("2.10.1") > doctor._numbers("2.9")
    assert doctor._numbers("1.14.0rc1") >= doctor._numbers("1.13")
