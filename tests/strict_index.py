"""What an index means to CuPy: which parts are arrays, and that integers wrap around."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.strict_rules import refuse_host_array, uploaded


def host_index(array: Any, index: Any, name: str) -> tuple[tuple[Any, ...], set[str]]:
    """The index for the NumPy array underneath, and the kinds of arrays in it.

    The kinds are ``"integers"`` and ``"mask"``; none of them means basic indexing, a view.

    Raises
    ------
    TypeError
        If a NumPy array is used as an index.
    IndexError
        If an array that is an index holds neither integers nor booleans.
    """
    parts = [
        _host_part(part, type(array), name)
        for part in (index if isinstance(index, tuple) else (index,))
    ]
    consumed = [part.ndim if _is_mask(part) else int(part is not None) for part in parts]
    explicit = sum(n for n, part in zip(consumed, parts, strict=True) if part is not Ellipsis)
    axis = 0
    kinds: set[str] = set()
    for i, part in enumerate(parts):
        if part is Ellipsis:
            axis += array.ndim - explicit
            continue
        if _is_mask(part):
            kinds.add("mask")
        elif isinstance(part, np.ndarray):
            kinds.add("integers")
            if axis < array.ndim and array.shape[axis]:
                parts[i] = part % array.shape[axis]
        axis += consumed[i]
    return tuple(parts), kinds


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def _host_part(part: Any, array_type: type, name: str) -> Any:
    if isinstance(part, np.ndarray):
        raise refuse_host_array(name, part)
    if isinstance(part, (list, bool, np.bool_)):
        uploaded()
        part = np.asarray(part)
        part = part.astype(np.int64) if part.size == 0 else part
    elif isinstance(part, array_type):
        part = part._values
    else:
        return part
    if part.dtype.kind not in "biu":
        raise IndexError(f"{name}: arrays used as indices must be of integer or boolean type")
    return part
