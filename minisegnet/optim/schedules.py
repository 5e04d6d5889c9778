"""Learning-rate schedules: what the learning rate is after so many steps.

Every schedule sets the learning rates of an optimiser's groups when it is made, and again at each
``step()``, which is called once an epoch or once an iteration, as its numbers are meant. The rate
is computed from the first one and the count, not from the last one, so rounding does not build up.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from minisegnet.optim.optimizer import Optimizer


class Schedule:
    """Base of the schedules.

    Parameters
    ----------
    optimizer : Optimizer
    last_epoch : int
        How many steps there were already, less one; -1 starts anew. To resume, rather make the
        schedule anew and call :meth:`load_state_dict`.

    Attributes
    ----------
    last_epoch : int
        Number of steps since the start.
    base_lrs : list of float
        The learning rate of each group at the start (``group["initial_lr"]``).
    last_lr : list of float
        The learning rate that was last set for each group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: {type(optimizer).__name__} is not an optimiser: give the "
                "one whose learning rate is to change"
            )
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{type(self).__name__}: last_epoch={last_epoch}, but group {number} of the "
                    "optimiser has no 'initial_lr' to continue from: load its state first"
                )
        self.base_lrs: list[float] = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.last_lr: list[float] = []
        self.step()

    def step(self) -> None:
        """Count one step and set the learning rates."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate that was last set for each group."""
        return list(self.last_lr)

    def _rate(self, base: float, group: int) -> float:
        """The learning rate of a group at ``last_epoch``; each schedule has its own."""
        raise NotImplementedError

    def _set(self) -> None:
        self.last_lr = [float(self._rate(base, i)) for i, base in enumerate(self.base_lrs)]
        for group, rate in zip(self.optimizer.param_groups, self.last_lr, strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """The options and the count: numbers, strings and lists of them."""
        return {
            name: list(value) if isinstance(value, (list, tuple)) else value
            for name, value in vars(self).items()
            if name != "optimizer"
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another schedule of this kind was, with its options.

        Parameters
        ----------
        state : dict
            What :meth:`state_dict` returned.

        Raises
        ------
        ValueError
            If it is of another kind of schedule, or for another number of groups.
        """
        name, own = type(self).__name__, self.state_dict()
        wrong = set(own) ^ set(state)
        if wrong:
            raise ValueError(
                f"{name}.load_state_dict: the state is of another kind of schedule: only one of "
                f"the two has {', '.join(sorted(wrong))}"
            )
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{name}.load_state_dict: the state has {len(state['base_lrs'])} groups and the "
                f"optimiser {len(self.base_lrs)}: build it with the same groups"
            )
        for key, value in state.items():
            setattr(self, key, list(value) if isinstance(own[key], list) else value)
        self._set()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.state_dict().items())
        return f"{type(self).__name__}({shown})"


class StepLR(Schedule):
    r"""Multiply by gamma every s steps: :math:`lr_0 \; gamma^{\lfloor t/s \rfloor}`.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
    gamma : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        If ``step_size`` is not a positive integer.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> from minisegnet.optim import SGD
    >>> schedule = StepLR(SGD([tensor([1.0], requires_grad=True)], lr=0.5), 2, gamma=0.25)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> rates
    [0.5, 0.5, 0.125, 0.125, 0.03125]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = positive_integer("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, group: int) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(Schedule):
    """Multiply by gamma at each milestone.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of ints
        Numbers of steps.
    gamma : float
    last_epoch : int

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> from minisegnet.optim import SGD
    >>> schedule = MultiStepLR(SGD([tensor([1.0], requires_grad=True)], lr=0.5), [1, 3], gamma=0.25)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> rates
    [0.5, 0.125, 0.125, 0.03125, 0.03125]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(operator.index(milestone) for milestone in milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, group: int) -> float:
        return base * self.gamma ** bisect.bisect_right(self.milestones, self.last_epoch)


class PolynomialLR(Schedule):
    r"""Fall to 0 in ``total_iters`` steps: :math:`lr_0 (1 - t / T)^{power}`.

    With power 0.9 it is the "poly" policy of DeepLab [1]_.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int
        T; afterwards the rate stays 0.
    power : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        If ``total_iters`` is not a positive integer.

    References
    ----------
    .. [1] L.-C. Chen et al., "DeepLab: semantic image segmentation with deep convolutional nets,
       atrous convolution, and fully connected CRFs", 2017, arXiv:1606.00915, section 4.1.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> from minisegnet.optim import SGD
    >>> schedule = PolynomialLR(SGD([tensor([1.0], requires_grad=True)], lr=0.5), 4, power=2.0)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> rates
    [0.5, 0.28125, 0.125, 0.03125, 0.0, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = positive_integer("PolynomialLR", "total_iters", total_iters)
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, group: int) -> float:
        left = 1 - min(self.last_epoch, self.total_iters) / self.total_iters
        return base * left**self.power


class CosineAnnealingLR(Schedule):
    r"""Fall along half a cosine [1]_.

    .. math:: \eta_{min} + (lr_0 - \eta_{min}) \frac{1 + \cos(\pi t / T_{max})}{2}

    After ``T_max`` steps it rises again, with period ``2 * T_max``.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
    eta_min : float
    last_epoch : int

    Raises
    ------
    TypeError, ValueError
        If ``T_max`` is not a positive integer.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
       2017, arXiv:1608.03983, equation 5 (without the restarts).

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> from minisegnet.optim import SGD
    >>> schedule = CosineAnnealingLR(SGD([tensor([1.0], requires_grad=True)], lr=0.5), 3)
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += schedule.last_lr
    ...     schedule.step()
    >>> [round(rate, 6) for rate in rates]
    [0.5, 0.375, 0.125, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = positive_integer("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float, group: int) -> float:
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return self.eta_min + (base - self.eta_min) * share


def positive_integer(schedule: str, name: str, value: Any) -> int:
    """Refuse an option that is not a whole number of at least 1.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is smaller than 1.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{schedule}: {name} is {value!r}: give an integer") from None
    if number < 1:
        raise ValueError(f"{schedule}: {name} is {number}: it must be at least 1")
    return number
