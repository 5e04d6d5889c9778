"""minisegnet: learn how segmentation networks work, on an engine small enough to read.

>>> import minisegnet as ms
>>> x = ms.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
>>> y = ms.functional.conv_transpose2d(x, ms.tensor([[[[1.0, 0.0], [1.0, 1.0]]]]))
>>> y.numpy()[0, 0]
array([[1., 2., 0.],
       [4., 7., 2.],
       [3., 7., 4.]], dtype=float32)
"""

from __future__ import annotations

import sys

try:
    import importlib
    from typing import TYPE_CHECKING, Any

    from minisegnet import functional, losses, metrics, models, nn, optim
    from minisegnet.anomaly import detect_anomaly
    from minisegnet.autograd import Tensor, no_grad, tensor
    from minisegnet.backend import cuda_is_available, manual_seed, set_tf32
    from minisegnet.checkpoint import load, save
    from minisegnet.gradcheck import gradcheck
    from minisegnet.kernels.parallel import get_num_threads, set_num_threads
except KeyboardInterrupt:
    # The command line comes by here before any line of its own: Ctrl-C is no fault there.
    if "".join(sys.argv[:1]).removesuffix(".exe").endswith(("-m", "minisegnet")):
        sys.exit(130)
    raise

if TYPE_CHECKING:
    from minisegnet import crf, data, explain, lessons, plot, train

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "crf",
    "cuda_is_available",
    "data",
    "detect_anomaly",
    "explain",
    "functional",
    "get_num_threads",
    "gradcheck",
    "lessons",
    "load",
    "losses",
    "manual_seed",
    "metrics",
    "models",
    "nn",
    "no_grad",
    "optim",
    "plot",
    "save",
    "set_num_threads",
    "set_tf32",
    "tensor",
    "train",
]

_LOADED_WHEN_ASKED_FOR = ("crf", "data", "explain", "lessons", "plot", "train")


def __getattr__(name: str) -> Any:
    """Load the rooms that a plain ``import minisegnet`` leaves alone to stay quick."""
    if name in _LOADED_WHEN_ASKED_FOR:
        return importlib.import_module(f"minisegnet.{name}")
    raise AttributeError(f"module 'minisegnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LOADED_WHEN_ASKED_FOR})
