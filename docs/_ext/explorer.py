"""The explorer of transposed convolutions, as a page of its own beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minisegnet.explain import explorer_page

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def write_page(app: Sphinx, error: Exception | None) -> None:
    """Write ``explorer.html``, which pages link to."""
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "explorer.html").write_text(explorer_page(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the page when the others are there."""
    app.connect("build-finished", write_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
