"""Is a gradient right? Compare it, element by element, with differences of the function itself.

The derivative of L = sum(u * f(x)) with respect to one element x_i is close to
(L(x_i + eps) - L(x_i - eps)) / (2 eps). A rule that ``backward`` follows must give the same number.
The upstream gradient u is random: with u = 1 everywhere, many wrong rules look right (a softmax
sums to one, so its gradient would be zero whatever the rule says).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisegnet.autograd import Tensor, no_grad
from minisegnet.backend import Array, array_module, library_of, to_device, to_numpy

# A float64 carries this relative error; an output is the sum of several such.
_ROUNDING = 16 * 2.0**-53


class GradcheckError(ValueError, AssertionError):
    """The gradient disagrees with the differences, is missing, or cannot be compared.

    It is both a wrong value and, in a test, a failed assertion.
    """


@dataclass(frozen=True)
class _Disagreement:
    """The entry that is furthest off, in units of what rounding and the tolerances allow."""

    excess: float
    number: int
    index: tuple[int, ...]
    analytic: float
    numeric: float
    wrong: int
    size: int

    def __str__(self) -> str:
        relative = abs(self.analytic - self.numeric) / max(abs(self.numeric), 1e-300)
        return (
            f"the gradient of input {self.number} is wrong at index {self.index}: "
            f"backward says {self.analytic:.10g}, the difference quotient {self.numeric:.10g} "
            f"(relative error {relative:.2g}); {self.wrong} of its {self.size} entries disagree. "
            "Look at the backward rule of what the function calls"
        )


def gradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-8,
    rtol: float = 1e-5,
    seed: int = 0,
) -> bool:
    r"""Compare every gradient of ``fn`` with central differences in float64.

    For each element :math:`x_i` of each input that requires a gradient, with a random upstream
    gradient :math:`u`,

    .. math:: \frac{\partial}{\partial x_i} \sum u f(x)
              \approx \frac{\sum u \, (f(x + \epsilon e_i) - f(x - \epsilon e_i))}{2 \epsilon}

    must hold within ``atol + rtol * |right side|``, plus what the rounding of the outputs alone
    can do to the right side.

    Parameters
    ----------
    fn : callable
        Takes the inputs, returns a Tensor or a tuple of them. All floating outputs count; integer
        ones (indices) are left out. It must give the same answer every time and must not change
        its inputs.
    inputs : Tensor, or sequence of Tensors and other arguments
        At least one Tensor requires a gradient; those that do are float64 leaves.
    eps : float
        How far an element is moved to either side. Keep inputs further than this from kinks (the
        zero of a relu, a tie in a maximum): there the two sides differ and no gradient agrees.
    atol, rtol : float
        Absolute and relative tolerance. With the defaults an error of 0.1 % in a single element
        larger than 1e-5 is found.
    seed : int
        Of the random upstream gradient.

    Returns
    -------
    bool
        True. Anything else is an error.

    Raises
    ------
    GradcheckError
        Naming the input, the index of the worst entry, both values; or saying that a gradient is
        missing, not finite, of the wrong shape or dtype, or that ``fn`` cannot be checked because
        it is random, changes its inputs, or returns float32.
    TypeError, ValueError
        If there is nothing to check, or an input that requires a gradient is not a float64 leaf.

    Notes
    -----
    The inputs have their values and ``.grad`` as before afterwards. Tensors that ``fn`` uses
    without taking them as inputs are not checked, and gradients do accumulate in them. Two calls
    of ``fn`` are made for each element: keep the inputs small.

    Examples
    --------
    >>> from minisegnet.autograd import op, tensor
    >>> x = tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], dtype="float64", requires_grad=True)
    >>> gradcheck(lambda x: x * x, x)
    True
    >>> @op
    ... def wrong_square(x: Array):
    ...     return x * x, lambda grad: (grad * x,)
    >>> gradcheck(wrong_square, x)
    Traceback (most recent call last):
        ...
    minisegnet.gradcheck.GradcheckError: gradcheck(wrong_square): the gradient of input 0 is ...
    """
    arguments = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    checked = _inputs_to_check(arguments)
    saved = [(x, x.data, x.grad) for x in checked.values()]
    try:
        for x, data, _ in saved:
            # On copies: a view or a read-only array may be given, and nothing can be left behind.
            x.data, x.grad = _copy(data), None
        worst = _compare(fn, arguments, checked, eps, (atol, rtol), np.random.default_rng(seed))
    except GradcheckError as error:
        raise GradcheckError(f"gradcheck({_name(fn)}): {error}") from error.__cause__
    finally:
        for x, data, grad in saved:
            x.data, x.grad = data, grad
    if worst is not None:
        raise GradcheckError(f"gradcheck({_name(fn)}): {worst}")
    return True


def _inputs_to_check(arguments: Sequence[Any]) -> dict[int, Tensor]:
    checked = {
        number: x for number, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad
    }
    if not checked:
        raise ValueError(
            "gradcheck: no input requires a gradient: give at least one "
            "tensor(values, dtype='float64', requires_grad=True)"
        )
    for number, x in checked.items():
        if x.dtype != np.float64:
            raise TypeError(
                f"gradcheck: input {number} is {x.dtype}, in which a difference over a small step "
                "is mostly rounding: convert it with tensor(x, dtype='float64', requires_grad=True)"
            )
        if not x.is_leaf:
            raise ValueError(
                f"gradcheck: input {number} was computed by an op, so its gradient is not kept: "
                "pass tensor(x, requires_grad=True)"
            )
    return checked


def _compare(
    fn: Callable[..., Any],
    arguments: list[Any],
    checked: dict[int, Tensor],
    eps: float,
    tolerances: tuple[float, float],
    random: np.random.Generator,
) -> _Disagreement | None:
    """The worst disagreement of all inputs, if there is any."""
    before = {number: _copy(x.data) for number, x in checked.items()}
    outputs = _floating_outputs(fn(*arguments))
    upstream = [_random_upstream(random, y.shape) for y in outputs]
    _go_backward(outputs, upstream)
    gradients = {number: _gradient(number, x) for number, x in checked.items()}
    _require_repeatable(fn, arguments, outputs, checked, before)
    scale = [u * np.abs(y.numpy()).max(initial=0.0) for y, u in zip(outputs, upstream, strict=True)]
    worst = None
    for number, x in checked.items():
        numeric, rounding = _differences(fn, arguments, x, upstream, scale, eps)
        found = _worst_entry(number, gradients[number], numeric, rounding, tolerances)
        if found is not None and (worst is None or found.excess > worst.excess):
            worst = found
    return worst


def _random_upstream(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers of either sign, none near zero: no output goes unnoticed."""
    return random.uniform(0.5, 1.5, shape) * random.choice([-1.0, 1.0], shape)


