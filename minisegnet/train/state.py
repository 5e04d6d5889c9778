"""Is this the state of a trainer? Asked before anything of it is taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisegnet.backend import array_module, is_array

_PARTS: dict[str, tuple[type, ...]] = {
    "model": (Mapping,),
    "optimizer": (Mapping,),
    "schedule": (Mapping, type(None)),
    "generator": (Mapping,),
    "history": (list, tuple),
    "best_epoch": (int,),
}


def check_state(state: Any, columns: set[str]) -> None:
    """Refuse what ``Trainer.state_dict`` cannot have returned.

    Parameters
    ----------
    state : Any
        What a file held.
    columns : set of str
        The names in a row of the history.

    Raises
    ------
    ValueError
        Which part is missing or of the wrong kind.

    Examples
    --------
    >>> check_state({"model": {}, "optimizer": 3}, {"epoch"})
    Traceback (most recent call last):
        ...
    ValueError: Trainer.load_state_dict: the state lacks best_epoch, generator, history, schedule...
    """
    held = set(state) if isinstance(state, Mapping) else set()
    missing = set(_PARTS) - held
    if missing:
        raise ValueError(
            f"Trainer.load_state_dict: the state lacks {', '.join(sorted(missing))}: give what "
            "state_dict() returned"
        )
    wrong = [name for name, kinds in _PARTS.items() if not isinstance(state[name], kinds)]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"Trainer.load_state_dict: {name} is of type {type(state[name]).__name__}: give what "
            "state_dict() returned"
        )
    _check_history(state["history"], state["best_epoch"], columns)


def _check_history(history: Any, best: int, columns: set[str]) -> None:
    for number, row in enumerate(history, start=1):
        numbers = isinstance(row, Mapping) and all(
            isinstance(value, (int, float)) for value in row.values()
        )
        if not numbers or set(row) != columns or row["epoch"] != number:
            raise ValueError(
                f"Trainer.load_state_dict: row {number} of the history is {row!r}: it must hold a "
                f"number for each of {', '.join(sorted(columns))}"
            )
    if not min(1, len(history)) <= best <= len(history):
        raise ValueError(
            f"Trainer.load_state_dict: best_epoch is {best} and the history has {len(history)} "
            "epochs: give what state_dict() returned"
        )


def check_weights(state: Mapping[str, Any], where: str) -> None:
    """Refuse weights with NaN or infinity among them.

    Raises
    ------
    ValueError
        With the name of the first.

    Examples
    --------
    >>> import numpy as np
    >>> check_weights({"a": np.ones(2), "b.bias": np.array([1.0, np.nan])}, "model.safetensors")
    Traceback (most recent call last):
        ...
    ValueError: model.safetensors: b.bias holds numbers that are not finite: take another...
    """
    name = first_not_finite(state)
    if name is not None:
        raise ValueError(
            f"{where}: {name} holds numbers that are not finite: take another checkpoint, or train "
            "again"
        )


def first_not_finite(state: Mapping[str, Any]) -> str | None:
    """The name of the first array with NaN or infinity in it; None if all numbers are finite.

    Examples
    --------
    >>> import numpy as np
    >>> first_not_finite({"steps": np.array([3]), "a": np.ones(2), "b": np.array([1.0, np.inf])})
    'b'
    """
    for name, values in state.items():
        is_float = is_array(values) and values.dtype.kind == "f"
        if is_float and not bool(array_module(values).isfinite(values).all()):
            return name
    return None
