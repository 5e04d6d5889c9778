"""Adam and AdamW: steps of about the same length for every weight."""

from __future__ import annotations

import math
from typing import Any

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.optim.optimizer import Optimizer
from minisegnet.replay import number

Betas = tuple[float, float]


class Adam(Optimizer):
    r"""Step along the running mean of gradients, over the root of that of their squares [1]_.

    .. math:: g &\leftarrow g + \lambda \theta \\
              m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
              v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
              \theta &\leftarrow \theta - \gamma \frac{m / (1 - \beta_1^t)}
              {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    m and v begin at 0; the divisions by :math:`1 - \beta^t` make up for that.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
        See :class:`Optimizer`.
    lr : float
        Learning rate, :math:`\gamma`.
    betas : (float, float)
        How slowly m and v forget.
    eps : float
        Added to the root, so that a weight without gradients does not divide by zero.
    weight_decay : float
        :math:`\lambda`.
    amsgrad : bool
        Use the largest v so far [2]_.

    Raises
    ------
    TypeError, ValueError
        See :class:`Optimizer`.

    References
    ----------
    .. [1] D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       arXiv:1412.6980, algorithm 1.
    .. [2] S. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018,
       arXiv:1904.09237, algorithm 2.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> x = tensor([3.0, -200.0], requires_grad=True)
    >>> optimizer = Adam([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()  # as far for both, in spite of their gradients 6 and -400
    >>> x.tolist()
    [2.75, -199.75]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        self._require_at_least_zero(group, "lr", "eps", "weight_decay")
        betas = group["betas"]
        if not (
            isinstance(betas, tuple) and len(betas) == 2 and all(0 <= beta < 1 for beta in betas)
        ):
            raise ValueError(
                f"{self._name}: betas are {betas}: give two numbers from 0 up to, but not, 1"
            )

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        self._move(parameter, self._decayed(parameter, group["weight_decay"]), state, group)

    def _move(
        self, parameter: Tensor, grad: Array, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        data = parameter.data
        xp = array_module(data)
        beta2 = group["betas"][1]
        amsgrad = group.get("amsgrad", False)  # no option of Muon, which steps so for vectors
        # These four change from step to step; schedules may move betas[0] as well as the rate.
        root = number(lambda: _count_step(state, group), data)
        forget = number(lambda: group["betas"][0], data)
        learn = number(lambda: 1 - group["betas"][0], data)
        rate = number(lambda: group["lr"] / (1 - group["betas"][0] ** state["step"]), data)
        mean = self._memory(state, "exp_avg", data)
        square = self._memory(state, "exp_avg_sq", data)
        if cuda.serves(data) and data.flags.c_contiguous and not amsgrad:
            moving = forget, learn, root, rate
            cuda.adam(data, grad, mean, square, moving, beta2, group["eps"])
            return
        work = self._workspace(data)
        mean *= forget
        mean += xp.multiply(grad, learn, out=work)
        square *= beta2
        xp.multiply(grad, grad, out=work)
        work *= 1 - beta2
        square += work
        if amsgrad:
            largest = self._memory(state, "max_exp_avg_sq", data)
            square = xp.maximum(largest, square, out=largest)
        xp.sqrt(square, out=work)
        work /= root
        work += group["eps"]
        xp.divide(mean, work, out=work)
        work *= rate
        data -= work


def _count_step(state: dict[str, Any], group: dict[str, Any]) -> float:
    """Begin a step; what the root of v is divided by in it."""
    state["step"] = state.get("step", 0) + 1
    return math.sqrt(1 - group["betas"][1] ** state["step"])


class AdamW(Adam):
    r"""Adam whose weight decay does not pass through the running means [1]_.

    First :math:`\theta \leftarrow (1 - \gamma \lambda) \theta`, then Adam's step without decay: so
    every weight decays alike, whatever the size of its gradients.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
    lr : float
    betas : (float, float)
    eps : float
    weight_decay : float
        :math:`\lambda`.
    amsgrad : bool
        All as in :class:`Adam`.

    Raises
    ------
    TypeError, ValueError
        See :class:`Optimizer`.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
       arXiv:1711.05101, algorithm 2 (its decay is not multiplied by the learning rate; PyTorch's
       and this one is).

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> x = tensor([8.0, -2.0], requires_grad=True)
    >>> optimizer = AdamW([x], lr=0.5, weight_decay=0.25)
    >>> x.sum().backward()
    >>> optimizer.step()  # x * (1 - 0.5 * 0.25) - 0.5
    >>> x.tolist()
    [6.5, -2.25]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        self._decay(parameter, group)
        self._move(parameter, parameter.grad, state, group)

    def _decay(self, parameter: Tensor, group: dict[str, Any]) -> None:
        parameter.data *= number(lambda: 1 - group["lr"] * group["weight_decay"], parameter.data)
