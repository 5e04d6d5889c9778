"""``minisegnet doctor``: what the engine runs on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator

import click
from threadpoolctl import threadpool_info

from minisegnet import __version__
from minisegnet.backend import cuda_problem, library_for
from minisegnet.cli.errors import Command
from minisegnet.kernels.parallel import thread_count

PACKAGES = ("minisegnet", "numpy", "scipy", "pillow", "matplotlib", "safetensors", "click", "tqdm")


@click.command(cls=Command)
def doctor() -> None:
    """Show versions, threads, BLAS, and whether a GPU is found or why not."""
    for name, what in _findings():
        click.echo(f"{name:12} {what}")


def _findings() -> Iterator[tuple[str, str]]:
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.system()} {platform.machine()}"
    for package in PACKAGES:
        yield package, version_of(package)
    yield "threads", f"{thread_count()} of {os.cpu_count()} cores"
    yield "BLAS", _blas()
    problem = cuda_problem()
    yield "GPU", _gpu() if problem is None else f"none: {problem}"


def version_of(package: str) -> str:
    """The installed version of a package, or a word on why there is none."""
    if package == "minisegnet":
        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    libraries = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    described = (
        f"{info.get('internal_api')} {info.get('version') or ''} "
        f"({info.get('num_threads')} threads)".replace("  ", " ")
        for info in libraries
    )
    return "; ".join(dict.fromkeys(described)) or "not recognised"


def _gpu() -> str:
    cupy = library_for("cuda").module
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    free, total = cupy.cuda.runtime.memGetInfo()
    return (
        f"{properties['name'].decode()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, "
        f"CUDA {cupy.cuda.runtime.runtimeGetVersion()}, CuPy {cupy.__version__}"
    )
