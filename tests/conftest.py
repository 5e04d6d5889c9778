"""What all tests share: the array libraries they run on, and how many examples they try.

A test that takes the fixture ``backend`` runs once on NumPy, once on the stand-in for CuPy
(``tests/strict.py``) and, where there is a GPU, once on CuPy::

    def test_relu(backend):
        x = backend.tensor(np.array([[-1.0, 2.0, 3.0]]), requires_grad=True)
        np.testing.assert_allclose(backend.numpy(F.relu(x)), [[0.0, 2.0, 3.0]])

Set ``MINISEGNET_EXAMPLES`` to a number to let Hypothesis try that many random examples of each
property, different ones at each run; without it, the same small selection is tried every time.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from minisegnet import backend as libraries
from minisegnet.autograd import Tensor, tensor
from tests import strict

# They need PyTorch or CuPy, and hold no tests.
collect_ignore_glob = ["record_*.py", "torch_*.py"]

libraries.register_library(strict.library())

# Where the tests run in a shell's background, Ctrl-C is ignored, and so it would be in the programs
# that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=50,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    settings.get_profile("ci"),
    derandomize=False,
    max_examples=int(os.environ.get("MINISEGNET_EXAMPLES", "1000")),
)
settings.load_profile("thorough" if "MINISEGNET_EXAMPLES" in os.environ else "ci")


@dataclass(frozen=True)
class Backend:
    """An array library under test: ``name`` is "numpy", "strict" or "cupy"."""

    name: str
    device: str

    @property
    def module(self) -> Any:
        """The module itself: ``numpy``, ``cupy`` or the stand-in for it."""
        return libraries.library_for(self.device).module

    def asarray(self, values: Any) -> Any:
        """The values as an array of this library, in their own dtype."""
        return libraries.to_device(np.asarray(values), self.device)

    def tensor(self, values: Any, requires_grad: bool = False) -> Tensor:
        """The values as a tensor on this device, in their own dtype."""
        return tensor(np.asarray(values), device=self.device, requires_grad=requires_grad)

    def numpy(self, x: Any) -> np.ndarray:
        """The values of a tensor or array on the host."""
        return libraries.to_numpy(x.data if isinstance(x, Tensor) else x)


_BACKENDS = {"numpy": "cpu", "strict": "strict", "cupy": "cuda"}


@pytest.fixture(
    scope="session",
    params=["numpy", "strict", pytest.param("cupy", marks=pytest.mark.gpu)],
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each array library in turn; CuPy is skipped, with the reason, where there is no GPU."""
    name = request.param
    if name == "cupy" and not libraries.cuda_is_available():
        pytest.skip(f"no GPU: {libraries.cuda_problem()}")
    return Backend(name, _BACKENDS[name])
