"""The networks on a ResNet in PyTorch, each written down a second time from its paper and source.

They are functions of a state, not modules: every convolution names its weights and states its
stride and dilation as a number, so that a rule that went wrong in the engine's constructors cannot
go wrong here in the same way. All are for two blocks a stage (resnet26), at the output strides and
rates that ``CASES`` of ``tests/test_models_resnet.py`` has.

    python -m tests.torch_models_resnet

writes some of their logits into ``tests/data/torch_models_resnet.npz``, for where there is no
PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F


class State:
    """Tensors by name; remembers which were read, and whether batch norms use the batch."""

    def __init__(self, arrays: dict[str, Any], training: bool = False) -> None:
        self.tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        self.training = training
        self.read: set[str] = set()

    def __call__(self, name: str) -> torch.Tensor:
        self.read.add(name)
        return self.tensors[name]

    def conv(self, name: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
        bias = self(f"{name}.bias") if f"{name}.bias" in self.tensors else None
        return F.conv2d(x, self(f"{name}.weight"), bias, **options)

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        self.read.add(f"{name}.num_batches_tracked")
        moments = (self(f"{name}.running_mean"), self(f"{name}.running_var"))
        weights = (self(f"{name}.weight"), self(f"{name}.bias"))
        return F.batch_norm(x, *moments, *weights, training=self.training)

    def conv_norm_relu(self, conv: str, norm: str, x: torch.Tensor, **options: Any) -> torch.Tensor:
        return F.relu(self.norm(norm, self.conv(conv, x, **options)))


def larger(x: torch.Tensor, like: torch.Tensor, align_corners: bool) -> torch.Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=align_corners)


def bottleneck(s: State, name: str, x: torch.Tensor, stride: int, dilation: int) -> torch.Tensor:
    y = s.conv_norm_relu(f"{name}.conv1", f"{name}.bn1", x)
    y = s.conv_norm_relu(
        f"{name}.conv2", f"{name}.bn2", y, stride=stride, padding=dilation, dilation=dilation
    )
    y = s.norm(f"{name}.bn3", s.conv(f"{name}.conv3", y))
    if f"{name}.downsample.0.weight" in s.tensors:
        x = s.norm(f"{name}.downsample.1", s.conv(f"{name}.downsample.0", x, stride=stride))
    return F.relu(x + y)


# Stride and dilation of every block: of both blocks of layer1, then of layer2, and so on.
STRIDE_32 = [(1, 1), (1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (2, 1), (1, 1)]
STRIDE_16 = [(1, 1), (1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 2)]
STRIDE_8 = [(1, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 2), (1, 2), (1, 4)]
STRIDE_8_CAFFE = [(1, 1), (1, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 4), (1, 4)]


def encoder(
    s: State, x: torch.Tensor, blocks: list[tuple[int, int]], deep: bool = False
) -> list[torch.Tensor]:
    if deep:
        x = s.conv_norm_relu("backbone.conv1", "backbone.bn1", x, stride=2, padding=1)
        x = s.conv_norm_relu("backbone.conv2", "backbone.bn2", x, padding=1)
        x = s.conv_norm_relu("backbone.conv3", "backbone.bn3", x, padding=1)
    else:
        x = s.conv_norm_relu("backbone.conv1", "backbone.bn1", x, stride=2, padding=3)
    x = F.max_pool2d(x, 3, 2, 1)
    maps = []
    for layer in range(4):
        for block in range(2):
            name = f"backbone.layer{layer + 1}.{block}"
            x = bottleneck(s, name, x, *blocks[2 * layer + block])
        maps.append(x)
    return maps


def deeplab_v2(s: State, x: torch.Tensor) -> list[torch.Tensor]:
    last = encoder(s, x, STRIDE_8_CAFFE)[3]
    scores = [
        s.conv(f"classifier.{i}", last, padding=rate, dilation=rate)
        for i, rate in enumerate((1, 2, 3, 5))
    ]
    return [larger(torch.stack(scores).sum(0), x, False)]


def aspp(
    s: State, name: str, x: torch.Tensor, rates: tuple[int, ...], separable: bool = False
) -> torch.Tensor:
    branches = [s.conv_norm_relu(f"{name}.convs.0.0", f"{name}.convs.0.1", x)]
    for i, rate in enumerate(rates, 1):
        branches.append(threebythree(s, f"{name}.convs.{i}", x, rate, separable))
    last = f"{name}.convs.{len(rates) + 1}"
    mean = s.conv_norm_relu(f"{last}.1", f"{last}.2", x.mean((2, 3), keepdim=True))
    branches.append(mean.expand(-1, -1, *x.shape[2:]))
    return s.conv_norm_relu(f"{name}.project.0", f"{name}.project.1", torch.cat(branches, 1))


def threebythree(s: State, name: str, x: torch.Tensor, rate: int, separable: bool) -> torch.Tensor:
    if not separable:
        return s.conv_norm_relu(f"{name}.0", f"{name}.1", x, padding=rate, dilation=rate)
    x = s.conv_norm_relu(
        f"{name}.0", f"{name}.1", x, padding=rate, dilation=rate, groups=x.shape[1]
    )
    return s.conv_norm_relu(f"{name}.3", f"{name}.4", x)


def deeplab_v3(s: State, x: torch.Tensor) -> list[torch.Tensor]:
    *_, third, last = encoder(s, x, STRIDE_8)
    y = aspp(s, "classifier.0", last, (1, 2, 4))
    y = s.conv_norm_relu("classifier.1", "classifier.2", y, padding=1)
    logits = [s.conv("classifier.4", y)]
    z = s.conv_norm_relu("aux_classifier.0", "aux_classifier.1", third, padding=1)
    logits.append(s.conv("aux_classifier.4", z))
    return [larger(each, x, False) for each in logits]


def deeplab_v3_plus(s: State, x: torch.Tensor, separable: bool = False) -> list[torch.Tensor]:
    early, _, _, last = encoder(s, x, STRIDE_16)
    context = larger(aspp(s, "aspp", last, (1, 2, 3), separable), early, True)
    few = s.conv_norm_relu("reduce.0", "reduce.1", early)
    y = torch.cat([context, few], 1)
    y = threebythree(s, "decoder.0", y, 1, separable)
    y = threebythree(s, "decoder.1", y, 1, separable)
    return [larger(s.conv("classifier", y), x, True)]


def deeplab_v3_plus_separable(s: State, x: torch.Tensor) -> list[torch.Tensor]:
    return deeplab_v3_plus(s, x, separable=True)


def pspnet(s: State, x: torch.Tensor) -> list[torch.Tensor]:
    *_, third, last = encoder(s, x, STRIDE_8_CAFFE, deep=True)
    levels = [last]
    for i, bins in enumerate((1, 2, 3, 6)):
        name = f"pyramid.levels.{i}"
        pooled = F.adaptive_avg_pool2d(last, (bins, bins))
        levels.append(larger(s.conv_norm_relu(f"{name}.1", f"{name}.2", pooled), last, True))
    y = s.conv_norm_relu("classifier.0", "classifier.1", torch.cat(levels, 1), padding=1)
    z = s.conv_norm_relu("aux_classifier.0", "aux_classifier.1", third, padding=1)
    logits = [s.conv("classifier.4", y), s.conv("aux_classifier.4", z)]
    return [larger(each, x, True) for each in logits]


def units(s: State, name: str, x: torch.Tensor, count: int) -> torch.Tensor:
    """So many residual conv units."""
    for i in range(count):
        unit = f"{name}.{i}" if count > 1 else name
        y = s.conv(f"{unit}.conv1", F.relu(x), padding=1)
        x = x + s.conv(f"{unit}.conv2", F.relu(y), padding=1)
    return x


def refine(
    s: State, name: str, maps: torch.Tensor, coarse: torch.Tensor | None = None
) -> torch.Tensor:
    x = units(s, f"{name}.adapt", s.conv(f"{name}.reduce", maps, padding=1), 2)
    if coarse is not None:
        y = s.conv(f"{name}.fuse_coarse", units(s, f"{name}.adapt_coarse", coarse, 2), padding=1)
        x = s.conv(f"{name}.fuse", x, padding=1) + larger(y, x, True)
    x = F.relu(x)
    pooled = [x]
    for i in range(4):
        y = F.max_pool2d(pooled[-1], 5, 1, 2)
        pooled.append(s.conv(f"{name}.pool.convs.{i}", y, padding=1))
    return units(s, f"{name}.output", torch.stack(pooled).sum(0), 1)


def refinenet(s: State, x: torch.Tensor) -> list[torch.Tensor]:
    maps = encoder(s, x, STRIDE_32)
    y = refine(s, "refine4", maps[3])
    y = refine(s, "refine3", maps[2], y)
    y = refine(s, "refine2", maps[1], y)
    y = refine(s, "refine1", maps[0], y)
    return [larger(s.conv("classifier", units(s, "finish", y, 2), padding=1), x, True)]


def logits(name: str, arrays: dict[str, Any], x: np.ndarray, training: bool) -> list[np.ndarray]:
    """What the network of this name makes of images; every array must have been of use."""
    state = State(arrays, training)
    found = globals()[name](state, torch.tensor(x))
    unused = set(state.tensors) - state.read
    if unused:
        raise ValueError(f"{name} does not use {sorted(unused)}")
    return [each.numpy() for each in found]


if __name__ == "__main__":
    from tests.test_models_resnet import CASES, RECORDED, filled, images, make, sample

    np.savez_compressed(
        RECORDED,
        **{
            f"{name}-{mode}-{i}": sample(each)
            for name in CASES
            for mode in ("evaluation", "training")
            for i, each in enumerate(
                logits(name, filled(make(name)).state_dict(), images(), mode == "training")
            )
        },
    )
