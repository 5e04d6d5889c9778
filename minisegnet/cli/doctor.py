"""``minisegnet doctor``: what the engine runs on, and whether it works there."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from threadpoolctl import threadpool_info

from minisegnet import __version__, backend, losses, optim
from minisegnet.autograd import tensor
from minisegnet.backend import cuda_problem, library_for
from minisegnet.cli.errors import FAILED, Command
from minisegnet.data import Shapes
from minisegnet.kernels.parallel import thread_count
from minisegnet.models import UNet

PACKAGES = ("minisegnet", "numpy", "scipy", "pillow", "matplotlib", "safetensors", "click", "tqdm")
REINSTALL = "install anew: pip install --force-reinstall minisegnet"
STEPS = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name, found : str
        What was looked at, and what is there.
    ok : bool
        Whether the engine can work with it.
    advice : str
        What to do where it cannot.
    """

    name: str
    found: str
    ok: bool = True
    advice: str = ""


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def doctor(as_json: bool) -> int:
    """Check the installation, and train three steps on every device.

    Shows versions, threads, BLAS, whether a GPU is found or why not. Where something does not work
    it says what to do, and the exit code is 1.
    """
    findings: list[Finding] = []
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.name:12} {_in_words(finding)}")
    failed = [finding.name for finding in findings if not finding.ok]
    if as_json:
        table = {"ok": not failed, "checks": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(table, indent=2))
    else:
        click.echo(f"failed: {', '.join(failed)}" if failed else "all is well")
    return FAILED if failed else 0


def _in_words(finding: Finding) -> str:
    return finding.found if finding.ok else f"FAILED: {finding.found}: {finding.advice}"


def _findings() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", f"{platform.system()} {platform.machine()}")
    required = _required()
    for package in PACKAGES:
        yield _package(package, required.get(package, ""))
    yield Finding("threads", f"{thread_count()} of {os.cpu_count()} cores")
    yield Finding("BLAS", _blas())
    yield _data_types()
    yield _writable(Path.cwd())
    problem = cuda_problem()
    yield Finding("GPU", _gpu() if problem is None else f"none: {problem}")
    for device in _devices():
        yield _training(device)


def _required() -> dict[str, str]:
    """The least version of each package; empty where minisegnet itself is not installed."""
    try:
        lines = importlib.metadata.requires("minisegnet") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


def _package(name: str, least: str) -> Finding:
    """Whether a package is there, and new enough."""
    version = version_of(name)
    if version is None:
        return Finding(name, "not installed", False, f"pip install '{name}>={least or 0}'")
    if _numbers(version) < _numbers(least):
        advice = f"pip install --upgrade '{name}>={least}'"
        return Finding(name, f"{version}, and {least} is needed", False, advice)
    return Finding(name, version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def version_of(package: str) -> str | None:
    """The installed version of a package; None if there is none."""
    if package == "minisegnet":
        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    libraries = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    described = (
        f"{info.get('internal_api')} {info.get('version') or ''} "
        f"({info.get('num_threads')} threads)".replace("  ", " ")
        for info in libraries
    )
    return "; ".join(dict.fromkeys(described)) or "not recognised"


def _data_types() -> Finding:
    """Whether numbers stay as wide as they were, and products of matrices are right."""
    wide = np.arange(12, dtype=np.float64).reshape(3, 4) / 7
    narrow = wide.astype(np.float32)
    kept = (narrow * 2.0 + 1).dtype == np.float32 and (narrow @ narrow.T).dtype == np.float32
    by_hand = np.array(
        [[sum(a * b for a, b in zip(r, q, strict=True)) for q in wide] for r in wide]
    )
    worst = float(abs(narrow @ narrow.T - by_hand).max())
    right = kept and worst < 1e-5 and np.allclose(wide @ wide.T, by_hand, rtol=1e-14)
    found = "float32 stays float32, and products of matrices are right"
    if right:
        return Finding("numbers", found)
    what = f"float32 products are off by {worst:.1g}" if kept else "float32 turns into float64"
    return Finding(
        "numbers", what, False, "install NumPy anew: pip install --force-reinstall numpy"
    )


def _writable(folder: Path) -> Finding:
    """Whether runs can be written into a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"minisegnet")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        advice = "go to a folder that you may write to, or name one with --out"
        return Finding("folder", f"{folder}: {error.strerror or error}", False, advice)
    return Finding("folder", f"{folder} can be written to")


def _gpu() -> str:
    cupy = library_for("cuda").module
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    free, total = cupy.cuda.runtime.memGetInfo()
    return (
        f"{properties['name'].decode()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, "
        f"CUDA {cupy.cuda.runtime.runtimeGetVersion()}, CuPy {cupy.__version__}"
    )


def _devices() -> list[str]:
    return ["cpu", "cuda"] if cuda_problem() is None else ["cpu"]


def _training(device: str) -> Finding:
    """Whether a small network learns on a device."""
    name = f"train {device}"
    advice = REINSTALL
    if device != "cpu":
        advice = "take --device cpu; 'nvidia-smi' says whether the driver fits CuPy's CUDA version"
    start = time.perf_counter()
    try:
        values = _losses_of_some_steps(device)
    except Exception as error:  # a broken installation fails in any way it likes
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(name, reason, False, advice)
    seconds = time.perf_counter() - start
    found = f"{STEPS} steps in {seconds:.2f} s, loss {values[0]:.4f} to {values[-1]:.4f}"
    if not all(map(math.isfinite, values)) or values[-1] >= values[0]:
        return Finding(name, f"{found}, which should fall", False, advice)
    return Finding(name, found)


def _losses_of_some_steps(device: str) -> list[float]:
    """The loss before each of a few steps on one batch, and after them."""
    pairs = [Shapes(2, size=(32, 48), num_classes=3, seed=5)[i] for i in range(2)]
    before = backend.generator().bit_generator.state
    try:
        backend.manual_seed(5)
        model = UNet(3, 3, base=4, depth=2).to(device)
    finally:
        backend.generator().bit_generator.state = before
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    images = tensor(np.stack([image for image, _ in pairs]), device=device)
    masks = tensor(np.stack([mask for _, mask in pairs]), device=device)
    values = []
    for _ in range(STEPS + 1):
        loss = losses.cross_entropy(model(images), masks)
        values.append(float(loss.item()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return values
