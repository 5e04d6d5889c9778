"""Record what CuPy offers: its public names, and the parameters each function takes.

Run with a Python that has CuPy 14 installed (no GPU is needed, nothing is computed)::

    python tests/record_cupy_names.py

It writes ``tests/data/cupy_names.json``, which ``tests/strict.py`` holds itself to. Kinds of entry:

- a function is the list of its parameters, written as in Python: ``"axis="`` has a default,
  ``"*"`` makes the rest keyword-only, ``"/"`` ends the positional-only ones; ``"..."`` alone means
  that the signature is not known;
- a ufunc is ``{"nin": 2, "nout": 1, "methods": [...]}``, the methods being those that work for it;
- types, constants and submodules are lists of names.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

MODULES = (
    "cupy",
    "cupy.lib.stride_tricks",
    "cupy.linalg",
    "cupy.random",
    "cupyx",
    "cupyx.scipy.special",
    "cupyx.scipy.ndimage",
)
OUTPUT = Path(__file__).parent / "data" / "cupy_names.json"


def parameters_of(function: Any) -> list[str]:
    """The parameters as strings, in the form the module's docstring describes."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ["..."]
    written: list[str] = []
    kinds = inspect.Parameter
    previous = None
    for parameter in signature.parameters.values():
        if previous is kinds.POSITIONAL_ONLY and parameter.kind is not kinds.POSITIONAL_ONLY:
            written.append("/")
        if parameter.kind is kinds.KEYWORD_ONLY and previous not in (
            kinds.KEYWORD_ONLY,
            kinds.VAR_POSITIONAL,
        ):
            written.append("*")
        stars = {kinds.VAR_POSITIONAL: "*", kinds.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if stars or parameter.default is kinds.empty else "="
        written.append(f"{stars}{parameter.name}{default}")
        previous = parameter.kind
    if previous is kinds.POSITIONAL_ONLY:
        written.append("/")
    return written


def parameters_from_text(text: str | None) -> list[str] | None:
    """The parameters of a compiled method, from the signature its docstring begins with."""
    match = re.match(r"\w+\.\w+\(self(?:, )?([^)]*)\)", text or "")
    if match is None:
        return None
    parts = [part.strip() for part in match.group(1).split(",") if part.strip()]
    written = []
    for part in parts:
        name, equals, _ = part.partition("=")
        written.append(name.split()[-1] + equals)
    return written


def methods_of(ufunc: Any) -> list[str]:
    """Which of at, reduce, accumulate and reduceat CuPy implements for a ufunc.

    CuPy's ufunc.reduce and the like recognise the two they implement by the kernel's name.
    """
    methods = ["at"] if ufunc._scatter_op else []
    if ufunc.name in ("cupy_add", "cupy_multiply"):
        methods += ["reduce", "accumulate"]
    if ufunc.name == "cupy_add":
        methods += ["reduceat"]
    return methods


def describe(name: str) -> dict[str, Any]:
    """All public names of one module, by kind."""
    import cupy
    from cupy._core._gufuncs import _GUFunc

    module = importlib.import_module(name)
    found: dict[str, Any] = {"functions": {}, "ufuncs": {}, "types": [], "constants": []}
    for public in sorted(n for n in dir(module) if not n.startswith("_")):
        value = getattr(module, public)
        if isinstance(value, cupy.ufunc):
            found["ufuncs"][public] = {
                "nin": value.nin,
                "nout": value.nout,
                "methods": methods_of(value),
            }
        elif isinstance(value, _GUFunc):
            found["functions"][public] = ["*operands", "**options"]
        elif isinstance(value, type):
            found["types"].append(public)
        elif callable(value):
            found["functions"][public] = parameters_of(value)
        elif not inspect.ismodule(value) and public != "annotations":
            found["constants"].append(public)
    return found


def describe_class(cls: type) -> dict[str, Any]:
    """Public methods with their parameters, other public attributes, and special methods."""
    found: dict[str, Any] = {"methods": {}, "attributes": [], "special": []}
    for name in sorted(dir(cls)):
        value = getattr(cls, name)
        if name.startswith("__"):
            if name not in dir(object):
                found["special"].append(name)
        elif not name.startswith("_"):
            if callable(value):
                parameters = parameters_from_text(value.__doc__) or parameters_of(value)[1:]
                found["methods"][name] = parameters
            else:
                found["attributes"].append(name)
    return found


def main() -> None:
    """Write the file."""
    import cupy

    recorded = {
        "version": cupy.__version__,
        "modules": {name: describe(name) for name in MODULES},
        "ndarray": describe_class(cupy.ndarray),
        "Generator": describe_class(cupy.random.Generator),
    }
    text = json.dumps(recorded, indent=1, sort_keys=True)
    # A list of strings reads better, and differs better, on one line.
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    OUTPUT.write_text(text + "\n", encoding="utf-8")
    print(f"CuPy {cupy.__version__}: wrote {OUTPUT} ({OUTPUT.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
