"""Compare minisegnet with PyTorch: ``python -m tests.benchmarks``.

Every engine is measured in processes of its own, which take turns, so that none of them has the
machine for itself while it is cool or quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import others, report
from tests.benchmarks.cases import NETWORKS, OPERATIONS
from tests.benchmarks.engines import ENGINES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    options = _options()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    measured: dict[str, Any] = {"networks": {}, "operations": {}, "rate": 0.0}
    engines = [name for name in ENGINES if name == "minisegnet" or _has("torch")]
    networks = [c.name for c in NETWORKS if options.only.lower() in c.name.lower()]
    operations = [c.name for c in OPERATIONS if options.only.lower() in c.name.lower()]
    for turn in range(options.rounds):
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
        rate = _child(options, "sgemm", [])["rate"]
        measured["rate"] = max(measured["rate"], rate)
        # One process for each network, so that its peak of memory is its own.
        for cases, table in (*(([n], "networks") for n in networks), (operations, "operations")):
            for engine in engines if cases else ():
                for name, found in _child(options, engine, cases).items():
                    _keep_least(measured[table].setdefault(name, {}), engine, found)
    if options.others:
        measured["others"] = {
            engine: _other(options, engine)
            for engine in others.ENGINES
            if any(name in operations for name in others.CASES)
        }
    for case in NETWORKS:
        if case.gflop and case.name in measured["networks"]:
            measured["networks"][case.name]["minisegnet"]["gflop"] = case.gflop
    measured["about"] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "load": load,
        "versions": {
            "Python": platform.python_version(),
            **{name: _version(name) for name in ("numpy", "torch") if _has(name)},
        },
    }
    text = report.tables(measured)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    if options.write:
        report.write(PAGE, text)


def _options() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of a second each")
    parser.add_argument("--rounds", type=int, help="how often the engines take turns (3)")
    parser.add_argument("--seconds", type=float, help="how long to repeat each case (1.5)")
    parser.add_argument("--threads", type=int, default=cores, help="for every engine (all cores)")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument(
        "--others", type=Path, help="a Python that has mygrad, dezero, pydynet: compare them too"
    )
    parser.add_argument("--json", type=Path, help="a file to keep the figures in")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (0.2 if options.quick else 1.5)
    return options


def _child(options: argparse.Namespace, engine: str, cases: list[str]) -> dict[str, Any]:
    order = {"engine": engine, "cases": cases, "threads": options.threads}
    order["seconds"] = options.seconds
    if hasattr(os, "sched_setaffinity"):
        order["cores"] = sorted(os.sched_getaffinity(0))[: options.threads]
    command = [sys.executable, "-m", "tests.benchmarks.child", json.dumps(order)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine} failed on {', '.join(cases)}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _other(options: argparse.Namespace, engine: str) -> dict[str, Any]:
    """What another engine takes, in the Python that has it, with the same number of threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **{name: str(options.threads) for name in names}}
    command = [str(options.others), others.__file__, engine, str(options.seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"version": "", **{name: {"error": done.stderr[-300:]} for name in others.CASES}}
    return json.loads(done.stdout.splitlines()[-1])


def _keep_least(engines: dict[str, Any], engine: str, found: dict[str, float]) -> None:
    before = engines.get(engine, found)
    engines[engine] = {key: min(before[key], value) for key, value in found.items()}


def _has(package: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(package))
    return False


def _version(package: str) -> str:
    return importlib.metadata.version(package)


def _machine() -> str:
    """The processor, and how many of its cores there are."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((q.split(":")[1].strip() for q in lines if q.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
