"""Random geometries of convolutions: all parameters at once, nothing square or symmetric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from minisegnet.kernels.correlate import output_size

Pair = tuple[int, int]


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    """Two integers, drawn independently."""
    return st.tuples(st.integers(low, high), st.integers(low, high))


@dataclass(frozen=True)
class Correlation:
    """The arguments of ``correlate``, and arrays of small distinct integers to run it on."""

    x: np.ndarray
    w: np.ndarray
    stride: Pair
    padding: tuple[Pair, Pair]
    input_dilation: Pair
    kernel_dilation: Pair
    groups: int
    out: Pair

    @property
    def options(self) -> tuple:
        return (
            self.stride,
            self.padding,
            self.input_dilation,
            self.kernel_dilation,
            self.groups,
        )


def integers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Integers from -9 to 9 as float64, in which sums of products stay exact."""
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float64)


@st.composite
def correlations(draw: st.DrawFn) -> Correlation:
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2))
    kernel, size = draw(pairs(1, 4)), draw(pairs(1, 7))
    stride, u, d = draw(pairs(1, 4)), draw(pairs(1, 4)), draw(pairs(1, 3))
    padding = (draw(pairs(-2, 4)), draw(pairs(-2, 4)))
    for n, gap, (before, after) in zip(size, u, padding, strict=True):
        spread = (n - 1) * gap + 1
        assume(spread + min(before, 0) + min(after, 0) > 0)
    out = tuple(output_size(size[a], kernel[a], stride[a], padding[a], u[a], d[a]) for a in (0, 1))
    assume(min(out) > 0)
    seed = draw(st.integers(0, 2**16))
    w = integers((groups * draw(st.integers(1, 3)), channels // groups, *kernel), seed + 1)
    x = integers((draw(st.integers(1, 3)), channels, *size), seed)
    return Correlation(x, w, stride, padding, u, d, groups, out)


@dataclass(frozen=True)
class Transposed:
    """The arguments of ``conv_transpose2d``, and arrays of small integers to run it on."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    options: dict
    out: Pair

    @property
    def crops(self) -> bool:
        """Whether padding is above dilation*(k-1), so that step 2 of the recipe cuts off."""
        return any(
            p > d * (k - 1)
            for p, d, k in zip(
                self.options["padding"], self.options["dilation"], self.w.shape[2:], strict=True
            )
        )


@st.composite
def transposed(draw: st.DrawFn) -> Transposed:
    groups = draw(st.integers(1, 3))
    kernel, size = draw(pairs(1, 4)), draw(pairs(1, 5))
    stride, dilation, padding = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(0, 4))
    extra = tuple(draw(st.integers(0, max(stride[a], dilation[a]) - 1)) for a in (0, 1))
    out = tuple(
        (size[a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + extra[a] + 1
        for a in (0, 1)
    )
    assume(min(out) > 0)
    seed = draw(st.integers(0, 2**16))
    x = integers((draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *size), seed)
    w = integers((x.shape[1], draw(st.integers(1, 2)), *kernel), seed + 1)
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "groups": groups,
        "dilation": dilation,
    }
    return Transposed(x, w, integers((w.shape[1] * groups,), seed + 2), options, out)
