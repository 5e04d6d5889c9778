"""What CuPy accepts: the recorded names and signatures, and a counter of what crosses to the host.

The facts come from ``tests/data/cupy_names.json``, which ``tests/record_cupy_names.py`` writes.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "cupy_names.json").read_text(encoding="utf-8")
)

#: What CuPy takes beside arrays: Python numbers and NumPy scalars.
SCALARS = (bool, int, float, complex, np.bool_, np.number)


@dataclass
class Traffic:
    """How often the host had to wait for the device, and how often it sent data there.

    On a GPU every synchronisation stalls the queue; a training step should need none.
    """

    synchronisations: int = 0
    uploads: int = 0


#: Everything since the tests began; use :func:`counting` for a part of a test.
traffic = Traffic()


@contextmanager
def counting() -> Iterator[Traffic]:
    """Count what crosses between host and device inside the ``with`` block.

    >>> with counting() as seen:
    ...     pass
    >>> seen
    Traffic(synchronisations=0, uploads=0)
    """
    before = Traffic(traffic.synchronisations, traffic.uploads)
    seen = Traffic()
    try:
        yield seen
    finally:
        seen.synchronisations = traffic.synchronisations - before.synchronisations
        seen.uploads = traffic.uploads - before.uploads


def synchronised() -> None:
    """Note that the host waits for the device here."""
    traffic.synchronisations += 1


def uploaded() -> None:
    """Note that host data is sent to the device here."""
    traffic.uploads += 1


def refuse_host_array(name: str, value: np.ndarray) -> TypeError:
    """The error for a NumPy array where a device array is needed."""
    return TypeError(
        f"{name}: a NumPy array of shape {value.shape} where an array on the device is needed: "
        "CuPy does not convert implicitly; move it with asarray() or create it on the device"
    )


def signature_of(parameters: Sequence[str]) -> inspect.Signature | None:
    """The signature written as in the recording, or None where it is not known."""
    if list(parameters) == ["..."]:
        return None
    kinds = inspect.Parameter
    kind = kinds.POSITIONAL_OR_KEYWORD
    found: list[inspect.Parameter] = []
    for text in parameters:
        if text == "/":
            found = [p.replace(kind=kinds.POSITIONAL_ONLY) for p in found]
        elif text == "*":
            kind = kinds.KEYWORD_ONLY
        elif text.startswith("**"):
            found.append(kinds(text[2:], kinds.VAR_KEYWORD))
        elif text.startswith("*"):
            found.append(kinds(text[1:], kinds.VAR_POSITIONAL))
            kind = kinds.KEYWORD_ONLY
        else:
            default = None if text.endswith("=") else kinds.empty
            found.append(kinds(text.rstrip("="), kind, default=default))
    return inspect.Signature(found)


@functools.cache
def numpy_parameters(target: Callable[..., Any]) -> tuple[str, ...] | None:
    """The names of NumPy's positional parameters, or None where it does not tell."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(n for n, p in signature.parameters.items() if p.kind in positional)


def translate(
    name: str, cupy: inspect.Signature, target: Callable[..., Any], args: Any, kwargs: Any
) -> tuple[list[Any], dict[str, Any]]:
    """The call as NumPy's function wants it, if CuPy's function accepts it at all.

    The two name and order some parameters differently: ``argmax(a, axis, dtype, out)`` against
    ``argmax(a, axis, out)``, ``flip(a)`` against ``flip(m)``.

    Raises
    ------
    TypeError
        If CuPy's function has no such parameter.
    """
    try:
        given = cupy.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"CuPy's {name}{cupy}: {error}") from None
    theirs = numpy_parameters(target)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    unbroken = True
    for place, (parameter, description) in enumerate(cupy.parameters.items()):
        if parameter not in given:
            unbroken = False
        elif description.kind is inspect.Parameter.VAR_POSITIONAL:
            positional.extend(given[parameter])
        elif description.kind is inspect.Parameter.VAR_KEYWORD:
            named.update(given[parameter])
        elif description.kind is inspect.Parameter.KEYWORD_ONLY:
            named[parameter] = given[parameter]
        elif unbroken and _stands_alike(parameter, place, theirs):
            positional.append(given[parameter])
        else:
            named[parameter] = given[parameter]
    return positional, named


def _stands_alike(parameter: str, place: int, theirs: tuple[str, ...] | None) -> bool:
    if theirs is None:
        return True
    if place >= len(theirs):
        return False
    return theirs[place] == parameter or parameter not in theirs
