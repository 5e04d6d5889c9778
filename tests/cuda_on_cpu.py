"""CUDA sources compiled by a C++ compiler and run on NumPy arrays, thread after thread.

It shows whether a kernel's text compiles, whether its indices are right, and whether its arguments
are in order. It cannot show what happens when threads run at once: atomic operations are plain ones
here, and a kernel that waits for other threads of its block could not run.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

COMPILER = shutil.which("g++") or shutil.which("clang++")

_SHIM = """
#include <cmath>
#define __global__
struct Place { int x; };
static Place blockIdx, blockDim, gridDim, threadIdx;
static long long atomicMax(long long* place, long long value) {
    long long before = *place;
    if (value > before) *place = value;
    return before;
}
extern "C" void be(int block, int thread, int blocks, int threads) {
    blockIdx.x = block; threadIdx.x = thread; gridDim.x = blocks; blockDim.x = threads;
}
"""


@functools.cache
def compiled(source: str) -> ctypes.CDLL:
    """The kernels of a source as C functions."""
    folder = Path(tempfile.mkdtemp(prefix="cuda-on-cpu-"))
    try:
        (folder / "kernels.cpp").write_text(_SHIM + source, encoding="utf-8")
        subprocess.run(
            [
                *(str(COMPILER), "-O1", "-shared", "-fPIC", "-Wall", "-Werror"),
                *("-Wno-unused-function", "-o", "kernels.so", "kernels.cpp"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return ctypes.CDLL(str(folder / "kernels.so"))
    finally:
        shutil.rmtree(folder)


class RawKernel:
    """What ``cupy.RawKernel`` is called for, with few threads so that each takes several turns."""

    def __init__(self, source: str, name: str) -> None:
        self._library = compiled(source)
        self._function = self._library[name]

    def __call__(self, grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
        blocks, threads = min(grid[0], 2), min(block[0], 3)
        # Arrays of the stand-in for CuPy are NumPy's underneath.
        arguments = tuple(getattr(a, "_values", a) for a in arguments)
        passed = [
            ctypes.c_void_p(a.ctypes.data)
            if isinstance(a, np.ndarray)
            else np.ctypeslib.as_ctypes_type(a.dtype)(a.item())
            for a in arguments
        ]
        for number in range(blocks * threads):
            self._library.be(number // threads, number % threads, blocks, threads)
            self._function(*passed)
