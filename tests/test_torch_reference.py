"""Every op, optimiser and schedule against what PyTorch computed, on every array library.

The cases are in ``tests/data/torch_*.npz``; ``tests/record_torch.py`` wrote them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minisegnet import functional, optim
from minisegnet.autograd import Tensor
from tests.recorded import Input, read, walk

TOPICS = (
    "convolution",
    "padding",
    "pooling",
    "resampling",
    "activation",
    "normalisation",
    "objective",
    "joining",
    "tensor",
)
CASES = [case for topic in TOPICS for case in read(f"torch_{topic}")]
DTYPES = ("float64", "float32")


def name(case: dict[str, Any]) -> str:
    return case["name"]


def function(call: str) -> Callable[..., Any]:
    """The engine's function for the name of a case."""
    if call.startswith("Tensor."):
        return getattr(Tensor, call.removeprefix("Tensor."))
    if call.startswith("operator."):
        return getattr(operator, call.removeprefix("operator."))
    return getattr(functional, call)


def check(found: Any, wanted: np.ndarray, dtype: str, what: str, precision: float = 1e-10) -> None:
    """Equal for integers and booleans; for the rest as close as the dtype allows."""
    found = np.asarray(found)
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, not {wanted.shape}"
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted, err_msg=what)
        return
    assert found.dtype == dtype, f"{what}: {found.dtype}, not {dtype}"
    size = max([1.0, *np.abs(wanted[np.isfinite(wanted)]).tolist()])
    rtol, atol = (precision, 1e-13 * size) if dtype == "float64" else (1e-4, 2e-6 * size)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=atol, err_msg=what)


def channels_last(values: np.ndarray) -> np.ndarray:
    """The same map with its channels last in memory; anything but a map as it is."""
    if values.ndim != 4:
        return values
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def prepare(node: Any, dtype: str, backend: Any) -> tuple[Any, list[tuple[Input, Any]]]:
    """The arguments on a device, and each recorded input with what became of it.

    Two things differ between the two dtypes, so that both forms are seen: what wants no gradient is
    a plain array in float64 and a tensor in float32, and maps lie in memory in the order of their
    indices in float64, with the channels last in float32.
    """
    made: list[tuple[Input, Any]] = []

    def convert(value: Any) -> Any:
        if not isinstance(value, Input):
            return value
        values = value.values
        values = values.astype(dtype) if values.dtype.kind == "f" else values
        values = channels_last(values) if dtype == "float32" else values
        plain = value.changes or (dtype == "float64" and not value.wants_gradient)
        on_device = (
            backend.asarray(values.copy("K"))
            if plain
            else backend.tensor(values, requires_grad=value.wants_gradient)
        )
        made.append((value, on_device))
        return on_device

    return walk(node, convert), made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=name)
def test_op(case, dtype, backend):
    (args, kwargs), made = prepare((case["args"], case["kwargs"]), dtype, backend)
    result = function(case["call"])(*args, **kwargs)
    results = result if isinstance(result, tuple) else (result,)
    assert len(results) == len(case["outputs"])
    for i, (found, wanted) in enumerate(zip(results, case["outputs"], strict=True)):
        assert isinstance(found, Tensor)
        assert found.device == backend.device
        check(backend.numpy(found), wanted.values, dtype, f"output {i}")
    if "upstream" in case:
        results[0].backward(backend.asarray(case["upstream"].values.astype(dtype)))
    for i, (recorded, given) in enumerate(made):
        if recorded.gradient is not None:
            assert type(given.grad) is type(given.data)
            precision = case.get("rtol", 1e-10)
            check(backend.numpy(given.grad), recorded.gradient, dtype, f"gradient {i}", precision)
        if recorded.after is not None:
            check(backend.numpy(given), recorded.after, dtype, f"array {i} afterwards")


def test_every_op_has_cases():
    tried = {case["call"] for case in CASES}
    random = {"dropout"}
    assert set(functional.__all__) - random <= tried
    assert len(CASES) >= 500


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", read("torch_optim"), ids=name)
def test_optimiser(case, dtype, backend):
    parameters = [
        backend.tensor(start.values.astype(dtype), requires_grad=True) for start in case["start"]
    ]
    optimiser = getattr(optim, case["call"])(parameters, **case["kwargs"])
    for step, (gradients, wanted) in enumerate(zip(case["gradients"], case["path"], strict=True)):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = backend.asarray(gradient.values.astype(dtype))
        optimiser.step()
        for parameter, values in zip(parameters, wanted, strict=True):
            check(backend.numpy(parameter), values.values, dtype, f"after step {step}")


@pytest.mark.parametrize("case", read("torch_schedule"), ids=name)
def test_schedule(case):
    parameter = Tensor(np.zeros(2, np.float32), requires_grad=True)
    optimiser = getattr(optim, case["optimiser"])([parameter], **case["options"])
    schedule = getattr(optim, case["call"])(optimiser, **case["kwargs"])
    group = optimiser.param_groups[0]
    rates, momenta = [], []
    for step in range(case["steps"] + 1):
        if step:
            optimiser.step()
            schedule.step()
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        assert np.ravel(schedule.last_lr)[0] == group["lr"]
    np.testing.assert_allclose(rates, case["lr"].values, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(momenta, case["momentum"].values, rtol=1e-12)
