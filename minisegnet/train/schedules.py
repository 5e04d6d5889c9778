"""The learning-rate schedules that a run can choose, none of which depends on its length.

A run can be resumed with more epochs than it began with, and must then be the run that it would
have been. Schedules that fall therefore fall over ``schedule_epochs``, whatever ``epochs`` is:
"cosine" then begins anew, "poly" and "onecycle" stay where they ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minisegnet import optim
from minisegnet.optim.schedules import Schedule

__all__ = ["RISING", "CosineCycles", "Held", "WarmedPolynomial", "build_schedule"]

RISING = {"cosine": 0.3, "onecycle": 0.3, "poly": 0.0}
"""The schedules that can begin with a rise, and the share of it unless ``warm_up`` says another."""


class CosineCycles(Schedule):
    r"""Cycles of a rise in a line and a fall along half a cosine: warm restarts [1]_.

    In a cycle of T steps the rate rises in a line for the first ``warm_up`` W steps, and falls from
    the optimizer's own rate to ``floor`` of it in the others: at step t of the cycle

    .. math:: lr_0 \left( f + (1 - f) \frac{1 + \cos(\pi (t - W) / (T - W))}{2} \right)

    Parameters
    ----------
    optimizer : Optimizer
    period : int
        T.
    warm_up : int
        W, less than T.
    floor : float
        f, the share of the rate that is left at the end of a cycle.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
       2017, arXiv:1608.03983.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> optimizer = optim.SGD([tensor([1.0], requires_grad=True)], lr=0.6)
    >>> schedule = CosineCycles(optimizer, period=5, warm_up=2, floor=0.0)
    >>> rates = []
    >>> for _ in range(7):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> [round(rate, 3) for rate in rates]
    [0.2, 0.4, 0.6, 0.45, 0.15, 0.2, 0.4]
    """

    def __init__(
        self, optimizer: optim.Optimizer, period: int, warm_up: int = 0, floor: float = 0.01
    ) -> None:
        if not 0 <= warm_up < period:
            raise ValueError(
                f"CosineCycles: warm_up is {warm_up} and period {period}: choose "
                "0 <= warm_up < period"
            )
        self.period, self.warm_up, self.floor = period, warm_up, floor
        super().__init__(optimizer)

    def _rate(self, base: float, group: int) -> float:
        step = self.last_epoch % self.period
        if step < self.warm_up:
            return base * (step + 1) / (self.warm_up + 1)
        way = (step - self.warm_up) / (self.period - self.warm_up)
        return base * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * way)) / 2)


class WarmedPolynomial(optim.PolynomialLR):
    """``PolynomialLR`` after a rise in a line, from next to nothing to the optimizer's own rate.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int
        Steps in all, those of the rise included.
    power : float
    warm_up : int
        Steps of the rise, less than ``total_iters``.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> optimizer = optim.SGD([tensor([1.0], requires_grad=True)], lr=0.6)
    >>> schedule = WarmedPolynomial(optimizer, total_iters=5, power=2.0, warm_up=2)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> [round(rate, 3) for rate in rates]
    [0.2, 0.4, 0.6, 0.267, 0.067, 0.0]
    """

    def __init__(
        self, optimizer: optim.Optimizer, total_iters: int, power: float, warm_up: int
    ) -> None:
        if not 0 <= warm_up < total_iters:
            raise ValueError(
                f"WarmedPolynomial: warm_up is {warm_up} and total_iters {total_iters}: choose "
                "0 <= warm_up < total_iters"
            )
        self.warm_up = warm_up
        super().__init__(optimizer, total_iters, power)

    def _rate(self, base: float, group: int) -> float:
        if self.last_epoch < self.warm_up:
            return base * (self.last_epoch + 1) / (self.warm_up + 1)
        falling = self.total_iters - self.warm_up
        left = 1 - min(self.last_epoch - self.warm_up, falling) / falling
        return base * left**self.power


class Held:
    """A schedule that keeps its last learning rate after so many steps.

    Parameters
    ----------
    schedule : schedule of ``minisegnet.optim``
    steps : int
        Steps until it is held.
    """

    def __init__(self, schedule: Schedule, steps: int) -> None:
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
) -> Schedule | Held | None:
    """The schedule of a run, to be stepped after every step of the optimizer; None if constant."""
    name, share = options["schedule"], options["warm_up"]
    steps = options["schedule_epochs"] * steps_per_epoch
    if name == "constant":
        return None
    if name == "step":
        return optim.StepLR(optimizer, step_size=steps, gamma=0.3)
    if name == "cosine":
        return CosineCycles(optimizer, period=steps, warm_up=_part(share, steps))
    if name == "poly":
        power, warm_up = options["power"], _part(share, steps)
        if not warm_up:  # the plain one, so that checkpoints from before there was a rise fit
            return Held(optim.PolynomialLR(optimizer, total_iters=steps, power=power), steps - 1)
        return Held(WarmedPolynomial(optimizer, steps, power, warm_up), steps - 1)
    return Held(
        optim.OneCycleLR(
            optimizer,
            max_lr=options["lr"],
            total_steps=steps,
            pct_start=share,
            cycle_momentum=options["optimizer"] != "rmsprop",
        ),
        steps - 1,
    )


def _part(share: float, steps: int) -> int:
    """So many steps are a share of all of them; a tenth is not to lose one by rounding down."""
    return min(int(share * steps + 1e-9), steps - 1)
