"""Lesson 2, a tiny autograd: what to write and to compute, with the classic mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minisegnet.autograd import tensor
from minisegnet.lessons.blanks import is_blank
from minisegnet.lessons.exercise import (
    Arguments,
    FunctionExercise,
    Lesson,
    Mistake,
    ValueExercise,
)
from minisegnet.lessons.lesson_02_checking import AGREE, SLOPES, SOFTMAX_RULE
from minisegnet.lessons.lesson_02_engine import (
    Value,
    calculate,
    engine_like,
    order,
    plain_walk,
    walk_once,
)
from minisegnet.lessons.lesson_02_questions import PREDICTIONS, QUESTIONS, RECALL

# ------------------------------------------------------------------ the table worked by hand


def _gradients(formula: str, **start: float) -> list[float]:
    """The gradients of the last name of a formula for the names that it starts from."""
    leaves = {name: tensor(value, "float64", requires_grad=True) for name, value in start.items()}
    calculate(formula, leaves).backward()
    return [0.0 if leaf.grad is None else float(leaf.grad) for leaf in leaves.values()]


BY_HAND = ValueExercise(
    name="02/by-hand",
    question="d = a * b, e = d + c, y = a * e at a = 2, b = 3, c = 4: the gradients of a, b and c?",
    definition=lambda: _gradients("d = a * b; e = d + c; y = a * e", a=2, b=3, c=4),
    mistakes=(
        Mistake(
            "You followed only one way from y to a: the product at the end uses a itself, and e "
            "hangs on a as well. Add both.",
            (10, 4, 2),
        ),
        Mistake(
            "You followed only the long way from y to a: the product at the end uses a itself. "
            "Add both.",
            (6, 4, 2),
        ),
        Mistake("Slopes along one way are multiplied, but two ways are added: 10 + 6.", (60, 4, 2)),
        Mistake(
            "For b you took the slope of d alone: y moves another a = 2 times as much as d.",
            (16, 2, 2),
        ),
        Mistake(
            "For c you took the slope of e alone: y moves a = 2 times as much as e.", (16, 4, 1)
        ),
        Mistake(
            "You moved a by a whole 1 and looked at y: a gradient is the slope at the start of "
            "that step.",
            (19, 4, 2),
        ),
    ),
    hints=(
        "Begin at the end: if e moves a little, y moves a = 2 times as much.",
        "The gradient of e is 2, so that of d is 2 * 1 and that of b is 2 * 1 * a.",
        "For a add two ways: e, for the product at the end, and 2 * 1 * b through d.",
    ),
    explanation="Multiply the slopes along each way from y back to a name, and add up the ways.",
)

# ------------------------------------------------------------------ the order

_FORMULAS = (
    ("y = x * w", (3, 2, 5)),
    ("h = x * w; y = h + x", (3, 2, 5)),
    ("h = x * w; p = h * v; q = h * x; y = p + q", (2, 3, 5)),
    ("a = x * x; b = a * w; c = b + a; d = c * v; y = d + a", (3, 2, 7)),
    ("a = x * w; b = v / a; c = b + x; d = c / w; e = a + c; y = d * e", (2, 4, 24)),
    ("a = x + w; b = a / v; c = a * b; d = b + w; e = c / d; y = e + e", (9, 3, 4)),
    # Here two different values hold the same number.
    ("a = x + x; b = x * w; c = a * v; d = b + c; y = d + b", (6, 2, 1)),
)


def _formula_cases(rng: np.random.Generator) -> Iterator[Arguments]:
    for formula, (x, w, v) in _FORMULAS:
        yield {"formula": formula, "x": x, "w": w, "v": v}


def _listed(answer: Callable[[Any], Any], formula: str, x: float, w: float, v: float) -> Any:
    """The numbers in the answer's order; of all the right orders the same one."""
    last = calculate(formula, {"x": Value(x), "w": Value(w), "v": Value(v)})
    listed = answer(last)
    if listed is None or is_blank(listed):
        return None
    if not isinstance(listed, (list, tuple)) or not all(isinstance(v, Value) for v in listed):
        raise TypeError("order returns a list of the values themselves, not of their numbers")
    right = order(last)
    place = {id(value): i for i, value in enumerate(listed)}
    is_complete = len(listed) == len(right) and set(place) == {id(value) for value in right}
    is_sorted = is_complete and all(
        place[id(parent)] < place[id(value)] for value in right for parent in value.parents
    )
    return [value.data for value in (right if is_sorted else listed)]


def _every_visit(last):
    return [value for parent in last.parents for value in _every_visit(parent)] + [last]


def _itself_first(last, seen=None):
    seen = {id(last)} if seen is None else seen
    found = [last]
    for parent in last.parents:
        if id(parent) not in seen:
            seen.add(id(parent))
            found += _itself_first(parent, seen)
    return found


def _level_by_level(last):
    found, seen = [last], {id(last)}
    for value in found:
        new = [parent for parent in dict.fromkeys(value.parents) if id(parent) not in seen]
        seen.update(id(parent) for parent in new)
        found += new
    return found[::-1]


def _equal_numbers_once(last):
    found = {value.data: value for value in reversed(order(last))}
    return [value for value in order(last) if found[value.data] is value]


