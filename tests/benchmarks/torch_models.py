"""The networks of the benchmark in PyTorch."""

from __future__ import annotations

import torch
from torch import nn

from tests import torch_models_vgg


class UNet(nn.Module):
    """The U-Net of minisegnet, layer by layer."""

    def __init__(self, base: int, depth: int) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(depth + 1)]
        pairs = zip([3, *widths], widths[:-1], strict=False)
        self.down = nn.ModuleList(self.block(before, after) for before, after in pairs)
        self.bottom = self.block(widths[-2], widths[-1])
        above = widths[-2::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in above)
        self.merge = nn.ModuleList(self.block(2 * w, w) for w in above)
        self.classify = nn.Conv2d(base, 5, 1)

    @staticmethod
    def block(before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers.append(nn.Conv2d(channels, after, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            x = merge(torch.cat([skip, up(x)], 1))
        return self.classify(x)


def SegNetBasic(base: int) -> nn.Module:
    """SegNet-Basic for 5 classes."""
    return torch_models_vgg.SegNetBasic(5, base)


def FCN8s(base: int) -> nn.Module:
    """FCN-8s for 5 classes."""
    return torch_models_vgg.FCN(5, base, skips=2)
