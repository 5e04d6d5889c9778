"""Starting values of weights: each function fills a tensor in place and returns it.

Random numbers are drawn in float32 from the generator that :func:`minisegnet.manual_seed` seeds, on
the host: one seed gives the same weights in float32 and float64, on NumPy and on CuPy.

*Fan-in* is what PyTorch calls so: ``weight.shape[1]`` times the kernel's cells; *fan-out* is
``weight.shape[0]`` times the kernel's cells. For ``Linear`` and ``Conv2d``, whose weights begin
with (out, in), these are the connections into and out of a unit (with groups, fan-in counts one
group and fan-out all). The weight of ``ConvTranspose2d`` begins with (in, out), so its two fans
stand **exchanged**: to keep the size of the activations there, ask for ``mode="fan_out"``. With a
stride s, only one in s² of these connections reaches a given output cell; neither library counts
that.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import device_of, generator, to_device
from minisegnet.checks import did_you_mean

Mode = Literal["fan_in", "fan_out"]


class _Mode(threading.local):
    skipping = False


_mode = _Mode()


@contextlib.contextmanager
def skip() -> Iterator[None]:
    """Inside this context no random numbers are drawn: tensors keep whatever they hold.

    For weights that are going to be loaded, or never used: a network of 250 million of them is
    built in a moment, and its memory is not even touched.

    Examples
    --------
    >>> with skip():
    ...     normal_(Tensor(np.array([1.0, 2.0])), std=3.0).tolist()
    [1.0, 2.0]
    """
    before, _mode.skipping = _mode.skipping, True
    try:
        yield
    finally:
        _mode.skipping = before


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    data = tensor.data
    data[...] = to_device(values.astype(data.dtype, copy=False), device_of(data))
    return tensor


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Numbers between a and b, all equally likely.

    Raises
    ------
    ValueError
        If a is larger than b.

    Examples
    --------
    >>> from minisegnet import tensor
    >>> bool((abs(uniform_(tensor([[0.0, 0.0, 0.0]]), -0.5, 0.5).numpy()) <= 0.5).all())
    True
    """
    if not a <= b:
        raise ValueError(f"uniform_: the range from a={a} to b={b} is empty: give a <= b")
    if _mode.skipping:
        return tensor
    values = generator().random(tensor.shape, dtype=np.float32)
    return _fill(tensor, values * float(b - a) + float(a))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Numbers from the normal distribution.

    Raises
    ------
    ValueError
        If ``std`` is negative.
    """
    if not std >= 0:
        raise ValueError(f"normal_: std is {std}: it cannot be negative")
    if _mode.skipping:
        return tensor
    values = generator().standard_normal(tensor.shape, dtype=np.float32)
    return _fill(tensor, values * float(std) + float(mean))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Numbers from the normal distribution, drawn again until they lie between a and b.

    Raises
    ------
    ValueError
        If ``std`` is not positive, or the range is empty or so far out that hardly any number falls
        into it (further than two standard deviations from the mean).
    """
    if not (std > 0 and a < b and a <= mean + 2 * std and b >= mean - 2 * std):
        raise ValueError(
            f"trunc_normal_: between a={a} and b={b} there is next to nothing of a normal "
            f"distribution of mean {mean} and std {std}: choose a < b around the mean, std > 0"
        )
    if _mode.skipping:
        return tensor
    values = np.full(tensor.shape, np.nan, dtype=np.float32)
    while (outside := ~((values >= a) & (values <= b))).any():
        drawn = generator().standard_normal(int(outside.sum()), dtype=np.float32)
        values[outside] = drawn * float(std) + float(mean)
    return _fill(tensor, values)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same number everywhere."""
    tensor.data[...] = val
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Zero everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """One everywhere."""
    return constant_(tensor, 1.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much to scale weights so that the nonlinearity after them keeps the spread.

    Parameters
    ----------
    nonlinearity : str
        "linear", "conv2d", "conv_transpose2d", "sigmoid": 1; "tanh": 5/3; "relu": sqrt(2);
        "leaky_relu": sqrt(2 / (1 + slope²)); "selu": 3/4.
    param : float, optional
        The slope of "leaky_relu" (0.01 if left out).

    Raises
    ------
    ValueError
        If the nonlinearity is not known.

    Examples
    --------
    >>> round(calculate_gain("leaky_relu", 0.2), 4)
    1.3868
    """
    gains = {
        "linear": 1.0,
        "conv2d": 1.0,
        "conv_transpose2d": 1.0,
        "sigmoid": 1.0,
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2)),
        "selu": 3.0 / 4.0,
    }
    if nonlinearity not in gains:
        raise ValueError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}: "
            + did_you_mean(nonlinearity, gains)
        )
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight, as PyTorch counts them.

    Raises
    ------
    ValueError
        If the tensor has fewer than two dimensions.

    Examples
    --------
    >>> fans(Tensor(np.zeros((5, 3, 2, 4))))
    (24, 40)
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"a tensor of shape {tensor.shape} has no fan-in and fan-out: these need the "
            "(out, in, ...) of a weight; fill a bias with zeros_ or uniform_"
        )
    cells = math.prod(tensor.shape[2:])
    return tensor.shape[1] * cells, tensor.shape[0] * cells


