"""minisegnet and PyTorch on a GPU, behind the names that the cases of the benchmark need."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from minisegnet import backend
from minisegnet.replay import Flags, deferred
from minisegnet.train.capture import CapturedStep
from tests.benchmarks.cases import Network
from tests.benchmarks.engines import Minisegnet, Torch

Timed = tuple[Callable[[], Any], Callable[[], Any]]


def quietly(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work without looking at values: what is checked is only noted."""
    flags = Flags()

    def noted() -> None:
        with deferred(flags):
            work()

    return noted


def _batch(network: Network, size: tuple[int, int], classes: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(network.batch, 3, *size)).astype(np.float32)
    return images, rng.integers(0, classes, (network.batch, *size))


class OnGpu(Minisegnet):
    """This engine, on CuPy."""

    def __init__(self) -> None:
        super().__init__(1)
        self.device = "cuda"

    def wait(self) -> None:
        backend.synchronize(self.device)

    def tensor(self, values: np.ndarray, requires_grad: bool = False, maps: bool = False) -> Any:
        x = self.library.tensor(values, device=self.device)
        if maps and values.ndim == 4:
            x.data = self.gradient(values)
        x.requires_grad = requires_grad
        return x

    def gradient(self, values: np.ndarray) -> Any:
        if values.ndim != 4:
            return backend.to_device(values, self.device)
        last = backend.to_device(np.ascontiguousarray(values.transpose(0, 2, 3, 1)), self.device)
        return last.transpose(0, 3, 1, 2)

    def model(self, kind: str, classes: int = 5, **options: Any) -> Any:
        extra = {"dropout": 0.0, "padding": 1} if kind == "FCN8s" else {}
        made = getattr(self.library.models, kind)(3, classes, **options, **extra)
        return made.to(self.device)

    def _on_device(self, network: Network, classes: int) -> tuple[Any, Any, Callable[..., Any]]:
        model = self.model(network.kind, classes, **network.options)
        optimizer = self.optim.Adam(list(model.parameters()), 1e-3)

        def step(images: Any, masks: Any) -> Any:
            logits = model(self.library.Tensor(images))
            loss = self.library.losses.cross_entropy(logits, self.library.Tensor(masks))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.data

        return model, optimizer, step

    def step(self, network: Network, size: tuple[int, int], classes: int) -> Timed:
        """A training step as the trainer does it: it never waits."""
        _, _, step = self._on_device(network, classes)
        batch = [backend.to_device(a, self.device) for a in _batch(network, size, classes)]
        return quietly(lambda: step(*batch)), self.wait

    def captured(self, network: Network, size: tuple[int, int], classes: int) -> Timed:
        """The same, recorded as a CUDA graph."""
        model, optimizer, step = self._on_device(network, classes)
        captured = CapturedStep(step, model, optimizer, self.device)
        batch = [backend.to_device(a, self.device) for a in _batch(network, size, classes)]
        return quietly(lambda: captured(*batch)), self.wait

    def most_memory(self) -> int:
        """Bytes that the pool of arrays has taken since it was last emptied."""
        return backend.device_memory(self.device)[1]

    def free(self) -> None:
        """Give the pool's memory back, so that the next measurement begins with none."""
        gc.collect()
        pool = getattr(backend.library_for(self.device).module, "get_default_memory_pool", None)
        if pool is not None:
            pool().free_all_blocks()


class TorchOnGpu(Torch):
    """PyTorch on the same GPU."""

    def __init__(self) -> None:
        super().__init__(1)
        if not self.library.cuda.is_available():
            raise RuntimeError("this PyTorch sees no GPU")
        self.version = self.library.__version__

    def set_tf32(self, on: bool) -> None:
        self.library.backends.cuda.matmul.allow_tf32 = on
        self.library.backends.cudnn.allow_tf32 = on

    def wait(self) -> None:
        self.library.cuda.synchronize()

    def tensor(self, values: np.ndarray, requires_grad: bool = False, maps: bool = False) -> Any:
        return super().tensor(values).cuda().requires_grad_(requires_grad)

    def model(self, kind: str, **options: Any) -> Any:
        return super().model(kind, **options).cuda()

    def step(self, network: Network, size: tuple[int, int], classes: int) -> Timed:
        """A training step, with cuDNN choosing its algorithms by trying them."""
        torch = self.library
        torch.backends.cudnn.benchmark = True
        torch.cuda.reset_peak_memory_stats()
        if network.kind.startswith("Tutorial"):
            model = tutorial(torch, classes, skips=network.kind.endswith("UNet")).cuda()
        else:
            model = self.model(network.kind, **network.options)
        images, masks = (torch.from_numpy(a).cuda() for a in _batch(network, size, classes))
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)

        def work() -> None:
            loss = torch.nn.functional.cross_entropy(model(images), masks)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return work, self.wait

    def most_memory(self) -> int:
        return int(self.library.cuda.max_memory_allocated())

    def free(self) -> None:
        self.library.cuda.empty_cache()


def tutorial(torch: Any, classes: int, skips: bool, base: int = 32) -> Any:
    """The tutorial's FCN, or its U-Net, in PyTorch."""
    nn, relu = torch.nn, torch.relu
    down = [base, 2 * base, 4 * base, 8 * base]
    up = [4 * base, 2 * base, base, classes]
    beside = [0, *up[:3]] if skips else [0] * 4

    class Tutorial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.ModuleList(
                nn.Conv2d(a, b, 4, 2, 1) for a, b in zip([3, *down[:3]], down, strict=True)
            )
            befores = zip([down[3], *up[:3]], beside, up, strict=True)
            self.decoder = nn.ModuleList(
                nn.ConvTranspose2d(a + more, b, 4, 2, 1) for a, more, b in befores
            )

        def forward(self, x: Any) -> Any:
            maps = []
            for halve in self.encoder:
                x = relu(halve(x))
                maps.append(x)
            for number, double in enumerate(self.decoder[:3]):
                x = relu(double(x))
                if skips:
                    x = torch.cat([maps[2 - number], x], 1)
            return self.decoder[3](x)

    return Tutorial()
