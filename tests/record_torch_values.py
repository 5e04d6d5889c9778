"""The cases of ``record_torch.py`` on values: activations, norms, objectives, tensor methods."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.record_torch_maps import Case, Rng, Valid, draw, optional, pick, several
from tests.recorded import Input

SHAPE = (2, 3, 4, 5)


def extremes(wants_gradient: bool = True) -> Input:
    """Zeros of both signs, kinks, and values whose exponential overflows or vanishes."""
    values = [-1e4, -800.0, -88.0, -20.5, -1.0, -0.015625, -0.0, 0.0, 0.015625, 1.0, 20.0, 20.5]
    return Input(np.array([*values, 88.0, 800.0, 1e4]).reshape(3, 5), wants_gradient)


# ---- activations --------------------------------------------------------------------------------


def activation(rng: Rng, valid: Valid) -> list[Case]:
    variants: dict[str, list[Case]] = {
        "relu": [{}],
        "leaky_relu": [{}, {"negative_slope": 0.25}],
        "elu": [{}, {"alpha": 0.5}],
        "gelu": [{}, {"approximate": "tanh"}],
        "sigmoid": [{}],
        "tanh": [{}],
        "softplus": [{}, {"beta": 2.0}, {"beta": 0.5, "threshold": 0.25}],
    }
    cases: list[Case] = []
    for call, options in variants.items():
        for kwargs in options:
            cases.append({"call": call, "args": (draw(rng, *SHAPE),), "kwargs": kwargs})
            wide = {"args": (extremes(),), "kwargs": kwargs, "note": "extreme"}
            cases.append({"call": call, **wide})
    return cases


def soft(rng: Rng, valid: Valid) -> list[Case]:
    cases: list[Case] = []
    for call in ("softmax", "log_softmax"):
        for dim in (0, 1, 2, 3, -1, -3):
            cases.append({"call": call, "args": (draw(rng, *SHAPE), dim)})
        cases.append({"call": call, "args": (extremes(), 0), "note": "extreme"})
        cases.append({"call": call, "args": (extremes(),), "kwargs": {"dim": 1}, "note": "extreme"})
        masked = draw(rng, 3, 4)
        masked.values[[0, 1, 1], [2, 0, 3]] = -np.inf
        cases.append({"call": call, "args": (masked, 1), "note": "masked"})
    return cases


# ---- linear and normalisation -------------------------------------------------------------------


def linear(rng: Rng, valid: Valid) -> list[Case]:
    cases: list[Case] = []
    for leading, bias in (
        ((3,), True),
        ((2, 3), True),
        ((2, 3), False),
        ((), True),
        ((2, 1, 3), True),
    ):
        args = (draw(rng, *leading, 5), draw(rng, 4, 5)) + ((draw(rng, 4),) if bias else ())
        cases.append({"call": "linear", "args": args})
    return cases


def batch_norm(rng: Rng, valid: Valid) -> list[Case]:
    def make() -> Case:
        shape = pick(rng, (3, 2, 4, 5), (2, 3, 3, 4), (6, 3))
        channels = shape[1]
        training = pick(rng, True, False)
        mean = draw(rng, channels, wants_gradient=False)
        var = draw(rng, channels, wants_gradient=False, low=8, high=200)
        mean.changes = var.changes = training
        without = training and rng.random() < 0.2
        affine = {"weight": draw(rng, channels), "bias": draw(rng, channels)}
        options = optional(rng, {**affine, "momentum": 0.25, "eps": 1e-3})
        args = (draw(rng, *shape), *((None, None) if without else (mean, var)))
        return {"call": "batch_norm", "args": args, "kwargs": {**options, "training": training}}

    return several(16, make, valid)


def other_norms(rng: Rng, valid: Valid) -> list[Case]:
    def group() -> Case:
        groups = pick(rng, 1, 2, 3)
        shape = pick(rng, (2, 6, 3, 4), (3, 6, 5), (2, 6))
        affine = optional(rng, {"weight": draw(rng, 6), "bias": draw(rng, 6), "eps": 1e-3})
        return {"call": "group_norm", "args": (draw(rng, *shape), groups), "kwargs": affine}

    def layer() -> Case:
        shape = pick(rng, (5,), (4, 5), (3, 4, 5))
        options = {"weight": draw(rng, *shape), "bias": draw(rng, *shape), "eps": 1e-3}
        args = (draw(rng, *SHAPE), shape)
        return {"call": "layer_norm", "args": args, "kwargs": optional(rng, options, 0.6)}

    def response() -> Case:
        options = {"alpha": pick(rng, 0.5, 0.01), "beta": pick(rng, 0.5, 1.25), "k": 2.0}
        args = (draw(rng, 2, 5, 3, 4), int(rng.integers(1, 7)))
        return {"call": "local_response_norm", "args": args, "kwargs": optional(rng, options, 0.6)}

    return several(9, group, valid) + several(8, layer, valid) + several(8, response, valid)


def normalisation(rng: Rng, valid: Valid) -> list[Case]:
    return linear(rng, valid) + batch_norm(rng, valid) + other_norms(rng, valid)


# ---- objectives ---------------------------------------------------------------------------------


def cross_entropy(rng: Rng, valid: Valid) -> list[Case]:
    reductions, void, classes = ("mean", "sum", "none"), (None, 255, 2, -1), 4
    cases: list[Case] = []
    for i, (reduction, ignored) in enumerate(itertools.product(reductions, void)):
        shape = ((2, 3, 5), (7,), (2, 3))[i % 3]
        target = rng.integers(0, classes, shape)
        kwargs: Case = {"reduction": reduction} if i % 4 or reduction != "mean" else {}
        if ignored is not None:
            kwargs["ignore_index"] = ignored
            target.ravel()[:: int(rng.integers(2, 4))] = ignored
        for smoothing, weighted in ((0.0, True), (0.1, False), (0.3, True)):
            extra: Case = {"label_smoothing": smoothing} if smoothing else {}
            if weighted:
                extra["weight"] = draw(rng, classes, wants_gradient=False, low=1, high=150)
            logits = draw(rng, shape[0], classes, *shape[1:])
            args = (logits, Input(target, False))
            cases.append({"call": "cross_entropy", "args": args, "kwargs": kwargs | extra})
    plain = (draw(rng, 2, 3, 4, 5), Input(rng.integers(0, 3, (2, 4, 5)), False))
    cases.append({"call": "cross_entropy", "args": plain})
    marked = rng.integers(0, 3, (2, 4, 5))
    marked[:, ::2] = -100
    args = (draw(rng, 2, 3, 4, 5), Input(marked, False))
    cases.append({"call": "cross_entropy", "args": args, "note": "default void"})
    void = (draw(rng, 2, 3, 4), Input(np.full((2, 4), -100), False))
    for reduction in ("mean", "sum"):
        kwargs = {"reduction": reduction}
        case = {"args": void, "kwargs": kwargs, "note": "all void"}
        cases.append({"call": "cross_entropy", **case})
    sure = Input(extremes().values, True)
    for reduction in ("sum", "mean"):
        args = (sure, Input(np.array([4, 0, 2]), False))
        kwargs = {"reduction": reduction}
        cases.append({"call": "cross_entropy", "args": args, "kwargs": kwargs, "note": "extreme"})
    return cases


def binary(rng: Rng, valid: Valid) -> list[Case]:
    shape = (2, 3, 4)

    def weights() -> Any:
        shape_of_weight = pick(rng, shape, (4,), (3, 1))
        return draw(rng, *shape_of_weight, wants_gradient=False, low=1, high=150)

    def truth() -> Input:
        hard = rng.random() < 0.6
        values = rng.integers(0, 2, shape) if hard else rng.integers(0, 65, shape) / 64
        return Input(values.astype(float), False)

    def probabilities() -> Case:
        p = Input(rng.integers(1, 64, shape) / 64)
        options = {"weight": weights(), "reduction": pick(rng, "mean", "sum", "none")}
        kwargs = optional(rng, options, 0.6)
        return {"call": "binary_cross_entropy", "args": (p, truth()), "kwargs": kwargs}

    def logits() -> Case:
        options = {
            "weight": weights(),
            "reduction": pick(rng, "mean", "sum", "none"),
            "pos_weight": weights(),
        }
        args = (draw(rng, *shape), truth())
        kwargs = optional(rng, options, 0.6)
        return {"call": "binary_cross_entropy_with_logits", "args": args, "kwargs": kwargs}

    cases = several(8, probabilities, valid) + several(10, logits, valid)
    corners = Input(np.array([[0.0, 1.0, 0.0], [1.0, 0.5, 0.25]]))
    answers = Input(np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]), False)
    # PyTorch divides by at least 1e-12 in float32's rounding, which is 4e-9 off.
    case = {"args": (corners, answers), "note": "corners", "rtol": 1e-8}
    cases.append({"call": "binary_cross_entropy", **case})
    for reduction in ("none", "mean"):
        args = (extremes(), Input(np.arange(15.0).reshape(3, 5) % 2, False))
        case = {"args": args, "kwargs": {"reduction": reduction}, "note": "extreme"}
        cases.append({"call": "binary_cross_entropy_with_logits", **case})
    return cases


def objective(rng: Rng, valid: Valid) -> list[Case]:
    cases = cross_entropy(rng, valid) + binary(rng, valid)
    for shape, classes in (((5,), 4), ((2, 3, 4), 6)):
        index = Input(rng.integers(0, 4, shape), False)
        cases.append({"call": "one_hot", "args": (index, classes)})
    return cases


# ---- joining and choosing -----------------------------------------------------------------------


def joining(rng: Rng, valid: Valid) -> list[Case]:
    def parts(*shapes: tuple[int, ...]) -> tuple[Input, ...]:
        return tuple(draw(rng, *shape) for shape in shapes)

    cases: list[Case] = [
        {"call": "cat", "args": (parts((2, 3, 4), (5, 3, 4)),)},
        {"call": "cat", "args": (parts((2, 3, 4), (2, 1, 4), (2, 2, 4)), 1)},
        {"call": "cat", "args": (parts((2, 3, 4), (2, 3, 1)),), "kwargs": {"dim": -1}},
        {"call": "stack", "args": (parts((2, 3), (2, 3), (2, 3)),)},
        {"call": "stack", "args": (parts((2, 3), (2, 3)),), "kwargs": {"dim": -1}},
        {"call": "stack", "args": (parts((2, 3), (2, 3)), 1)},
    ]
    for condition, a, b in (((2, 3), (2, 3), (2, 3)), ((2, 1), (1, 3), (2, 3)), ((3,), (2, 3), ())):
        mask = Input(rng.integers(0, 2, condition).astype(bool), False)
        cases.append({"call": "where", "args": (mask, draw(rng, *a), draw(rng, *b))})
    for call in ("maximum", "minimum"):
        for a, b in (((2, 3), (2, 3)), ((2, 1, 4), (3, 1)), ((4,), (3, 4))):
            cases.append({"call": call, "args": (draw(rng, *a), draw(rng, *b))})
        equal = draw(rng, 3, 4)
        other = draw(rng, 3, 4)
        other.values[:, ::2] = equal.values[:, ::2]
        # Equal values take half of the gradient each.
        cases.append({"call": call, "args": (equal, other), "note": "ties"})
    for limits in ({"min": -0.5, "max": 0.75}, {"min": 0.0}, {"max": -0.25}, {"min": -1, "max": 1}):
        x = draw(rng, 3, 5)
        # At a limit the gradient passes.
        x.values[0, :4] = [-0.5, 0.75, 0.0, -0.25]
        cases.append({"call": "clip", "args": (x,), "kwargs": limits})
    return cases


# ---- tensor methods and operators ---------------------------------------------------------------


def reductions(rng: Rng, valid: Valid) -> list[Case]:
    dims = (None, 0, -1, 2, (0, 2), (1, -1), (0, 1, 2, 3))
    cases: list[Case] = []
    for name in ("sum", "mean", "max", "min"):
        for i, dim in enumerate(dims):
            ties = name in ("max", "min") and i % 2
            x = draw(rng, *SHAPE, low=-2 if ties else -128, high=2 if ties else 128)
            kwargs: Case = {} if dim is None else {"dim": dim}
            if dim is not None and rng.random() < 0.5:
                kwargs["keepdim"] = True
            case = {"call": f"Tensor.{name}", "args": (x,), "kwargs": kwargs}
            cases.append({**case, "note": "ties"} if ties else case)
    return cases


def methods(rng: Rng, valid: Valid) -> list[Case]:
    positive = draw(rng, 3, 4, low=1)
    cases: list[Case] = [
        {"call": "Tensor.exp", "args": (draw(rng, 3, 4),)},
        {"call": "Tensor.log", "args": (positive,)},
        {"call": "Tensor.sqrt", "args": (draw(rng, 3, 4, low=1),)},
        {"call": "Tensor.abs", "args": (Input(np.array([-1.5, 0.0, 2.25, -0.0])),)},
        {"call": "Tensor.reshape", "args": (draw(rng, 2, 3, 4), (4, 6))},
        {"call": "Tensor.reshape", "args": (draw(rng, 2, 3, 4), (3, -1, 2))},
        {"call": "Tensor.transpose", "args": (draw(rng, 2, 3, 4), 0, 2)},
        {"call": "Tensor.transpose", "args": (draw(rng, 2, 3, 4), -1, 1)},
        {"call": "Tensor.permute", "args": (draw(rng, 2, 3, 4), (2, 0, 1))},
        {"call": "Tensor.permute", "args": (draw(rng, 2, 3, 4), (-2, -1, 0))},
        {"call": "operator.neg", "args": (draw(rng, 3, 4),)},
    ]
    return cases


def arithmetic(rng: Rng, valid: Valid) -> list[Case]:
    cases: list[Case] = []
    shapes = (((2, 3, 4), (2, 3, 4)), ((2, 1, 4), (3, 1)), ((4,), (3, 4)), ((), (2, 3)))
    for name in ("add", "sub", "mul", "truediv"):
        for a, b in shapes:
            divisor = draw(rng, *b, low=16 if name == "truediv" else -128)
            cases.append({"call": f"operator.{name}", "args": (draw(rng, *a), divisor)})
        cases.append({"call": f"operator.{name}", "args": (draw(rng, 3, 4), 0.75)})
        cases.append({"call": f"operator.{name}", "args": (2, draw(rng, 3, 4, low=8))})
    for exponent in (2, 3, -1, 0.5, 0, 1, 2.5, -1.5):
        base = draw(rng, 3, 4, low=8)
        cases.append({"call": "operator.pow", "args": (base, exponent)})
    for exponent in (2, 3, 0, 1):
        signed = Input(np.array([-1.5, 0.0, 2.0, -0.25]))
        cases.append({"call": "operator.pow", "args": (signed, exponent), "note": "zero"})
    cases.append({"call": "operator.pow", "args": (draw(rng, 3, 4, low=8), draw(rng, 2, 3, 1))})
    cases.append({"call": "operator.pow", "args": (2, draw(rng, 3, 4))})
    cases.append({"call": "operator.pow", "args": (1.5, draw(rng, 3, 4))})
    for a, b in (
        ((3, 4), (4, 5)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((4,), (4,)),
        ((4,), (2, 4, 3)),
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (4, 5)),
    ):
        cases.append({"call": "operator.matmul", "args": (draw(rng, *a), draw(rng, *b))})
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        a, b = draw(rng, 3, 4, low=-3, high=3), draw(rng, 4, low=-3, high=3)
        cases.append({"call": f"operator.{name}", "args": (a, b)})
    return cases


def indexing(rng: Rng, valid: Valid) -> list[Case]:
    """Where NumPy and PyTorch mean the same.

    They do not for an int beside an array with a slice between them: ``x[0, :, [1, 2]]``.
    """
    whole = slice(None)

    def integers(*values: Any) -> np.ndarray:
        return np.array(values)

    mask = rng.integers(0, 2, (4, 3)).astype(bool)
    mask[1, 2] = True
    indices: list[Any] = [
        2,
        -1,
        (1, 2, 3),
        slice(1, 3),
        (whole, slice(None, None, 2), slice(-3, -1)),
        (Ellipsis, 1),
        (2, Ellipsis, slice(1, None)),
        (None, 0),
        (whole, None, Ellipsis, None),
        integers(0, 2, 2, 0),
        integers(-1, 3),
        [2, 0, 2],
        (slice(1, None), [1, 1]),
        (whole, integers(2, 0, 2)),
        (integers(0, 1, 0), integers(2, 2, 2)),
        (integers([0], [3]), integers(1, 2)),
        (slice(1, 3), integers(0, 2, 0), slice(None, None, 3)),
        (Ellipsis, integers([4, 0, 0], [1, 4, 4])),
        (integers(3, 0), whole, integers(4, 4)),
        mask,
        (mask, slice(0, 2)),
        (mask[:, 1], whole, 3),
    ]
    return [{"call": "operator.getitem", "args": (draw(rng, 4, 3, 5), i)} for i in indices]


def tensor(rng: Rng, valid: Valid) -> list[Case]:
    kinds = (reductions, methods, arithmetic, indexing)
    return [case for kind in kinds for case in kind(rng, valid)]


def activations(rng: Rng, valid: Valid) -> list[Case]:
    return activation(rng, valid) + soft(rng, valid)


GROUPS: dict[str, Callable[[Rng, Valid], list[Case]]] = {
    "activation": activations,
    "normalisation": normalisation,
    "objective": objective,
    "joining": joining,
    "tensor": tensor,
}
