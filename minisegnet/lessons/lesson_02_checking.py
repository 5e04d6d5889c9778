"""Lesson 2, a tiny autograd: checking a gradient, and checking the checker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minisegnet import functional as F
from minisegnet.autograd import Tensor
from minisegnet.lessons.exercise import Arguments, FunctionExercise, Mistake, distinct

# ------------------------------------------------------------------ checking a gradient

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "the sum of x**3": lambda x: (x**3).sum(),
    "the first row times the square of the second": lambda x: (x[0] * x[1] ** 2).sum(),
    "the sum of the row sums squared": lambda x: (x.sum(axis=1) ** 2).sum(),
    "the sum of 1 / x": lambda x: (1 / x).sum(),
}


def slopes(f, x, eps):
    """How much f moves for each element of x, looked at from both sides."""
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        above, below = x.copy(), x.copy()
        above[place] += eps
        below[place] -= eps
        found[place] = (f(above) - f(below)) / (2 * eps)
    return found


def _slope_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    sizes = [(1, 2), (2, 3), (3, 2), (2, 4)]
    for name, size, eps in zip(_FUNCTIONS, sizes, [1e-3, 2e-3, 1e-3, 5e-4], strict=True):
        yield {"f": name, "x": distinct(rng, size, signed=True).astype(float), "eps": eps}


def _by_autograd(f: str, x: np.ndarray, eps: float) -> Any:
    leaf = Tensor(x.copy(), requires_grad=True)
    _FUNCTIONS[f](leaf).backward()
    return leaf.grad


def _one_side(f, x, eps):
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        above = x.copy()
        above[place] += eps
        found[place] = (f(above) - f(x)) / eps
    return found


def _never_put_back(f, x, eps):
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        x[place] += eps
        above = f(x)
        x[place] -= 2 * eps
        found[place] = (above - f(x)) / (2 * eps)
    return found


SLOPES = FunctionExercise(
    name="02/slopes",
    question=(
        "Write slopes(f, x, eps): for each element of the array x, (f with it moved up by eps - f "
        "with it moved down by eps) / (2 * eps)."
    ),
    definition=slopes,
    data=_slope_cases,
    engine=_by_autograd,
    apply=lambda answer, f, x, eps: answer(_FUNCTIONS[f], x, eps),
    mistakes=(
        Mistake(
            "You looked to one side only, and see half of the curve as slope: move the element "
            "down as well, and divide by 2 * eps.",
            _one_side,
        ),
        Mistake(
            "Twice too large: from one side to the other it is 2 * eps.",
            lambda f, x, eps: 2 * slopes(f, x, eps),
        ),
        Mistake(
            "You did not put an element back before you moved the next: work on x.copy().",
            _never_put_back,
        ),
        Mistake(
            "You moved all the elements at once: one at a time.",
            lambda f, x, eps: np.full(x.shape, (f(x + eps) - f(x - eps)) / (2 * eps)),
        ),
        Mistake(
            "The difference is the wrong way round: above less below.",
            lambda f, x, eps: -slopes(f, x, eps),
        ),
        Mistake(
            "Those are the differences: divide them by the step, 2 * eps.",
            lambda f, x, eps: 2 * eps * slopes(f, x, eps),
        ),
    ),
    hints=(
        "One element after another: `for place in np.ndindex(*x.shape)`, and x[place].",
        "Make two copies of x in the loop, and move the one element in each.",
        "found[place] = (f(above) - f(below)) / (2 * eps).",
    ),
    explanation="Both sides together cancel the curve: the error shrinks with eps squared.",
)


def agree(analytic, numeric):
    """Whether every entry is right to one part in 100,000 (or to 1e-8)."""
    for a, n in zip(analytic.ravel(), numeric.ravel(), strict=True):
        if not abs(a - n) <= 1e-8 + 1e-5 * abs(n):
            return False
    return True


def _agree_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    right = distinct(rng, (2, 3), signed=True).astype(float)
    yield {"analytic": right, "numeric": right * (1 + 1e-9)}
    for place, factor in [((1, 0), 1.001), ((0, 2), 0.999), ((0, 1), np.nan)]:
        wrong = right.copy()
        wrong[place] *= factor
        yield {"analytic": wrong, "numeric": right}
    small = 1e-6 * distinct(rng, (3, 4), signed=True)
    yield {"analytic": 1.02 * small, "numeric": small}
    large = 1e6 * distinct(rng, (1, 3), signed=True)
    yield {"analytic": large * (1 + 1e-7), "numeric": large}
    zero = distinct(rng, (2, 4), signed=True).astype(float)
    zero[1, 1] = 0.0
    yield {"analytic": zero, "numeric": zero + 1e-11}
    swapped = right[:, ::-1].copy()
    yield {"analytic": swapped, "numeric": right}


AGREE = FunctionExercise(
    name="02/agree",
    question=(
        "Write agree(analytic, numeric): whether each entry of analytic is as near to that of "
        "numeric as 1e-8 + 1e-5 * |numeric|."
    ),
    definition=agree,
    data=_agree_cases,
    engine=lambda analytic, numeric: np.allclose(analytic, numeric, rtol=1e-5, atol=1e-8),
    mistakes=(
        Mistake(
            "An error of 0.1 % passes: the tolerance is 1e-5, not 1 %.",
            lambda a, n: np.allclose(a, n, rtol=1e-2, atol=1e-8),
        ),
        Mistake(
            "You allow the same error everywhere: a tiny gradient may be 2 % off and passes, and a "
            "huge one fails by rounding alone. Allow a share of each entry.",
            lambda a, n: np.allclose(a, n, rtol=0, atol=1e-5),
        ),
        Mistake(
            "1e-8 alone is too strict for large gradients, which are rounded more than that. Allow "
            "a share of each entry as well.",
            lambda a, n: np.allclose(a, n, rtol=0, atol=1e-8),
        ),
        Mistake(
            "An entry near 0 fails for its last digits: add a little, 1e-8, to the share.",
            lambda a, n: np.allclose(a, n, rtol=1e-5, atol=0),
        ),
        Mistake(
            "You compared sums: errors cancel, and entries that changed places pass. Compare entry "
            "by entry.",
            lambda a, n: np.allclose(a.sum(), n.sum(), rtol=1e-5, atol=1e-8),
        ),
        Mistake(
            "Without abs an entry that is too small passes: its difference is negative.",
            lambda a, n: not ((a - n) > 1e-8 + 1e-5 * abs(n)).any(),
        ),
        Mistake(
            "nan passes: every comparison with nan is False, so ask whether all are near, not "
            "whether any is far.",
            lambda a, n: not (abs(a - n) > 1e-8 + 1e-5 * abs(n)).any(),
        ),
        Mistake(
            "One entry that is right is not enough: all must be.",
            lambda a, n: bool(np.isclose(a, n, rtol=1e-5, atol=1e-8).any()),
        ),
    ),
    hints=(
        "abs(analytic - numeric) is an array: how far each entry is off.",
        "Compare with 1e-8 + 1e-5 * abs(numeric), and ask whether all are near.",
        "(abs(analytic - numeric) <= 1e-8 + 1e-5 * abs(numeric)).all().",
    ),
    explanation="Entry by entry, relative, with a floor, and so that nan fails.",
)

# ------------------------------------------------------------------ a rule for arrays


def softmax_rule(p, grad):
    """The gradient of the logits, from the probabilities and their gradient, row by row."""
    out = np.zeros(p.shape)
    for n in range(len(p)):
        out[n] = p[n] * (grad[n] - (p[n] * grad[n]).sum())
    return out


def _rule_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for size in [(1, 2), (2, 3), (3, 2), (2, 5), (4, 3)]:
        powers = np.exp(distinct(rng, size, signed=True) / 4)
        grad = distinct(rng, size, signed=True).astype(float)
        yield {"p": powers / powers.sum(axis=1, keepdims=True), "grad": grad}


def _rule_by_engine(p: np.ndarray, grad: np.ndarray) -> Any:
    logits = Tensor(np.log(p), requires_grad=True)
    F.softmax(logits, dim=1).backward(grad)
    return logits.grad


SOFTMAX_RULE = FunctionExercise(
    name="02/softmax-rule",
    question=(
        "Write softmax_rule(p, grad): from probabilities (pixels, classes) and their gradient, the "
        "gradient of the logits."
    ),
    definition=softmax_rule,
    data=_rule_cases,
    engine=_rule_by_engine,
    mistakes=(
        Mistake(
            "You took the plain mean of the gradient off: weigh it with the probabilities, "
            "(p * grad).sum(axis=1). An upstream of ones would never have told you.",
            lambda p, grad: p * (grad - grad.mean(axis=1, keepdims=True)),
        ),
        Mistake(
            "A logit moves all the classes, not only its own: p * (1 - p) * grad is the share of "
            "the own class.",
            lambda p, grad: p * (1 - p) * grad,
        ),
        Mistake(
            "You treated the sum as a constant: if one logit rises, every other class falls.",
            lambda p, grad: p * grad,
        ),
        Mistake(
            "The factor p in front is missing.",
            lambda p, grad: grad - (p * grad).sum(axis=1, keepdims=True),
        ),
        Mistake(
            "You summed over all the pixels: each has a softmax of its own, so sum over axis 1 "
            "with keepdims=True.",
            lambda p, grad: p * (grad - (p * grad).sum()),
        ),
        Mistake(
            "That belongs to softmax and cross-entropy together, where grad is not a gradient but "
            "the truth.",
            lambda p, grad: p - grad,
        ),
    ),
    hints=(
        "If logit i rises, p_i gains p_i * (1 - p_i), and every other p_j loses p_i * p_j.",
        "Collect: grad_i * p_i, less p_i times the sum of grad_j * p_j over all classes j.",
        "p * (grad - (p * grad).sum(axis=1, keepdims=True)).",
    ),
    explanation="What counts is how much a class's gradient lies above the average that p gives.",
)
