"""The reference: one page for each room of the package, with every name that the room makes public.

``.. room:: minisegnet.nn`` documents what is in ``minisegnet.nn.__all__``: a name that is added to
the package is on the page without anybody thinking of it, and one without a docstring is a warning.
``.. overview:: minisegnet.backend`` lists a module's names with their first lines only.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import minisegnet

logger = logging.getLogger(__name__)
PACKAGE = Path(minisegnet.__file__).parent


def public_names(module: ModuleType) -> list[str]:
    """The names a room makes public, the rooms inside it left out."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


@cache
def constant_comments() -> dict[str, tuple[str, str]]:
    """Constants with a ``#:`` comment, by name: the module that defines each, and its comment."""
    found = {}
    for module in pkgutil.walk_packages([str(PACKAGE)], "minisegnet."):
        if module.name.endswith("__main__"):
            continue
        try:
            comments = ModuleAnalyzer.for_module(module.name).find_attr_docs()
        except PycodeError:
            continue
        for (scope, name), lines in comments.items():
            if not scope:
                found[name] = (module.name, " ".join(lines).strip())
    return found


class Room(SphinxDirective):
    """A summary of a module's public names, and then each in full."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The page's content."""
        name = self.arguments[0]
        module = importlib.import_module(name)
        public = sorted(public_names(module), key=lambda each: (each.lower(), each))
        objects = [each for each in public if self._is_code(getattr(module, each))]
        lines = [f".. automodule:: {name}", "", f".. currentmodule:: {name}", ""]
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {each}" for each in objects]
        for each in public:
            lines += ["", *self._entry(name, each, getattr(module, each))]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")

    @staticmethod
    def _is_code(value: Any) -> bool:
        return inspect.isclass(value) or inspect.isroutine(value)

    def _entry(self, module: str, name: str, value: Any) -> list[str]:
        if self._is_code(value):
            if not inspect.getdoc(value):
                logger.warning("%s.%s has no docstring", module, name, location=self.get_location())
            if inspect.isclass(value):
                return [f".. autoclass:: {module}.{name}", "   :members:"]
            return [f".. autofunction:: {module}.{name}"]
        _, comment = constant_comments().get(name, ("", ""))
        if not comment:
            where = self.get_location()
            logger.warning("%s.%s has no '#:' comment", module, name, location=where)
        value_line = [f"   :value: {value!r}"] if isinstance(value, int | float | str) else []
        return [f".. py:data:: {name}", *value_line, "", f"   {comment}"]


class Overview(SphinxDirective):
    """A module's names with their first lines: for rooms that are no public promise."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A definition list."""
        module = importlib.import_module(self.arguments[0])
        summary = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
        lines = [f"``{module.__name__}``: {summary}", ""]
        for name in public_names(module):
            doc = inspect.getdoc(getattr(module, name)) or ""
            if self._is_own(module, name) and doc:
                first = doc.split("\n\n")[0].replace("\n", " ")
                lines += [f"``{name}``", f"    {first}", ""]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")

    @staticmethod
    def _is_own(module: ModuleType, name: str) -> bool:
        value = getattr(module, name)
        is_code = inspect.isclass(value) or inspect.isroutine(value)
        return is_code and getattr(value, "__module__", "") == module.__name__


def _skip(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a NamedTuple says about its fields: the class says it better."""
    doc = getattr(value, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def package_hash() -> str:
    """A fingerprint of the package's source: when it changes, every page is read again."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("room", Room)
    app.add_directive("overview", Overview)
    app.add_config_value("package_hash", package_hash(), "env")
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
