"""Telling a blank from an answer: nobody is told that they are wrong before they have tried."""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
import types
from typing import Any

import numpy as np

#: What a function is made of that only returns a constant.
_IDLE = {"RESUME", "NOP", "POP_TOP", "RETURN_VALUE"}
_CONSTANT = {"LOAD_CONST", "RETURN_CONST"}


def is_blank(answer: Any) -> bool:
    """Whether a value is still the blank: ``...``, None, or a list in which a ``...`` is left.

    Examples
    --------
    >>> is_blank(...), is_blank([[1, 2], [3, ...]]), is_blank([[1, 2], [3, 4]])
    (True, True, False)
    """
    if answer is None or answer is Ellipsis:
        return True
    if isinstance(answer, (list, tuple)):
        return any(is_blank(part) for part in answer)
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        return any(is_blank(part) for part in answer.ravel())
    return False


def has_blank(answer: Any) -> bool:
    """Whether a function or class still holds the ``...`` of the exercise.

    An Ellipsis that indexes, as in ``x[..., 0]``, is not a blank. Where the source cannot be read,
    a function is a blank if it does nothing.

    Examples
    --------
    >>> has_blank(eval("lambda x: ...")), has_blank(eval("lambda x: x[..., 0] + abs(1)"))
    (True, False)
    """
    if isinstance(answer, type):
        members = [m for m in vars(answer).values() if isinstance(m, types.FunctionType)]
        return any(has_blank(member) for member in members)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except (OSError, TypeError, SyntaxError):
        return _does_nothing(answer)
    finder = _EllipsisFinder()
    finder.visit(tree)
    return finder.found


def is_about_a_blank(error: Exception) -> bool:
    """Whether an exception only says that something is left to write."""
    if isinstance(error, NotImplementedError):
        return True
    return isinstance(error, (TypeError, AttributeError)) and "ellipsis" in str(error).lower()


def _does_nothing(answer: Any) -> bool:
    code = getattr(answer, "__code__", None)
    return isinstance(code, types.CodeType) and all(
        step.opname in _IDLE or (step.opname in _CONSTANT and step.argval in (None, Ellipsis))
        for step in dis.get_instructions(code)
    )


class _EllipsisFinder(ast.NodeVisitor):
    """Looks for an Ellipsis outside of an index or an annotation."""

    def __init__(self) -> None:
        self.found = False

    def visit_Constant(self, node: ast.Constant) -> None:
        self.found = self.found or node.value is Ellipsis

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