ORDER = FunctionExercise(
    name="02/order",
    question=(
        "Write order(last): a list of all the values that last is made of, and last itself, each "
        "once and after its parents."
    ),
    definition=order,
    data=_formula_cases,
    apply=_listed,
    mistakes=(
        Mistake(
            "Some values are there more than once: remember whom you have seen, in a set of id(s).",
            _every_visit,
        ),
        Mistake(
            "You put a value down before its parents: first visit all the parents, then append the "
            "value.",
            _itself_first,
        ),
        Mistake(
            "The list is the wrong way round: here it begins with what was there first. Backward "
            "will turn it round.",
            lambda last: order(last)[::-1],
        ),
        Mistake(
            "You went level by level. A value can be near the end by one way and far by another, "
            "and its parents must wait for the far one: visit parents first.",
            _level_by_level,
        ),
        Mistake(
            "You left out what the formula starts from: those values have no parents, and they are "
            "the ones whose gradients we want.",
            lambda last: [value for value in order(last) if value.parents],
        ),
        Mistake("You left out the last value itself.", lambda last: order(last)[:-1]),
        Mistake(
            "You took two values that hold equal numbers for one: remember id(value), not "
            "value.data.",
            _equal_numbers_once,
        ),
    ),
    hints=(
        "To visit a value: visit its parents, then append it. Unless you have been there already.",
        "A function inside the function, visit(value), a set `seen` and a list `found`.",
        "In visit: if id(value) not in seen, add it to seen, visit every parent, then "
        "found.append(value).",
    ),
    explanation="Each value comes after all it is made of. Read backwards: after all its users.",
)

# ------------------------------------------------------------------ the whole engine


def _outcome(answer: type, formula: str, x: float, w: float, v: float) -> Any:
    """The value of the formula, and the gradients of x, w and v."""
    start = {"x": answer(x), "w": answer(w), "v": answer(v)}
    last = calculate(formula, start)
    last.backward()
    return [last.data, *(value.grad for value in start.values())]


def _by_tensors(formula: str, x: float, w: float, v: float) -> list[float]:
    value = calculate(formula, {"x": tensor(x), "w": tensor(w), "v": tensor(v)}).item()
    return [value, *_gradients(formula, x=x, w=w, v=v)]


def _pass_on(self, seed=1, reverse=True, add=True, upstream=True):
    """Backward, with a step of it left out."""
    self.grad = seed
    for value in order(self)[:: -1 if reverse else 1]:
        for parent, slope in zip(value.parents, value.slopes, strict=True):
            share = slope * (value.grad if upstream else 1)
            parent.grad = parent.grad + share if add else share


def _walking(walk):
    def backward(self):
        self.grad = 1
        walk(self)

    return backward


VALUE = FunctionExercise(
    name="02/value",
    question=(
        "Finish the class Value: divided by, and backward(). The check compares the value of a "
        "formula, and the gradients of x, w and v."
    ),
    definition=Value,
    data=_formula_cases,
    engine=_by_tensors,
    apply=_outcome,
    mistakes=(
        Mistake(
            "A value that is used twice keeps only its last share: gradients add, += and not =.",
            engine_like(backward=lambda self: _pass_on(self, add=False)),
        ),
        Mistake(
            "You passed gradients on before they were complete: a value that is used twice then "
            "passes its first share on twice. Go through order(self) backwards.",
            engine_like(backward=_walking(plain_walk)),
        ),
        Mistake(
            "You passed gradients on before they were complete, and never came back: what arrives "
            "later is lost. Go through order(self) backwards.",
            engine_like(backward=_walking(walk_once)),
        ),
        Mistake(
            "You went from the first value to the last: gradients go backwards, "
            "reversed(order(self)).",
            engine_like(backward=lambda self: _pass_on(self, reverse=False)),
        ),
        Mistake(
            "Nothing set it going: the last value's own gradient is 1.",
            engine_like(backward=lambda self: _pass_on(self, seed=0)),
        ),
        Mistake(
            "You sent the slope alone: the chain rule multiplies it by the gradient of the value "
            "that it comes from.",
            engine_like(backward=lambda self: _pass_on(self, upstream=False)),
        ),
        Mistake(
            "The second slope of the quotient has the wrong sign: a larger divisor makes it "
            "smaller.",
            engine_like(quotient=lambda a, b: (1 / b, a / b**2)),
        ),
        Mistake(
            "The second slope of the quotient lacks a square: a / b by b is -a / b**2.",
            engine_like(quotient=lambda a, b: (1 / b, -a / b)),
        ),
    ),
    hints=(
        "Do as __add__ does: a new Value with its parents, and how strongly it hangs on each.",
        "The slopes of a / b are 1 / b and -a / b**2.",
        "backward: self.grad = 1; then for each value of reversed(order(self)) and each parent and "
        "slope: parent.grad += slope * value.grad.",
    ),
    explanation="That is reverse-mode automatic differentiation, the whole of it.",
)

LESSON = Lesson(
    number=2,
    title="A tiny autograd",
    exercises=(RECALL, BY_HAND, ORDER, VALUE, SLOPES, AGREE, SOFTMAX_RULE, *QUESTIONS),
    predictions=PREDICTIONS,
)