def _floating_outputs(result: Any) -> list[Tensor]:
    results = result if isinstance(result, (tuple, list)) else (result,)
    for y in results:
        if not isinstance(y, Tensor):
            raise GradcheckError(
                f"the function returned {type(y).__name__}: it must return a Tensor or a tuple "
                "of them"
            )
    floating = [y for y in results if y.dtype.kind == "f"]
    if not floating:
        raise GradcheckError("the function returned no floating tensor, so there is no gradient")
    for y in floating:
        if y.dtype != np.float64:
            raise GradcheckError(
                f"the function returned {y.dtype} for float64 inputs: it must keep their dtype"
            )
    return floating


def _go_backward(outputs: list[Tensor], upstream: list[np.ndarray]) -> None:
    try:
        for y, u in zip(outputs, upstream, strict=True):
            if y.requires_grad:
                y.backward(to_device(u, y.device), retain_graph=True)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise GradcheckError(f"backward failed: {error}") from error


def _gradient(number: int, x: Tensor) -> np.ndarray:
    """The gradient that arrived at an input, on the host."""
    if x.grad is None:
        raise GradcheckError(
            f"no gradient reached input {number}: a rule returned None for it, or the function "
            "left the tape (.data, .numpy(), .detach()). If it does not depend on this input, "
            "give the input without requires_grad"
        )
    if library_of(x.grad) is not library_of(x.data):
        raise GradcheckError(f"the gradient of input {number} is on another device than the input")
    gradient = to_numpy(x.grad)
    if gradient.shape != x.shape or gradient.dtype != x.dtype:
        raise GradcheckError(
            f"the gradient of input {number} is {gradient.dtype} {gradient.shape} "
            f"but the input {x.dtype} {x.shape}"
        )
    if not np.isfinite(gradient).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(gradient))[0])
        raise GradcheckError(
            f"the gradient of input {number} is {gradient[index]} at index {index}"
        )
    # Products with a random float64 fill its 53 bits; numbers that all fit 24 were rounded. (Tiny
    # ones say nothing: zeros come out as a few units of rounding.)
    values = gradient[np.abs(gradient) > 1e-10]
    with np.errstate(over="ignore"):
        if values.size and (values.astype(np.float32) == values).all():
            raise GradcheckError(
                f"the gradient of input {number} went through float32: a rule must compute in "
                "the dtype of its inputs"
            )
    return gradient


