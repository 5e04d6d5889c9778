"""RMSprop: the gradient over the root of its running mean square."""

from __future__ import annotations

from typing import Any

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module
from minisegnet.optim.optimizer import Optimizer
from minisegnet.replay import number


class RMSprop(Optimizer):
    r"""Divide the gradient by the root of the running mean of its square [1]_.

    .. math:: g \leftarrow g + \lambda \theta, \qquad
              v \leftarrow \alpha v + (1 - \alpha) g^2, \qquad
              \theta \leftarrow \theta - \gamma \frac{g}{\sqrt{v} + \epsilon}

    ``centered`` subtracts the square of the running mean of g from v under the root [2]_;
    with momentum the step is along :math:`b \leftarrow \mu b + g / (\sqrt{v} + \epsilon)`.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
        See :class:`Optimizer`.
    lr : float
        Learning rate, :math:`\gamma`.
    alpha : float
        How slowly v forgets.
    eps : float
        Added to the root.
    weight_decay : float
        :math:`\lambda`.
    momentum : float
        :math:`\mu`.
    centered : bool
        Divide by the standard deviation instead of the root mean square.

    Raises
    ------
    TypeError, ValueError
        See :class:`Optimizer`.

    References
    ----------
    .. [1] T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", Neural networks for machine learning,
       2012.
    .. [2] A. Graves, "Generating sequences with recurrent neural networks", 2013,
       arXiv:1308.0850, equations 38 to 45.

    Examples
    --------
    >>> from minisegnet.autograd import tensor
    >>> x = tensor([3.0, -200.0], requires_grad=True)
    >>> optimizer = RMSprop([x], lr=0.25, alpha=0.75)
    >>> (x * x).sum().backward()
    >>> optimizer.step()  # 0.25 * g / sqrt(g² / 4) = 0.5 either way
    >>> x.tolist()
    [2.5, -199.5]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        self._require_at_least_zero(group, "lr", "eps", "weight_decay", "momentum")
        if not 0 <= group["alpha"] <= 1:
            raise ValueError(f"RMSprop: alpha is {group['alpha']}: it must lie between 0 and 1")

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        data = parameter.data
        xp = array_module(data)
        grad = self._decayed(parameter, group["weight_decay"])
        step = self._workspace(data)
        self._spread(step, grad, state, group)
        step += group["eps"]
        xp.divide(grad, step, out=step)
        rate = number(lambda: group["lr"], data)
        if group["momentum"] > 0:
            total = self._memory(state, "momentum_buffer", data)
            total *= number(lambda: group["momentum"], data)
            total += step
            xp.multiply(total, rate, out=step)
        else:
            step *= rate
        data -= step

    def _spread(
        self, work: Array, grad: Array, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Write the root of v, or of v less the squared mean, into ``work``."""
        xp, alpha = array_module(grad), group["alpha"]
        square = self._memory(state, "square_avg", work)
        square *= alpha
        xp.multiply(grad, grad, out=work)
        work *= 1 - alpha
        square += work
        if not group["centered"]:
            xp.sqrt(square, out=work)
            return
        mean = self._memory(state, "grad_avg", work)
        mean *= alpha
        mean += xp.multiply(grad, 1 - alpha, out=work)
        xp.multiply(mean, mean, out=work)
        xp.subtract(square, work, out=work)
        # A variance, but rounding can make it less than nothing.
        xp.maximum(work, 0, out=work)
        xp.sqrt(work, out=work)
