"""Normalisation layers: the parameters and running statistics around the functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.backend import Array
from minisegnet.nn.module import Module, Parameter
from minisegnet.nn.options import require_positive


def _require_eps(layer: str, eps: float) -> None:
    if not eps >= 0:
        raise ValueError(f"{layer}: eps is {eps}: it cannot be negative")


class _BatchNorm(Module):
    dimensions: tuple[int, ...]
    layout: str

    running_mean: Array | None
    running_var: Array | None
    num_batches_tracked: Array | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive(name, num_features=num_features)
        _require_eps(name, eps)
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(
                f"{name}: momentum is {momentum}: it is the share of the newest batch in the "
                "running statistics: choose it between 0 and 1, or None for the average of all"
            )
        self.num_features = num_features
        self.eps = float(eps)
        self.momentum = None if momentum is None else float(momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(np.ones(num_features, dtype=np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype=np.float32)) if affine else None
        zeros, ones = np.zeros(num_features, np.float32), np.ones(num_features, np.float32)
        self.register_buffer("running_mean", zeros if track_running_stats else None)
        self.register_buffer("running_var", ones if track_running_stats else None)
        # A count of int64 without dimensions, as PyTorch has it, so that its states load here.
        count = np.zeros((), dtype=np.int64)
        self.register_buffer("num_batches_tracked", count if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean[...] = 0  # type: ignore[index]
            self.running_var[...] = 1  # type: ignore[index]
            self.num_batches_tracked[...] = 0  # type: ignore[index]

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the batch in training, by the running statistics in evaluation.

        Raises
        ------
        ValueError
            If the input has another number of dimensions or channels.
        """
        shape = tuple(input.shape)
        if len(shape) not in self.dimensions or shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: the input has shape {shape}: this layer was made for "
                f"{self.layout} with C = {self.num_features}"
            )
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            if self.momentum is None and self.running_mean is not None:
                # A number on the array's own device: nobody waits for a GPU to tell it.
                count = (self.num_batches_tracked + 1).astype(self.running_mean.dtype)
                momentum = 1.0 / count
            self.num_batches_tracked += 1
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=momentum,
            eps=self.eps,
        )

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_BatchNorm):
    r"""Bring each map of a batch to mean 0 and variance 1, then scale and shift it [1]_.

    In training with the moments of the batch; in evaluation with running averages of these, which
    follow by :math:`r \leftarrow (1 - momentum) r + momentum \cdot m`.

    Parameters
    ----------
    num_features : int
        Number of maps, C.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of the newest batch in the running statistics; None averages all batches alike (it
        waits for the GPU at every step).
    affine : bool
        Whether scale and shift are learnt.
    track_running_stats : bool
        False keeps no statistics and normalises by the batch always.

    Attributes
    ----------
    weight, bias : Parameter or None
        (C,), ones and zeros at first.
    running_mean, running_var : array or None
        Buffers (C,).
    num_batches_tracked : array or None
        Buffer, int64 without dimensions.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015, arXiv:1502.03167, algorithm 1.

    Examples
    --------
    >>> layer = BatchNorm2d(3)
    >>> x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    >>> bool(abs(layer(x).numpy().mean(axis=(0, 2, 3))).max() < 1e-6)
    True
    >>> layer.running_mean.round(2), int(layer.num_batches_tracked)
    (array([3.95, 5.95, 7.95], dtype=float32), 1)
    """

    dimensions = (4,)
    layout = "(N, C, H, W)"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features (N, C) or sequences (N, C, L); see :class:`BatchNorm2d`.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 3.0], [5.0, 2.0, 9.0]], dtype=np.float32)
    >>> BatchNorm1d(3)(x).numpy().round(3).tolist()
    [[-1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]
    """

    dimensions = (2, 3)
    layout = "(N, C) or (N, C, L)"


class GroupNorm(Module):
    """Bring each group of maps of each image to mean 0 and variance 1, then scale and shift [1]_.

    Parameters
    ----------
    num_groups, num_channels : int
        The maps are split into so many groups.
    eps : float
        Added to the variance.
    affine : bool
        Whether a scale and a shift are learnt for each map.

    Attributes
    ----------
    weight, bias : Parameter or None
        (num_channels,), ones and zeros at first.

    Raises
    ------
    TypeError, ValueError
        If the groups do not divide the channels, or an option is out of range.

    References
    ----------
    .. [1] Y. Wu, K. He, "Group normalization", ECCV 2018, arXiv:1803.08494.

    Examples
    --------
    >>> x = np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1)
    >>> GroupNorm(3, 6)(x).numpy().round(3).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        require_positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        _require_eps("GroupNorm", eps)
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels={num_channels} does not divide into "
                f"num_groups={num_groups}: {num_channels} / {num_groups} leaves "
                f"{num_channels % num_groups}. Choose a divisor of {num_channels}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = float(eps)
        self.affine = affine
        self.weight = Parameter(np.ones(num_channels, dtype=np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, dtype=np.float32)) if affine else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, num_channels, ...)."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LayerNorm(Module):
    """Bring the last dimensions to mean 0 and variance 1, then scale and shift each place [1]_.

    Parameters
    ----------
    normalized_shape : int or sequence of ints
        Lengths of the last dimensions.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether a scale is learnt for each place.
    bias : bool
        Whether a shift is learnt, too.

    Attributes
    ----------
    weight, bias : Parameter or None
        Of ``normalized_shape``, ones and zeros at first.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    References
    ----------
    .. [1] J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> LayerNorm(2)(np.array([[1.0, 3.0], [9.0, 5.0]], dtype=np.float32)).numpy().round(3).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        for length in self.normalized_shape:
            require_positive("LayerNorm", normalized_shape=length)
        _require_eps("LayerNorm", eps)
        self.eps = float(eps)
        self.elementwise_affine = elementwise_affine
        ones, zeros = np.ones(self.normalized_shape), np.zeros(self.normalized_shape)
        self.weight = Parameter(ones.astype(np.float32)) if elementwise_affine else None
        self.bias = Parameter(zeros.astype(np.float32)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (...) + ``normalized_shape``."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    r"""Divide each value by the strength of its neighbour maps [1]_.

    :math:`y_c = x_c / (k + \alpha / n \sum x^2)^\beta`, the sum over the ``size`` maps around c.

    Parameters
    ----------
    size : int
        How many neighbouring maps count, n.
    alpha, beta, k : float

    Raises
    ------
    TypeError, ValueError
        If the size is not a positive integer.

    References
    ----------
    .. [1] A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional
       neural networks", NIPS 2012, section 3.3.

    Examples
    --------
    >>> x = np.array([3.0, 1.0, 2.0], dtype=np.float32).reshape(1, 3, 1, 1)
    >>> LocalResponseNorm(1, alpha=1.0, beta=1.0)(x).numpy().ravel().round(2)
    array([0.3, 0.5, 0.4], dtype=float32)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        require_positive("LocalResponseNorm", size=size)
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, H, W) across its maps."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
