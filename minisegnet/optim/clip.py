"""Holding the gradients of a step to a length."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minisegnet.autograd import Tensor
from minisegnet.backend import Array, array_module, to_numpy


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    r"""Scale all gradients down, in place, if together they are longer than ``max_norm``.

    All gradients are taken as one long vector, so its direction stays [1]_:
    :math:`g \leftarrow g \cdot \min(1, max\_norm / (\|g\| + 10^{-6}))`.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient are skipped.
    max_norm : float
    norm_type : float
        p of the p-norm, above 0; ``math.inf`` for the largest magnitude.
    error_if_nonfinite : bool
        Raise if the norm is not finite.

    Returns
    -------
    float
        The norm before clipping. If it is nan or infinite, no scale can mend the gradients: they
        are left as they are, and the caller can skip the step. (PyTorch would multiply all of them
        by nan, or by 0.)

    Raises
    ------
    ValueError
        If ``max_norm`` is negative, ``norm_type`` is not above 0, or, with ``error_if_nonfinite``,
        the norm is not finite.

    Notes
    -----
    The result is a Python float, so on a GPU every call waits until the gradients are computed.
    :func:`clip_grad_norm_on_device_` does not.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural
       networks", ICML 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = Tensor(np.zeros(2)), Tensor(np.zeros((1, 1)))
    >>> a.grad, b.grad = np.array([3.0, 0.0]), np.array([[-4.0]])
    >>> clip_grad_norm_([a, b], max_norm=10.0)
    5.0
    >>> clip_grad_norm_([a, b], max_norm=1.0), a.grad.round(4), b.grad.round(4)
    (5.0, array([0.6, 0. ]), array([[-0.8]]))
    """
    total = _clip("clip_grad_norm_", parameters, max_norm, norm_type)
    norm = 0.0 if total is None else float(to_numpy(total))
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(
            f"clip_grad_norm_: the norm of the gradients is {norm}: lower the learning rate, "
            "or look for the op whose values overflow"
        )
    return norm


def clip_grad_norm_on_device_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0
) -> Array | None:
    """As :func:`clip_grad_norm_`, without waiting for a GPU.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient are skipped.
    max_norm : float
    norm_type : float
        p of the p-norm, above 0; ``math.inf`` for the largest magnitude.

    Returns
    -------
    array ()
        The norm before clipping, on the device of the gradients; None if there are none. If it is
        nan or infinite, the gradients are left as they are.

    Raises
    ------
    ValueError
        If ``max_norm`` is negative, or ``norm_type`` is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = Tensor(np.zeros(2)), Tensor(np.zeros((1, 1)))
    >>> a.grad, b.grad = np.array([3.0, 0.0]), np.array([[-4.0]])
    >>> clip_grad_norm_on_device_([a, b], max_norm=1.0)
    array(5.)
    >>> a.grad.round(4), b.grad.round(4)
    (array([0.6, 0. ]), array([[-0.8]]))
    """
    return _clip("clip_grad_norm_on_device_", parameters, max_norm, norm_type)


def _clip(
    name: str, parameters: Iterable[Tensor] | Tensor, max_norm: float, p: float
) -> Array | None:
    """Clip where the gradients are; the norm stays there too, so nothing waits for it."""
    if not max_norm >= 0:
        raise ValueError(f"{name}: max_norm is {max_norm}: it cannot be negative")
    if not p > 0:
        raise ValueError(f"{name}: norm_type is {p}: it must be above 0")
    members = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [each.grad for each in members if each.grad is not None and each.grad.size]
    if not gradients:
        return None
    xp = array_module(*gradients)
    # One by one: CuPy joins many arrays by way of the host, which no recorded step may do.
    norms = xp.empty((len(gradients),), dtype=np.result_type(*(g.dtype for g in gradients)))
    for place, gradient in enumerate(gradients):
        norms[place] = _norm(gradient, p)
    total = _combined(norms, p)
    scale = xp.minimum(float(max_norm) / (total + 1e-6), 1)
    scale = xp.where(xp.isfinite(total), scale, 1)
    for gradient in gradients:
        gradient *= scale
    return total


def _norm(gradient: Array, p: float) -> Array:
    xp = array_module(gradient)
    if p == math.inf:
        return xp.abs(gradient).max()
    if p == 2:
        return xp.sqrt(xp.square(gradient).sum())
    return (xp.abs(gradient) ** p).sum() ** (1 / p)


def _combined(norms: Array, p: float) -> Array:
    """The norm of all, from the norm of each."""
    xp = array_module(norms)
    if p == math.inf:
        return xp.asarray(norms.max())
    # Measured in units of the largest finite one, no power overflows.
    largest = xp.where(xp.isfinite(norms), norms, 0).max()
    unit = xp.where(largest > 0, largest, 1)
    return xp.asarray(unit * _norm(norms / unit, p))
