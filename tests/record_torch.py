"""Record what PyTorch computes for every op, optimiser and schedule that the engine has.

Run where PyTorch is installed (the CPU build will do)::

    python tests/record_torch.py

It writes ``tests/data/torch_*.npz``, in the format of ``tests/recorded.py``. The cases are drawn
with fixed seeds, several options at once; running it again writes the same values.
"""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests import record_torch_maps, record_torch_optim, record_torch_values
from tests.recorded import DATA, Input, Writer, walk


def insert_zeros(x: torch.Tensor, stride: Any) -> torch.Tensor:
    """stride - 1 zeros between rows and columns: the first step of a transposed convolution."""
    rows, columns = (stride, stride) if isinstance(stride, int) else stride
    height, width = x.shape[-2:]
    spread = x.new_zeros(*x.shape[:-2], (height - 1) * rows + 1, (width - 1) * columns + 1)
    spread[..., ::rows, ::columns] = x
    return spread


def bed_of_nails(x: torch.Tensor, scale: Any) -> torch.Tensor:
    """Each value in the top left corner of its block, zeros elsewhere."""
    rows, columns = (scale, scale) if isinstance(scale, int) else scale
    nails = x.new_zeros(*x.shape[:-2], x.shape[-2] * rows, x.shape[-1] * columns)
    nails[..., ::rows, ::columns] = x
    return nails


#: Where PyTorch keeps what is not in torch.nn.functional under the same name.
ELSEWHERE: dict[str, Callable[..., Any]] = {
    "insert_zeros": insert_zeros,
    "bed_of_nails": bed_of_nails,
    "flip": torch.flip,
    "cat": torch.cat,
    "stack": torch.stack,
    "where": torch.where,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "clip": torch.clip,
    "softplus": torch.nn.functional.softplus,
    "Tensor.sum": lambda x, dim=None, keepdim=False: torch.sum(x, dim, keepdim),
    "Tensor.mean": lambda x, dim=None, keepdim=False: torch.mean(x, dim, keepdim),
    # torch.max with a dim gives the whole gradient to one of equals; amax shares it evenly.
    "Tensor.max": lambda x, dim=(), keepdim=False: torch.amax(x, dim, keepdim),
    "Tensor.min": lambda x, dim=(), keepdim=False: torch.amin(x, dim, keepdim),
    "Tensor.reshape": torch.reshape,
    "Tensor.transpose": torch.transpose,
    "Tensor.permute": torch.permute,
    "Tensor.exp": torch.exp,
    "Tensor.log": torch.log,
    "Tensor.sqrt": torch.sqrt,
    "Tensor.abs": torch.abs,
}


def torch_function(call: str) -> Callable[..., Any]:
    """PyTorch's own function for the name of a case."""
    if call in ELSEWHERE:
        return ELSEWHERE[call]
    if call.startswith("operator."):
        return getattr(operator, call.removeprefix("operator."))
    return getattr(torch.nn.functional, call)


def compute(case: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The case with PyTorch's outputs, gradients and changed arrays filled in.

    Raises
    ------
    ValueError, RuntimeError
        Whatever PyTorch raises for options that do not fit each other.
    """
    inputs: list[tuple[Input, torch.Tensor]] = []

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.copy())
        if not isinstance(value, Input):
            return value
        tensor = torch.from_numpy(value.values.copy())
        tensor.requires_grad_(value.wants_gradient and value.values.dtype.kind == "f")
        inputs.append((value, tensor))
        return tensor

    args, kwargs = walk(case["args"], convert), walk(case.get("kwargs", {}), convert)
    result = torch_function(case["call"])(*args, **kwargs)
    results = result if isinstance(result, tuple) else (result,)
    if any(r.numel() == 0 for r in results):
        raise ValueError("an empty result tells nothing")
    filled = {"kwargs": {}, **case, "outputs": tuple(r.detach().numpy() for r in results)}
    if results[0].requires_grad:
        upstream = np.asarray(rng.integers(-128, 128, results[0].shape) / 64)
        results[0].backward(torch.from_numpy(upstream))
        filled["upstream"] = upstream
    for value, tensor in inputs:
        value.gradient = None if tensor.grad is None else tensor.grad.numpy()
        value.after = tensor.detach().numpy() if value.changes else None
    return filled


def describe(options: dict[str, Any]) -> str:
    """The options of a case, short enough for the name of a test."""

    def short(value: Any) -> str:
        if isinstance(value, Input):
            return "x".join(map(str, value.values.shape)) or "scalar"
        if isinstance(value, tuple):
            return "x".join(map(short, value))
        return str(value)

    return "".join(f"-{key}={short(value)}" for key, value in options.items())


def record(name: str, cases: Iterable[dict[str, Any]], seed: int) -> int:
    """Compute the cases, write ``torch_<name>.npz`` and return how many there are."""
    rng = np.random.default_rng(seed)
    writer = Writer()
    counts: dict[str, int] = {}
    for case in cases:
        filled = compute(case, rng)
        number = counts.get(case["call"], 0)
        counts[case["call"]] = number + 1
        note = case.get("note", "")
        label = describe(filled["kwargs"]) + (f"-{note.replace(' ', '_')}" if note else "")
        writer.add({"name": f"{case['call']}-{number}{label}", **filled})
    writer.write(f"torch_{name}")
    print(f"torch_{name}.npz: {len(writer.cases)} cases ({dict(counts)})")
    return len(writer.cases)


def main() -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    groups = {**record_torch_maps.GROUPS, **record_torch_values.GROUPS}
    total = 0
    for seed, (name, cases) in enumerate(groups.items(), start=1):
        total += record(name, cases(np.random.default_rng(100 + seed), valid), seed)
    total += record_torch_optim.record()
    size = sum(path.stat().st_size for path in DATA.glob("torch_*.npz"))
    print(f"{total} cases in {size / 1e6:.2f} MB, PyTorch {torch.__version__}")


def valid(case: dict[str, Any]) -> bool:
    """Whether PyTorch accepts the case, and answers with something."""
    try:
        compute(case, np.random.default_rng(0))
    except (ValueError, RuntimeError):
        return False
    return True


if __name__ == "__main__":
    main()