def _require_repeatable(
    fn: Callable[..., Any],
    arguments: list[Any],
    outputs: list[Tensor],
    checked: dict[int, Tensor],
    before: dict[int, Array],
) -> None:
    """Differences mean nothing if the function is random or changes what it is given."""
    for number, x in checked.items():
        if not np.array_equal(to_numpy(x.data), to_numpy(before[number]), equal_nan=True):
            raise GradcheckError(
                f"the function or its backward rule changed input {number} in place"
            )
    again = _evaluate(fn, arguments)
    for first, second in zip(outputs, again, strict=True):
        # Not exactly: on a GPU the order of additions may differ from run to run.
        if not np.allclose(first.numpy(), second, rtol=1e-12, atol=1e-12, equal_nan=True):
            raise GradcheckError(
                "the function gives another answer when called again with the same inputs: make "
                "it deterministic (reseed it inside, or switch dropout off)"
            )


def _evaluate(fn: Callable[..., Any], arguments: list[Any]) -> list[np.ndarray]:
    """The outputs as copies on the host: a view of an input would move with it."""
    with no_grad():
        return [np.array(y.numpy()) for y in _floating_outputs(fn(*arguments))]


def _differences(
    fn: Callable[..., Any],
    arguments: list[Any],
    x: Tensor,
    upstream: list[np.ndarray],
    scale: list[np.ndarray],
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The difference quotient of each element, and how far rounding may have moved it."""
    start = to_numpy(x.data).copy()
    numeric, rounding = np.empty(x.shape), np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        right, left = float(start[index]) + eps, float(start[index]) - eps
        x.data[index] = right
        above = _evaluate(fn, arguments)
        x.data[index] = left
        below = _evaluate(fn, arguments)
        x.data[index] = float(start[index])
        # The step as it was really made: value + eps is rounded too.
        step = right - left
        slope, moved = 0.0, 0.0
        for y1, y0, u, s in zip(above, below, upstream, scale, strict=True):
            with np.errstate(invalid="ignore"):  # inf - inf is reported below, as not finite
                change = y1 - y0
            slope += float((u * change).sum())
            moved += float(((s * (change != 0)) ** 2).sum())
        numeric[index] = slope / step
        rounding[index] = _ROUNDING * math.sqrt(moved) / step
    return numeric, rounding


def _worst_entry(
    number: int,
    analytic: np.ndarray,
    numeric: np.ndarray,
    rounding: np.ndarray,
    tolerances: tuple[float, float],
) -> _Disagreement | None:
    atol, rtol = tolerances
    if not numeric.size:
        return None
    if not np.isfinite(numeric).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(numeric))[0])
        raise GradcheckError(
            f"the function is not finite near index {index} of input {number}: choose inputs "
            "inside its domain"
        )
    allowed = atol + rtol * np.abs(numeric) + rounding
    excess = np.abs(analytic - numeric) / np.maximum(allowed, np.finfo(float).tiny)
    index = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
    if excess[index] <= 1:
        return None
    return _Disagreement(
        excess=float(excess[index]),
        number=number,
        index=index,
        analytic=float(analytic[index]),
        numeric=float(numeric[index]),
        wrong=int((excess > 1).sum()),
        size=int(excess.size),
    )


def _copy(array: Array) -> Array:
    """A copy with the same order in memory, which ops may treat specially."""
    return array_module(array).array(array, copy=True, order="K")


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", type(fn).__name__)
