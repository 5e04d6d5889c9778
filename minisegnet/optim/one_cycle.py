"""The one-cycle schedule: learning rate up and down, momentum down and up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from minisegnet.optim.optimizer import Optimizer
from minisegnet.optim.schedules import Schedule, positive_integer


class OneCycleLR(Schedule):
    """Rise to a high rate, then fall far below the first one; momentum goes the other way [1]_.

    The rate goes from ``max_lr / div_factor`` to ``max_lr`` in the first ``pct_start`` of the
    steps, then down to ``max_lr / div_factor / final_div_factor``. With ``three_phase`` it falls as
    long as it rose, to where it began, and to the last rate in the rest of the steps. Step it once
    an iteration.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float, or one for each group
    total_steps : int, optional
        Or give ``epochs`` and ``steps_per_epoch``, of which it is the product.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        Share of the steps in which the rate rises.
    anneal_strategy : "cos" or "linear"
        Along half a cosine, or along a line.
    cycle_momentum : bool
        Whether ``momentum`` (``betas[0]`` of Adam) moves, too, against the rate.
    base_momentum, max_momentum : float, or one for each group
        At the highest rate, and at the first and last one.
    div_factor, final_div_factor : float
    three_phase : bool
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        If the number of steps is not given or not positive, an option is out of range, or the
        optimiser has no momentum to cycle.

    References
    ----------
    .. [1] L. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large
       learning rates", 2018, arXiv:1708.07120.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> from minisegnet.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0, momentum=0.9)
    >>> schedule = OneCycleLR(
    ...     optimizer, max_lr=0.5, total_steps=6, pct_start=0.5, anneal_strategy="linear"
    ... )
    >>> for _ in range(6):
    ...     group = optimizer.param_groups[0]
    ...     print(f"{group['lr']:.6f} {group['momentum']:.4f}")
    ...     schedule.step()
    0.020000 0.9500
    0.260000 0.9000
    0.500000 0.8500
    0.333334 0.8833
    0.166668 0.9167
    0.000002 0.9500
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start is {pct_start}: choose it between 0 and 1")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy is {anneal_strategy!r}: choose 'cos' or 'linear'"
            )
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.three_phase = three_phase
        groups = getattr(optimizer, "param_groups", [])
        self.max_lrs = _one_each("max_lr", max_lr, groups)
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.cycle_momentum = cycle_momentum
        self.base_momentums = _one_each("base_momentum", base_momentum, groups)
        self.max_momentums = _one_each("max_momentum", max_momentum, groups)
        if cycle_momentum and not all("momentum" in g or "betas" in g for g in groups):
            raise ValueError(
                f"OneCycleLR: {type(optimizer).__name__} has neither momentum nor betas to cycle: "
                "pass cycle_momentum=False"
            )
        if last_epoch == -1:
            for group, highest in zip(groups, self.max_lrs, strict=True):
                group["initial_lr"] = highest / div_factor
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, group: int) -> float:
        last = base / self.final_div_factor
        heights = [base, self.max_lrs[group], *([base] if self.three_phase else []), last]
        return self._between(heights)

    def _set(self) -> None:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of {self.total_steps}: the cycle is over; "
                "make it longer with total_steps"
            )
        super()._set()
        if not self.cycle_momentum:
            return
        for i, group in enumerate(self.optimizer.param_groups):
            high, low = self.max_momentums[i], self.base_momentums[i]
            momentum = self._between([high, low, high, *([high] if self.three_phase else [])])
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            if "momentum" in group:
                group["momentum"] = momentum

    def _between(self, heights: list[float]) -> float:
        """The height now, on the way from each one to the next."""
        rise = self.pct_start * self.total_steps
        ends = [rise - 1, *([2 * rise - 2] if self.three_phase else []), self.total_steps - 1]
        phase = next((i for i, end in enumerate(ends) if self.last_epoch <= end), len(ends) - 1)
        begin, end = ends[phase - 1] if phase else 0.0, ends[phase]
        # One step beyond the end is common, after the last iteration: stay there.
        way = min((self.last_epoch - begin) / (end - begin), 1.0) if end > begin else 1.0
        start, stop = heights[phase], heights[phase + 1]
        if self.anneal_strategy == "linear":
            return start + (stop - start) * way
        return stop + (start - stop) * (1 + math.cos(math.pi * way)) / 2


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is not None:
        return positive_integer("OneCycleLR", "total_steps", total)
    if epochs is None or steps_per_epoch is None:
        raise ValueError(
            "OneCycleLR: the number of steps is missing: give total_steps, or epochs and "
            "steps_per_epoch"
        )
    return positive_integer("OneCycleLR", "epochs", epochs) * positive_integer(
        "OneCycleLR", "steps_per_epoch", steps_per_epoch
    )


def _one_each(name: str, value: float | Sequence[float], groups: Sequence[Any]) -> list[float]:
    values = [value] * len(groups) if isinstance(value, (int, float)) else list(value)
    if len(values) != len(groups):
        raise ValueError(
            f"OneCycleLR: {name} has {len(values)} values for {len(groups)} groups: give one "
            "number, or one for each group"
        )
    return [float(v) for v in values]
