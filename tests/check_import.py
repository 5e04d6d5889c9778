"""``import minisegnet`` is quick, and leaves out what only some programs need."""

from __future__ import annotations

import subprocess
import sys

LIMIT_SECONDS = 0.3
LEFT_OUT = ("cupy", "matplotlib", "click", "tqdm", "PIL", "scipy", "minisegnet.cli")
PROGRAM = """
import sys, time
start = time.perf_counter()
import minisegnet
print(time.perf_counter() - start)
print(*sys.modules)
"""


def measure() -> tuple[float, set[str]]:
    """Seconds for the import in a fresh process, and what was imported with it."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    seconds, modules = run.stdout.splitlines()
    return float(seconds), set(modules.split())


if __name__ == "__main__":
    measure()  # the first run compiles and fills the disk's cache
    runs = [measure() for _ in range(5)]
    seconds = min(seconds for seconds, _ in runs)
    unwanted = runs[0][1].intersection(LEFT_OUT)
    print(f"import minisegnet: {seconds:.3f} s (limit {LIMIT_SECONDS} s)")
    if unwanted or seconds > LIMIT_SECONDS:
        raise SystemExit(f"too slow, or imports what it should not: {sorted(unwanted)}")
