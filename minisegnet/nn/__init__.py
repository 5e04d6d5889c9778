"""Layers: operations together with the weights and options that they use.

Names, arguments, defaults and the names in ``state_dict()`` follow ``torch.nn``.
"""

from __future__ import annotations

from minisegnet.nn import init
from minisegnet.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from minisegnet.nn.containers import ModuleList, Sequential
from minisegnet.nn.conv import (
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    ReflectionPad2d,
    ReplicationPad2d,
    ZeroPad2d,
)
from minisegnet.nn.linear import Dropout, Dropout2d, Flatten, Identity, Linear
from minisegnet.nn.module import LoadResult, Module, Parameter
from minisegnet.nn.normalisation import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
)
from minisegnet.nn.objective import BCEWithLogitsLoss, CrossEntropyLoss
from minisegnet.nn.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    MaxPool2d,
    MaxUnpool2d,
)
from minisegnet.nn.resampling import (
    Fold,
    PixelShuffle,
    Unfold,
    Upsample,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
)
from minisegnet.nn.watching import watch

__all__ = [
    "ELU",
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "ConstantPad2d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Fold",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadResult",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "MaxUnpool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "PixelShuffle",
    "ReLU",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad2d",
    "init",
    "watch",
]
