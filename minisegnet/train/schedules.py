"""The learning-rate schedules that a run can choose, none of which depends on its length.

A run can be resumed with more epochs than it began with, and must then be the run that it would
have been. Schedules that fall therefore fall over ``schedule_epochs``, and stay there afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisegnet import optim

__all__ = ["Held", "build_schedule"]

FLOOR = 0.01
"""Where falling schedules end, as a share of the learning rate: an epoch more still teaches."""


class Held:
    """A schedule that keeps its last learning rate after so many steps.

    Parameters
    ----------
    schedule : schedule of ``minisegnet.optim``
    steps : int
        Steps until it is held.
    """

    def __init__(self, schedule: Any, steps: int) -> None:
        self.schedule, self.steps, self.taken = schedule, steps, 0

    def step(self) -> None:
        """One step, as long as there are some left."""
        if self.taken < self.steps:
            self.schedule.step()
            self.taken += 1

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return {"schedule": self.schedule.state_dict(), "taken": self.taken}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where :meth:`state_dict` was taken."""
        self.schedule.load_state_dict(state["schedule"])
        self.taken = int(state["taken"])


def build_schedule(
    options: Mapping[str, Any], optimizer: optim.Optimizer, steps_per_epoch: int
) -> Any:
    """The schedule of a run, to be stepped after every step of the optimizer; None if constant."""
    name, lr = options["schedule"], options["lr"]
    steps = options["schedule_epochs"] * steps_per_epoch
    if name == "constant":
        return None
    if name == "step":
        return optim.StepLR(optimizer, step_size=steps, gamma=0.3)
    if name == "cosine":
        return Held(optim.CosineAnnealingLR(optimizer, T_max=steps, eta_min=FLOOR * lr), steps)
    if name == "poly":
        return Held(optim.PolynomialLR(optimizer, total_iters=steps, power=0.9), steps - 1)
    return Held(optim.OneCycleLR(optimizer, max_lr=lr, total_steps=steps), steps - 1)
