"""Every differentiable operation, under one name: ``import minisegnet.functional as F``.

Names, argument order and defaults follow ``torch.nn.functional`` wherever it has the operation.
"""

from __future__ import annotations

from minisegnet.ops.activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
)
from minisegnet.ops.conv import conv2d, conv_transpose2d, flip, insert_zeros
from minisegnet.ops.joining import cat, clip, maximum, minimum, stack, where
from minisegnet.ops.linear import dropout, linear
from minisegnet.ops.normalisation import batch_norm, group_norm, layer_norm, local_response_norm
from minisegnet.ops.objective import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    one_hot,
)
from minisegnet.ops.padding import pad
from minisegnet.ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    fold,
    max_pool2d,
    max_unpool2d,
    unfold,
)
from minisegnet.ops.upsampling import bed_of_nails, interpolate, pixel_shuffle

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "bed_of_nails",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cat",
    "clip",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "flip",
    "fold",
    "gelu",
    "group_norm",
    "insert_zeros",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "maximum",
    "minimum",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "stack",
    "tanh",
    "unfold",
    "where",
]
