"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from minisegnet.autograd import Tensor
from minisegnet.backend import array_module
from minisegnet.optim.optimizer import Optimizer
from minisegnet.replay import number


class SGD(Optimizer):
    r"""Step against the gradient, or along a running sum of gradients.

    .. math:: g \leftarrow g + \lambda \theta, \qquad
              b \leftarrow \mu b + (1 - d) g, \qquad
              \theta \leftarrow \theta - \gamma b

    (b is g at the first step; with Nesterov's momentum the step is along :math:`g + \mu b`) [1]_.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
        See :class:`Optimizer`.
    lr : float
        Learning rate, :math:`\gamma`.
    momentum : float
        :math:`\mu`; 0 keeps no running sum.
    dampening : float
        d.
    weight_decay : float
        :math:`\lambda`.
    nesterov : bool
        Look ahead by one step of momentum.

    Raises
    ------
    TypeError, ValueError
        See :class:`Optimizer`; or if ``nesterov`` comes without momentum, or with dampening.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
       momentum in deep learning", ICML 2013 (which scales b by the learning rate; this is
       PyTorch's form).

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> x = tensor([3.0, -1.0], requires_grad=True)
    >>> optimizer = SGD([x], lr=0.25)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.tolist()
    [1.5, -0.5]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        self._require_at_least_zero(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum above 0 and no dampening, not momentum="
                f"{group['momentum']} and dampening={group['dampening']}"
            )

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp = array_module(parameter.data)
        grad = self._decayed(parameter, group["weight_decay"])
        work = self._workspace(parameter.data)
        if group["momentum"] != 0:
            momentum = number(lambda: group["momentum"], parameter.data)
            if "momentum_buffer" in state:
                total = self._memory(state, "momentum_buffer", parameter.data)
                total *= momentum
                total += xp.multiply(grad, 1 - group["dampening"], out=work)
            else:
                total = state["momentum_buffer"] = grad.copy()
            if group["nesterov"]:
                xp.multiply(total, momentum, out=work)
                work += grad
            grad = work if group["nesterov"] else total
        rate = number(lambda: group["lr"], parameter.data)
        parameter.data -= xp.multiply(grad, rate, out=work)
