"""The engines that are compared, behind the few names that the cases need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _channels_last(values: np.ndarray) -> np.ndarray:
    """The values as maps lie that come out of a convolution of minisegnet."""
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class Minisegnet:
    """This engine."""

    name = "minisegnet"

    def __init__(self, threads: int) -> None:
        import minisegnet

        minisegnet.set_num_threads(threads)
        self.library = minisegnet
        self.functional, self.optim = minisegnet.functional, minisegnet.optim

    def tensor(self, values: np.ndarray, requires_grad: bool = False, maps: bool = False) -> Any:
        x = self.library.tensor(values, requires_grad=requires_grad)
        if maps and values.ndim == 4:
            x.data = _channels_last(values)
        return x

    def cat(self, parts: list[Any]) -> Any:
        return self.functional.cat(parts, 1)

    def model(self, kind: str, **options: Any) -> Any:
        # The network of PyTorch has no dropout.
        extra = {"dropout": 0.0} if kind == "FCN8s" else {}
        return getattr(self.library.models, kind)(3, 5, **options, **extra)

    def without_gradients(self) -> Any:
        return self.library.no_grad()

    def backward(self, y: Any, grad: np.ndarray | None = None) -> None:
        y.backward(grad)

    def gradient(self, values: np.ndarray) -> Any:
        return _channels_last(values) if values.ndim == 4 else values


class Torch:
    """PyTorch in its default memory order, or channels last."""

    name = "torch"

    def __init__(self, threads: int, channels_last: bool = False) -> None:
        import torch

        torch.set_num_threads(threads)
        self.library, self.functional, self.optim = torch, torch.nn.functional, torch.optim
        self.order = torch.channels_last if channels_last else torch.contiguous_format

    def cat(self, parts: list[Any]) -> Any:
        return self.library.cat(parts, 1)

    def tensor(self, values: np.ndarray, requires_grad: bool = False, maps: bool = False) -> Any:
        x = self.library.from_numpy(np.array(values))
        if values.ndim == 4:
            x = x.contiguous(memory_format=self.order)
        return x.requires_grad_(requires_grad)

    def model(self, kind: str, **options: Any) -> Any:
        from tests.benchmarks import torch_models

        made = getattr(torch_models, kind)(**options)
        return made.to(memory_format=self.order)

    def without_gradients(self) -> Any:
        return self.library.no_grad()

    def backward(self, y: Any, grad: Any = None) -> None:
        y.backward(grad)

    def gradient(self, values: np.ndarray) -> Any:
        return self.tensor(values)


ENGINES: dict[str, Callable[[int], Any]] = {
    "minisegnet": Minisegnet,
    "torch": Torch,
    "torch, channels last": lambda threads: Torch(threads, channels_last=True),
}
