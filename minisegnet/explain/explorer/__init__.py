"""The explorer: transposed convolution on one HTML page, to be played with in a browser.

The page works on its own: it asks no host for anything, and needs no library. Its parts lie beside
this file, in the order in which the page reads them::

    page.html       what there is
    page.css        colours, and where things stand
    controls.css    what the reader types, steps and answers with
    views.css       the cards, tables and what is lit in them
    screens.css     small screens, and less motion
    arithmetic.js   sizes, products, the recipe, the stamps, the matrix, in whole numbers
    mistakes.js     the classic wrong answers, and what to say about them
    settings.js     worked examples, limits, bad input, the address that restores everything
    accounts.js     what a number is made of, and what lights up with it
    grids.js        tables: drawing, light, outlines, keyboard
    views.js        the cards
    predict.js      questions before the reveal
    editors.js      what the reader types into
    page.js         showing, pointing, moving, playing, typing
    events.js       the listeners
"""

from __future__ import annotations

from importlib.resources import files

STYLES = ("page.css", "controls.css", "views.css", "screens.css")
#: The scripts of the page, in the order in which they build on each other.
SCRIPTS = (
    "arithmetic.js",
    "mistakes.js",
    "settings.js",
    "accounts.js",
    "grids.js",
    "views.js",
    "predict.js",
    "editors.js",
    "page.js",
    "events.js",
)
#: What tells a page of the explorer from another file.
MARK = '<meta name="generator" content="minisegnet explorer">'


def explorer_page() -> str:
    """The explorer of transposed convolutions, as one self-contained HTML page.

    ``minisegnet explore`` writes it into a file and opens it.

    Returns
    -------
    str

    Examples
    --------
    >>> page = explorer_page()
    >>> page.splitlines()[0]
    '<!doctype html>'
    >>> "http" in page.replace("http-equiv", "")
    False
    """
    parts = files(__name__)
    page = parts.joinpath("page.html").read_text("utf-8")
    style, script = (
        "\n".join(parts.joinpath(name).read_text("utf-8") for name in names)
        for names in (STYLES, SCRIPTS)
    )
    return page.replace("{{style}}", style).replace("{{script}}", script)
