"""Everything that only a GPU can tell, in one call: ``python -m tests.benchmarks.gpu``.

Each part stands by itself: one that fails says so in the page and the others go on, and the page is
written anew after every part. With PyTorch installed the same work is timed there, at the same
precision. ``--camvid PATH`` also trains the networks of the tutorial, and SegNet-Basic in full.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minisegnet as ms
from minisegnet import backend
from minisegnet.train import Trainer
from tests.benchmarks.cases import OPERATIONS, Network, Update
from tests.benchmarks.gpu_engines import OnGpu, TorchOnGpu, quietly
from tests.benchmarks.gpu_page import Results, write

#: Base, depth, images and size of a training step; the last ones fill a card.
SIZES = [(8, 3, 8, 64), (16, 3, 8, 128), (32, 3, 4, 192), (32, 4, 16, 256), (64, 4, 16, 256)]
#: PyTorch's Muon takes matrices only, and no kernels.
ALONE = [Update("Muon", {})]
TUTORIAL = ("TutorialFCN", "TutorialUNet")
NO_GPU = 3
REPOSITORY = Path(__file__).resolve().parents[2]


def milliseconds(work: Callable[[], Any], wait: Callable[[], Any], seconds: float = 1.0) -> float:
    """The median time of ``work``, queued several times and waited for once."""
    for _ in range(5):
        work()
    wait()
    start = time.perf_counter()
    work()
    wait()
    once = time.perf_counter() - start
    count = max(1, min(20, int(seconds / 5 / max(once, 1e-6))))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(count):
            work()
        wait()
        times.append((time.perf_counter() - start) / count)
    return 1e3 * statistics.median(times)


class Measuring:
    """What is measured, part after part, within a number of seconds."""

    def __init__(self, page: Path, seconds: float, camvid: str | None) -> None:
        self.page, self.camvid = page, camvid
        self.end = time.monotonic() + seconds
        self.results = Results()
        self.ours = OnGpu()
        try:
            self.torch: TorchOnGpu | None = TorchOnGpu()
        except (ImportError, RuntimeError) as error:
            self.torch = None
            self.results.notes.append(f"Without PyTorch: {error}.")

    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def part(self, name: str, work: Callable[[], None]) -> None:
        """Do one part, and write the page, whatever comes of it."""
        print(f"{name} ...", flush=True)
        if self.left() < 5:
            self.results.notes.append(f"Not measured, for there was no time left: {name}.")
        else:
            try:
                work()
            except Exception as error:
                traceback.print_exc()
                said = " ".join(str(error).split())[:300]
                self.results.notes.append(f"Failed: {name}: {type(error).__name__}: {said}")
        write(self.page, self.results)

    # ------------------------------------------------------------------ parts

    def environment(self) -> None:
        cupy = backend.library_for("cuda").module
        about = cupy.cuda.runtime.getDeviceProperties(0)
        driver = cupy.cuda.runtime.driverGetVersion()
        self.results.about = [
            ("date", datetime.date.today().isoformat()),
            ("card", f"{about['name'].decode()}, {about['totalGlobalMem'] / 2**30:.0f} GiB"),
            ("driver", f"CUDA {driver // 1000}.{driver % 1000 // 10}"),
            ("runtime", f"CUDA {cupy.cuda.runtime.runtimeGetVersion()}"),
            ("CuPy", cupy.__version__),
            ("PyTorch", self.torch.version if self.torch else "none"),
            ("Python", f"{platform.python_version()}, NumPy {np.__version__}"),
        ]

    def tests(self) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--no-header", "tests"]
        limit = max(60.0, min(300.0, self.left() / 2))
        try:
            done = subprocess.run(
                command, cwd=REPOSITORY, capture_output=True, text=True, timeout=limit, check=False
            )
            lines = done.stdout.strip().splitlines()
        except subprocess.TimeoutExpired as late:
            told = late.stdout or b""
            told = told.decode() if isinstance(told, bytes) else told
            lines = [*told.strip().splitlines(), f"stopped after {limit:.0f} s"]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        self.results.tests = [lines[-1] if lines else "no test ran", *failed[:40]]

    def agreement(self) -> None:
        """How far the weights of a captured run are from those of a run without."""
        weights = [_few_steps(capture) for capture in (False, True)]
        worst = max(float(np.abs(a - b).max()) for a, b in zip(*weights, strict=True))
        self.results.notes.append(
            f"After ten steps, the weights of a captured run differ by {worst:.1e} at most from "
            "those of a run without."
        )

    def steps(self) -> None:
        for base, depth, batch, side in SIZES:
            options = {"base": base, "depth": depth}
            self._row_of_steps(Network("UNet", options, batch, side))
        for kind in TUTORIAL:
            self._row_of_steps(Network(kind, {}, 16, 368), (368, 480), classes=12)

    def _row_of_steps(
        self, network: Network, size: tuple[int, int] | None = None, classes: int = 5
    ) -> None:
        size = size or (network.size, network.size)
        named = ", ".join(f"{key} {value}" for key, value in network.options.items())
        name = f"{network.kind} ({named})" if named else network.kind
        row = {"name": f"{name}, {network.batch} x 3x{size[0]}x{size[1]}", "images": network.batch}
        self.results.steps.append(row)
        for tf32 in (False, True):
            ms.set_tf32(tf32)
            kind = "tf32" if tf32 else "float32"
            for column, make in (("eager", self.ours.step), ("captured", self.ours.captured)):
                if self.left() > 5:
                    row[f"{kind} {column}"] = self._time(make, network, size, classes)
            row.setdefault("memory", self.ours.most_memory())
            self.ours.free()
            if self.torch and self.left() > 5:
                self.torch.set_tf32(tf32)
                row[f"{kind} PyTorch"] = self._time(self.torch.step, network, size, classes)
                row.setdefault("memory PyTorch", self.torch.most_memory())
                self.torch.free()
        ms.set_tf32(False)
        write(self.page, self.results)

    def _time(self, make: Callable[..., Any], *arguments: Any) -> float | str:
        """Milliseconds, or what went wrong."""
        try:
            work, wait = make(*arguments)
            return milliseconds(work, wait)
        except Exception as error:
            traceback.print_exc()
            return type(error).__name__

    def operations(self) -> None:
        """Each operation by itself; ``Update`` stands for the optimisers."""
        for case in [*OPERATIONS, *ALONE]:
            if self.left() < 5:
                self.results.notes.append("There was no time left for all operations.")
                return
            row: dict[str, Any] = {"name": case.name}
            self.results.operations.append(row)
            for tf32 in (False, True):
                ms.set_tf32(tf32)
                kind = "tf32" if tf32 else "float32"
                row[kind] = self._time(
                    lambda c=case: (quietly(c.prepare(self.ours)), self.ours.wait)
                )
                if self.torch and case not in ALONE:
                    self.torch.set_tf32(tf32)
                    torch = self.torch
                    row[f"{kind} PyTorch"] = self._time(
                        lambda c=case, t=torch: (c.prepare(t), t.wait)
                    )
            ms.set_tf32(False)

    def camvid_runs(self) -> None:
        from tests.benchmarks.gpu_camvid import RUNS, train

        assert self.camvid is not None
        for number, name in enumerate(RUNS):
            share = self.left() / (len(RUNS) - number)
            self.results.camvid.append(train(name, self.camvid, share))
            write(self.page, self.results)

    def everything(self) -> None:
        self.part("the machine", self.environment)
        self.part("captured steps against others", self.agreement)
        self.part("training steps", self.steps)
        self.part("operations", self.operations)
        self.part("tests", self.tests)
        if self.camvid is not None:
            self.part("CamVid", self.camvid_runs)


def _few_steps(capture: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    ms.manual_seed(1)
    model = ms.models.UNet(3, 4, base=4, depth=2).to("cuda")
    optimizer = ms.optim.Adam(model.parameters(), lr=1e-3)
    trainer = Trainer(
        model, ms.losses.cross_entropy, optimizer, num_classes=4, capture=capture, clip_grad=1.0
    )
    batches = [
        (rng.random((2, 3, 32, 32), dtype=np.float32), rng.integers(0, 4, (2, 32, 32)))
        for _ in range(5)
    ]
    trainer.fit(batches, epochs=2)
    return [backend.to_numpy(p.data) for p in model.parameters()]


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the page; 3 where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "results", metavar="DIR")
    parser.add_argument("--seconds", type=float, default=540.0, help="stop after about so many")
    parser.add_argument("--camvid", metavar="PATH", help="train on this folder, too")
    given = parser.parse_args(arguments)
    if not backend.cuda_is_available():
        print(f"error: no GPU to measure: {backend.cuda_problem()}", file=sys.stderr)
        return NO_GPU
    given.out.mkdir(parents=True, exist_ok=True)
    page = given.out / "gpu.md"
    measuring = Measuring(page, given.seconds, given.camvid)
    measuring.everything()
    print(page.read_text(encoding="utf-8"))
    return 1 if any(note.startswith("Failed") for note in measuring.results.notes) else 0


__all__ = ["Measuring", "main", "milliseconds"]

if __name__ == "__main__":
    sys.exit(main())
