"""What is computed: training steps, inference, and each operation by itself, forward and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Work = Callable[[], Any]


@dataclass(frozen=True)
class Network:
    """A training step, or inference, of a network on a batch of images."""

    kind: str
    options: dict[str, int]
    batch: int
    size: int
    train: bool = True
    gflop: float = 0.0

    @property
    def name(self) -> str:
        options = ", ".join(f"{key} {value}" for key, value in self.options.items())
        work = "training step" if self.train else "inference"
        return f"{self.kind} ({options}), {self.batch} x 3x{self.size}x{self.size}, {work}"

    def prepare(self, engine: Any) -> Work:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(self.batch, 3, self.size, self.size)).astype(np.float32)
        images = engine.tensor(images)
        masks = engine.tensor(rng.integers(0, 5, (self.batch, self.size, self.size)))
        model = engine.model(self.kind, **self.options)
        if not self.train:
            model.eval()

            def infer() -> Any:
                with engine.without_gradients():
                    return model(images)

            return infer
        optimizer = engine.optim.Adam(list(model.parameters()), 1e-3)

        def step() -> None:
            loss = engine.functional.cross_entropy(model(images), masks)
            optimizer.zero_grad()
            engine.backward(loss)
            optimizer.step()

        return step


@dataclass(frozen=True)
class Operation:
    """One operation, forward and with its gradients back to all inputs.

    ``shapes`` are those of the inputs, of which the second is a weight where there is one. ``call``
    gets the functions of the engine, and the inputs.
    """

    name: str
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    def prepare(self, engine: Any) -> Work:
        rng = np.random.default_rng(0)
        inputs = [
            engine.tensor(rng.normal(size=shape).astype(np.float32), True, maps=number != 1)
            for number, shape in enumerate(self.shapes)
        ]
        y = self.call(engine.functional, *inputs)
        grad = engine.gradient(rng.normal(size=tuple(y.shape)).astype(np.float32))

        def both_ways() -> None:
            for x in inputs:
                x.grad = None
            engine.backward(self.call(engine.functional, *inputs), grad)

        return both_ways


@dataclass(frozen=True)
class Unpooling:
    """``max_unpool2d`` of what a pooling remembered."""

    name: str = "max unpool 2x2, 8 x 32x32x32"

    def prepare(self, engine: Any) -> Work:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(8, 32, 64, 64)).astype(np.float32)
        maps = engine.tensor(values, maps=True)
        _, indices = engine.functional.max_pool2d(maps, 2, return_indices=True)
        x = engine.tensor(rng.normal(size=(8, 32, 32, 32)).astype(np.float32), True, maps=True)
        grad = engine.gradient(rng.normal(size=(8, 32, 64, 64)).astype(np.float32))

        def both_ways() -> None:
            x.grad = None
            engine.backward(engine.functional.max_unpool2d(x, indices, 2), grad)

        return both_ways


@dataclass(frozen=True)
class Joining:
    """``cat`` of two maps along their channels."""

    name: str = "cat of two, 8 x 16x128x128"

    def prepare(self, engine: Any) -> Work:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(8, 16, 128, 128)).astype(np.float32)
        parts = [engine.tensor(values, True, maps=True) for _ in range(2)]
        grad = engine.gradient(np.concatenate([values, values], axis=1))

        def both_ways() -> None:
            for part in parts:
                part.grad = None
            engine.backward(engine.cat(parts), grad)

        return both_ways


@dataclass(frozen=True)
class Loss:
    """The cross-entropy of logits with class indices."""

    name: str = "cross-entropy, 8 x 5x128x128"

    def prepare(self, engine: Any) -> Work:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(8, 5, 128, 128)).astype(np.float32)
        logits = engine.tensor(values, True, maps=True)
        masks = engine.tensor(rng.integers(0, 5, (8, 128, 128)))

        def both_ways() -> None:
            logits.grad = None
            engine.backward(engine.functional.cross_entropy(logits, masks))

        return both_ways


@dataclass(frozen=True)
class Update:
    """A step of an optimiser on the parameters of the U-Net of base 16 and depth 3."""

    kind: str
    options: dict[str, float]

    @property
    def name(self) -> str:
        return f"{self.kind} step, 483 thousand weights in 50 arrays"

    def prepare(self, engine: Any) -> Work:
        model = engine.model("UNet", base=16, depth=3)
        parameters = list(model.parameters())
        rng = np.random.default_rng(0)
        for parameter in parameters:
            values = rng.normal(size=tuple(parameter.shape)).astype(np.float32)
            tensor = engine.tensor(values)
            parameter.grad = tensor.data
        return getattr(engine.optim, self.kind)(parameters, lr=1e-3, **self.options).step


def _conv(**options: Any) -> Callable[..., Any]:
    return lambda F, x, w: F.conv2d(x, w, **options)


NETWORKS = [
    Network("UNet", {"base": 8, "depth": 3}, 8, 64, gflop=1.75),
    Network("UNet", {"base": 16, "depth": 3}, 8, 128, gflop=27.8),
    Network("UNet", {"base": 32, "depth": 3}, 4, 192, gflop=124.3),
    Network("UNet", {"base": 8, "depth": 3}, 8, 64, train=False),
    Network("UNet", {"base": 16, "depth": 3}, 8, 128, train=False),
    Network("UNet", {"base": 32, "depth": 3}, 4, 192, train=False),
    Network("FCN8s", {"base": 8}, 4, 64),
    Network("SegNetBasic", {"base": 16}, 4, 64),
]


def _same(channels: int, outputs: int, images: int, size: int) -> Operation:
    shapes = ((images, channels, size, size), (outputs, channels, 3, 3))
    name = f"conv 3x3, {channels} to {outputs}, {images} x {size}x{size}"
    return Operation(name, _conv(padding=1), shapes)


_MAPS = (8, 32, 64, 64)
_SMALL = (8, 32, 32, 32)
_LARGE = (8, 16, 128, 128)

OPERATIONS = [
    _same(16, 16, 8, 128),
    _same(64, 64, 8, 32),
    _same(256, 256, 4, 24),
    Operation("conv 1x1, 32 to 64, 8 x 64x64", _conv(), (_MAPS, (64, 32, 1, 1))),
    Operation(
        "conv 3x3 depthwise, 32, 8 x 64x64", _conv(padding=1, groups=32), (_MAPS, (32, 1, 3, 3))
    ),
    Operation(
        "conv 3x3 stride 2, 32 to 64, 8 x 64x64",
        _conv(padding=1, stride=2),
        (_MAPS, (64, 32, 3, 3)),
    ),
    Operation(
        "conv 3x3 dilation 2, 32 to 32, 8 x 64x64",
        _conv(padding=2, dilation=2),
        (_MAPS, (32, 32, 3, 3)),
    ),
    Operation(
        "conv 3x3 in 4 groups, 32 to 32, 8 x 64x64",
        _conv(padding=1, groups=4),
        (_MAPS, (32, 8, 3, 3)),
    ),
    Operation(
        "transposed conv 2x2 stride 2, 32 to 16, 8 x 64x64",
        lambda F, x, w: F.conv_transpose2d(x, w, stride=2),
        (_MAPS, (32, 16, 2, 2)),
    ),
    Operation(
        "transposed conv 4x4 stride 2, 32 to 16, 8 x 32x32",
        lambda F, x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
        (_SMALL, (32, 16, 4, 4)),
    ),
    Operation("max pool 2x2, 8 x 32x64x64", lambda F, x: F.max_pool2d(x, 2), (_MAPS,)),
    Operation("average pool 2x2, 8 x 32x64x64", lambda F, x: F.avg_pool2d(x, 2), (_MAPS,)),
    Unpooling(),
    Operation(
        "batch norm, 8 x 16x128x128",
        lambda F, x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        (_LARGE, (16,), (16,)),
    ),
    Operation("relu, 8 x 16x128x128", lambda F, x: F.relu(x), (_LARGE,)),
    Joining(),
    Operation(
        "interpolate bilinear x2, 8 x 32x32x32",
        lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        (_SMALL,),
    ),
    Operation(
        "interpolate nearest x2, 8 x 32x32x32",
        lambda F, x: F.interpolate(x, scale_factor=2, mode="nearest"),
        (_SMALL,),
    ),
    Loss(),
    Update("Adam", {}),
    Update("SGD", {"momentum": 0.9}),
]
