"""Muon: steps that move a layer's output as far in every direction."""

from __future__ import annotations

import math
import operator
from typing import Any

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module
from minisegnet.kernels import cuda
from minisegnet.kernels.orthogonal import QUINTIC, orthogonal_each
from minisegnet.optim.adam import AdamW, Betas
from minisegnet.optim.optimizer import Optimizer
from minisegnet.replay import number

ADJUSTMENTS = ("original", "match_rms_adamw")


class Muon(AdamW):
    r"""Momentum whose singular values are all brought to about 1, for kernels [1]_.

    A kernel (O, C, kH, kW) is a matrix of O rows, which takes windows to outputs, and so is its
    gradient. That is mostly ruled by a few directions (of windows, and of outputs): a few singular
    values are large. Along these the layer has soon learned, and along the many others it hardly
    moves. Muon takes from the momentum m its directions alone, and goes as far along each,

    .. math:: m &\leftarrow \mu m + (1 - \mu) g, \qquad
              U S V^T = \mu m + (1 - \mu) g \\
              W &\leftarrow (1 - \gamma \lambda) W - \gamma \, k \, U V^T

    where g is the gradient, W the kernel, :math:`U S V^T` the singular value decomposition of what
    stands right of it, and :math:`k = \sqrt{\max(1, \text{rows} / \text{columns})}`. U and V need
    not be found: :func:`minisegnet.kernels.orthogonal.orthogonal` makes :math:`U V^T` nearly, by
    products alone. All else (biases, the weights of norms, depthwise kernels, which mix no
    channels) takes the step of :class:`AdamW`, with the same learning rate.

    Parameters
    ----------
    params : iterable of Parameter, or list of dicts
        See :class:`Optimizer`.
    lr : float
        Learning rate, :math:`\gamma`. ``minisegnet train`` takes 0.04, four times Adam's.
    weight_decay : float
        :math:`\lambda`.
    momentum : float
        :math:`\mu`.
    nesterov : bool
        Decompose the momentum as it would be after the same gradient once more, as above; without,
        m alone.
    ns_coefficients : (float, float, float)
        a, b and c of the polynomial that brings singular values near 1.
    eps : float
        The least length that a matrix is divided by; for AdamW's steps added to the root.
    ns_steps : int
        How often the polynomial is applied.
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        k as above, which is the default; or
        :math:`0.2 \sqrt{\max(\text{rows}, \text{columns})}` [2]_, with which steps are about as
        long as Adam's at the same learning rate.
    betas : (float, float)
        Of AdamW's steps.

    Raises
    ------
    TypeError, ValueError
        See :class:`Optimizer`.

    References
    ----------
    .. [1] K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse and J. Bernstein, "Muon: an
       optimizer for hidden layers in neural networks", 2024,
       https://kellerjordan.github.io/posts/muon/.
    .. [2] J. Liu et al., "Muon is scalable for LLM training", 2025, arXiv:2502.16982, equation 4.

    Examples
    --------
    The loss hardly depends on the second weight, and yet it moves about as far as the first:

    >>> from minisegnet.autograd import tensor
    >>> w = tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> optimizer = Muon([w], lr=0.5, weight_decay=0.0)
    >>> (w * tensor([[100.0, 0.0], [0.0, 1.0]])).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(2)
    array([[0.65, 0.  ],
           [0.  , 0.65]], dtype=float32)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = QUINTIC,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        betas: Betas = (0.9, 0.999),
    ) -> None:
        # Not AdamW's: its options are others.
        Optimizer.__init__(
            self,
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
                "betas": betas,
            },
        )

    def _check_options(self, group: dict[str, Any]) -> None:
        super()._check_options(group)
        self._require_at_least_zero(group, "momentum")
        if group["adjust_lr_fn"] not in (None, *ADJUSTMENTS):
            raise ValueError(
                f"{self._name}: adjust_lr_fn is {group['adjust_lr_fn']!r}: choose "
                f"{' or '.join(map(repr, ADJUSTMENTS))}"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(
                f"{self._name}: ns_coefficients are {group['ns_coefficients']}: give the three of "
                "a s + b s^3 + c s^5"
            )
        if not 0 <= operator.index(group["ns_steps"]) < 100:
            raise ValueError(f"{self._name}: ns_steps is {group['ns_steps']}: give 0 to 99")

    def step(self) -> None:
        """Change every parameter that has a gradient, in place."""
        super().step()
        # Those of all layers together, so that several are brought into shape at once.
        for group in self.param_groups:
            turned = [p for p in group["params"] if p.grad is not None and _mixes_channels(p)]
            ahead = [self._look_ahead(parameter, group) for parameter in turned]
            options = group["ns_coefficients"], group["ns_steps"], group["eps"]
            for parameter, direction in zip(turned, orthogonal_each(ahead, *options), strict=True):
                self._turn(parameter, direction, group)

    def _update(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not _mixes_channels(parameter):
            super()._update(parameter, state, group)

    def _look_ahead(self, parameter: Tensor, group: dict[str, Any]) -> Array:
        """What is decomposed: the momentum after this gradient, as a matrix."""
        xp, grad, state = array_module(parameter.data), parameter.grad, self.state[parameter]
        kept = number(lambda: group["momentum"], parameter.data)
        new = number(lambda: 1 - group["momentum"], parameter.data)
        buffer = self._memory(state, "momentum_buffer", parameter.data)
        if group["nesterov"] and cuda.serves(buffer) and buffer.flags.c_contiguous:
            return cuda.look_ahead(buffer, grad, (kept, new)).reshape(len(buffer), -1)
        buffer *= kept
        buffer += xp.multiply(grad, new, out=self._workspace(grad))
        ahead = buffer * kept + grad * new if group["nesterov"] else buffer
        return ahead.reshape(len(ahead), -1)

    def _turn(self, parameter: Tensor, direction: Array, group: dict[str, Any]) -> None:
        """Step along a direction."""
        rows, columns = direction.shape
        adjusted = math.sqrt(max(1.0, rows / columns))
        if group["adjust_lr_fn"] == "match_rms_adamw":
            adjusted = 0.2 * math.sqrt(max(rows, columns))
        self._decay(parameter, group)
        rate = number(lambda: group["lr"] * adjusted, parameter.data)
        parameter.data -= (direction * rate).reshape(parameter.shape)


def _mixes_channels(parameter: Tensor) -> bool:
    """Whether it is a matrix or kernel that weighs several inputs against one another."""
    return parameter.ndim > 1 and parameter.shape[1] > 1
