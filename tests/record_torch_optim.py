"""Record the paths of PyTorch's optimisers, and the learning rates of its schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.recorded import Writer

STEPS = 5
OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.7, "weight_decay": 0.2, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.03, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.03, "momentum": 0.6}),
    ("RMSprop", {"lr": 0.03, "centered": True}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
]
SCHEDULES: list[tuple[str, int, str, dict[str, Any], dict[str, Any]]] = [
    ("StepLR", 9, "SGD", {"lr": 0.3}, {"step_size": 3}),
    ("StepLR", 9, "SGD", {"lr": 0.3}, {"step_size": 2, "gamma": 0.5}),
    ("PolynomialLR", 9, "SGD", {"lr": 0.2}, {"total_iters": 7}),
    ("PolynomialLR", 9, "SGD", {"lr": 0.2}, {"total_iters": 7, "power": 0.9}),
    ("CosineAnnealingLR", 8, "SGD", {"lr": 0.1}, {"T_max": 6}),
    ("CosineAnnealingLR", 12, "SGD", {"lr": 0.1}, {"T_max": 5, "eta_min": 0.01}),
    ("OneCycleLR", 11, "SGD", {"lr": 0.1, "momentum": 0.9}, {"max_lr": 0.4, "total_steps": 12}),
    (
        "OneCycleLR",
        11,
        "SGD",
        {"lr": 0.1, "momentum": 0.9},
        {"max_lr": 0.4, "epochs": 3, "steps_per_epoch": 4, "anneal_strategy": "linear"},
    ),
    (
        "OneCycleLR",
        9,
        "Adam",
        {"lr": 0.1, "betas": (0.9, 0.99)},
        {
            "max_lr": 0.2,
            "total_steps": 10,
            "pct_start": 0.4,
            "base_momentum": 0.7,
            "max_momentum": 0.8,
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
    ),
    (
        "OneCycleLR",
        9,
        "SGD",
        {"lr": 0.1, "momentum": 0.5},
        {"max_lr": 0.3, "total_steps": 10, "cycle_momentum": False},
    ),
]


def path(name: str, options: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The parameters after each of a few steps with given gradients."""
    start = tuple(rng.integers(-128, 128, shape) / 64 for shape in ((2, 3), (4,)))
    gradients = tuple(
        tuple(rng.integers(-128, 128, values.shape) / 64 for values in start) for _ in range(STEPS)
    )
    parameters = [torch.from_numpy(values.copy()).requires_grad_() for values in start]
    optimiser = getattr(torch.optim, name)(parameters, **options)
    visited = []
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.from_numpy(gradient.copy())
        optimiser.step()
        visited.append(tuple(p.detach().numpy().copy() for p in parameters))
    return {"start": start, "gradients": gradients, "path": tuple(visited)}


def rates(
    name: str, steps: int, optimiser: str, options: dict[str, Any], arguments: dict[str, Any]
) -> dict[str, Any]:
    """The learning rate, and the momentum if it cycles, before each step and after the last."""
    parameter = torch.zeros(2, requires_grad=True)
    inner = getattr(torch.optim, optimiser)([parameter], **options)
    schedule = getattr(torch.optim.lr_scheduler, name)(inner, **arguments)

    def now() -> tuple[float, float]:
        group = inner.param_groups[0]
        momentum = group["betas"][0] if "betas" in group else group["momentum"]
        return schedule.get_last_lr()[0], momentum

    seen = [now()]
    for _ in range(steps):
        inner.step()
        schedule.step()
        seen.append(now())
    return {"lr": np.array([s[0] for s in seen]), "momentum": np.array([s[1] for s in seen])}


def record() -> int:
    """Write ``torch_optim.npz`` and ``torch_schedule.npz``; return how many cases they hold."""
    rng = np.random.default_rng(200)
    paths, schedules = Writer(), Writer()
    for number, (name, options) in enumerate(OPTIMISERS):
        label = "".join(f"-{key}={value}" for key, value in options.items())
        case = {"name": f"{number}-{name}{label}", "call": name, "kwargs": options}
        paths.add({**case, **path(name, options, rng)})
    for number, (name, steps, optimiser, options, arguments) in enumerate(SCHEDULES):
        case = {"name": f"{number}-{name}", "call": name, "kwargs": arguments, "steps": steps}
        inner = {"optimiser": optimiser, "options": options}
        schedules.add({**case, **inner, **rates(name, steps, optimiser, options, arguments)})
    paths.write("torch_optim")
    schedules.write("torch_schedule")
    print(f"torch_optim.npz: {len(paths.cases)}, torch_schedule.npz: {len(schedules.cases)}")
    return len(paths.cases) + len(schedules.cases)
