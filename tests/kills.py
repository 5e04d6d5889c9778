"""Kill real trainings at random moments, take them up again, and see that nothing was lost.

    python -m tests.kills                    # twelve of them, about a minute and a half
    python -m tests.kills --n 100 --seed 7   # more, other ones

Every other one is killed while it writes a file. Its program is slowed for that: each file is
written in two halves with a pause between, another pause follows before the file gets its name,
and the kill comes as soon as the half-written file is seen. Some are killed a second time after
they were taken up. Whatever happened, the files of the finished run must be those of a run that
nobody touched, byte by byte but for the seconds, and no file may ever be there in part.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minisegnet import checkpoint

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 4
OPTIONS = (
    *("--train-size", "24", "--val-size", "3", "--size", "24", "--base", "2", "--depth", "1"),
    *("--batch-size", "4", "--augment", "turn", "--epochs", str(EPOCHS), "--seed", "3"),
)
RESULTS = ("model.safetensors", "curves.png", "predictions.png")

_PROGRAM = """
import sys
print("here", flush=True)
sys.argv[0] = "minisegnet"
{slower}
from minisegnet.cli import main
sys.exit(main())
"""
_SLOWER = """
import builtins, os, time
from minisegnet import checkpoint

class Halves:
    def __init__(self, file):
        self.file = file
    def write(self, content):
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        time.sleep(0.02)
        return half + self.file.write(content[half:])
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        self.file.__enter__()
        return self
    def __exit__(self, *error):
        return self.file.__exit__(*error)

def slow_open(path, mode="r", **options):
    file = builtins.open(path, mode, **options)
    return Halves(file) if "x" in mode else file

def slow_fsync(descriptor, fsync=os.fsync):
    time.sleep(0.02)
    fsync(descriptor)

checkpoint.open = slow_open
os.fsync = slow_fsync
"""


@dataclass
class Outcome:
    """How a broken-off process ended, and what it had said."""

    code: int
    out: str
    err: str
    moment: str


def start(*arguments: str, slow: bool = False) -> subprocess.Popen[str]:
    """A process of the command line that has just come to life."""
    program = _PROGRAM.format(slower=_SLOWER if slow else "")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n", process.stderr and process.stderr.read()
    return process


def finish(*arguments: str) -> str:
    """Run a command to its end, which must be a good one; returns what it printed."""
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), (arguments, process.returncode, err)
    return out


def break_off(
    process: subprocess.Popen[str],
    after: float,
    folder: Path,
    writing: str = "",
    how: int = signal.SIGKILL,
) -> Outcome:
    """End a process after so many seconds, or when a file is half written, whichever is first."""
    begun = time.monotonic()
    moment = ""
    while process.poll() is None and not moment:
        if time.monotonic() - begun >= after:
            moment = f"after {after:.2f} s"
        elif writing and (folder / f".{writing}.tmp").exists():
            moment = f"while it wrote {writing}"
        else:
            time.sleep(0.001)
    if moment:
        process.send_signal(how)
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err, moment or "too late")


def check_folder(folder: Path, finished_epochs: int) -> int:
    """See that each file is whole and no finished epoch is missing; returns the epochs saved."""
    if not folder.exists():
        return 0
    names = {path.name for path in folder.iterdir()}
    leftovers = [name for name in names if name.startswith(".")]
    assert len(leftovers) <= 1, leftovers
    saved = 0
    if "config.json" in names:
        assert json.loads((folder / "config.json").read_text())["epochs"] == EPOCHS
    if "last.safetensors" in names:
        state = checkpoint.load(folder / "last.safetensors")
        saved = len(state["history"])
    if "model.safetensors" in names:
        assert all(
            np.isfinite(w).all() for w in checkpoint.load(folder / "model.safetensors").values()
        )
    if "history.csv" in names:
        rows = history(folder)
        assert [int(row["epoch"]) for row in rows] == list(range(1, len(rows) + 1))
        assert saved - 1 <= len(rows) <= saved
    assert saved >= finished_epochs, f"{finished_epochs} epochs were reported and {saved} saved"
    return saved


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of ``history.csv``, every one complete."""
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def result(folder: Path) -> dict[str, Any]:
    """What a finished run holds, without the seconds and without its own name."""
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    last = checkpoint.load(folder / "last.safetensors")
    config = json.loads((folder / "config.json").read_text())
    for row in last["history"]:
        row.pop("seconds")
    config.pop("out")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history(folder)]
    return {
        "last": last,
        "config": config,
        "history": rows,
        **{name: (folder / name).read_bytes() for name in RESULTS},
    }


def take_up(folder: Path) -> tuple[str, ...]:
    """The command by which a person goes on: resume, or begin again where nothing was written."""
    if (folder / "config.json").exists():
        return ("resume", str(folder))
    return ("train", *OPTIONS, "--out", str(folder))


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    """Let a process run for a while, or to its end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def one_run(chance: random.Random, folder: Path, seconds: float, writing: bool) -> str:
    """Train, break off once or twice, take up, finish; returns what was done."""
    target = chance.choice(("last.safetensors", "model.safetensors", "history.csv", "config.json"))
    moments = []
    command: tuple[str, ...] = ("train", *OPTIONS, "--out", str(folder))
    for part in chance.choice(((0.9,), (0.9,), (0.6, 0.4))):
        moment = "too late"
        while moment == "too late":
            process = start(*command, slow=writing)
            if writing and target != "config.json":
                # Not always the first one that is written.
                wait(process, chance.uniform(0.0, seconds / 2))
            after = 60.0 if writing else chance.uniform(0.0, part * seconds)
            broken = break_off(process, after, folder, target if writing else "")
            check_folder(folder, last_reported(broken.out))
            moment = broken.moment
            if command[0] == "resume":
                break
            if moment == "too late":  # a quicker machine than it was: from the beginning, sooner
                shutil.rmtree(folder)
                seconds /= 2
        moments.append(moment)
        command = take_up(folder)
    finish(*take_up(folder))
    return ", then ".join(moments)


def last_reported(out: str) -> int:
    """The last epoch that was said to be done."""
    done = [line.split()[1] for line in out.splitlines() if re.match(r"epoch +\d+/\d+ ", line)]
    return int(done[-1].partition("/")[0]) if done else 0


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Assert that two finished runs hold the same."""
    for name, value in left.items():
        np.testing.assert_equal(right[name], value, err_msg=name)


def undisturbed(folder: Path) -> tuple[dict[str, Any], float]:
    """The result of a run that nobody touches, and the seconds that it took."""
    begun = time.monotonic()
    finish("train", *OPTIONS, "--out", str(folder))
    return result(folder), time.monotonic() - begun


def main(arguments: list[str]) -> int:
    """Kill so many runs; returns how many came out wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kills", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--n", type=int, default=12, help="how many runs to kill")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        expected, seconds = undisturbed(Path(place) / "whole")
        for number in range(given.n):
            folder = Path(place) / f"run{number}"
            try:
                done = one_run(chance, folder, seconds, writing=number % 2 == 1)
                same(expected, result(folder))
                print(f"as if nothing had happened: killed {done}", flush=True)
            except AssertionError as error:
                wrong += 1
                print(f"WRONG, run {number}: {error}", flush=True)
    print(f"{given.n - wrong} of {given.n} killed runs ended as the one that was left alone")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
