"""The cases of ``record_torch.py`` on feature maps: convolution, padding, pooling, resampling.

Every function takes a generator of random numbers and ``valid``, which tells whether PyTorch
accepts a case; it returns a list of cases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.recorded import Input

Rng = np.random.Generator
Case = dict[str, Any]
Valid = Callable[[Case], bool]


def draw(rng: Rng, *shape: int, wants_gradient: bool = True, low=-128, high=128) -> Input:
    """Random multiples of 1/64 between -2 and 2."""
    return Input(rng.integers(low, high, shape) / 64, wants_gradient)


def several(count: int, make: Callable[[], Case], valid: Valid) -> list[Case]:
    """``count`` cases that PyTorch accepts."""
    accepted = (case for case in (make() for _ in range(100 * count)) if valid(case))
    cases = list(itertools.islice(accepted, count))
    if len(cases) < count:
        raise RuntimeError(f"PyTorch accepted only {len(cases)} of {100 * count} cases: {make()}")
    return cases


def pick(rng: Rng, *choices: Any) -> Any:
    """One of the choices."""
    return choices[int(rng.integers(len(choices)))]


def pair(rng: Rng, low: int, high: int) -> Any:
    """A pair of numbers from low to high, or now and then a single number for both."""
    first, second = (int(n) for n in rng.integers(low, high + 1, 2))
    return first if rng.random() < 0.2 else (first, second)


def size(rng: Rng, low: int = 4, high: int = 8) -> tuple[int, int]:
    """Height and width, never the same."""
    height, width = rng.choice(np.arange(low, high + 1), 2, replace=False)
    return int(height), int(width)


def optional(rng: Rng, options: Case, keep: float = 0.75) -> Case:
    """Some of the options, so that defaults are seen too."""
    return {key: value for key, value in options.items() if rng.random() < keep}


# ---- convolution --------------------------------------------------------------------------------


def conv2d(rng: Rng, valid: Valid) -> list[Case]:
    def make() -> Case:
        groups = pick(rng, 1, 1, 2, 3)
        inside, outside = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
        kernel = rng.integers(1, 4, 2)
        x = draw(rng, int(rng.integers(1, 3)), inside, *size(rng))
        options = optional(
            rng,
            {
                "bias": draw(rng, outside),
                "stride": pair(rng, 1, 3),
                "padding": pair(rng, 0, 2),
                "dilation": pair(rng, 1, 2),
            },
        )
        weight = draw(rng, outside, inside // groups, *kernel)
        return {"call": "conv2d", "args": (x, weight), "kwargs": {**options, "groups": groups}}

    def make_named() -> Case:
        case = make()
        case["kwargs"].pop("stride", None)
        case["kwargs"]["padding"] = pick(rng, "same", "same", "valid")
        return case

    return several(26, make, valid) + several(8, make_named, valid)


def conv_transpose2d(rng: Rng, valid: Valid) -> list[Case]:
    def make(low_padding: int = 0) -> Case:
        groups = pick(rng, 1, 1, 2, 3)
        inside, outside = groups * int(rng.integers(1, 3)), groups * int(rng.integers(1, 3))
        x = draw(rng, int(rng.integers(1, 3)), inside, *size(rng, 2, 6))
        weight = draw(rng, inside, outside // groups, *rng.integers(1, 5, 2))
        options = optional(
            rng,
            {
                "bias": draw(rng, outside),
                "stride": pair(rng, 1, 3),
                "output_padding": pair(rng, 0, 2),
                "dilation": pair(rng, 1, 3),
            },
        )
        options |= {"padding": pair(rng, low_padding, low_padding + 2), "groups": groups}
        return {"call": "conv_transpose2d", "args": (x, weight), "kwargs": options}

    def crops(case: Case) -> bool:
        """Padding beyond dilation * (k - 1), where the recipe cuts instead of padding."""
        kernel, given = case["args"][1].values.shape[2:], case["kwargs"]
        padding, dilation = (np.broadcast_to(given.get(n, 1), 2) for n in ("padding", "dilation"))
        return bool((padding > dilation * (np.array(kernel) - 1)).any()) and valid(case)

    cropping = several(14, lambda: {**make(low_padding=1), "note": "crops"}, crops)
    return several(28, make, valid) + cropping


def recipe(rng: Rng, valid: Valid) -> list[Case]:
    """The parts of a transposed convolution that are ops of their own."""
    cases = [
        {"call": "insert_zeros", "args": (draw(rng, 2, 3, 3, 4), stride)}
        for stride in (2, (3, 1), (1, 4))
    ]
    for dims in ((2, 3), (3,), (0, -1), (-3,)):
        cases.append({"call": "flip", "args": (draw(rng, 2, 3, 3, 4), dims)})
    return cases


def convolution(rng: Rng, valid: Valid) -> list[Case]:
    return conv2d(rng, valid) + conv_transpose2d(rng, valid) + recipe(rng, valid)


# ---- padding ------------------------------------------------------------------------------------


def padding(rng: Rng, valid: Valid) -> list[Case]:
    def make(mode: str) -> Callable[[], Case]:
        def one() -> Case:
            count = int(rng.integers(1, 5 if mode == "constant" else 3)) * 2
            amounts = tuple(int(n) for n in rng.integers(-2, 4, count))
            kwargs: Case = {} if mode == "constant" and rng.random() < 0.5 else {"mode": mode}
            if mode == "constant":
                kwargs = optional(rng, {**kwargs, "value": pick(rng, 1.5, -3, float("-inf"))})
            return {"call": "pad", "args": (draw(rng, 2, 3, *size(rng)), amounts), "kwargs": kwargs}

        return one

    cases = several(12, make("constant"), valid)
    return cases + several(8, make("reflect"), valid) + several(8, make("replicate"), valid)


# ---- pooling ------------------------------------------------------------------------------------


def max_pool2d(rng: Rng, valid: Valid) -> list[Case]:
    def make() -> Case:
        # Few different values, so that windows have ties; all negative, so that a padding of zeros
        # would win.
        ties = rng.random() < 0.3
        x = draw(rng, 2, 2, *size(rng), low=-3 if ties else -128, high=0 if ties else 64)
        options = {
            "stride": pair(rng, 1, 3),
            "padding": pair(rng, 0, 1),
            "dilation": pair(rng, 1, 2),
            "ceil_mode": pick(rng, False, True),
        }
        kwargs = {**optional(rng, options), "return_indices": pick(rng, False, True)}
        note = {"note": "ties"} if ties else {}
        return {"call": "max_pool2d", "args": (x, pair(rng, 1, 4)), "kwargs": kwargs, **note}

    return several(32, make, valid)


def avg_pool2d(rng: Rng, valid: Valid) -> list[Case]:
    def make() -> Case:
        options = {
            "stride": pair(rng, 1, 3),
            "padding": pair(rng, 0, 1),
            "ceil_mode": pick(rng, False, True),
            "count_include_pad": pick(rng, False, True),
            "divisor_override": pick(rng, None, 3, 7),
        }
        x = draw(rng, 2, 2, *size(rng))
        kwargs = optional(rng, options)
        return {"call": "avg_pool2d", "args": (x, pair(rng, 1, 4)), "kwargs": kwargs}

    return several(26, make, valid)


def adaptive(rng: Rng, valid: Valid) -> list[Case]:
    def make() -> Case:
        call = pick(rng, "adaptive_avg_pool2d", "adaptive_max_pool2d")
        kwargs = {} if call == "adaptive_avg_pool2d" else {"return_indices": pick(rng, False, True)}
        args = (draw(rng, 2, 2, *size(rng)), pair(rng, 1, 9))
        return {"call": call, "args": args, "kwargs": kwargs}

    return several(20, make, valid)


def max_unpool2d(rng: Rng, valid: Valid) -> list[Case]:
    """Windows that do not overlap, so that no two values go to one cell."""

    def make() -> Case:
        kernel = tuple(int(k) for k in rng.integers(2, 4, 2))
        stride = tuple(k + int(rng.integers(0, 2)) for k in kernel)
        padding = pair(rng, 0, 1)
        height, width = size(rng, 6, 9)
        pooled, indices = torch.nn.functional.max_pool2d(
            torch.from_numpy(draw(rng, 2, 2, height, width).values),
            kernel,
            stride,
            padding,
            return_indices=True,
        )
        kwargs = optional(rng, {"output_size": (height, width)}, 0.5)
        if stride != kernel or rng.random() < 0.5:
            kwargs["stride"] = stride
        if padding or rng.random() < 0.5:
            kwargs["padding"] = padding
        if kwargs.get("output_size") and rng.random() < 0.3:
            kwargs["output_size"] = (2, 2, height, width)
        args = (draw(rng, *pooled.shape), Input(indices.numpy(), False), kernel)
        return {"call": "max_unpool2d", "args": args, "kwargs": kwargs}

    return several(12, make, valid)


def pooling(rng: Rng, valid: Valid) -> list[Case]:
    kinds = (max_pool2d, avg_pool2d, adaptive, max_unpool2d)
    cases = [case for kind in kinds for case in kind(rng, valid)]
    for scale in (2, (1, 3), (3, 2)):
        cases.append({"call": "bed_of_nails", "args": (draw(rng, 2, 2, 3, 4), scale)})
    return cases


# ---- resampling ---------------------------------------------------------------------------------


def interpolate(rng: Rng, valid: Valid) -> list[Case]:
    factors = (0.4, 0.5, 0.75, 1.0, 1.3, 1.5, 2, 2.0, 2.6, 3, 3.7)

    def make() -> Case:
        mode = pick(rng, "nearest", "bilinear")
        kwargs: Case = {"mode": mode}
        if rng.random() < 0.5:
            kwargs["size"] = pair(rng, 1, 12)
        else:
            both = pick(rng, *factors), pick(rng, *factors)
            kwargs["scale_factor"] = both[0] if rng.random() < 0.3 else both
        if mode == "bilinear":
            kwargs |= pick(rng, {}, {"align_corners": False}, {"align_corners": True})
        elif rng.random() < 0.3:
            kwargs.pop("mode")
        x = draw(rng, 2, 2, *size(rng, 2, 7))
        return {"call": "interpolate", "args": (x,), "kwargs": kwargs}

    def uses_the_factor(case: Case) -> bool:
        """Not where the size happens to stay: there PyTorch on the CPU copies, whatever factor."""
        factors = np.broadcast_to(case["kwargs"].get("scale_factor", 1), 2)
        before = np.array(case["args"][0].values.shape[2:])
        stays = (factors != 1) & (np.floor(before * factors) == before)
        return not (stays.any() and case["kwargs"].get("mode") == "bilinear") and valid(case)

    return several(44, make, uses_the_factor)


def patches(rng: Rng, valid: Valid) -> list[Case]:
    def options() -> tuple[Case, Any]:
        kwargs = {
            "dilation": pair(rng, 1, 2),
            "padding": pair(rng, 0, 2),
            "stride": pair(rng, 1, 3),
        }
        return optional(rng, kwargs), pair(rng, 1, 3)

    def unfold() -> Case:
        kwargs, kernel = options()
        args = (draw(rng, 2, 2, *size(rng, 4, 6)), kernel)
        return {"call": "unfold", "args": args, "kwargs": kwargs}

    def fold() -> Case:
        kwargs, kernel = options()
        whole = size(rng, 4, 6)
        ones = torch.ones(2, 2, *whole)
        try:
            columns = torch.nn.functional.unfold(ones, kernel, **kwargs)
        except RuntimeError:
            return fold()
        args = (draw(rng, *columns.shape), whole, kernel)
        return {"call": "fold", "args": args, "kwargs": kwargs}

    cases = several(10, unfold, valid) + several(10, fold, valid)
    for channels, factor in ((8, 2), (9, 3), (4, 2), (5, 1)):
        x = draw(rng, 2, channels, *size(rng, 2, 5))
        cases.append({"call": "pixel_shuffle", "args": (x, factor)})
    return cases


def resampling(rng: Rng, valid: Valid) -> list[Case]:
    return interpolate(rng, valid) + patches(rng, valid)


GROUPS: dict[str, Callable[[Rng, Valid], list[Case]]] = {
    "convolution": convolution,
    "padding": padding,
    "pooling": pooling,
    "resampling": resampling,
}
