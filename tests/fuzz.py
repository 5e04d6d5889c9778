"""Random programs and damaged files, as many as one likes, others at every run.

    python -m tests.fuzz                      # 1000 of each kind, some minutes
    python -m tests.fuzz --cases 20000        # a night
    python -m tests.fuzz images checkpoints   # these kinds alone

Kinds: "programs" (compared with PyTorch where it is installed, else with differences), and the
readers: "images", "masks", "toml", "json", "checkpoints", "runs". What fails is shown as the
smallest example that still does.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable

from hypothesis.stateful import run_state_machine_as_test

from tests import test_fuzz_programs as programs
from tests import test_fuzz_readers as readers


def fuzz_programs(cases: int) -> str:
    """Run so many programs; returns how many, and against what."""
    machines = [programs.AgainstDifferences]
    if importlib.util.find_spec("torch") is not None:
        machines.append(programs.AgainstTorch)
    for machine in machines:
        run_state_machine_as_test(machine, settings=programs.options(cases, seeded=False))
    return ", ".join(f"{machine.cases} {_words(machine.__name__)}" for machine in machines)


def _words(name: str) -> str:
    return "against PyTorch" if name == "AgainstTorch" else "against differences"


def fuzz_reader(kind: str, cases: int) -> str:
    """Read so many damaged files; returns how many, and how they were answered."""
    reader = readers.strike(kind, cases, seeded=False)
    return (
        f"{reader.cases} files, {reader.refused} refused and {reader.cases - reader.refused} read; "
        f"the slowest took {reader.slowest:.2f} s, the largest {reader.largest / 2**20:.1f} MiB"
    )


def main(arguments: list[str]) -> int:
    """Fuzz the kinds that are named; returns how many of them failed."""
    kinds: dict[str, Callable[[int], str]] = {"programs": fuzz_programs}
    for kind in readers.READERS:
        kinds[kind] = lambda cases, kind=kind: fuzz_reader(kind, cases)
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("kinds", nargs="*", choices=[*kinds, []], metavar="KIND")
    parser.add_argument("--cases", type=int, default=1000, help="how many of each kind")
    given = parser.parse_args(arguments)
    failed = 0
    for kind in given.kinds or kinds:
        begun = time.monotonic()
        try:
            said = kinds[kind](given.cases)
        except Exception:
            failed += 1
            traceback.print_exc()
            said = "FAILED, see above"
        print(f"{kind:12} {said} ({time.monotonic() - begun:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