def _std_of_kaiming(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"kaiming: mode is {mode!r}: choose 'fan_in' or 'fan_out'")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    r"""Uniform numbers within :math:`\pm gain \sqrt{3 / fan}` [1]_.

    Parameters
    ----------
    tensor : Tensor
        A weight of two or more dimensions.
    a : float
        Slope of the leaky relu that follows (0 for a relu).
    mode : "fan_in" or "fan_out"
        Keep the spread of the activations on the way forward, or of the gradients on the way back
        (exchanged for transposed convolutions: see the head of this module).
    nonlinearity : str
        What follows; see :func:`calculate_gain`.

    Raises
    ------
    ValueError
        If the tensor is a vector, or an option is not known.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015,
       arXiv:1502.01852, equations 10 and 14.
    """
    bound = math.sqrt(3.0) * _std_of_kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: Mode = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    r"""Normal numbers of standard deviation :math:`gain / \sqrt{fan}`.

    The parameters are those of :func:`kaiming_uniform_`.

    Raises
    ------
    ValueError
        If the tensor is a vector, or an option is not known.
    """
    return normal_(tensor, 0.0, _std_of_kaiming(tensor, a, mode, nonlinearity))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    r"""Uniform numbers within :math:`\pm gain \sqrt{6 / (fan_{in} + fan_{out})}` [1]_.

    Raises
    ------
    ValueError
        If the tensor is a vector.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", AISTATS 2010, equation 16.
    """
    bound = gain * math.sqrt(6.0 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    r"""Normal numbers of standard deviation :math:`gain \sqrt{2 / (fan_{in} + fan_{out})}`.

    Raises
    ------
    ValueError
        If the tensor is a vector.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(sum(fans(tensor)), 1)))


def default_(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""What layers start with: weight and bias uniform within :math:`1 / \sqrt{fan_{in}}`.

    PyTorch writes the same as ``kaiming_uniform_(weight, a=sqrt(5))``.

    Raises
    ------
    ValueError
        If the weight is a vector.

    Examples
    --------
    >>> weight = default_(Tensor(np.zeros((5, 3, 2, 2), dtype=np.float32)))
    >>> bool(abs(weight.numpy()).max() <= 1 / math.sqrt(12))
    True
    """
    kaiming_uniform_(weight, a=math.sqrt(5.0))
    if bias is not None:
        bound = 1.0 / math.sqrt(max(fans(weight)[0], 1))
        uniform_(bias, -bound, bound)
    return weight


def _tent(size: int) -> np.ndarray:
    """1 - |distance to the centre| / factor: the weights of linear interpolation by ``factor``."""
    factor = (size + 1) // 2
    centre = factor - 1.0 if size % 2 == 1 else factor - 0.5
    return 1.0 - np.abs(np.arange(size) - centre) / factor


def bilinear_(tensor: Tensor) -> Tensor:
    """The filter with which a transposed convolution upsamples bilinearly [1]_.

    Every map is upsampled by itself: a kernel stands where the input's and the output's number are
    equal, zeros elsewhere. To upsample by a factor f, take a kernel of ``2*f - f % 2`` cells,
    stride f and padding ``f // 2``; away from the border the result is what
    ``interpolate(..., mode="bilinear", align_corners=False)`` gives.

    Parameters
    ----------
    tensor : Tensor
        Weight (C, C, kH, kW) of ``ConvTranspose2d(C, C, ...)``, or (C, 1, kH, kW) of one with
        ``groups=C``.

    Raises
    ------
    ValueError
        If the weight has another shape.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic
       segmentation", CVPR 2015, section 3.3; ``surgery.py`` of the authors' code.

    Examples
    --------
    >>> bilinear_(Tensor(np.zeros((1, 1, 3, 4)))).numpy()[0, 0]
    array([[0.125, 0.375, 0.375, 0.125],
           [0.25 , 0.75 , 0.75 , 0.25 ],
           [0.125, 0.375, 0.375, 0.125]])
    """
    shape = tensor.shape
    if len(shape) != 4 or shape[1] not in (1, shape[0]):
        raise ValueError(
            f"bilinear_: the weight has shape {shape}: each map is upsampled by itself, so it must "
            "be (C, C, kH, kW), or (C, 1, kH, kW) with groups=C"
        )
    values = np.zeros(shape)
    maps = np.arange(shape[0])
    values[maps, maps % shape[1]] = _tent(shape[2])[:, None] * _tent(shape[3])
    return _fill(tensor, values)


def icnr_(
    tensor: Tensor, upscale_factor: int, initializer: Callable[[Tensor], object] = kaiming_normal_
) -> Tensor:
    """Weights with which sub-pixel convolution starts as nearest-neighbour upsampling [1]_.

    ``pixel_shuffle`` lays r² maps side by side into one that is r times as large. If these maps
    come from equal kernels, the r² neighbours are equal, and no checkerboard is there at the start.
    (Their biases must be equal, too: zero them, or draw one for each output map.)

    Parameters
    ----------
    tensor : Tensor
        Weight (C*r², C_in, kH, kW) of the convolution before ``pixel_shuffle(..., r)``.
    upscale_factor : int
        r.
    initializer : callable
        Fills the kernels, of shape (C, C_in, kH, kW), each of which is then used r² times.

    Raises
    ------
    ValueError
        If r is not positive or the number of output maps not a multiple of r².

    References
    ----------
    .. [1] A. Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017,
       arXiv:1707.02937, section 3.

    Examples
    --------
    >>> weight = icnr_(Tensor(np.zeros((8, 3, 1, 1))), 2).numpy()
    >>> bool((weight[0:4] == weight[0]).all()), bool((weight[4:8] == weight[0]).any())
    (True, False)
    """
    shape, copies = tensor.shape, upscale_factor**2
    if upscale_factor < 1 or not shape or shape[0] % copies != 0:
        raise ValueError(
            f"icnr_: the weight has shape {shape}: with upscale_factor={upscale_factor}, its first "
            f"length must be a multiple of {upscale_factor}² = {copies}"
        )
    kernels = Tensor(np.zeros((shape[0] // copies, *shape[1:]), dtype=tensor.dtype))
    initializer(kernels)
    return _fill(tensor, np.repeat(kernels.data, copies, axis=0))
