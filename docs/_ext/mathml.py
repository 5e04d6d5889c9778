"""Formulas as MathML, which browsers draw by themselves: no script, no fonts, nothing to fetch."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _draw(translator: Any, node: nodes.Element, as_block: bool) -> None:
    formula = node.astext().strip().replace("\\dots", "\\ldots")  # docutils knows only this one
    if as_block and ("\\\\" in formula or "&" in formula) and "\\begin" not in formula:
        formula = f"\\begin{{aligned}}{formula}\\end{{aligned}}"
    try:
        drawn = tex2mathml(formula, as_block=as_block)
    except MathError as error:
        logger.warning("cannot draw the formula %r: %s", formula, error, location=node)
        drawn = f"<code>{translator.encode(formula)}</code>"
    tag = "div" if as_block else "span"
    translator.body.append(f'<{tag} class="formula">{drawn}</{tag}>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer under the name "mathml"."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda self, node: _draw(self, node, False), None),
        block_renderers=(lambda self, node: _draw(self, node, True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
